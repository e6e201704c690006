"""What a strategy has made of its round trips: the ground that sizing stands on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_ZERO = Decimal(0)


class TradeRecord:
    """Net results of the last `trades_max` round trips (flat to flat) of one strategy."""

    def __init__(self, trades_max: int = 200) -> None:
        self.total = 0
        """Round trips ever; the older ones are forgotten."""
        self._results: deque[Decimal] = deque(maxlen=trades_max)

    def add(self, result: Decimal) -> None:
        self.total += 1
        self._results.append(result)

    def state(self) -> dict[str, Any]:  # Any: JSON
        return {"total": self.total, "results": [str(r) for r in self._results]}

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        self.total = int(state["total"])
        self._results.clear()
        self._results.extend(Decimal(r) for r in state["results"])

    @property
    def trades(self) -> int:
        return len(self._results)

    @property
    def win_rate(self) -> float:
        """Share of results above zero; nan without trades."""
        if not self._results:
            return math.nan
        return sum(r > 0 for r in self._results) / len(self._results)

    @property
    def payoff(self) -> float:
        """Mean win by mean loss; nan without a loss, 0 without a win."""
        wins = [r for r in self._results if r > 0]
        losses = [-r for r in self._results if r < 0]
        if not losses:
            return math.nan
        if not wins:
            return 0.0
        return float(sum(wins, _ZERO) / len(wins)) / float(sum(losses, _ZERO) / len(losses))
