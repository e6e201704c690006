"""Instruments and keys that several tests of the Bybit formats share."""

from __future__ import annotations

from decimal import Decimal

from fastbook.types import Category, Instrument

KEY = "DEMOKEY0000000001"
SECRET = "demo-secret-0123456789abcdef"


def instrument(
    symbol: str = "BTCUSDT",
    *,
    category: Category = Category.LINEAR,
    index: int = 0,
    price_scale: int = 2,
    qty_scale: int = 3,
    tick: int = 10,
) -> Instrument:
    """BTCUSDT as the exchange has it: tick 0.10, lot 0.001, prices shown with two decimals."""
    base = symbol.removesuffix("USDT")
    return Instrument(
        index=index,
        category=category,
        symbol=symbol,
        base=base,
        quote="USDT",
        settle="USDT",
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick=tick,
        lot=1,
        qty_min=1,
        qty_max=1_200_000,
        qty_max_market=150_000,
        notional_min=Decimal(5),
        leverage_max=Decimal(100),
    )


LINEAR = instrument()
SPOT = instrument(category=Category.SPOT, price_scale=1, qty_scale=6, tick=1)
