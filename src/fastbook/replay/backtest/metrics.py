"""Figures of a run from its equity: each computed as it goes, in memory that does not grow."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

YEAR_S = 365.25 * 86_400
SAMPLES_MAX = 8_192
RETURNS_MIN = 30


@dataclass(slots=True)
class Welford:
    """Mean and sample variance in one pass (Welford, Technometrics 4, 1962), and two moments more.

    m2 to m4 are sums of powers of the distance from the mean (Pebay, Sandia SAND2008-6212).
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    down2: float = 0.0
    """Sum of the squares below zero."""

    def push(self, x: float) -> None:
        before = self.n
        n = self.n = before + 1
        delta = x - self.mean
        share = delta / n
        term = delta * share * before
        self.mean += share
        self.m4 += (
            term * share * share * (n * n - 3 * n + 3)
            + 6.0 * share * share * self.m2
            - 4.0 * share * self.m3
        )
        self.m3 += term * share * (n - 2) - 3.0 * share * self.m2
        self.m2 += delta * (x - self.mean)
        if x < 0.0:
            self.down2 += x * x

    def moments(self) -> tuple[int, float, float, float, float, float]:
        """n, mean, m2, m3, m4, down2."""
        return self.n, self.mean, self.m2, self.m3, self.m4, self.down2

    @property
    def std(self) -> float:
        """Of a sample; nan below two values."""
        return math.sqrt(self.m2 / (self.n - 1)) if self.n > 1 else math.nan


class Series:
    """Named columns sampled in step; when full, every second sample goes and the step doubles."""

    def __init__(self, names: list[str], samples_max: int = SAMPLES_MAX) -> None:
        self.columns = {name: array("d") for name in names}
        self._max = samples_max
        self._every = 1
        self._count = 0

    def push(self, values: dict[str, float]) -> None:
        wanted = self._count % self._every == 0
        self._count += 1
        if not wanted:
            return
        for name, column in self.columns.items():
            column.append(values.get(name, math.nan))
        if len(next(iter(self.columns.values()))) >= self._max:
            self.columns = {name: column[::2] for name, column in self.columns.items()}
            self._every *= 2

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(slots=True)
class _Returns:
    """Simple returns of the equity over one fixed step."""

    step_s: int
    welford: Welford = field(default_factory=Welford)
    due_ns: int = 0
    last: float = math.nan

    def push(self, now_ns: int, equity: float) -> None:
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + self.step_s * 1_000_000_000
        if self.last > 0.0:
            self.welford.push(equity / self.last - 1.0)
        self.last = equity


class EquityCurve:
    """The equity, sampled once a second of market time while there is data.

    max_drawdown: the largest fall from a peak, as a share of the peak.
    sharpe: mean over standard deviation of the returns of one step, times the square root of the
        steps in a year of 365.25 days; the risk-free rate counts as 0. The step is a minute, or a
        second where there are fewer than 30 minutes. nan without variation, or below 30 returns.
    sortino: the same with the root mean square of the returns below 0.
    """

    def __init__(self) -> None:
        self.first = math.nan
        self.last = math.nan
        self.max_drawdown = 0.0
        self._peak = -math.inf
        self._returns = (_Returns(60), _Returns(1))

    def push(self, now_ns: int, equity: float) -> None:
        if math.isnan(equity):
            return
        if math.isnan(self.first):
            self.first = equity
        self.last = equity
        self._peak = max(self._peak, equity)
        if self._peak > 0.0:
            self.max_drawdown = max(self.max_drawdown, 1.0 - equity / self._peak)
        for returns in self._returns:
            returns.push(now_ns, equity)

    @property
    def all_returns(self) -> tuple[_Returns, ...]:
        """Of every step."""
        return self._returns

    @property
    def returns(self) -> _Returns:
        """Those that the ratios are made of."""
        minutes, seconds = self._returns
        return minutes if minutes.welford.n >= RETURNS_MIN else seconds

    @property
    def sharpe(self) -> float:
        w = self.returns.welford
        if w.n < RETURNS_MIN or not w.std > 0.0:
            return math.nan
        return w.mean / w.std * math.sqrt(YEAR_S / self.returns.step_s)

    @property
    def sortino(self) -> float:
        w = self.returns.welford
        if w.n < RETURNS_MIN or not w.down2 > 0.0:
            return math.nan
        return w.mean / math.sqrt(w.down2 / w.n) * math.sqrt(YEAR_S / self.returns.step_s)
