"""The slow twin of the histogram: keeps every duration."""

from __future__ import annotations

import math


class ExactDurations:
    """Quantiles by sorting; a quantile is the smallest duration that covers its share."""

    def __init__(self) -> None:
        self.durations: list[int] = []

    def record(self, ns: int) -> None:
        self.durations.append(max(0, ns))

    def quantile(self, q: float) -> float:
        if not self.durations:
            return math.nan
        rank = max(1, math.ceil(q * len(self.durations)))
        return float(sorted(self.durations)[rank - 1])
