"""Rules on quantities: how much more every limit leaves room for, and what an order may be.

What may still trade counts as traded, in the worse direction. Comparisons are made in integers of
the instrument; every rounding is towards the smaller order.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal

from fastbook.risk.denied import Denied
from fastbook.risk.limits import Budget, Number, RiskLimits, SymbolLimits, decimal
from fastbook.risk.view import AccountView
from fastbook.types import Category, Instrument, OrderType, Side

FLOOR = Context(prec=60, rounding=ROUND_FLOOR)


def room(
    side: Side,
    instrument: Instrument,
    px: int,
    value_px: int,
    account: AccountView,
    equity: Decimal,
    limits: RiskLimits,
    symbol: SymbolLimits,
    budget: Budget,
) -> tuple[int, str]:
    """How much more of `side` every limit allows, and the limit that allows least.

    `px` is the order's own price, `value_px` the dearest at which the symbol may trade.
    """
    long_worst = account.position + account.working_buy
    short_worst = account.working_sell - account.position
    toward, away = (long_worst, short_worst) if side is Side.BUY else (short_worst, long_worst)

    rooms: list[tuple[int, str]] = []
    for rule, limit in _ceilings(instrument, account, equity, limits, symbol, budget):
        most = qty_within(limit, instrument, value_px)
        rooms.append((most - toward if away <= most else 0, rule))
    rooms += _one_order(instrument, px, limits, symbol)
    if side is Side.SELL and instrument.category is Category.SPOT:
        rooms.append((account.position - account.working_sell, "spot_long_only"))
    return min(rooms)


def _ceilings(
    instrument: Instrument,
    account: AccountView,
    equity: Decimal,
    limits: RiskLimits,
    symbol: SymbolLimits,
    budget: Budget,
) -> list[tuple[str, Decimal]]:
    """What this symbol's worst case may be worth, by every limit on exposure."""
    others = account.others_notional
    ours = FLOOR.multiply(equity, account.share)  # of what the account's limits are counted on
    found = [
        ("position_pct_max", percent(equity, limits.position_pct_max)),
        ("instrument_leverage_max", FLOOR.multiply(equity, instrument.leverage_max)),
        (
            "exposure_pct_max",
            FLOOR.subtract(percent(ours, limits.exposure_pct_max), others),
        ),
        (
            "leverage_max",
            FLOOR.subtract(FLOOR.multiply(ours, decimal(limits.leverage_max)), others),
        ),
    ]
    if symbol.position_notional_max is not None:
        found.append(("symbol_position_notional_max", decimal(symbol.position_notional_max)))
    if budget.exposure_pct_max is not None:
        mine = percent(equity, budget.exposure_pct_max)
        found.append(("strategy_exposure_pct_max", FLOOR.subtract(mine, account.strategy_notional)))
    if account.leverage is not None:
        free = FLOOR.subtract(percent(ours, limits.margin_use_pct_max), account.others_margin)
        found.append(("margin", FLOOR.multiply(free, account.leverage)))
    return found


def exit_qty(
    side: Side,
    wanted: int,
    instrument: Instrument,
    px: int,
    most: int,
    account: AccountView,
    limits: RiskLimits,
    symbol: SymbolLimits,
) -> int:
    """At most what closes the position, less what is on its way to close it already.

    And at most what one order may be: a larger position is left in several.
    """
    working = account.working_buy if side is Side.BUY else account.working_sell
    closable = -account.position * side - working
    if closable <= 0:
        raise Denied(
            "reduce_only",
            f"nothing to close with a {side.wire}: position {account.position}, working {working}",
        )
    rooms = _one_order(instrument, px, limits, symbol)
    qty = min(wanted or closable, closable, most, *(left for left, _ in rooms))
    return qty // instrument.lot * instrument.lot


def _one_order(
    instrument: Instrument, px: int, limits: RiskLimits, symbol: SymbolLimits
) -> list[tuple[int, str]]:
    """What one order may be at most, by every limit on single orders."""
    rooms: list[tuple[int, str]] = []
    for rule, notional in (
        ("order_notional_max", limits.order_notional_max),
        ("symbol_order_notional_max", symbol.order_notional_max),
    ):
        if notional is not None:
            rooms.append((qty_within(decimal(notional), instrument, px), rule))
    if symbol.order_qty_max is not None:
        units = FLOOR.scaleb(decimal(symbol.order_qty_max), instrument.qty_scale)
        rooms.append((int(units), "symbol_order_qty_max"))
    return rooms


def check_size(qty: int, most: int, instrument: Instrument, px: int, *, reduce_only: bool) -> None:
    if qty < 0 or qty > most:
        raise Denied("qty_max", f"quantity {qty}, most {most}")
    if qty < max(instrument.qty_min, 1):
        raise Denied("qty_min", f"quantity {qty}, least {instrument.qty_min}")
    # The venue lets reduce-only orders of derivatives be smaller: a rest must be closable.
    if reduce_only and instrument.category is not Category.SPOT:
        return
    notional = instrument.notional(px, qty)
    if notional < instrument.notional_min:
        raise Denied("notional_min", f"worth {notional}, least {instrument.notional_min}")


def qty_max(order_type: OrderType, instrument: Instrument) -> int:
    if order_type is OrderType.MARKET:
        return instrument.qty_max_market
    return instrument.qty_max


def percent(equity: Decimal, of: Number) -> Decimal:
    return FLOOR.divide(FLOOR.multiply(equity, decimal(of)), Decimal(100))


def qty_within(notional: Decimal, instrument: Instrument, px: int) -> int:
    """The most quantity whose value at `px` is not above `notional`; 0 when that is negative."""
    if notional <= 0:
        return 0
    if instrument.category is Category.INVERSE:
        contracts = FLOOR.multiply(notional, Decimal(px))
        return int(FLOOR.scaleb(contracts, instrument.qty_scale - instrument.price_scale))
    scale = instrument.price_scale + instrument.qty_scale
    return int(FLOOR.scaleb(notional, scale)) // px


def dearest(instrument: Instrument, *prices: int) -> int:
    """Of these prices the one at which a quantity is worth most; 0 is none.

    The highest; for inverse contracts, whose value is counted in the coin, the lowest.
    """
    known = [px for px in prices if px > 0]
    return min(known) if instrument.category is Category.INVERSE else max(known)
