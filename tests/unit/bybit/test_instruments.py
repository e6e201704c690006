"""Rows of instruments-info, made up and recorded."""

from __future__ import annotations

import copy
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastbook.bybit.instruments import parse_instrument, parse_instruments
from fastbook.errors import WireError
from fastbook.types import Category

LINEAR_ROW: dict[str, Any] = {  # Any: JSON
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "priceScale": "2",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1200.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "maxMktOrderQty": "150.000",
        "minNotionalValue": "5",
    },
    "unheardOf": [None],
}
SPOT_ROW: dict[str, Any] = {  # Any: JSON
    "symbol": "BTCUSDT",
    "status": "PreLaunch",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "minOrderQty": "0.00001",
        "minOrderAmt": "5",
        "maxLimitOrderQty": "80",
        "maxMarketOrderQty": "40",
    },
    "priceFilter": {"tickSize": "0.1"},
}


def test_linear() -> None:
    got = parse_instrument(LINEAR_ROW, Category.LINEAR, 7)
    assert (got.index, got.category, got.symbol) == (7, Category.LINEAR, "BTCUSDT")
    assert (got.base, got.quote, got.settle) == ("BTC", "USDT", "USDT")
    assert (got.price_scale, got.tick) == (2, 10)
    assert (got.qty_scale, got.lot, got.qty_min) == (3, 1, 1)
    assert (got.qty_max, got.qty_max_market) == (1_200_000, 150_000)
    assert (got.notional_min, got.leverage_max) == (Decimal(5), Decimal(100))
    assert got.trading


def test_price_scale_is_the_larger_of_tick_and_stream() -> None:
    row = copy.deepcopy(LINEAR_ROW)
    row["priceScale"] = 4
    assert parse_instrument(row, Category.LINEAR, 0).tick == 1000
    row["priceScale"] = "0"
    row["priceFilter"]["tickSize"] = "0.5"
    got = parse_instrument(row, Category.LINEAR, 0)
    assert (got.price_scale, got.tick) == (1, 5)


def test_spot() -> None:
    got = parse_instrument(SPOT_ROW, Category.SPOT, 0)
    assert (got.settle, got.price_scale, got.tick) == ("USDT", 1, 1)
    assert (got.qty_scale, got.lot, got.qty_min, got.qty_max) == (6, 1, 10, 80_000_000)
    assert (got.qty_max_market, got.leverage_max) == (40_000_000, Decimal(1))
    assert not got.trading


def test_upper_limit_with_the_dust_of_a_float_is_rounded_down() -> None:
    row = copy.deepcopy(SPOT_ROW)
    row["lotSizeFilter"]["maxLimitOrderQty"] = "1542.6000000000001"
    assert parse_instrument(row, Category.SPOT, 0).qty_max == 1_542_600_000


def test_inverse_may_lack_a_notional_minimum() -> None:
    row = copy.deepcopy(LINEAR_ROW)
    del row["lotSizeFilter"]["minNotionalValue"]
    assert parse_instrument(row, Category.INVERSE, 0).notional_min == 0
    with pytest.raises(WireError, match=r"BTCUSDT: lotSizeFilter.minNotionalValue: missing"):
        parse_instrument(row, Category.LINEAR, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("priceFilter.tickSize", "0"),
        ("priceFilter.tickSize", ""),
        ("priceFilter.tickSize", "-0.1"),
        ("priceFilter.tickSize", "1e-1"),
        ("priceFilter.tickSize", 0.1),
        ("priceFilter", "0.1"),
        ("priceScale", "19"),
        ("priceScale", True),
        ("lotSizeFilter.qtyStep", "nan"),
        ("lotSizeFilter.minOrderQty", "0.0001"),
        ("lotSizeFilter.maxOrderQty", "99999999999999999"),
        ("lotSizeFilter.minNotionalValue", "five"),
        ("leverageFilter.maxLeverage", None),
        ("settleCoin", ""),
        ("status", 1),
    ],
)
def test_complaint_names_symbol_and_key(key: str, value: object) -> None:
    row = copy.deepcopy(LINEAR_ROW)
    place = row
    *path, last = key.split(".")
    for part in path:
        place = place[part]
    place[last] = value
    with pytest.raises(WireError, match=f"BTCUSDT: {key}"):
        parse_instrument(row, Category.LINEAR, 0)


@pytest.mark.parametrize("symbol", ["", "btcusdt", "A B", "X" * 41, "A\nB", None, 5])
def test_what_is_not_a_symbol(symbol: object) -> None:
    with pytest.raises(WireError, match="not a symbol"):
        parse_instrument({**LINEAR_ROW, "symbol": symbol}, Category.LINEAR, 0)


def test_only_the_asked_symbols_in_the_asked_order() -> None:
    rows = [{"symbol": "ODD"}, LINEAR_ROW, {**LINEAR_ROW, "symbol": "ETHUSDT"}]
    got = parse_instruments(rows, Category.LINEAR, ["ETHUSDT", "BTCUSDT"])
    assert [(i.index, i.symbol) for i in got] == [(0, "ETHUSDT"), (1, "BTCUSDT")]
    with pytest.raises(WireError, match="SOLUSDT: not among the linear instruments"):
        parse_instruments(rows, Category.LINEAR, ["SOLUSDT"])


@pytest.mark.parametrize(("category", "rows_min"), [("linear", 800), ("spot", 557)])
def test_every_recorded_row(data_dir: Path, category: str, rows_min: int) -> None:
    path = next((data_dir / "bybit" / "rest").glob(f"instruments-info-{category}-*.json.gz"))
    rows = orjson.loads(gzip.decompress(path.read_bytes()))["result"]["list"]
    assert len(rows) >= rows_min
    for index, row in enumerate(rows):
        got = parse_instrument(row, Category(category), index)
        assert got.px_decimal(got.tick) == Decimal(row["priceFilter"]["tickSize"])
        step = "qtyStep" if category == "linear" else "basePrecision"
        assert got.qty_decimal(got.lot) == Decimal(row["lotSizeFilter"][step])
        assert got.qty_decimal(got.qty_min) == Decimal(row["lotSizeFilter"]["minOrderQty"])
        assert got.qty_min % got.lot == 0


@pytest.mark.parametrize("category", ["linear", "inverse", "spot"])
def test_documented_rows(data_dir: Path, category: str) -> None:
    folder = data_dir / "bybit" / "messages" / "documented" / "nautilus"
    message = orjson.loads((folder / f"http_get_instruments_{category}.json").read_bytes())
    assert message["result"]["list"]
    for row in message["result"]["list"]:
        assert parse_instrument(row, Category(category), 0).symbol == row["symbol"]
