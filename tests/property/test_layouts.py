"""A side's layout changes its speed and nothing else: ladder, array and whatever `auto` picks."""

from __future__ import annotations

import random
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_book import assert_same, models

from fastbook import Book

Layout = Literal["auto", "array", "ladder"]
LAYOUTS: tuple[Layout, ...] = ("auto", "array", "ladder")
INT64_MAX = 2**63 - 1
# Ticks that are odd, even and a power of two; prices between them, far away, and at both ends of
# what 64 bits hold.
PRICES = st.one_of(
    st.integers(0, 40).map(lambda k: 1_000_000 + 10 * k),
    st.integers(0, 300).map(lambda k: 1_000_000 + 96 * k),
    st.integers(999_990, 1_000_030),
    st.sampled_from([0, 1, 5, 10**6, 10**9, 2**40, 2**62, INT64_MAX - 10, INT64_MAX]),
)
STEPS = st.lists(st.tuples(st.booleans(), PRICES, st.integers(0, 2)), max_size=150)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(depth=st.integers(1, 4), steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_any_prices(layout: Layout, depth: int, steps: list[tuple[bool, int, int]]) -> None:
    book, (bids, asks) = Book(depth, layout=layout), models(depth)
    for is_bid, px, qty in steps:
        (book.set_bid if is_bid else book.set_ask)(px, qty)
        (bids if is_bid else asks).set(px, qty)
        assert (book.best_bid_px, book.best_bid_qty) == next(iter(bids.levels()), (0, 0))
        assert (book.best_ask_px, book.best_ask_qty) == next(iter(asks.levels()), (0, 0))
    assert_same(book, bids, asks)
    if layout == "array":
        assert book.layouts == ("array", "array")


def wander(rng: random.Random, layout: Layout, depth: int, tick: int) -> tuple[Book, set[str]]:
    """A market that drifts, jumps, thins out and at times quotes off the tick, in updates."""
    book, (bids, asks) = Book(depth, layout=layout), models(depth)
    seen: set[str] = set()
    middle, u = 1_000_000 * tick, 0
    for step in range(400):
        if step % 100 == 0:
            for model in (bids, asks):
                model.held.clear()
            for k in range(depth):
                bids.set(middle - (k + 1) * tick, k + 1)
                asks.set(middle + (k + 1) * tick, k + 1)
            u += 1
            book.apply_snapshot(bids.levels(), asks.levels(), u)
        u += 1
        middle += tick * rng.choice([-1, 0, 0, 1, rng.randrange(-depth, depth + 1)])
        changes: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for model, sign, out in ((bids, -1, changes[0]), (asks, 1, changes[1])):
            crossed = [px for px in model.held if (px - middle) * sign <= 0]
            far = [px for px, _ in model.levels()[depth:]]
            for px in crossed + far[: rng.randrange(0, len(far) + 1)]:
                out.append((px, 0))
            for _ in range(rng.randrange(0, 6)):
                ticks = 1 + int(rng.expovariate(2 / depth))
                off = rng.randrange(1, tick) if tick > 1 and rng.random() < 0.01 else 0
                far_out = depth * 1000 if rng.random() < 0.003 else 0
                out.append((middle + sign * ((ticks + far_out) * tick + off), rng.randrange(0, 4)))
            for px, qty in out:
                model.set(px, qty)
        book.apply_delta(*changes, u)
        assert_same(book, bids, asks)
        for levels in (1, 5, 70):
            sums = [float(sum(q for _, q in m.levels()[:levels])) for m in (bids, asks)]
            total = sum(sums)
            expected = (sums[0] - sums[1]) / total if total else None
            if expected is not None:
                assert book.imbalance(levels) == expected
        seen.update(book.layouts)
    return book, seen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tick", [1, 10, 96, 12_500])
def test_a_market_that_wanders(seed: int, tick: int) -> None:
    depth = random.Random(seed).choice([5, 20, 50])
    outcomes = {layout: wander(random.Random(seed), layout, depth, tick) for layout in LAYOUTS}
    books = [book for book, _ in outcomes.values()]
    assert books[0].levels() == books[1].levels() == books[2].levels()
    for name in ("absent_deletes", "dropped_levels", "over_depth", "gaps", "u"):
        assert len({getattr(book, name) for book in books}) == 1
    assert outcomes["array"][1] == {"array"}
    assert "ladder" in outcomes["ladder"][1]
    if depth >= 20:
        assert "ladder" in outcomes["auto"][1]


def snapshot(book: Book, levels: int, step: int, start: int = 100_000) -> None:
    bids = [(start - step * k, 1) for k in range(levels)]
    asks = [(start + step * (k + 1), 1) for k in range(levels)]
    book.apply_snapshot(bids, asks, 1)
    book.check()


def test_chosen_by_what_fits() -> None:
    dense, few, wide = Book(50), Book(50), Book(50)
    snapshot(dense, 50, 10)
    assert dense.layouts == ("ladder", "ladder")
    snapshot(few, 3, 10)
    assert few.layouts == ("array", "array")
    # One tick apart at the touch, then tens of thousands of them: no ladder holds that.
    asks = [(100_000 + k, 1) for k in range(20)] + [(200_000, 1)]
    wide.apply_snapshot([(99_999, 1)], asks, 1)
    assert wide.layouts == ("array", "array")


def test_left_for_what_does_not_fit_and_taken_again() -> None:
    book = Book(50)
    snapshot(book, 50, 10)
    book.set_ask(10**12, 7)
    assert book.layouts == ("ladder", "array")
    assert book.levels()[1][-1] == (10**12, 7)
    book.check()
    book.set_ask(10**12, 0)
    for turn in range(2000):  # the move has to be paid for first
        book.set_ask(100_010, 1 + turn % 5)
    assert book.layouts == ("ladder", "ladder")
    book.check()


def test_a_finer_tick_is_learned() -> None:
    book = Book(50)
    snapshot(book, 50, 10)
    for turn in range(60):
        book.set_bid(99_990, 2 + turn)
    book.set_bid(99_995, 3)
    assert book.layouts == ("ladder", "ladder")
    assert book.levels()[0][:3] == [(100_000, 1), (99_995, 3), (99_990, 61)]
    book.check()


def test_off_tick_deletes_are_absent() -> None:
    book = Book(50)
    snapshot(book, 50, 10)
    for px in (99_995, 10, 10**15, 0):
        book.set_bid(px, 0)
    assert (book.absent_deletes, book.bid_levels) == (4, 50)
    assert book.layouts == ("ladder", "ladder")


def test_quantities_whose_sum_is_not_exact() -> None:
    rng = random.Random(7)
    answers = []
    for layout in LAYOUTS:
        book = Book(50, layout=layout)
        rng.seed(7)
        for k in range(50):
            book.set_bid(1000 - k, rng.randrange(2**55, 2**60))
            book.set_ask(1001 + k, rng.randrange(2**55, 2**60))
        answers.append((book.imbalance(50), book.imbalance(3), book.vwap(20)))
    assert answers[0] == answers[1] == answers[2]


def test_unknown_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout must be one of auto, array, ladder"):
        Book(50, layout="tree")  # type: ignore[arg-type]  # that is the point
