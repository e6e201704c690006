"""The hard limits: of the account, of a symbol, of a strategy. Without the first four, no trading."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from decimal import Decimal

from fastbook.errors import ConfigError

Number = float | int | Decimal

HALT, REDUCE_ONLY, ADOPT = "halt", "reduce_only", "adopt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """Every limit that `RiskGate` holds. Percentages are of equity; 1.0 is one per cent.

    The first four have no default on purpose: no configured limit, no trading. An optional limit
    that is None is off. All are hard: nothing overrides them while the program runs.
    """

    position_pct_max: Number
    """Worst-case notional of one symbol."""
    exposure_pct_max: Number
    """Worst-case notional of all symbols: positions, working and unknown orders."""
    daily_loss_pct_max: Number
    """Fall of equity since the start of the UTC day; beyond it only exits, until re-armed."""
    leverage_max: Number
    """Worst-case notional of all symbols as a multiple of equity."""

    order_notional_max: Number | None = None
    """Quote units of one order."""
    drawdown_pct_max: Number | None = None
    """Fall of equity since its peak; beyond it only exits, until re-armed."""
    margin_use_pct_max: Number = 90
    """Initial margin of the worst case, at the venue's leverage, where that is known."""
    price_collar_bps: Number = 100
    """How far a limit price may lie from the mid of the book, on either side."""
    price_collar_ticks: int | None = None
    """The same in ticks; both must hold."""
    mark_collar_bps: Number = 200
    """How far it may lie from the venue's mark price, while that is known."""
    stale_after_ms: int = 2_000
    """Age of the last frame of a book beyond which it is not traded on."""
    loop_lag_ms_max: int = 250
    """Lateness of our own timers beyond which there are no entries."""
    clock_uncertainty_ms_max: int = 500
    """Of the venue's clock as we know it; beyond it there are no entries."""
    orders_per_second_max: Number = 10
    """Of orders and amends, also the most at once; a fifth of the burst is kept for exits."""
    orders_per_minute_max: int | None = None
    """Of orders and amends in any 60 s; entries stop at four fifths."""
    orders_per_day_max: int | None = None
    """Of new orders in a UTC day; exits are counted and not stopped."""
    messages_per_day_max: int | None = None
    """Of orders, amends and cancels in a UTC day; entries stop at four fifths, cancels never."""
    orders_open_max: int = 100
    """Orders whose story is not over, all symbols; exits may use ten more."""
    entries_per_minute_max: int | None = 120
    """New entry orders per symbol; a runaway stops that symbol's entries until re-armed."""
    round_trips_per_hour_max: int | None = None
    """Per strategy, flat to flat; beyond it the strategy's entries stop until re-armed."""
    rejections_in_a_row_max: int | None = 20
    """Of the venue; then only exits, until re-armed."""
    duplicate_window_ms: int = 100
    """The same symbol, side, price and quantity again within this is refused."""
    external_change: str = HALT
    """When a position changes that we did not trade: halt | reduce_only | adopt."""

    def __post_init__(self) -> None:
        problems = _problems(self)
        if self.external_change not in (HALT, REDUCE_ONLY, ADOPT):
            problems.append(
                f"external_change must be one of halt, reduce_only, adopt,"
                f" was {self.external_change!r}"
            )
        if not problems:
            problems = [
                f"{name} must be at most 100, was {value}"
                for name in ("daily_loss_pct_max", "drawdown_pct_max", "margin_use_pct_max")
                if (value := getattr(self, name)) is not None and value > 100
            ]
            problems += [
                f"{name} must be below 10000, was {value}"
                for name in ("price_collar_bps", "mark_collar_bps")
                if (value := getattr(self, name)) >= 10_000
            ]
        if problems:
            raise ConfigError("risk: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolLimits:
    """Further limits of one symbol; None is off. They tighten the account's and never loosen."""

    order_qty_max: Number | None = None
    """Base units of one order."""
    order_notional_max: Number | None = None
    """Quote units of one order."""
    position_notional_max: Number | None = None
    """Quote units of the worst case: position, working and unknown orders."""
    reduce_only: bool = False
    """Nothing but exits."""

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise ConfigError("risk.symbols: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one strategy may use of the account. Percentages are of the account's equity."""

    equity_pct: Number = 100
    """Share that its stakes are fractions of."""
    exposure_pct_max: Number | None = None
    """Worst-case notional of all its symbols."""
    daily_loss_pct_max: Number | None = None
    """Its own loss since the start of the UTC day, open P&L included; then only exits."""

    def __post_init__(self) -> None:
        problems = _problems(self)
        if not problems:
            problems = [
                f"{name} must be at most 100, was {value}"
                for name in ("equity_pct", "daily_loss_pct_max")
                if (value := getattr(self, name)) is not None and value > 100
            ]
        if problems:
            raise ConfigError("budget: " + "; ".join(problems))


def _problems(limits: RiskLimits | SymbolLimits | Budget) -> list[str]:
    """What is no number, not finite or not above 0, by name."""
    problems: list[str] = []
    for field in fields(limits):
        value = getattr(limits, field.name)
        kinds = str(field.type).split(" | ")
        if kinds in (["str"], ["bool"]) or (value is None and "None" in kinds):
            continue
        problem = _problem(value, whole="int" in kinds)
        if problem:
            problems.append(f"{field.name} {problem}, was {value!r}")
    return problems


def _problem(value: object, *, whole: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return "must be a number"
    if whole and not isinstance(value, int):
        return "must be a whole number"
    if not math.isfinite(value) or value <= 0:
        return "must be finite and above 0"
    return ""


def decimal(value: Number) -> Decimal:
    """A limit as it was written: 0.1 is a tenth, not the nearest binary fraction."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


NO_SYMBOL_LIMITS = SymbolLimits()
WHOLE_ACCOUNT = Budget()
