"""Candles, liquidations and price limits as they are pushed, to pybit and to ccxt."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest
from tests.conformance.ccxt_session import MARKETS, SWAP, trade
from tests.conformance.local_exchange import LocalExchange
from tests.conformance.pybit_session import (
    BTC,
    SPOT,
    Inbox,
    point_pybit_at,
    stream,
)

# Any in this file: pybit has no types; its answers are JSON.


@pytest.fixture(autouse=True)
def _urls(venue: LocalExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    point_pybit_at(venue, monkeypatch)


@pytest.mark.parametrize("instrument", [BTC, SPOT], ids=["linear", "spot"])
def test_candles_are_streamed(instrument: dict[str, str]) -> None:
    candles = Inbox()
    with stream(instrument["category"]) as socket:
        socket.kline_stream(1, "BTCUSDT", candles)
        (row,) = candles.wait()[0]["data"]
        assert row["end"] - row["start"] == 59_999
        assert Decimal(row["low"]) <= Decimal(row["close"]) <= Decimal(row["high"])


def ruin_somebody(venue: LocalExchange) -> None:
    """The last account, which no test trades with, buys and is liquidated."""
    venue.fault(kind="outside", account=60, symbol="BTCUSDT", side="Buy", qty="0.123")
    venue.fault(kind="liquidate", account=60, symbol="BTCUSDT")


def test_liquidations_and_price_limits_are_pushed(venue: LocalExchange) -> None:
    limits, gone = Inbox(), Inbox()
    with stream("linear") as socket:
        socket.all_liquidation_stream("BTCUSDT", gone)
        socket.price_limit_stream("BTCUSDT", limits)
        row = limits.wait()[0]["data"]
        assert Decimal(row["sellLmt"]) < Decimal(row["buyLmt"])
        ruin_somebody(venue)
        row = gone.row(v="0.123")
        assert (row["s"], row["S"]) == ("BTCUSDT", "Buy")  # a long


def test_liquidations_are_watched(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        watched = asyncio.ensure_future(client.watch_liquidations(SWAP))
        seen: list[Any] = []
        while not any(row["contracts"] == 0.123 for row in seen):
            if not watched.done():
                await asyncio.wait([watched], timeout=0.2)
                await asyncio.to_thread(ruin_somebody, venue)
            seen = await watched
            watched = asyncio.ensure_future(client.watch_liquidations(SWAP))
        watched.cancel()

    trade(ccxt.pro.bybit, venue, day, anonymous=True)


@MARKETS
def test_candles_are_watched(venue: LocalExchange, symbol: str) -> None:
    async def day(client: Any) -> None:
        ((_, opened, high, low, close, _), *_) = await client.watch_ohlcv(symbol, "1m")
        assert low <= min(opened, close) <= max(opened, close) <= high

    trade(ccxt.pro.bybit, venue, day, anonymous=True)
