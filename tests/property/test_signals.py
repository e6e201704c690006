"""Rows of the compiled signal set against those worked out from whole histories."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.signals import Levels, SlowSignals

from fastbook.bybit.frames import BookDecoder
from fastbook.core.signals import SignalSet
from fastbook.core.states import ApplyStatus

TOPIC = "orderbook.50.TESTUSDT"
QTYS = st.integers(1, 5)
BIDS = st.dictionaries(st.integers(95, 100), QTYS, max_size=4)
ASKS = st.dictionaries(st.integers(101, 106), QTYS, max_size=4)
LOST = st.just(None)
STEPS = st.lists(
    st.one_of(*[st.tuples(st.sampled_from([0, 1, 7, 30]), BIDS, ASKS)] * 9, LOST), max_size=40
)


def snapshot(ts_ms: int, u: int, bids: Levels, asks: Levels) -> bytes:
    def texts(levels: Levels) -> list[list[str]]:
        return [[str(px), str(qty)] for px, qty in levels]

    data = {"s": "TESTUSDT", "b": texts(bids), "a": texts(asks), "u": u, "seq": u}
    frame = {"topic": TOPIC, "type": "snapshot", "ts": ts_ms, "data": data, "cts": ts_ms}
    return json.dumps(frame, separators=(",", ":")).encode()


@given(
    steps=STEPS,
    lookback=st.integers(2, 6),
    levels=st.integers(1, 5),
    sample_ms=st.sampled_from([0, 5, 20]),
    windows=st.integers(1, 5),
    bar_ms=st.sampled_from([1, 10, 25]),
)
@settings(max_examples=120, deadline=None)
def test_every_row_equals_its_twin(
    steps: list[tuple[int, dict[int, int], dict[int, int]] | None],
    lookback: int,
    levels: int,
    sample_ms: int,
    windows: int,
    bar_ms: int,
) -> None:
    kernel = SignalSet(
        3,
        lookback=lookback,
        imbalance_levels=levels,
        sample_ms=sample_ms,
        ofi_window=windows,
        ewma_halflife=3.0,
        volatility_window=windows,
        atr_window=windows,
        bar_ms=bar_ms,
    )
    twin = SlowSignals(lookback, levels, sample_ms, windows, 3.0, windows, windows, bar_ms)
    decoder = BookDecoder()
    book = decoder.add_book(TOPIC, index=1, price_scale=0, qty_scale=0)
    ts_ms = 1_700_000_000_000
    for u, step in enumerate(steps, start=2):
        if step is None:
            decoder.unsync()
            expected = twin.lose()
        else:
            ts_ms += step[0]
            bids, asks = sorted(step[1].items(), reverse=True), sorted(step[2].items())
            assert decoder.apply(snapshot(ts_ms, u, bids, asks)) is ApplyStatus.SNAPSHOT
            expected = twin.update(ts_ms, bids, asks)
        kernel.update(book)
        assert list(kernel.row(1)) == pytest.approx(expected, rel=1e-11, abs=1e-12, nan_ok=True)
