"""What falls and stays down until a person lifts it: of the account, a symbol, a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastbook.risk.limits import Budget, RiskLimits, decimal
from fastbook.types import TradingState

_DAY_NS = 86_400_000_000_000
_PEAK_TOLD = Decimal("1.0001")
"""A peak that rises by less than this is no news for whoever saves the state."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why one symbol is not traded freely: `state` is REDUCE_ONLY or HALTED."""

    state: TradingState
    rule: str
    why: str


@dataclass(slots=True)
class _Today:
    """One strategy's result of this UTC day; `base` is its running total at the start."""

    result: Decimal = Decimal(0)
    base: Decimal | None = None


class Latches:
    """Daily loss, draw-down, rejections, stopped symbols and strategies.

    Nothing here lifts itself: neither midnight nor a restart, only `rearm`. A wall clock that
    goes back does not start a day again.
    """

    def __init__(self, limits: RiskLimits) -> None:
        self.account = ""
        """Why only exits are let through; empty when armed. Begins with the rule's name."""
        self.symbols: dict[str, Stop] = {}
        self.strategies: dict[str, str] = {}
        """Strategies without entries, and why; begins with the rule's name."""
        self.day = -1
        self.day_equity: Decimal | None = None
        self.peak_equity: Decimal | None = None
        self.rejections_in_a_row = 0
        self.revision = 0
        """Grows with every change worth saving."""
        self._rejections_max = limits.rejections_in_a_row_max
        self._daily_loss_pct = decimal(limits.daily_loss_pct_max)
        drawdown = limits.drawdown_pct_max
        self._drawdown_pct = None if drawdown is None else decimal(drawdown)
        self._peak_told = Decimal(0)
        self._today: dict[str, _Today] = {}

    # --- what makes them fall ----------------------------------------------------------------

    def roll_day(self, wall_ns: int) -> bool:
        """True when a UTC day has begun that was not seen before."""
        day = wall_ns // _DAY_NS
        if day <= self.day:
            return False
        self.day = day
        self.day_equity = None
        self._today.clear()
        self.revision += 1
        return True

    def on_equity(self, equity: Decimal) -> bool:
        """Take note of the equity; True if a latch fell just now."""
        if self.day_equity is None:
            self.day_equity = equity
            self.revision += 1
        if self.peak_equity is None or equity > self.peak_equity:
            self._raise_peak(equity)
        if self.account:
            return False
        self.account = self._loss_today(equity) or self._drawdown(equity)
        self.revision += bool(self.account)
        return bool(self.account)

    def _loss_today(self, equity: Decimal) -> str:
        start = self.day_equity
        if start is None or start <= 0:
            return ""
        lost = start - equity
        if lost * 100 < self._daily_loss_pct * start:
            return ""
        return f"daily_loss_pct_max: lost {lost} of {start} since 00:00 UTC"

    def _drawdown(self, equity: Decimal) -> str:
        peak = self.peak_equity
        if self._drawdown_pct is None or peak is None or peak <= 0:
            return ""
        lost = peak - equity
        if lost * 100 < self._drawdown_pct * peak:
            return ""
        return f"drawdown_pct_max: {lost} below the peak of {peak}"

    def _raise_peak(self, equity: Decimal) -> None:
        self.peak_equity = equity
        if equity > self._peak_told * _PEAK_TOLD:
            self._peak_told = equity
            self.revision += 1

    def on_deposit(self, amount: Decimal) -> None:
        """Money that came from outside must not hide a loss; money that left counts as one."""
        if amount <= 0:
            return
        if self.day_equity is not None:
            self.day_equity += amount
        if self.peak_equity is not None:
            self._raise_peak(self.peak_equity + amount)
        self.revision += 1

    def on_venue_answer(self, *, rejected: bool) -> bool:
        """Count rejections in a row; True if that latch fell just now."""
        if not rejected:
            self.rejections_in_a_row = 0
            return False
        self.rejections_in_a_row += 1
        self.revision += 1
        limit = self._rejections_max
        if limit is None or self.account or self.rejections_in_a_row < limit:
            return False
        self.account = f"rejections_in_a_row_max: {self.rejections_in_a_row}"
        return True

    def on_strategy_result(
        self, name: str, total: Decimal, equity: Decimal, budget: Budget
    ) -> bool:
        """A strategy's running P&L (any start); True if its daily loss stopped it just now."""
        if budget.daily_loss_pct_max is None:
            return False
        today = self._today.setdefault(name, _Today())
        if today.base is None:
            today.base = total - today.result
        today.result = total - today.base
        most = decimal(budget.daily_loss_pct_max) * equity
        if name in self.strategies or -today.result * 100 < most or today.result >= 0:
            return False
        self.stop_strategy(name, "strategy_daily_loss_pct_max", f"lost {-today.result} today")
        return True

    def stop_symbol(self, symbol: str, state: TradingState, rule: str, why: str) -> bool:
        """Let only exits through (REDUCE_ONLY) or nothing (HALTED). True if that is news."""
        known = self.symbols.get(symbol)
        if known is not None and (known.state is state or known.state is TradingState.HALTED):
            return False
        self.symbols[symbol] = Stop(state, rule, why)
        self.revision += 1
        return True

    def stop_strategy(self, name: str, rule: str, why: str) -> None:
        """No entries of this strategy."""
        self.strategies[name] = f"{rule}: {why}"
        self.revision += 1

    def latch(self, rule: str, why: str) -> None:
        """No entries at all. The first reason stays."""
        self.account = self.account or f"{rule}: {why}"
        self.revision += 1

    def rearm(self, equity: Decimal | None) -> None:
        """A person's decision: lift everything. Losses count from `equity` on."""
        self.account = ""
        self.symbols.clear()
        self.strategies.clear()
        self._today.clear()
        self.rejections_in_a_row = 0
        self.day_equity = self.peak_equity = equity
        self.revision += 1

    # --- over a restart ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:  # Any: JSON
        return {
            "account": self.account,
            "symbols": {
                symbol: [stop.state.value, stop.rule, stop.why]
                for symbol, stop in self.symbols.items()
            },
            "strategies": dict(self.strategies),
            "day": self.day,
            "day_equity": _text(self.day_equity),
            "peak_equity": _text(self.peak_equity),
            "rejections_in_a_row": self.rejections_in_a_row,
            "today": {name: str(today.result) for name, today in self._today.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        self.account = str(state["account"])
        self.symbols = {
            symbol: Stop(TradingState(value), rule, why)
            for symbol, (value, rule, why) in state["symbols"].items()
        }
        self.strategies = dict(state["strategies"])
        self.day = int(state["day"])
        self.day_equity = _number(state["day_equity"])
        self.peak_equity = _number(state["peak_equity"])
        self.rejections_in_a_row = int(state["rejections_in_a_row"])
        self._today = {name: _Today(Decimal(lost)) for name, lost in state["today"].items()}


def _text(value: Decimal | None) -> str:
    return "" if value is None else str(value)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text else None
