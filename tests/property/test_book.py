"""The compiled book against a dict, sorted; and against the slow twin of the sequence rules."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.books import DictBook

from fastbook import ApplyStatus, Book, BookState

SLACK = 64
# Few prices on purpose: collisions, deletes and a full side are where the bugs are.
PRICES = st.integers(1, 12)
QTYS = st.integers(0, 3)
STEPS = st.lists(st.tuples(st.booleans(), PRICES, QTYS), max_size=200)


class Model:
    """A side as a dict; full, it lets its worst level go."""

    def __init__(self, sign: int, capacity: int) -> None:
        self.held: dict[int, int] = {}
        self.sign = sign  # +1: asks
        self.capacity = capacity

    def set(self, px: int, qty: int) -> None:
        if qty == 0:
            self.held.pop(px, None)
            return
        self.held[px] = qty
        if len(self.held) > self.capacity:
            del self.held[max(self.held, key=lambda p: p * self.sign)]

    def levels(self) -> list[tuple[int, int]]:
        return sorted(self.held.items(), key=lambda level: level[0] * self.sign)


def models(depth: int) -> tuple[Model, Model]:
    return Model(-1, 2 * depth + SLACK), Model(1, 2 * depth + SLACK)


def assert_same(book: Book, bids: Model, asks: Model) -> None:
    book.check()
    assert book.levels() == (bids.levels(), asks.levels())
    assert (book.bid_levels, book.ask_levels) == (len(bids.held), len(asks.held))


@given(depth=st.integers(1, 3), steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_book_equals_model(depth: int, steps: list[tuple[bool, int, int]]) -> None:
    book, (bids, asks) = Book(depth), models(depth)
    for is_bid, px, qty in steps:
        (book.set_bid if is_bid else book.set_ask)(px, qty)
        (bids if is_bid else asks).set(px, qty)
    assert_same(book, bids, asks)


@pytest.mark.parametrize("seed", range(6))
def test_full_sides_equal_model(seed: int) -> None:
    """Prices from a range wider than the capacity: the side is full most of the time."""
    rng = random.Random(seed)
    depth = rng.choice([1, 2, 8])
    book, (bids, asks) = Book(depth), models(depth)
    for step in range(6000):
        px, qty = rng.randrange(1, 300), rng.choice([0, 1, 2, 3])
        is_bid = rng.random() < 0.5
        (book.set_bid if is_bid else book.set_ask)(px, qty)
        (bids if is_bid else asks).set(px, qty)
        if step % 50 == 0:
            assert_same(book, bids, asks)
    assert_same(book, bids, asks)
    assert book.dropped_levels > 0


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("depth", [1, 5, 50])
@pytest.mark.parametrize("held", [1, 2, 60])
def test_long_drift(direction: int, depth: int, held: int) -> None:
    """A window that wanders one way uses up the free slots at one end, over and over."""
    book, (bids, asks) = Book(depth), models(depth)
    start = 10_000_000
    for side, setter in ((bids, book.set_bid), (asks, book.set_ask)):
        for i in range(held):
            setter(start + i, 1)
            side.set(start + i, 1)
    slots = 2 * (2 * depth + SLACK)
    for step in range(5 * slots):
        come = start + (held + step if direction > 0 else -1 - step)
        gone = start + (step if direction > 0 else held - 1 - step)
        order = [(come, step + 1), (gone, 0)]
        for px, qty in order if step % 2 else reversed(order):
            for side, setter in ((bids, book.set_bid), (asks, book.set_ask)):
                setter(px, qty)
                side.set(px, qty)
        if step % 7 == 0:
            assert_same(book, bids, asks)
    assert_same(book, bids, asks)
    assert book.dropped_levels == 0


@pytest.mark.parametrize("fill_from", ["touch", "far end", "middle"])
def test_fill_and_empty_over_and_over(fill_from: str) -> None:
    """To capacity and back to nothing, from either end: every slot has been first and last."""
    depth = 4
    capacity = 2 * depth + SLACK
    prices = list(range(1000, 1000 + capacity))
    if fill_from == "far end":
        prices.reverse()
    elif fill_from == "middle":
        prices.sort(key=lambda px: abs(px - 1000 - capacity // 2))
    book, (bids, asks) = Book(depth), models(depth)
    for lap in range(6):
        gone = prices if lap % 2 else prices[::-1]
        for px, qty in [(px, lap + 1) for px in prices] + [(px, 0) for px in gone]:
            for side, setter in ((bids, book.set_bid), (asks, book.set_ask)):
                setter(px, qty)
                side.set(px, qty)
            assert len(asks.held) == book.ask_levels
        assert_same(book, bids, asks)
        assert book.levels() == ([], [])


SIZES = st.sampled_from(["0", "0.0", "1", "2.5", "0.125"])
PAIRS = st.lists(st.tuples(st.sampled_from(["9", "9.5", "10", "10.25", "11"]), SIZES), max_size=4)
Update = tuple[str, list[tuple[str, str]], list[tuple[str, str]], int | None]
UPDATES = st.lists(
    st.tuples(
        st.sampled_from(["snapshot", "delta", "delta", "delta"]),
        PAIRS,
        PAIRS,
        # To the last id: mostly the next one, at times a repeat, a loss, or a restart.
        st.sampled_from([1, 1, 1, 1, 0, -1, 2, None]),
    ),
    max_size=40,
)


@given(updates=UPDATES)
@settings(max_examples=120, deadline=None)
def test_sequence_rules_equal_twin(updates: list[Update]) -> None:
    book, twin = Book(50), DictBook()
    for kind, bids, asks, step in updates:
        u = 1 if step is None else max(0, twin.u + step)
        data = {"u": u, "seq": u, "b": bids, "a": asks}
        expected = twin.apply({"type": kind, "data": data})
        apply = book.apply_snapshot if kind == "snapshot" else book.apply_delta
        assert apply(bids, asks, u, u) is ApplyStatus[expected]
        book.check()
        assert (book.u, book.seq) == (twin.u, twin.seq)
        assert (book.state in (BookState.SYNCED, BookState.NO_BOOK)) >= twin.trusted
        assert (book.state is BookState.SYNCED) <= twin.trusted
        unit = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.qty_scale)
        exact = tuple([(p * unit[0], q * unit[1]) for p, q in side] for side in book.levels())
        assert exact == twin.levels()
