"""Every kernel against its dull twin, after every push, on the inputs that break naive formulas."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import kernels as slow

from fastbook.core.kernels import (
    AverageTrueRange,
    BarSampler,
    Ewma,
    OrderFlowImbalance,
    RealizedVolatility,
    RollingVwap,
    RollingZScore,
    imbalance,
    microprice,
    mid,
    spread,
    spread_bps,
    vwap,
)

# Large and close together; few values, so that whole windows are equal; outliers that leave
# rounding noise behind in a formula that subtracts; and what must be refused.
CLOSE = st.floats(min_value=99_999.0, max_value=100_001.0)
FEW = st.sampled_from([0.1, 0.2, 0.3, 65_114.2])
OUTLIER = st.sampled_from([1e12, -1e12, 1e-6])
REFUSED = st.sampled_from([math.nan, math.inf, -math.inf])
SAMPLES = st.lists(
    st.one_of(CLOSE, FEW, FEW, OUTLIER, REFUSED), min_size=1, max_size=60
) | st.lists(FEW, min_size=1, max_size=60)
WINDOWS = st.integers(1, 9)
PRICES = st.one_of(CLOSE, FEW, st.floats(1e-8, 1e8))
QTYS = st.integers(1, 10**9).map(lambda n: n / 1000)
EXAMPLES = settings(max_examples=150, deadline=None)


def equal(expected: float) -> object:
    # abs: or approx() would let anything below 1e-12 pass
    return pytest.approx(expected, rel=1e-11, abs=0.0, nan_ok=True)


@given(window=WINDOWS, samples=SAMPLES)
@EXAMPLES
def test_zscore_equals_its_twin(window: int, samples: list[float]) -> None:
    kernel, held = RollingZScore(window), list[float]()
    for x in samples:
        actual = kernel.push(x)
        if math.isfinite(x):
            held.append(x)
            assert actual == pytest.approx(slow.zscore(held, window), abs=1e-11, nan_ok=True)
        else:
            assert math.isnan(actual)
        largest = max((abs(v) for v in held[-window:]), default=0.0)
        assert kernel.mean == pytest.approx(
            slow.mean(held, window), rel=1e-14, abs=1e-15 * largest, nan_ok=True
        )
        assert kernel.std == equal(slow.std(held, window))
        assert kernel.count == min(len(held), window)


@given(
    window=WINDOWS,
    trades=st.lists(
        st.tuples(PRICES | REFUSED | st.just(-1.0), QTYS | REFUSED | st.just(0.0)), max_size=60
    ),
)
@EXAMPLES
def test_rolling_vwap_equals_its_twin(window: int, trades: list[tuple[float, float]]) -> None:
    kernel, held = RollingVwap(window), list[tuple[float, float]]()
    for px, qty in trades:
        actual = kernel.push(px, qty)
        if math.isfinite(px) and math.isfinite(qty) and px > 0.0 and qty > 0.0:
            held.append((px, qty))
            assert actual == kernel.value
        else:
            assert math.isnan(actual)
        assert kernel.value == equal(slow.trade_vwap(held, window))
        assert kernel.qty == pytest.approx(math.fsum(q for _, q in held[-window:]), rel=1e-14)


@given(halflife=st.floats(0.1, 1000.0), samples=SAMPLES)
@EXAMPLES
def test_ewma_equals_its_twin(halflife: float, samples: list[float]) -> None:
    kernel, held = Ewma(halflife), list[float]()
    for x in samples:
        actual = kernel.push(x)
        if math.isfinite(x):
            held.append(x)
            # Outliers of 1e12 leave their own rounding for as long as they have weight.
            scale = max(abs(v) for v in held)
            assert actual == pytest.approx(slow.ewma(held, halflife), rel=1e-11, abs=1e-13 * scale)
        else:
            assert math.isnan(actual)
        assert kernel.count == len(held)


@given(
    window=WINDOWS, prices=st.lists(PRICES | REFUSED | st.sampled_from([0.0, -1.0]), max_size=40)
)
@EXAMPLES
def test_volatility_equals_its_twin(window: int, prices: list[float]) -> None:
    kernel, held = RealizedVolatility(window), list[float]()
    for px in prices:
        actual = kernel.push(px)
        if math.isfinite(px) and px > 0.0:
            held.append(px)
            assert actual == equal(slow.volatility(held, window))
        else:
            assert math.isnan(actual)


@given(
    bar_ms=st.integers(1, 50),
    steps=st.lists(st.tuples(st.integers(0, 40), PRICES | REFUSED), max_size=60),
    window=st.integers(1, 5),
)
@EXAMPLES
def test_bars_and_true_range_equal_their_twins(
    bar_ms: int, steps: list[tuple[int, float]], window: int
) -> None:
    sampler, ranges = BarSampler(bar_ms), AverageTrueRange(window)
    samples = list[tuple[int, float]]()
    ts_ms = 1_700_000_000_000
    for step_ms, px in steps:
        ts_ms += step_ms
        before = sampler.count
        completed = sampler.push(ts_ms, px)
        if math.isfinite(px):
            samples.append((ts_ms, px))
        expected = slow.bars(samples, bar_ms)
        assert sampler.count == len(expected) == before + completed
        if not completed:
            continue
        assert expected[-1] == (
            sampler.start_ms,
            sampler.open,
            sampler.high,
            sampler.low,
            sampler.close,
        )
        actual = ranges.push(sampler.high, sampler.low, sampler.close)
        assert actual == equal(slow.true_range([bar[2:] for bar in expected], window))


@given(
    window=WINDOWS,
    quotes=st.lists(
        st.tuples(
            st.sampled_from([100.0, 100.1, 100.2]),
            st.sampled_from([0.0, 0.1, 0.3, 1e6]),
            st.sampled_from([100.2, 100.3, 100.4]),
            st.sampled_from([0.0, 0.1, 0.7, 1e6]) | REFUSED,
        ),
        max_size=60,
    ),
)
@EXAMPLES
def test_order_flow_equals_its_twin(window: int, quotes: list[slow.Quote]) -> None:
    kernel, held = OrderFlowImbalance(window), list[slow.Quote]()
    for quote in quotes:
        event = kernel.push(*quote)
        if not math.isfinite(quote[3]):
            assert math.isnan(event)
            continue
        held.append(quote)
        events = slow.flow_events(held)
        if len(held) == 1:
            assert math.isnan(event)
        elif held[-2] == quote:
            assert event == 0.0
        else:
            assert event == pytest.approx(float(events[-1]), abs=1e-9)
        assert kernel.value == pytest.approx(slow.flow(held, window), abs=1e-8, nan_ok=True)
        assert kernel.count == min(len(events), window)


LEVELS = st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 2**62)), max_size=50)


@given(bids=LEVELS, asks=LEVELS)
@EXAMPLES
def test_imbalance_and_vwap_of_levels_equal_their_twins(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> None:
    bid_px, bid_qty = [px for px, _ in bids], [qty for _, qty in bids]
    ask_qty = [qty for _, qty in asks]

    balance = imbalance(array("q", bid_qty), array("q", ask_qty))
    average = vwap(array("q", bid_px), array("q", bid_qty))

    assert balance == pytest.approx(slow.imbalance(bid_qty, ask_qty), abs=1e-13, nan_ok=True)
    assert average == pytest.approx(slow.levels_vwap(bid_px, bid_qty), rel=1e-12, nan_ok=True)


@given(bid_px=PRICES, bid_qty=QTYS, width=st.floats(1e-8, 100.0), ask_qty=QTYS)
@EXAMPLES
def test_readings_of_the_best_quotes_equal_their_twins(
    bid_px: float, bid_qty: float, width: float, ask_qty: float
) -> None:
    ask_px = bid_px + width

    assert mid(bid_px, ask_px) == pytest.approx(slow.mid(bid_px, ask_px), rel=1e-15)
    assert spread(bid_px, ask_px) == ask_px - bid_px
    assert spread_bps(bid_px, ask_px) == pytest.approx(slow.spread_bps(bid_px, ask_px), rel=1e-12)
    micro = microprice(bid_px, bid_qty, ask_px, ask_qty)
    assert micro == pytest.approx(slow.microprice(bid_px, bid_qty, ask_px, ask_qty), rel=1e-14)
    assert bid_px <= micro <= ask_px
