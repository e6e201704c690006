"""One book: its readings, its states, its sequence rules, what it refuses."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastbook import ApplyStatus, Book, BookState, SequencePolicy
from fastbook.errors import BookInvariantError, FixedPointError

BIDS = [("100.0", "1"), ("99.5", "2")]
ASKS = [("100.5", "3"), ("101.0", "4")]
SLACK = 64


def two_by_two() -> Book:
    book = Book(50, price_scale=1, qty_scale=0, symbol="BTCUSDT", topic="orderbook.50.BTCUSDT")
    assert book.apply_snapshot(BIDS, ASKS, 100, 1000) is ApplyStatus.SNAPSHOT
    return book


def picture(book: Book) -> tuple[object, ...]:
    """Everything that a refused or stale update must not touch."""
    return (book.levels(), book.state, book.u, book.seq, book.price_scale, book.qty_scale)


# --- readings ---


def test_readings() -> None:
    book = two_by_two()

    assert (book.best_bid, book.best_ask) == (100.0, 100.5)
    assert (book.best_bid_px, book.best_ask_px) == (1000, 1005)
    assert (book.best_bid_qty, book.best_ask_qty) == (1, 3)
    assert (book.bid_levels, book.ask_levels) == (2, 2)
    assert (book.mid, book.spread) == (100.25, 0.5)
    assert book.spread_bps == pytest.approx(0.5 / 100.25 * 1e4, rel=1e-15)
    # The thin bid side says that the price is about to go down: nearer to the bid.
    assert book.microprice == (100.0 * 3 + 100.5 * 1) / 4
    assert book.imbalance(levels=1) == (1 - 3) / (1 + 3)
    assert book.imbalance() == (3 - 7) / (3 + 7)
    assert book.vwap(levels=1) == (100.0, 100.5)
    assert book.vwap() == pytest.approx(((100.0 + 99.5 * 2) / 3, (100.5 * 3 + 101.0 * 4) / 7))
    assert book.levels() == ([(1000, 1), (995, 2)], [(1005, 3), (1010, 4)])
    assert (book.u, book.seq, book.depth) == (100, 1000, 50)
    assert (book.symbol, book.topic, book.index) == ("BTCUSDT", "orderbook.50.BTCUSDT", -1)


def test_arrays_are_float_copies_best_first() -> None:
    book = two_by_two()
    bids, asks = book.bids(), book.asks()

    assert bids.dtype == np.float64
    assert bids.shape == (2, 2)
    assert bids.tolist() == [[100.0, 1.0], [99.5, 2.0]]
    assert asks.tolist() == [[100.5, 3.0], [101.0, 4.0]]
    assert book.asks(levels=1).tolist() == [[100.5, 3.0]]
    assert book.bids(levels=99).shape == (2, 2)

    bids[:] = 0.0
    assert book.best_bid == 100.0
    assert Book(5).bids().shape == (0, 2)


@pytest.mark.parametrize("reading", ["imbalance", "vwap", "bids", "asks"])
@pytest.mark.parametrize("levels", [0, -1])
def test_levels_start_at_one(reading: str, levels: int) -> None:
    with pytest.raises(ValueError, match="levels must be at least 1"):
        getattr(two_by_two(), reading)(levels=levels)


def test_empty_book_has_no_answers() -> None:
    book = Book(5)
    for name in ("best_bid", "best_ask", "mid", "spread", "spread_bps", "microprice"):
        assert math.isnan(getattr(book, name)), name
    assert math.isnan(book.imbalance())
    assert all(math.isnan(x) for x in book.vwap())
    assert book.levels() == ([], [])
    assert (book.best_bid_px, book.best_bid_qty, book.best_ask_px, book.best_ask_qty) == (0,) * 4


@pytest.mark.parametrize("bids_only", [True, False])
def test_one_sided_book(bids_only: bool) -> None:
    book = Book(5)
    book.apply_snapshot(BIDS if bids_only else [], [] if bids_only else ASKS, 1)

    assert book.state is BookState.SYNCED
    assert book.imbalance() == (1.0 if bids_only else -1.0)
    for name in ("mid", "spread", "spread_bps", "microprice"):
        assert math.isnan(getattr(book, name)), name
    assert math.isnan(book.best_ask) is bids_only
    assert math.isnan(book.best_bid) is not bids_only
    bid_vwap, ask_vwap = book.vwap()
    assert (math.isnan(bid_vwap), math.isnan(ask_vwap)) == (not bids_only, bids_only)


def test_readings_at_price_zero_are_no_answer_but_no_crash() -> None:
    book = Book(5)
    book.set_bid(0, 1)
    book.set_ask(0, 1)
    assert math.isnan(book.spread_bps)
    assert book.mid == 0.0


def test_readings_stay_exact_near_the_top_of_int64() -> None:
    book = Book(5)
    top = 2**63 - 1
    book.set_bid(top - 2, top)
    book.set_ask(top, top)
    assert book.levels() == ([(top - 2, top)], [(top, top)])
    assert book.mid == pytest.approx(2.0**63)
    assert book.imbalance() == 0.0
    book.check()


@pytest.mark.parametrize("depth", [0, -1, 10_001])
def test_depth_has_limits(depth: int) -> None:
    with pytest.raises(ValueError, match="depth must be"):
        Book(depth)


@pytest.mark.parametrize("scale", [-1, 19])
def test_scales_have_limits(scale: int) -> None:
    with pytest.raises(ValueError, match="scale must be"):
        Book(5, price_scale=scale)
    with pytest.raises(ValueError, match="scale must be"):
        Book(5, qty_scale=scale)


# --- states and sequence rules ---


def test_new_book_knows_nothing() -> None:
    book = Book(5)
    assert book.state is BookState.NO_BOOK
    assert book.policy is SequencePolicy.CONTIGUOUS
    assert (book.u, book.seq, book.ts_ms, book.cts_ms, book.recv_ns) == (0, 0, 0, 0, 0)


def test_delta_before_a_snapshot_is_a_gap_and_changes_nothing() -> None:
    book = Book(5)
    assert book.apply_delta(BIDS, ASKS, 1) is ApplyStatus.GAP
    assert book.levels() == ([], [])
    assert (book.state, book.u, book.gaps) == (BookState.NO_BOOK, 0, 0)


def test_delta_inserts_modifies_deletes() -> None:
    book = two_by_two()
    status = book.apply_delta([("99.5", "0"), ("99.0", "7")], [("100.5", "9")], 101, 1001)

    assert status is ApplyStatus.APPLIED
    assert book.levels() == ([(1000, 1), (990, 7)], [(1005, 9), (1010, 4)])
    assert (book.u, book.seq, book.state) == (101, 1001, BookState.SYNCED)


def test_empty_delta_advances() -> None:
    book = two_by_two()
    assert book.apply_delta([], [], 101, 1001) is ApplyStatus.APPLIED
    assert (book.u, book.seq) == (101, 1001)


@pytest.mark.parametrize("u", [100, 99, 2])
def test_older_delta_is_stale_and_changes_nothing(u: int) -> None:
    book = two_by_two()
    before = picture(book)
    assert book.apply_delta([("100.0", "5")], [], u, 1) is ApplyStatus.STALE
    assert picture(book) == before


@pytest.mark.parametrize("u", [102, 10**12, 1])
def test_gap_and_restart_wait_for_a_snapshot(u: int) -> None:
    book = two_by_two()
    levels = book.levels()

    assert book.apply_delta([("100.0", "5")], [], u) is ApplyStatus.GAP
    assert book.state is BookState.UNSYNCED
    assert book.gaps == 1
    assert book.levels() == levels
    # What would have been in order does not heal it, and one loss is counted once.
    assert book.apply_delta([], [], 101) is ApplyStatus.GAP
    assert book.apply_delta([], [], u + 1) is ApplyStatus.GAP
    assert (book.state, book.gaps) == (BookState.UNSYNCED, 1)

    assert book.apply_snapshot(BIDS, ASKS, 7) is ApplyStatus.SNAPSHOT
    assert (book.state, book.u) == (BookState.SYNCED, 7)


@pytest.mark.parametrize("u", [101, 100, 99, 1, 10**15])
def test_snapshot_replaces_at_any_time(u: int) -> None:
    book = two_by_two()
    assert book.apply_snapshot([("50", "1")], [("51", "2")], u) is ApplyStatus.SNAPSHOT
    assert book.levels() == ([(500, 1)], [(510, 2)])
    assert (book.state, book.u) == (BookState.SYNCED, u)
    assert book.apply_delta([], [], u + 1) is ApplyStatus.APPLIED


def test_restart_with_empty_snapshot_is_no_book() -> None:
    book = two_by_two()
    assert book.apply_snapshot([], [], 1) is ApplyStatus.SNAPSHOT
    assert book.state.name == "NO_BOOK"
    assert book.levels() == ([], [])
    assert book.apply_delta(BIDS, ASKS, 2) is ApplyStatus.APPLIED
    assert book.state.name == "SYNCED"


@pytest.mark.parametrize(("bid", "ask"), [("101", "100"), ("100.5", "100.5")])
def test_crossed_or_locked_snapshot_is_not_trusted(bid: str, ask: str) -> None:
    book = Book(5)
    assert book.apply_snapshot([(bid, "1")], [(ask, "1")], 5) is ApplyStatus.GAP
    assert book.state is BookState.UNSYNCED
    assert book.crossed_frames == 1
    assert book.apply_delta([], [], 6) is ApplyStatus.GAP


def test_crossing_is_judged_after_both_sides() -> None:
    book = two_by_two()
    # Alone the bid at 100.5 would lock the book; the same frame takes the ask away.
    assert book.apply_delta([("100.5", "1")], [("100.5", "0")], 101) is ApplyStatus.APPLIED
    assert book.state is BookState.SYNCED
    assert book.apply_delta([("101.0", "1")], [], 102) is ApplyStatus.GAP
    assert (book.state, book.crossed_frames, book.gaps) == (BookState.UNSYNCED, 1, 1)


def test_level_one_is_snapshot_only() -> None:
    book = Book(1, policy=SequencePolicy.SNAPSHOT_ONLY)
    first = [("100", "1")], [("101", "1")]
    assert book.apply_snapshot(*first, 50, 500) is ApplyStatus.SNAPSHOT
    assert book.apply_snapshot(*first, 50, 500) is ApplyStatus.SNAPSHOT  # repeated after 3 s
    assert book.apply_snapshot(*first, 60, 600) is ApplyStatus.SNAPSHOT  # ids may skip

    before = picture(book)
    assert book.apply_snapshot([("90", "1")], [("91", "1")], 59, 599) is ApplyStatus.STALE
    assert picture(book) == before
    # After a restart both ids begin again.
    assert book.apply_snapshot([("90", "1")], [("91", "1")], 1, 3) is ApplyStatus.SNAPSHOT
    assert book.apply_delta([("90", "2")], [], 2, 4) is ApplyStatus.GAP
    assert (book.state, book.policy_breaches) == (BookState.UNSYNCED, 1)
    # Without trust, an older one is better than nothing.
    assert book.apply_snapshot(*first, 2, 1) is ApplyStatus.SNAPSHOT


def test_absent_delete_is_tolerated_and_counted() -> None:
    book = two_by_two()
    assert book.apply_delta([("98", "0")], [("100.7", "0")], 101) is ApplyStatus.APPLIED
    assert (book.absent_deletes, book.state) == (2, BookState.SYNCED)


# --- mark ---


def test_synced_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="only a snapshot"):
        Book(5).mark(BookState.SYNCED)
    with pytest.raises(ValueError, match="9"):
        Book(5).mark(9)


def test_stale_is_undone_by_the_next_update_in_order() -> None:
    book = two_by_two()
    book.mark(BookState.STALE)
    assert book.state.name == "STALE"
    book.check()
    assert book.apply_delta([], [], 101) is ApplyStatus.APPLIED
    assert book.state.name == "SYNCED"


def test_stale_does_not_hide_a_gap() -> None:
    book = two_by_two()
    book.mark(BookState.STALE)
    assert book.apply_delta([], [], 103) is ApplyStatus.GAP
    assert book.state is BookState.UNSYNCED
    book.mark(BookState.STALE)
    assert book.state is BookState.UNSYNCED
    assert book.apply_delta([], [], 101) is ApplyStatus.GAP


@pytest.mark.parametrize("state", [BookState.UNSYNCED, BookState.SYNCING, BookState.NO_BOOK])
def test_marked_book_waits_for_a_snapshot(state: BookState) -> None:
    book = two_by_two()
    book.mark(state)
    assert book.state is state
    assert book.apply_delta([], [], 101) is ApplyStatus.GAP
    assert book.state is state  # frames still in flight do not undo what is known
    assert book.apply_snapshot(BIDS, ASKS, 1) is ApplyStatus.SNAPSHOT
    assert book.state is BookState.SYNCED


# --- how levels may be written ---


@pytest.mark.parametrize(
    ("px", "qty"),
    [
        ("100.5", "2"),
        (b"100.5", b"2"),
        (Decimal("100.50"), Decimal("2E+0")),
        (100.5, 2),
        (100.5, 2.0),
        (np.float64(100.5), np.int64(2)),
        (np.float32(100.5), np.uint8(2)),
    ],
)
def test_level_numbers(px: Any, qty: Any) -> None:  # Any: every kind of number
    book = Book(5, price_scale=2, qty_scale=1)
    assert book.apply_snapshot([(px, qty)], [], 1) is ApplyStatus.SNAPSHOT
    assert book.levels()[0] == [(10050, 20)]


def test_levels_from_a_numpy_array() -> None:
    book = Book(5, price_scale=1, qty_scale=1)
    array = np.array([[100.5, 1.5], [99.5, 2.0]])
    book.apply_snapshot(array, [], 1)  # rows are pairs
    assert book.levels()[0] == [(1005, 15), (995, 20)]
    assert book.bids().tolist() == array.tolist()


def test_floats_mean_what_they_print() -> None:
    book = Book(5)
    book.apply_snapshot([(0.1, 1e-7)], [(1e15, 0.3)], 1)
    assert (book.price_scale, book.qty_scale) == (1, 7)
    assert book.levels() == ([(1, 1)], [(10**16, 3_000_000)])


@pytest.mark.parametrize(
    ("number", "error"),
    [
        ("", FixedPointError),
        ("-1", FixedPointError),
        ("1e5", FixedPointError),
        ("abc", FixedPointError),
        ("9223372036854775808", FixedPointError),
        ("0.1234567890123456789", FixedPointError),
        (-1, FixedPointError),
        (-0.5, FixedPointError),
        (2**63, FixedPointError),
        (float("nan"), FixedPointError),
        (float("inf"), FixedPointError),
        (np.float64("nan"), FixedPointError),
        (1e300, FixedPointError),
        (5e-324, FixedPointError),
        (Decimal("NaN"), FixedPointError),
        (Decimal("Infinity"), FixedPointError),
        (Decimal(-1), FixedPointError),
        (Decimal("1E+999999999"), FixedPointError),  # a gigabyte when written out
        (Decimal("1E-999999999"), FixedPointError),
        (True, TypeError),
        (None, TypeError),
        ([], TypeError),
    ],
)
@pytest.mark.parametrize("place", ["bid px", "bid qty", "ask px", "ask qty"])
@pytest.mark.parametrize("snapshot", [True, False])
def test_refused_update_changes_nothing(
    number: Any,  # Any: every kind of wrong number
    error: type[Exception],
    place: str,
    snapshot: bool,
) -> None:
    book = two_by_two()
    before = picture(book)
    # Finer than the book: had it been taken, the scales would have grown.
    bids: list[Any] = [["98.125", "0.25"]]
    asks: list[Any] = [["102.125", "0.25"]]
    side = bids if place.startswith("bid") else asks
    bad = ["98.1", "1"]
    bad[place.endswith("qty")] = number
    side.append(bad)

    with pytest.raises(error):
        (book.apply_snapshot if snapshot else book.apply_delta)(bids, asks, 101)

    assert picture(book) == before
    book.check()
    assert book.apply_delta([], [], 101) is ApplyStatus.APPLIED


@pytest.mark.parametrize("levels", [[("1",)], [("1", "2", "3")], ["1"], [1], 5, None])
def test_levels_are_pairs(levels: Any) -> None:  # Any: every kind of wrong shape
    book = two_by_two()
    before = picture(book)
    with pytest.raises((ValueError, TypeError)):
        book.apply_delta(levels, [], 101)
    with pytest.raises((ValueError, TypeError)):
        book.apply_delta([], levels, 101)
    assert picture(book) == before


def test_scales_widen_and_prices_stay() -> None:
    book = two_by_two()
    arrays = book.bids(), book.asks()
    assert book.apply_delta([("99.125", "0.25")], [], 101) is ApplyStatus.APPLIED
    assert (book.price_scale, book.qty_scale) == (3, 2)
    assert book.levels()[1] == [(100500, 300), (101000, 400)]
    assert book.asks().tolist() == arrays[1].tolist()
    assert book.bids(2).tolist() == arrays[0].tolist()


def test_widening_that_does_not_fit_is_refused_whole() -> None:
    book = Book(5)
    huge = str(2**63 - 1)
    book.apply_snapshot([("1", huge)], [("2", huge)], 1)
    before = picture(book)
    with pytest.raises(FixedPointError):
        book.apply_delta([("1", "0.5")], [], 2)
    assert picture(book) == before
    assert book.apply_delta([("1", "5")], [], 2) is ApplyStatus.APPLIED


def test_widening_undoes_the_first_side_when_the_second_does_not_fit() -> None:
    book = Book(5)
    book.apply_snapshot([("1", "7")], [("2", str(2**62))], 1)
    before = picture(book)
    with pytest.raises(FixedPointError):
        book.apply_delta([], [("3", "0.5")], 2)
    assert picture(book) == before


def test_snapshot_widens_whatever_is_held() -> None:
    # What a snapshot replaces cannot stand in its way.
    book = Book(5)
    book.apply_snapshot([("1", str(2**63 - 1))], [], 1)
    assert book.apply_snapshot([("1", "0.5")], [], 2) is ApplyStatus.SNAPSHOT
    assert book.levels() == ([(1, 5)], [])


@pytest.mark.parametrize(("px", "qty"), [(-1, 1), (1, -1)])
def test_set_refuses_negatives(px: int, qty: int) -> None:
    book = two_by_two()
    before = picture(book)
    for setter in (book.set_bid, book.set_ask):
        with pytest.raises(ValueError, match="must not be negative"):
            setter(px, qty)
    with pytest.raises(OverflowError):
        book.set_bid(2**63, 1)
    assert picture(book) == before


# --- room ---


@pytest.mark.parametrize("depth", [1, 50, 1000])
def test_more_than_depth_is_kept_and_counted(depth: int) -> None:
    book = Book(depth)
    book.apply_snapshot([(10**6 - i, 1) for i in range(depth)], [], 1)
    assert book.over_depth == 0
    book.apply_delta([(10**6 - depth, 1)], [], 2)
    assert (book.bid_levels, book.over_depth, book.dropped_levels) == (depth + 1, 1, 0)
    assert book.state is BookState.SYNCED
    book.apply_delta([(10**6, 0)], [], 3)
    assert (book.bid_levels, book.over_depth) == (depth, 1)


@pytest.mark.parametrize("depth", [1, 50])
def test_full_side_lets_the_worst_go(depth: int) -> None:
    capacity = 2 * depth + SLACK
    book = Book(depth)
    for i in range(capacity):
        book.set_ask(1000 + 2 * i, 1)
        book.set_bid(999 - 2 * i if i < 499 else 1, 1)
    assert book.ask_levels == capacity
    assert book.dropped_levels == 0
    worst = 1000 + 2 * (capacity - 1)

    book.set_ask(worst + 2, 1)  # worse than everything
    assert book.levels()[1][-1] == (worst, 1)
    book.set_ask(1001, 5)  # near the touch
    asks = book.levels()[1]
    assert asks[:3] == [(1000, 1), (1001, 5), (1002, 1)]
    assert asks[-1] == (worst - 2, 1)
    assert book.dropped_levels == 2
    book.set_ask(worst - 2, 9)  # a change needs no room
    assert book.levels()[1][-1] == (worst - 2, 9)
    assert book.dropped_levels == 2
    book.check()


def test_far_edge_of_a_deep_book() -> None:
    book = Book(1000)
    model = {10**6 + i: 1 for i in range(1000)}
    book.apply_snapshot([], list(model.items()), 1)
    for u in range(2, 3000):
        gone, come = min(model), max(model) + 1 + u % 3
        if u % 2:
            gone, come = max(model), min(model) - 1
        del model[gone]
        model[come] = u
        # The insert comes first, as on the wire.
        assert book.apply_delta([], [(come, u), (gone, 0)], u) is ApplyStatus.APPLIED
    assert book.levels()[1] == sorted(model.items())
    assert (book.over_depth, book.dropped_levels, book.absent_deletes) == (0, 0, 0)
    book.check()


# --- check ---


def test_check_passes_on_what_the_rules_allow() -> None:
    book = Book(5)
    book.check()
    book.set_bid(101, 1)
    book.set_ask(100, 1)
    book.check()  # crossed, but nobody says that it is SYNCED


def test_check_finds_a_crossed_synced_book() -> None:
    book = two_by_two()
    book.set_bid(2000, 1)
    with pytest.raises(BookInvariantError, match="crossed"):
        book.check()


def test_repr_names_book_and_state() -> None:
    assert "orderbook.50.BTCUSDT SYNCED u=100" in repr(two_by_two())
