"""Risk tiers: the larger a position, the more margin it must keep, and the less leverage it may use.

A tier is an interval of position size in quote coin (of an inverse contract: its dollars, where
the venue counts base coin). Maintenance is `rate` of the size less `deduction`, which makes it
continuous from one tier to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from fastbook.replay.money import ZERO, minus, over, plus, times
from fastbook.types import Category, Instrument

FIRST_LIMIT = Decimal(2_000_000)
TIERS = 10
_BASE_RATE = Decimal("0.005")


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier: positions up to `limit` keep `rate` of their size less `deduction`."""

    id: int
    limit: Decimal
    rate: Decimal
    deduction: Decimal
    leverage_max: Decimal


@lru_cache(maxsize=1024)
def tiers_of(leverage_max: Decimal) -> tuple[Tier, ...]:
    """The tiers of a symbol, smallest first; the rate of tier n is n times that of the first."""
    tiers: list[Tier] = []
    deduction = limit = ZERO
    for n in range(1, TIERS + 1):
        rate = times(_BASE_RATE, Decimal(n))
        if tiers:
            deduction = plus(deduction, times(limit, minus(rate, tiers[-1].rate)))
        limit = times(FIRST_LIMIT, Decimal(n))
        # Half of the initial margin is maintenance at the most.
        leverage = min(leverage_max, round(over(Decimal("0.5"), rate), 2))
        tiers.append(Tier(n, limit, rate, deduction, leverage))
    return tuple(tiers)


def size_of(instrument: Instrument, qty: int, mark: Decimal) -> Decimal:
    """Size of a position in quote coin."""
    size = instrument.qty_decimal(abs(qty))
    return size if instrument.category is Category.INVERSE else times(size, mark)


def tier_of(instrument: Instrument, size: Decimal) -> Tier:
    """The tier of a position of this size; the last one for whatever is larger."""
    tiers = tiers_of(instrument.leverage_max)
    return next((tier for tier in tiers if size <= tier.limit), tiers[-1])


def tier_for_leverage(instrument: Instrument, leverage: Decimal) -> Tier:
    """The last tier that still allows this leverage: its limit is the largest position."""
    allowing = [t for t in tiers_of(instrument.leverage_max) if t.leverage_max >= leverage]
    return allowing[-1] if allowing else tiers_of(instrument.leverage_max)[0]


def maintenance(instrument: Instrument, qty: int, mark: Decimal) -> Decimal:
    """Maintenance margin of a position in its settle coin; 0 when flat or without a mark."""
    if not qty or not mark:
        return ZERO
    size = size_of(instrument, qty, mark)
    tier = tier_of(instrument, size)
    kept = minus(times(size, tier.rate), tier.deduction)
    return over(kept, mark) if instrument.category is Category.INVERSE else kept
