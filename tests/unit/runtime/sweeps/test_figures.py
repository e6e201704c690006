"""Statistics of sweeps against slow twins, and the deflated Sharpe ratio against its paper."""

from __future__ import annotations

import math
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import sweep_figures as slow

from fastbook.replay.backtest.metrics import Welford
from fastbook.runtime.sweeps.figures import (
    Moments,
    deflated_sharpe,
    expected_best,
    merged,
    overfitting,
    probabilistic_sharpe,
)

returns = st.lists(st.floats(-0.05, 0.05, allow_nan=False), min_size=0, max_size=60)


def close(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.lists(returns, max_size=5))
def test_merged_moments_are_those_of_everything(parts: list[list[float]]) -> None:
    whole = Moments.of([x for part in parts for x in part])
    both = merged([Moments.of(part) for part in parts])
    online = Welford()
    for x in (x for part in parts for x in part):
        online.push(x)
    for other in (both, Moments(*online.moments())):
        assert other.n == whole.n
        for name in ("mean", "m2", "m3", "m4", "down2"):
            assert math.isclose(
                getattr(other, name), getattr(whole, name), rel_tol=1e-7, abs_tol=1e-13
            )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-0.05, 0.05), min_size=30, max_size=80),
    st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=50),
)
def test_deflated_sharpe_against_its_twin(values: list[float], sharpes: list[float]) -> None:
    if np.std(values) < 1e-6:
        return
    moments = Moments.of(values)
    assert close(expected_best(sharpes), slow.expected_best(sharpes))
    assert close(probabilistic_sharpe(moments, 0.0), slow.probabilistic_sharpe(values, 0.0))
    assert close(deflated_sharpe(moments, sharpes), slow.deflated_sharpe(values, sharpes))


def test_the_example_of_the_paper() -> None:
    """Annual Sharpe 2.5 over 1,250 days, skewness -3, kurtosis 10, 100 trials of variance 1/2."""
    n, daily = 1_250, 2.5 / math.sqrt(250)
    m2 = float(n - 1)
    moments = Moments(n, daily, m2, -3.0 * m2**1.5 / math.sqrt(n), 10.0 * m2 * m2 / n)
    spread = math.sqrt(0.5 / 250)
    rng = Random(3)
    draws = [rng.gauss(0, 1) for _ in range(100)]
    mean, std = float(np.mean(draws)), float(np.std(draws, ddof=1))
    sharpes = [(x - mean) / std * spread for x in draws]
    assert expected_best(sharpes) == pytest.approx(0.1132, abs=2e-4)
    assert deflated_sharpe(moments, sharpes) == pytest.approx(0.9004, abs=2e-3)


def test_more_trials_deflate_more() -> None:
    rng = Random(1)
    moments = Moments.of([rng.gauss(0.02, 0.1) for _ in range(500)])
    few, many = ([rng.gauss(0, 0.03) for _ in range(n)] for n in (5, 500))
    assert deflated_sharpe(moments, many) < deflated_sharpe(moments, few) < 1.0
    assert deflated_sharpe(moments, [moments.sharpe]) == probabilistic_sharpe(moments, 0.0)


def test_what_cannot_be_known_is_nan() -> None:
    assert math.isnan(Moments.of([0.1] * 29).sharpe)
    assert math.isnan(Moments.of([0.0] * 100).sharpe)
    assert math.isnan(deflated_sharpe(Moments(), [0.1, 0.2]))
    some = Moments.of([0.01, -0.02] * 30)
    assert math.isnan(overfitting({0: [some] * 3, 1: [some] * 3}))
    assert math.isnan(overfitting({0: [some] * 4}))


def test_overfitting_of_skill_of_noise_and_of_reversal() -> None:
    rng = Random(5)

    def windows(means: list[float]) -> list[Moments]:
        return [Moments.of([rng.gauss(m, 0.1) for _ in range(60)]) for m in means]

    skill = {n: windows([0.002 * n] * 8) for n in range(40)}
    noise = {n: windows([0.0] * 8) for n in range(40)}
    assert overfitting(skill) < 0.1
    assert 0.15 < overfitting(noise) < 0.85
    # What is good in one window is bad in all others: the choice is always the wrong one.
    reversal = {n: windows([1.0 if w == n else -0.2 * n for w in range(4)]) for n in range(4)}
    assert overfitting(reversal) >= 0.5


def test_overfitting_against_its_twin() -> None:
    rng = Random(9)
    values = {n: [[rng.gauss(0, 1) for _ in range(40)] for _ in range(6)] for n in range(7)}
    fast = overfitting({n: [Moments.of(w) for w in ws] for n, ws in values.items()})
    assert fast == slow.overfitting(values)
    assert len(list(combinations(range(6), 3))) == 20
