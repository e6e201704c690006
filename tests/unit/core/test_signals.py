"""What a row of signals says, and when it says nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fastbook.bybit.frames import BookDecoder
from fastbook.core.book import Book
from fastbook.core.signals import Signal, SignalSet
from fastbook.core.states import BookState

ONE = [("100.0", "3")]
TWO = [("100.2", "1")]


def synced(bids: Sequence[tuple[str, str]] = ONE, asks: Sequence[tuple[str, str]] = TWO) -> Book:
    book = Book(50, index=0)
    book.apply_snapshot(bids, asks, u=7)
    return book


def test_columns_are_numbered_without_holes() -> None:
    assert [signal.value for signal in Signal] == list(range(12))
    assert SignalSet(1).rows.shape == (1, len(Signal))


def test_readings_of_the_book_are_those_of_the_book() -> None:
    book = Book(50, index=0)
    bids = [(f"{65114.2 - i / 10:.1f}", f"{1 + i}.003") for i in range(20)]
    asks = [(f"{65114.3 + i / 10:.1f}", f"{3 + i % 4}.5") for i in range(20)]
    book.apply_snapshot(bids, asks, u=7)
    signals = SignalSet(1, imbalance_levels=5)

    signals.update(book)

    row = signals.row(0)
    assert row[Signal.MID] == book.mid
    assert row[Signal.SPREAD_BPS] == pytest.approx(book.spread_bps, rel=1e-14)
    assert row[Signal.MICROPRICE] == pytest.approx(book.microprice, rel=1e-14)
    assert row[Signal.IMBALANCE] == pytest.approx(book.imbalance(5), rel=1e-14)


def test_a_book_with_one_side_has_an_imbalance_and_no_price() -> None:
    signals = SignalSet(1)
    signals.update(synced(bids=[]))

    row = signals.row(0)
    assert row[Signal.IMBALANCE] == -1.0
    assert row[Signal.SAMPLES] == 0.0
    assert sum(math.isnan(value) for value in row) == 10


def test_a_book_without_levels_has_nothing_at_all() -> None:
    signals = SignalSet(1)
    signals.update(synced(bids=[], asks=[]))

    assert [i for i, value in enumerate(signals.row(0)) if not math.isnan(value)] == [
        Signal.SAMPLES
    ]


def test_the_zscore_is_silent_while_a_side_is_empty_and_comes_back() -> None:
    """Nothing was lost, so the window stays; but there is no price now that could be scored."""
    signals = SignalSet(1, sample_ms=0)
    book = synced()
    signals.update(book)
    book.apply_delta([("100.1", "1")], [], u=8)
    signals.update(book)
    score = signals.row(0)[Signal.ZSCORE]
    book.apply_delta([], [("100.2", "0")], u=9)
    signals.update(book)

    assert math.isnan(signals.row(0)[Signal.ZSCORE])
    assert signals.row(0)[Signal.SAMPLES] == 2.0

    book.apply_delta([], [("100.2", "1")], u=10)
    signals.update(book)

    assert score == pytest.approx(1.0)
    assert signals.row(0)[Signal.ZSCORE] == pytest.approx(1.0 / math.sqrt(2.0))
    assert signals.row(0)[Signal.SAMPLES] == 3.0


@pytest.mark.parametrize("state", [BookState.UNSYNCED, BookState.SYNCING, BookState.STALE])
def test_a_book_that_is_not_synced_loses_its_row_and_its_windows(state: BookState) -> None:
    signals = SignalSet(2, sample_ms=0)
    book = synced()
    for _ in range(5):
        signals.update(book)
    assert signals.row(0)[Signal.SAMPLES] == 5.0

    book.mark(state)
    signals.update(book)
    assert np.isnan(signals.rows).all()

    book.apply_snapshot(ONE, TWO, u=9)
    signals.update(book)
    assert signals.row(0)[Signal.SAMPLES] == 1.0
    assert math.isnan(signals.row(0)[Signal.OFI])


def test_a_book_never_seen_has_a_row_of_nan() -> None:
    signals = SignalSet(1)
    signals.update(Book(50, index=0))

    assert np.isnan(signals.rows).all()


def test_reset_forgets_one_book_only() -> None:
    signals = SignalSet(2, sample_ms=0)
    books = [Book(50, index=0), Book(50, index=1)]
    for book in books:
        book.apply_snapshot(ONE, TWO, u=7)
        for _ in range(3):
            signals.update(book)

    signals.reset(0)

    assert np.isnan(signals.rows[0]).all()
    assert signals.rows[1, Signal.SAMPLES] == 3.0
    signals.update(books[0])
    assert signals.rows[0, Signal.SAMPLES] == 1.0


def test_samples_stop_at_the_lookback() -> None:
    signals = SignalSet(1, lookback=3, sample_ms=0)
    book = synced()
    for _ in range(7):
        signals.update(book)

    assert signals.row(0)[Signal.SAMPLES] == 3.0
    assert signals.row(0)[Signal.STD] == 0.0
    assert math.isnan(signals.row(0)[Signal.ZSCORE])


def test_a_wider_scale_is_not_an_event_of_the_order_flow() -> None:
    """100.0 at one decimal and 100.00 at two are the same price."""
    signals = SignalSet(1)
    book = synced()
    signals.update(book)
    book.apply_delta([("99.12", "1")], [], u=8)
    signals.update(book)
    assert book.price_scale == 2
    assert math.isnan(signals.row(0)[Signal.OFI])

    book.apply_delta([("100", "5")], [], u=9)
    signals.update(book)
    assert signals.row(0)[Signal.OFI] == 2.0


def test_rows_are_live_and_cannot_be_written() -> None:
    signals = SignalSet(2)
    row, rows = signals.row(0), signals.rows
    signals.update(synced())

    assert row[Signal.MID] == rows[0, Signal.MID] == pytest.approx(100.1)
    assert signals.row(0) is row
    assert row.format == "d"
    assert row.readonly
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1.0


def test_rows_outlive_the_set() -> None:
    signals = SignalSet(1)
    signals.update(synced())
    row = signals.row(0)
    del signals

    assert row[Signal.MID] == pytest.approx(100.1)


@pytest.mark.parametrize("index", [-1, 2])
def test_refuses_an_index_outside(index: int) -> None:
    signals = SignalSet(2)
    book = Book(50, index=index)

    with pytest.raises(IndexError, match=f"index must be 0..1, was {index}"):
        signals.update(book)
    with pytest.raises(IndexError, match=f"index must be 0..1, was {index}"):
        signals.reset(index)
    with pytest.raises(IndexError, match=f"index must be 0..1, was {index}"):
        signals.row(index)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"books": 0}, "books must be 1..100000, was 0"),
        ({"lookback": 1}, "lookback must be 2..1000000, was 1"),
        ({"imbalance_levels": 0}, "imbalance_levels must be 1..50, was 0"),
        ({"imbalance_levels": 51}, "imbalance_levels must be 1..50, was 51"),
        ({"sample_ms": -1}, "sample_ms must be 0..86400000, was -1"),
        ({"ofi_window": 0}, "ofi_window must be 1..1000000, was 0"),
        ({"ewma_halflife": 0.0}, "ewma_halflife must be a finite number above 0, was 0.0"),
        ({"ewma_halflife": math.nan}, "ewma_halflife must be a finite number above 0, was nan"),
        ({"volatility_window": 0}, "volatility_window must be 1..1000000, was 0"),
        ({"atr_window": 0}, "atr_window must be 1..1000000, was 0"),
        ({"bar_ms": 0}, "bar_ms must be 1..86400000, was 0"),
        ({"books": 1000, "lookback": 10**6}, "more than 1073741824"),
    ],
)
def test_refuses_an_argument_out_of_range(change: dict[str, Any], says: str) -> None:
    # Any: one case is a float, the others are integers
    with pytest.raises(ValueError, match=says):
        SignalSet(**{"books": 1, **change})


def test_options_can_be_read_back() -> None:
    signals = SignalSet(4, lookback=30, imbalance_levels=7, sample_ms=0, bar_ms=500)

    assert (signals.books, signals.lookback, signals.imbalance_levels) == (4, 30, 7)
    assert (signals.sample_ms, signals.bar_ms, signals.ewma_halflife) == (0, 500, 20.0)


def frame(u: int, ts_ms: int, bid: float) -> bytes:
    return (
        b'{"topic":"orderbook.1.TESTUSDT","type":"snapshot","ts":%d,"data":{"s":"TESTUSDT",'
        b'"b":[["%.1f","3"]],"a":[["%.1f","1"]],"u":%d,"seq":%d},"cts":%d}'
    ) % (ts_ms, bid, bid + 0.2, u, u, ts_ms)


def sample_counts(signals: SignalSet, times_ms: Sequence[int]) -> list[float]:
    decoder = BookDecoder()
    book = decoder.add_book("orderbook.1.TESTUSDT", index=0)
    counts = []
    for u, ts_ms in enumerate(times_ms, start=2):
        decoder.apply(frame(u, ts_ms, 100.0 + u))
        signals.update(book)
        counts.append(signals.row(0)[Signal.SAMPLES])
    return counts


def test_samples_are_taken_by_exchange_time() -> None:
    times_ms = [1_000_000, 1_000_050, 1_000_099, 1_000_100, 1_000_350, 1_000_449, 1_000_450]

    assert sample_counts(SignalSet(1, sample_ms=100), times_ms) == [1, 1, 1, 2, 3, 3, 4]
    assert sample_counts(SignalSet(1, sample_ms=0), times_ms) == [1, 2, 3, 4, 5, 6, 7]


def test_a_clock_set_back_starts_anew_and_jitter_does_not() -> None:
    """Otherwise nothing would be sampled until the old time comes round again."""
    times_ms = [1_000_000, 1_000_100, 1_000_050, 1_000_200, 900_000, 900_100]

    assert sample_counts(SignalSet(1, sample_ms=100), times_ms) == [1, 2, 2, 3, 1, 2]


def test_true_range_needs_its_bars() -> None:
    signals = SignalSet(1, atr_window=2, bar_ms=100)
    decoder = BookDecoder()
    book = decoder.add_book("orderbook.1.TESTUSDT", index=0)
    seen = []
    for u, bid in enumerate([100.0, 104.0, 101.0, 102.0], start=2):
        decoder.apply(frame(u, 1_000_000 + 60 * u, bid))
        signals.update(book)
        seen.append(signals.row(0)[Signal.ATR])

    # Bars of mids: 100.1 to 104.1; 101.1, which is 3 below the close before; the third is open.
    assert [math.isnan(value) for value in seen] == [True, True, True, False]
    assert seen[-1] == pytest.approx((4.0 + 3.0) / 2)
