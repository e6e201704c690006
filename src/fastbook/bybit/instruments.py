"""One row of instruments-info -> `Instrument`. Strict: a wrong grid loses money quietly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from fastbook.core.fixed import parse_fixed
from fastbook.errors import FixedPointError, WireError
from fastbook.types import Category, Instrument

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,39}")
_DECIMAL = re.compile(r"\d{1,18}(?:\.(\d{1,18}))?")

Row = Mapping[str, Any]  # Any: JSON from outside; each value is checked when it is read


def parse_instrument(row: Row, category: Category, index: int) -> Instrument:
    """The instrument that `row` describes, with `index` as its place in the engine's table.

    `price_scale` is the larger of the tick's decimals and the venue's `priceScale`, because
    the streams of derivatives show prices with the latter. Raises `WireError` that names the
    symbol and the key.
    """
    read = _Reader(row)
    price_scale = read.decimals("priceFilter.tickSize")
    if category is Category.SPOT:
        step_key, qty_max_key, market_key = "basePrecision", "maxLimitOrderQty", "maxMarketOrderQty"
        if "maxLimitOrderQty" not in read.table("lotSizeFilter"):
            qty_max_key = market_key = "maxOrderQty"  # rows of before these two keys
        notional_key = "lotSizeFilter.minOrderAmt"
    else:
        step_key, qty_max_key, market_key = "qtyStep", "maxOrderQty", "maxMktOrderQty"
        notional_key = "lotSizeFilter.minNotionalValue"
        price_scale = max(price_scale, read.small_int("priceScale"))
    qty_scale = read.decimals(f"lotSizeFilter.{step_key}")
    derivative = category is not Category.SPOT

    return Instrument(
        index=index,
        category=category,
        symbol=read.symbol,
        base=read.text("baseCoin"),
        quote=read.text("quoteCoin"),
        settle=read.text("settleCoin" if derivative else "quoteCoin"),
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick=read.fixed("priceFilter.tickSize", price_scale),
        lot=read.fixed(f"lotSizeFilter.{step_key}", qty_scale),
        qty_min=read.fixed("lotSizeFilter.minOrderQty", qty_scale),
        qty_max=read.upper_limit(f"lotSizeFilter.{qty_max_key}", qty_scale),
        qty_max_market=read.upper_limit(f"lotSizeFilter.{market_key}", qty_scale),
        # Inverse contracts have no notional minimum.
        notional_min=read.decimal(notional_key, optional=category is Category.INVERSE),
        leverage_max=read.decimal("leverageFilter.maxLeverage") if derivative else Decimal(1),
        trading=read.text("status") == "Trading",
    )


def parse_instruments(
    rows: Iterable[Row], category: Category, symbols: Iterable[str]
) -> list[Instrument]:
    """The instruments of `symbols`, in that order, `index` counting from 0.

    Rows of other symbols are not looked into, so that an odd row elsewhere does no harm.
    Raises `WireError` for a symbol that no row describes.
    """
    by_symbol = {row.get("symbol"): row for row in rows}
    found = []
    for index, symbol in enumerate(symbols):
        row = by_symbol.get(symbol)
        if row is None:
            raise WireError(f"not among the {category} instruments of the exchange", topic=symbol)
        found.append(parse_instrument(row, category, index))
    return found


class _Reader:
    """Reads dotted keys of one row; every complaint names the symbol and the key."""

    def __init__(self, row: Row) -> None:
        symbol = row.get("symbol")
        if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
            raise WireError(f"instruments-info: symbol: not a symbol: {symbol!r:.60}")
        self.symbol = symbol
        self._row = row

    def value(self, key: str) -> object:
        value: object = self._row
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise WireError(f"{key}: missing", topic=self.symbol)
            value = value[part]
        return value

    def table(self, key: str) -> Row:
        value = self.value(key)
        if not isinstance(value, Mapping):
            raise self._bad(key, value)
        return value

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str) or not 0 < len(value) <= 64:
            raise self._bad(key, value)
        return value

    def decimals(self, key: str) -> int:
        match = _DECIMAL.fullmatch(self.text(key))
        if match is None:
            raise self._bad(key, self.value(key))
        return len(match[1] or "")

    def small_int(self, key: str) -> int:
        value = self.value(key)
        text = str(value) if type(value) is int else value  # documented as text, seen as both
        if not isinstance(text, str) or not re.fullmatch(r"\d{1,2}", text) or int(text) > 18:
            raise self._bad(key, value)
        return int(text)

    def fixed(self, key: str, scale: int) -> int:
        text = self.text(key)
        try:
            value = parse_fixed(text, scale)
        except FixedPointError as e:
            raise WireError(f"{key}: {e}", topic=self.symbol) from e
        if value <= 0:
            raise self._bad(key, text)
        return value

    def upper_limit(self, key: str, scale: int) -> int:
        """Rounded down: spot limits were seen as `1542.6000000000001`, finer than the step."""
        value = int(self.decimal(key).scaleb(scale))
        if not 0 < value < 1 << 63:
            raise self._bad(key, self.value(key))
        return value

    def decimal(self, key: str, *, optional: bool = False) -> Decimal:
        try:
            text = self.value(key)
        except WireError:
            if optional:
                return Decimal(0)
            raise
        if optional and text == "":
            return Decimal(0)
        if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
            raise self._bad(key, text)
        return Decimal(text)

    def _bad(self, key: str, value: object) -> WireError:
        return WireError(f"{key}: not what it should be: {value!r:.60}", topic=self.symbol)
