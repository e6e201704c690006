"""At which price a position is liquidated, and at which nothing is left of what backs it.

Cross margin: everything but this symbol's price stands still, the account's equity carries the
position. An inverse position's collateral moves with the price as well. Isolated margin: the
position's own margin, its cost over the leverage. Prices are on the tick, 0 when there is none
(a well-covered position is never liquidated). An estimate where more than this price moves: the
other side of a hedged symbol, other coins of the account.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from fastbook.replay.accounts import Position
from fastbook.replay.money import EXACT, ZERO, minus, over, plus, times
from fastbook.replay.tiers import maintenance, size_of, tier_of
from fastbook.types import Instrument

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Backing:
    """What carries a position: `equity` and `maintenance` of the account in USD (cross), or none."""

    equity: Decimal
    maintenance: Decimal
    coins: Decimal  # equity in the position's settle coin
    dollars: Decimal  # price of that coin


def ruin_px(
    position: Position, mark: Decimal, leverage: Decimal, backing: Backing | None
) -> tuple[int, int]:
    """(liquidation price, bankruptcy price), fixed-point; `backing` None: isolated margin."""
    if not position.qty or not mark:
        return 0, 0
    instrument = position.instrument
    size = size_of(instrument, position.qty, mark)
    tier = tier_of(instrument, size)
    others = ZERO
    if backing is not None:
        mine = times(maintenance(instrument, position.qty, mark), backing.dollars)
        others = minus(backing.maintenance, mine)
    px = _inverse_px if position.inverse else _linear_px
    liquidated = px(position, mark, leverage, backing, tier.rate, tier.deduction, others)
    bankrupt = px(position, mark, leverage, backing, ZERO, ZERO, ZERO)
    long = position.qty > 0
    return _on_tick(instrument, liquidated, up=long), _on_tick(instrument, bankrupt, up=long)


def _linear_px(
    position: Position, mark: Decimal, leverage: Decimal, backing: Backing | None,
    rate: Decimal, deduction: Decimal, others: Decimal,
) -> Decimal:  # fmt: skip
    """p where what backs the position plus its profit is what it must keep at p."""
    qty = position.instrument.qty_decimal(position.qty)  # signed
    size = qty.copy_abs()
    if backing is None:
        spare = plus(over(position.cost, leverage), deduction)
        start = over(position.cost, size)
    else:
        spare = plus(minus(backing.equity, others), deduction)
        start = mark
    # spare + qty * (p - start) = size * rate * p
    return over(minus(times(qty, start), spare), minus(qty, times(size, rate)))


def _inverse_px(
    position: Position, mark: Decimal, leverage: Decimal, backing: Backing | None,
    rate: Decimal, deduction: Decimal, others: Decimal,
) -> Decimal:  # fmt: skip
    """As above, in dollars: size dollars of contracts, whose cost in coin gains with the price."""
    qty = position.instrument.qty_decimal(position.qty)
    size = qty.copy_abs()
    sign = _ONE if position.qty > 0 else _ONE.copy_negate()
    coins = times(sign, position.cost)
    elsewhere = ZERO
    if backing is None:
        coins = plus(coins, over(position.cost, leverage))
    else:
        # What the account has of the coin, without this profit, moves with its price.
        coins = plus(coins, minus(backing.coins, position.unrealized(mark)))
        elsewhere = minus(others, minus(backing.equity, times(backing.coins, backing.dollars)))
    # coins * p - qty = size * rate - deduction + elsewhere
    kept = plus(minus(times(size, rate), deduction), elsewhere, qty)
    return over(kept, coins) if coins else ZERO


def _on_tick(instrument: Instrument, px: Decimal, *, up: bool) -> int:
    scaled = EXACT.scaleb(px, instrument.price_scale)
    if scaled <= 0:
        return 0
    ticks = scaled / instrument.tick
    return (math.ceil(ticks) if up else math.floor(ticks)) * instrument.tick
