"""Statistics of a sweep: moments that merge, the deflated Sharpe ratio, probability of overfitting.

Sharpe ratios here are those of one step (mean over standard deviation of the returns of a second
or a minute), not of a year: the formulas below need the number of steps beside them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

RETURNS_MIN = 30
SPLITS_MAX = 12
"""Windows that `overfitting` combines: 12 of them are 924 ways."""
EULER = 0.57721566490153286
YEAR_S = 365.25 * 86_400

_NORMAL = NormalDist()
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Of returns: their number, mean, and sums of the 2nd to 4th powers of the distance from it.

    `down2` is the sum of the squares of those below zero.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    down2: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Two passes, exactly summed."""
        n = len(values)
        if not n:
            return cls()
        mean = math.fsum(values) / n
        m2, m3, m4 = (math.fsum((x - mean) ** p for x in values) for p in (2, 3, 4))
        return cls(n, mean, m2, m3, m4, math.fsum(x * x for x in values if x < 0.0))

    def __add__(self, other: Moments) -> Moments:
        """Of both together (Pebay, Sandia SAND2008-6212, section 2.1)."""
        if not self.n or not other.n:
            return self if self.n else other
        a, b = self.n, other.n
        n, d = a + b, other.mean - self.mean
        m2 = self.m2 + other.m2 + d * d * a * b / n
        m3 = (
            self.m3 + other.m3 + d**3 * a * b * (a - b) / n**2
            + 3.0 * d * (a * other.m2 - b * self.m2) / n
        )  # fmt: skip
        m4 = (
            self.m4 + other.m4 + d**4 * a * b * (a * a - a * b + b * b) / n**3
            + 6.0 * d * d * (a * a * other.m2 + b * b * self.m2) / n**2
            + 4.0 * d * (a * other.m3 - b * self.m3) / n
        )  # fmt: skip
        return Moments(n, self.mean + d * b / n, m2, m3, m4, self.down2 + other.down2)

    @property
    def sharpe(self) -> float:
        """Of one step, with the sample's deviation; nan below 30 returns or without variation."""
        if self.n < RETURNS_MIN or not self.m2 > 0.0:
            return math.nan
        return self.mean / math.sqrt(self.m2 / (self.n - 1))

    @property
    def sortino(self) -> float:
        if self.n < RETURNS_MIN or not self.down2 > 0.0:
            return math.nan
        return self.mean / math.sqrt(self.down2 / self.n)

    @property
    def skewness(self) -> float:
        return math.sqrt(self.n) * self.m3 / self.m2**1.5 if self.m2 > 0.0 else math.nan

    @property
    def kurtosis(self) -> float:
        """3 for normal returns."""
        return self.n * self.m4 / self.m2**2 if self.m2 > 0.0 else math.nan


def merged(parts: Sequence[Moments]) -> Moments:
    """Of all parts together, in the order given."""
    return sum(parts, Moments())


def per_year(sharpe: float, step_s: int) -> float:
    return sharpe * math.sqrt(YEAR_S / step_s)


def probabilistic_sharpe(returns: Moments, benchmark: float) -> float:
    """Probability that the true Sharpe ratio of one step is above `benchmark`; nan if unknown.

    Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012:
    Z[(SR - SR*) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)].
    """
    sharpe = returns.sharpe
    if math.isnan(sharpe) or math.isnan(benchmark):
        return math.nan
    spread = 1.0 - returns.skewness * sharpe + (returns.kurtosis - 1.0) / 4.0 * sharpe * sharpe
    if not spread > 0.0:
        return math.nan
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(returns.n - 1) / math.sqrt(spread))


def expected_best(sharpes: Sequence[float]) -> float:
    """The best Sharpe ratio to expect of that many trials when none is worth anything.

    Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5),
    2014: sqrt(V) ((1 - g) Z^-1[1 - 1/N] + g Z^-1[1 - 1/(N e)]), V the sample variance of the
    trials' Sharpe ratios, g Euler's constant. 0 for one trial.
    """
    known = [s for s in sharpes if not math.isnan(s)]
    n = len(known)
    if n < 2:
        return 0.0
    mean = math.fsum(known) / n
    spread = math.sqrt(math.fsum((s - mean) ** 2 for s in known) / (n - 1))
    quantiles = (1.0 - EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / n)
    quantiles += EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (n * math.e))
    return spread * quantiles


def deflated_sharpe(returns: Moments, sharpes: Sequence[float]) -> float:
    """`probabilistic_sharpe` against `expected_best` of every trial that was made."""
    return probabilistic_sharpe(returns, expected_best(sharpes))


def overfitting(windows: Mapping[int, Sequence[Moments]]) -> float:
    """Probability of backtest overfitting: how often the best of one half is poor in the other.

    Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado, Zhu, Journal of
    Computational Finance 20(4), 2017): for each way to take half of the windows, the point with
    the best Sharpe ratio there is ranked in the other half; the share of ways in which it comes
    out at or below the median. An odd first window is left out, and beyond 12 the oldest. nan
    below four windows or two points. Points without a Sharpe ratio rank last.
    """
    count = min((len(w) for w in windows.values()), default=0)
    count = min(count - count % 2, SPLITS_MAX)
    if count < 4 or len(windows) < 2:
        return math.nan
    parts = [list(w)[-count:] for w in windows.values()]
    n, mean, m2 = (
        np.array([[getattr(m, name) for m in part] for part in parts], dtype=np.float64)
        for name in ("n", "mean", "m2")
    )

    def sharpes(chosen: Sequence[int]) -> FloatArray:
        """Of every point on these windows together; -inf where there is none."""
        at = list(chosen)
        total = n[:, at].sum(axis=1)
        means = (n[:, at] * mean[:, at]).sum(axis=1) / np.maximum(total, 1.0)
        spread = (m2[:, at] + n[:, at] * (mean[:, at] - means[:, None]) ** 2).sum(axis=1)
        known = (total >= RETURNS_MIN) & (spread > 0.0)
        deviation = np.sqrt(
            spread / np.maximum(total - 1.0, 1.0), where=known, out=np.ones_like(n[:, 0])
        )
        return np.where(known, means / deviation, -np.inf)

    poor = ways = 0
    for chosen in itertools.combinations(range(count), count // 2):
        inside = sharpes(chosen)
        best = int(np.argmax(inside))
        if inside[best] == -np.inf:
            continue
        outside = sharpes([w for w in range(count) if w not in chosen])
        below, ties = int((outside < outside[best]).sum()), int((outside == outside[best]).sum())
        rank = below + (ties + 1) / 2  # 1 is the worst, n the best
        ways += 1
        poor += rank / (len(parts) + 1) <= 0.5
    return poor / ways if ways else math.nan
