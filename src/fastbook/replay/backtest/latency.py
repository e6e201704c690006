"""How long the way is: constant, or drawn from a table of quantiles or of recorded values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from fastbook.errors import ConfigError

TABLE_MAX = 100_000
NS_MAX = 60_000_000_000


class Latency:
    """Draws evenly from `table` (ns): one value is a constant, quantiles are a distribution.

    `factor` stretches it. The same seed draws the same values.
    """

    def __init__(self, table: Sequence[int], *, factor: float = 1.0, seed: int = 1) -> None:
        if not 1 <= len(table) <= TABLE_MAX:
            raise ConfigError(f"a latency table has 1 to {TABLE_MAX} values, not {len(table)}")
        if bad := [ns for ns in table if not 0 <= ns * factor <= NS_MAX]:
            raise ConfigError(f"a latency is 0 to 60,000 ms, not {bad[0] / 1e6:g} ms")
        self.table = tuple(int(ns * factor) for ns in table)
        self._rng = Random(seed)

    def draw(self) -> int:
        """The next value, ns."""
        table = self.table
        return table[0] if len(table) == 1 else self._rng.choice(table)

    def quantile(self, q: float) -> int:
        """Of the table, ns."""
        ordered = sorted(self.table)
        return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def from_percentiles(points: Sequence[tuple[float, float]], steps: int = 1000) -> list[int]:
    """`steps` values in ns from (percentile, milliseconds) pairs, linear in between.

    Raises ConfigError unless both rise.
    """
    ordered = list(points)
    for (p0, ms0), (p1, ms1) in pairwise(ordered):
        if not (p0 < p1 and ms0 <= ms1):
            raise ConfigError(f"percentiles must rise: {p0:g}:{ms0:g} before {p1:g}:{ms1:g}")
    if not ordered or ordered[0][0] < 0 or ordered[-1][0] > 100:
        raise ConfigError("percentiles are of 0 to 100")
    values = []
    for step in range(steps):
        p = 100.0 * (step + 0.5) / steps
        values.append(int(_between(ordered, p) * 1e6))
    return values


def _between(points: Sequence[tuple[float, float]], p: float) -> float:
    if p <= points[0][0]:
        return points[0][1]
    for (p0, ms0), (p1, ms1) in pairwise(points):
        if p <= p1:
            return ms0 + (ms1 - ms0) * (p - p0) / (p1 - p0)
    return points[-1][1]
