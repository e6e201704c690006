"""Kernels at their edges; that they equal their twins is shown in tests/property/test_kernels.py."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable

import numpy as np
import pytest
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

nan, inf = math.nan, math.inf


# --- z-score ------------------------------------------------------------------------------------


def test_zscore_stays_exact_over_ten_million_samples() -> None:
    """Prices near 1e5 in ticks of 0.1, spikes among them: no drift, and no trace of a spike."""
    window, block, blocks = 256, 500_000, 20
    rng = np.random.default_rng(20)
    kernel = RollingZScore(window)
    price, checked = 100_000.0, 0
    for _ in range(blocks):
        prices = np.round(price + 0.1 * rng.integers(-1, 2, block).cumsum(), 1)
        price = float(prices[-1])
        prices[rng.integers(0, block - 2 * window, 20)] = 1e9
        last = kernel.push_many(prices)

        assert last == pytest.approx(slow.zscore(prices[-window:].tolist(), window), rel=1e-11)
        assert kernel.mean == pytest.approx(slow.mean(prices[-window:].tolist(), window), rel=1e-15)
        assert kernel.std == pytest.approx(
            slow.std(prices[-window:].tolist(), window), rel=1e-12, abs=0.0
        )
        checked += block

    assert checked == 10_000_000


def test_zscore_agrees_with_numpy() -> None:
    samples = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    kernel = RollingZScore(5)
    for x in samples:
        actual = kernel.push(x)

    held = np.array(samples[-5:])

    assert actual == pytest.approx((held[-1] - np.mean(held)) / np.std(held))
    assert kernel.mean == pytest.approx(np.mean(held))
    assert kernel.std == pytest.approx(np.std(held))


@pytest.mark.parametrize("level", [0.1, 65_114.2, 1e15, -1e-8])
def test_equal_samples_have_no_zscore_whatever_came_before(level: float) -> None:
    """The noise that a subtracting formula leaves behind would be divided by itself."""
    kernel = RollingZScore(10)
    rng = np.random.default_rng(1)
    for x in [*(1e5 + rng.standard_normal(97)), 1e12, -1e12, 1e-3]:
        kernel.push(float(x))
    scores = [kernel.push(level) for _ in range(25)]

    assert all(math.isfinite(z) for z in scores[:9])
    assert all(math.isnan(z) for z in scores[9:])
    assert kernel.std == 0.0
    assert kernel.mean == level


def test_one_tick_apart_is_not_equal() -> None:
    kernel = RollingZScore(4)
    for x in [1e5, 1e5, 1e5, math.nextafter(1e5, inf)]:
        actual = kernel.push(x)

    assert actual == pytest.approx(math.sqrt(3.0))


@pytest.mark.parametrize("window", [7, 64])
def test_prices_a_few_ulps_apart_keep_every_digit(window: int) -> None:
    """Whatever the level. numpy, which rounds at the level, is up to a quarter off on these."""
    ulp = math.ulp(1e5)
    kernel, held = RollingZScore(window), list[float]()
    for i in range(60):
        held.append(1e5 + ulp * (i * i % 11))
        actual = kernel.push(held[-1])
        if i:
            assert actual == pytest.approx(slow.zscore(held, window), rel=1e-13, abs=1e-13)
            assert kernel.std == pytest.approx(slow.std(held, window), rel=1e-13, abs=0.0)


def test_zscore_forgets_an_outlier_with_the_sample_that_leaves() -> None:
    kernel = RollingZScore(3)
    for x in [1.0, 1e300, 1.0, 2.0]:
        assert math.isnan(kernel.push(x)) or x == 2.0
    kernel.push(3.0)

    assert kernel.push(4.0) == pytest.approx(1.0 / math.sqrt(2.0 / 3.0), rel=1e-15)


def test_squares_that_overflow_are_no_answer_until_they_leave() -> None:
    kernel = RollingZScore(3)
    scores = [kernel.push(x) for x in [1.0, 1.7e308, -1.7e308, 2.0, 3.0, 4.0, 5.0]]

    assert all(math.isnan(z) for z in scores[:5])
    assert scores[5:] == pytest.approx([math.sqrt(1.5)] * 2)


@pytest.mark.parametrize("refused", [nan, inf, -inf])
def test_zscore_refuses_what_is_no_number(refused: float) -> None:
    kernel = RollingZScore(3)
    for x in [1.0, 2.0, 4.0]:
        kernel.push(x)
    before = kernel.mean, kernel.std, kernel.count

    assert math.isnan(kernel.push(refused))
    assert (kernel.mean, kernel.std, kernel.count) == before
    assert kernel.push(5.0) == pytest.approx(slow.zscore([2.0, 4.0, 5.0], 3))


def test_zscore_of_a_window_of_one_never_exists() -> None:
    kernel = RollingZScore(1)

    assert all(math.isnan(kernel.push(x)) for x in [1.0, 2.0, 3.0])
    assert kernel.mean == 3.0
    assert math.isnan(kernel.std)
    assert kernel.count == 1


def test_zscore_before_samples_and_after_reset_is_nan() -> None:
    kernel = RollingZScore(3)
    for x in [1.0, 2.0, 3.0, 5.0]:
        kernel.push(x)
    kernel.reset()

    assert kernel.count == 0
    assert math.isnan(kernel.mean)
    assert math.isnan(kernel.std)
    assert math.isnan(kernel.push(7.0))
    assert kernel.push(9.0) == pytest.approx(1.0)


def test_push_many_is_push_many_times() -> None:
    samples = np.array([1.0, 2.0, nan, 4.0, 4.0, 9.0])
    one_by_one, at_once = RollingZScore(3), RollingZScore(3)
    expected = [one_by_one.push(float(x)) for x in samples]
    out = np.zeros(6)

    last = at_once.push_many(samples, out)

    np.testing.assert_array_equal(out, expected)
    assert last == expected[-1]
    assert math.isnan(at_once.push_many(np.empty(0)))
    assert at_once.count == one_by_one.count


def test_push_many_refuses_an_out_of_another_length() -> None:
    with pytest.raises(ValueError, match="out must be of length 3, was 2"):
        RollingZScore(3).push_many(np.zeros(3), np.zeros(2))


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernel", [RollingZScore, RollingVwap, RealizedVolatility, AverageTrueRange, OrderFlowImbalance]
)
@pytest.mark.parametrize("window", [0, -1, 2**24 + 1, 2**70])
def test_refuses_a_window_that_cannot_be(kernel: Callable[[int], object], window: int) -> None:
    with pytest.raises(ValueError, match=f"window must be 1..16777216, was {window}"):
        kernel(window)


@pytest.mark.parametrize("halflife", [0.0, -1.0, nan, inf])
def test_ewma_refuses_a_halflife_that_cannot_be(halflife: float) -> None:
    with pytest.raises(
        ValueError, match=f"halflife must be a finite number above 0, was {halflife}"
    ):
        Ewma(halflife)


def test_bars_refuse_a_length_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="bar_ms must be 1"):
        BarSampler(0)


def test_a_window_is_an_integer() -> None:
    with pytest.raises(TypeError):
        RollingZScore(2.5)  # type: ignore[arg-type]  # what is tested


# --- the others -----------------------------------------------------------------------------------


def test_ewma_halves_the_weight_in_a_halflife() -> None:
    kernel = Ewma(4.0)
    kernel.push(0.0)
    for _ in range(4):
        kernel.push(1.0)

    assert kernel.value == pytest.approx(0.5)


def test_ewma_starts_at_the_first_sample_and_survives_the_extremes() -> None:
    kernel = Ewma(1.0)

    assert math.isnan(kernel.value)
    assert kernel.push(1.7e308) == 1.7e308
    assert kernel.push(-1.7e308) == pytest.approx(0.0)
    assert math.isnan(kernel.push(nan))
    assert kernel.count == 2
    kernel.reset()
    assert math.isnan(kernel.value)


def test_vwap_weighs_by_quantity_and_forgets() -> None:
    kernel = RollingVwap(2)

    assert math.isnan(kernel.value)
    assert kernel.push(100.0, 1.0) == 100.0
    assert kernel.push(200.0, 3.0) == 175.0
    assert kernel.push(100.0, 1.0) == 175.0
    assert kernel.qty == 4.0
    assert kernel.count == 2
    kernel.reset()
    assert math.isnan(kernel.value)
    assert kernel.qty == 0.0


@pytest.mark.parametrize(
    ("px", "qty"), [(1.0, 0.0), (1.0, -1.0), (0.0, 1.0), (-1.0, 1.0), (nan, 1.0), (1.0, inf)]
)
def test_vwap_refuses_what_is_no_trade(px: float, qty: float) -> None:
    kernel = RollingVwap(2)
    kernel.push(100.0, 1.0)

    assert math.isnan(kernel.push(px, qty))
    assert kernel.value == 100.0
    assert kernel.count == 1


def test_vwap_that_overflows_is_no_answer_until_it_leaves() -> None:
    kernel = RollingVwap(2)

    assert math.isnan(kernel.push(1e300, 1e300))
    assert math.isnan(kernel.push(100.0, 1.0))
    assert kernel.push(100.0, 1.0) == 100.0


def test_volatility_is_the_root_mean_square_of_log_returns() -> None:
    kernel = RealizedVolatility(2)

    assert math.isnan(kernel.push(100.0))
    assert kernel.push(100.0 * math.e) == pytest.approx(1.0)
    assert kernel.push(100.0) == pytest.approx(1.0)
    assert kernel.push(100.0) == pytest.approx(math.sqrt(0.5))
    assert kernel.push(100.0) == 0.0
    assert kernel.count == 2


def test_volatility_keeps_the_digits_of_small_returns() -> None:
    """A plain log(b / a) would be wrong in the seventh digit here."""
    kernel = RealizedVolatility(1)
    kernel.push(1e5)

    assert kernel.push(1e5 + 1e-4) == pytest.approx(
        slow.volatility([1e5, 1e5 + 1e-4], 1), rel=1e-14, abs=0.0
    )


def test_volatility_of_prices_at_the_ends_of_the_scale_is_finite() -> None:
    kernel = RealizedVolatility(1)
    kernel.push(5e-324)

    assert kernel.push(1.7e308) == pytest.approx(math.log(1.7e308) - math.log(5e-324))


def test_volatility_refuses_prices_without_a_logarithm() -> None:
    kernel = RealizedVolatility(2)
    kernel.push(100.0)
    kernel.push(100.0 * math.e)

    assert all(math.isnan(kernel.push(px)) for px in [0.0, -1.0, nan, inf])
    assert kernel.value == pytest.approx(1.0)
    kernel.reset()
    assert math.isnan(kernel.push(5.0))


def test_bars_begin_at_multiples_and_end_with_the_next_sample() -> None:
    sampler = BarSampler(100)

    completed = [
        sampler.push(ts, px) for ts, px in [(150, 5.0), (160, 7.0), (199, 4.0), (420, 6.0)]
    ]

    assert completed == [False, False, False, True]
    assert (sampler.open, sampler.high, sampler.low, sampler.close) == (5.0, 7.0, 4.0, 4.0)
    assert sampler.start_ms == 100
    assert sampler.count == 1  # the empty intervals made none


def test_bars_refuse_what_comes_late_or_is_no_sample() -> None:
    sampler = BarSampler(100)
    sampler.push(250, 5.0)

    assert not any(sampler.push(ts, px) for ts, px in [(199, 9.0), (-1, 9.0), (900, nan)])
    assert sampler.late == 1
    assert sampler.push(300, 6.0)
    assert sampler.high == 5.0
    sampler.reset()
    assert sampler.start_ms == -1
    assert math.isnan(sampler.open)
    assert sampler.late == 0


def test_true_range_counts_the_gap_to_the_close_before() -> None:
    kernel = AverageTrueRange(2)

    assert math.isnan(kernel.push(12.0, 10.0, 11.0))
    assert kernel.push(15.0, 14.0, 15.0) == pytest.approx((2.0 + 4.0) / 2)
    assert kernel.push(15.0, 15.0, 15.0) == pytest.approx(1.5)
    assert kernel.push(12.0, 11.0, 12.0) == pytest.approx((1.5 + 4.0) / 2)


@pytest.mark.parametrize(
    "bar", [(1.0, 2.0, 1.5), (2.0, 1.0, 3.0), (2.0, 1.0, nan), (inf, 1.0, 2.0), (2.0, -inf, 2.0)]
)
def test_true_range_refuses_what_is_no_bar(bar: tuple[float, float, float]) -> None:
    kernel = AverageTrueRange(1)
    kernel.push(3.0, 1.0, 2.0)

    assert math.isnan(kernel.push(*bar))
    assert kernel.value == 2.0
    assert kernel.count == 1
    kernel.reset()
    assert math.isnan(kernel.value)


@pytest.mark.parametrize(
    ("quote", "event"),
    [
        ((100.0, 7.0, 101.0, 5.0), 2.0),  # bid grows
        ((100.0, 3.0, 101.0, 5.0), -2.0),  # bid shrinks
        ((100.5, 3.0, 101.0, 5.0), 3.0),  # bid improves: all of it is new
        ((99.5, 9.0, 101.0, 5.0), -5.0),  # bid is gone: all of it was taken
        ((100.0, 5.0, 101.0, 8.0), -3.0),  # ask grows
        ((100.0, 5.0, 100.5, 8.0), -8.0),  # ask improves
        ((100.0, 5.0, 101.5, 8.0), 5.0),  # ask is gone
        ((100.5, 1.0, 101.5, 8.0), 6.0),  # both move up
        ((100.0, 5.0, 101.0, 5.0), 0.0),  # nothing
    ],
)
def test_order_flow_of_one_event(quote: slow.Quote, event: float) -> None:
    kernel = OrderFlowImbalance(5)

    assert math.isnan(kernel.push(100.0, 5.0, 101.0, 5.0))
    assert math.isnan(kernel.value)
    assert kernel.push(*quote) == event
    assert kernel.count == (quote != (100.0, 5.0, 101.0, 5.0))


def test_order_flow_refuses_quotes_that_are_none() -> None:
    kernel = OrderFlowImbalance(5)
    kernel.push(100.0, 5.0, 101.0, 5.0)

    assert math.isnan(kernel.push(nan, 5.0, 101.0, 5.0))
    assert math.isnan(kernel.push(100.0, -1.0, 101.0, 5.0))
    assert math.isnan(kernel.push(100.0, 5.0, 101.0, inf))
    assert kernel.push(100.0, 6.0, 101.0, 5.0) == 1.0
    kernel.reset()
    assert math.isnan(kernel.push(100.0, 6.0, 101.0, 5.0))
    assert kernel.count == 0


# --- readings of a book -----------------------------------------------------------------------------


def test_readings_without_a_side_are_nan() -> None:
    assert math.isnan(mid(nan, 100.0))
    assert math.isnan(spread(100.0, nan))
    assert math.isnan(spread_bps(nan, nan))
    assert math.isnan(microprice(100.0, 1.0, nan, 0.0))
    assert math.isnan(microprice(100.0, 0.0, 101.0, 0.0))


def test_readings_of_huge_prices_do_not_overflow() -> None:
    assert mid(1.6e308, 1.7e308) == pytest.approx(1.65e308)
    assert math.isfinite(spread_bps(1.6e308, 1.7e308))


def test_microprice_leans_towards_the_lighter_side() -> None:
    assert microprice(100.0, 3.0, 101.0, 1.0) == 100.75


def test_imbalance_is_plus_one_when_there_are_only_bids() -> None:
    empty, some = array("q"), array("q", [3, 4])

    assert imbalance(some, empty) == 1.0
    assert imbalance(empty, some) == -1.0
    assert imbalance(some, array("q", [1])) == 0.75
    assert math.isnan(imbalance(empty, empty))


def test_quantities_beyond_int64_in_sum_do_not_wrap() -> None:
    huge = array("q", [2**62] * 4)

    assert imbalance(huge, array("q", [2**62] * 2)) == pytest.approx(1 / 3)
    assert vwap(array("q", [4, 4, 2, 2]), huge) == 3.0


def test_vwap_of_no_levels_is_nan_and_lengths_must_agree() -> None:
    assert math.isnan(vwap(array("q"), array("q")))
    with pytest.raises(ValueError, match="one length, were 1 and 2"):
        vwap(array("q", [1]), array("q", [1, 2]))
