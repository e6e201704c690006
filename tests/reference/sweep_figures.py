"""Slow twins of fastbook.runtime.sweeps.figures: all returns kept, numpy, erf, bisection."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np


def cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def quantile(p: float) -> float:
    """Of the normal distribution, by bisection."""
    low, high = -40.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle) < p else (low, middle)
    return low


def sharpe(values: list[float]) -> float:
    return float(np.mean(values) / np.std(values, ddof=1))


def probabilistic_sharpe(values: list[float], benchmark: float) -> float:
    x = np.asarray(values)
    z = (x - x.mean()) / x.std()
    skewness, kurtosis = float(np.mean(z**3)), float(np.mean(z**4))
    sr = sharpe(values)
    spread = 1 - skewness * sr + (kurtosis - 1) / 4 * sr**2
    if spread <= 0:
        return math.nan
    return cdf((sr - benchmark) * math.sqrt(len(values) - 1) / math.sqrt(spread))


def expected_best(sharpes: list[float]) -> float:
    n, g = len(sharpes), float(np.euler_gamma)
    spread = float(np.std(sharpes, ddof=1))
    return spread * ((1 - g) * quantile(1 - 1 / n) + g * quantile(1 - 1 / (n * math.e)))


def deflated_sharpe(values: list[float], sharpes: list[float]) -> float:
    return probabilistic_sharpe(values, expected_best(sharpes))


def overfitting(windows: dict[int, list[list[float]]]) -> float:
    """Of an even number of windows, without ties."""
    count = len(next(iter(windows.values())))
    poor = []
    for inside in combinations(range(count), count // 2):
        outside = [w for w in range(count) if w not in inside]
        trained = {n: sharpe([x for w in inside for x in ws[w]]) for n, ws in windows.items()}
        tested = {n: sharpe([x for w in outside for x in ws[w]]) for n, ws in windows.items()}
        best = max(trained, key=lambda n: trained[n])
        rank = sorted(tested.values()).index(tested[best]) + 1
        share = rank / (len(windows) + 1)
        poor.append(math.log(share / (1 - share)) <= 0)
    return sum(poor) / len(poor)
