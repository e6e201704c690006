"""The compiled matching book against the one with dicts and deques."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.matching import SlowBook

from fastbook.errors import CapacityError
from fastbook.replay.matching import MatchingBook

CAPACITY = 12
IDS = st.integers(1, 20)
SIDES = st.sampled_from([1, -1])
PRICES = st.integers(95, 105)
SIZES = st.integers(1, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rest"), IDS, SIDES, PRICES, SIZES, st.integers(0, 2)),
        st.tuples(st.just("match"), SIDES, PRICES, st.integers(1, 40)),
        st.tuples(st.just("cancel"), IDS),
        st.tuples(st.just("reduce"), IDS, SIZES),
    ),
    max_size=60,
)


def rest(book: MatchingBook, order: tuple[int, int, int, int, int]) -> str:
    try:
        book.rest(*order)
    except CapacityError:
        return "full"
    except ValueError as refusal:
        return "duplicate" if "already" in str(refusal) else "crosses"
    return ""


def reduce(book: MatchingBook, slow: SlowBook, order_id: int, remaining: int) -> None:
    found = slow.find(order_id)
    if found is not None and remaining > found[2].qty:
        with pytest.raises(ValueError, match="cannot be reduced"):
            book.reduce(order_id, remaining)
        return
    assert book.reduce(order_id, remaining) == slow.reduce(order_id, remaining)


def assert_same(book: MatchingBook, slow: SlowBook) -> None:
    assert book.order_count == slow.order_count()
    assert book.best_bid() == slow.best_bid()
    assert book.best_ask() == slow.best_ask()
    for side in (1, -1):
        levels = slow.levels(side)
        assert book.levels(side) == levels
        assert book.levels(side, 2) == levels[:2]
        assert book.level_count(side) == len(levels)
        for px, _ in levels:
            assert book.orders(side, px) == slow.orders(side, px)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, probe=PRICES)
def test_every_step_agrees(steps: list[tuple], probe: int) -> None:  # type: ignore[type-arg]
    book, slow = MatchingBook(CAPACITY), SlowBook(CAPACITY)
    for step in steps:
        match step:
            case ("rest", *order):
                order_id, side, px, qty, owner = order
                values = (order_id, side, px, qty, owner)
                assert rest(book, values) == slow.rest(*values)
            case ("match", side, px, qty):
                assert book.match(side, px, qty) == slow.match(side, px, qty)
            case ("cancel", order_id):
                assert book.cancel(order_id) == slow.cancel(order_id)
            case ("reduce", order_id, remaining):
                reduce(book, slow, order_id, remaining)
        book.check()
        assert_same(book, slow)

    for side in (1, -1):
        assert book.crosses(side, probe) == slow.crosses(side, probe)
        assert book.available(side, probe) == slow.available(side, probe)
    for order_id in range(1, 21):
        assert book.ahead(order_id) == slow.ahead(order_id)
        found = slow.find(order_id)
        expected = None if found is None else (found[0], found[1], found[2].qty, found[2].owner)
        assert book.order(order_id) == expected
    for owner in (1, 2):
        mine = [i for i in range(1, 21) if (o := slow.find(i)) is not None and o[2].owner == owner]
        assert sorted(book.owned_by(owner)) == mine
