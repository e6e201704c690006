"""The hard limits of an account. Without the four required ones there is no trading."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from decimal import Decimal

from fastbook.errors import ConfigError

Number = float | int | Decimal


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
    price_collar_bps: Number = 100
    """How far a limit price may lie from the mid of the book, on either side."""
    stale_after_ms: int = 2_000
    """Age of the last frame of a book beyond which it is not traded on."""
    orders_per_second_max: Number = 10
    """Of new orders, also the most at once; a fifth of the burst is kept for exits."""
    orders_per_day_max: int | None = None
    """Of new orders in a UTC day; exits are counted and not stopped."""
    orders_open_max: int = 100
    """Orders whose story is not over, all symbols; exits may use ten more."""
    entries_per_minute_max: int | None = 120
    """Per symbol; a runaway stops that symbol's entries until re-armed."""
    rejections_in_a_row_max: int | None = 20
    """Of the venue; then only exits, until re-armed."""
    duplicate_window_ms: int = 100
    """The same symbol, side, price and quantity again within this is refused."""

    def __post_init__(self) -> None:
        problems: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in str(field.type):
                continue
            problem = _problem(value, whole="int" in str(field.type).split(" | "))
            if problem:
                problems.append(f"{field.name} {problem}, was {value!r}")
        if not problems and self.daily_loss_pct_max > 100:
            problems.append(
                f"daily_loss_pct_max must be at most 100, was {self.daily_loss_pct_max}"
            )
        if not problems and self.price_collar_bps >= 10_000:
            problems.append(f"price_collar_bps must be below 10000, was {self.price_collar_bps}")
        if problems:
            raise ConfigError("risk: " + "; ".join(problems))


def _problem(value: object, *, whole: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return "must be a number"
    if whole and not isinstance(value, int):
        return "must be a whole number"
    if not math.isfinite(value) or value <= 0:
        return "must be finite and above 0"
    return ""
