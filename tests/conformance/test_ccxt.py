"""A trading day of ccxt, async and pro, unmodified, at the bundled exchange: sees, trades, is refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest
from tests.conformance.ccxt_session import (
    EITHER,
    MARKETS,
    SPOT,
    SWAP,
    far_bid,
    trade,
    trading,
    until,
)
from tests.conformance.local_exchange import LocalExchange, sides_of

# Any in this file: ccxt's structures are plain dicts.


# What anybody may see.


@EITHER
def test_markets_and_what_they_do(make: Any, venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        swap, spot = client.market(SWAP), client.market(SPOT)
        assert (swap["linear"], swap["settle"], spot["spot"]) == (True, "USDT", True)
        assert swap["precision"] == {"amount": 0.001, "price": 0.1}
        assert swap["limits"]["leverage"]["max"] == 100
        assert await client.fetch_time() > 1_700_000_000_000
        for symbol in (SWAP, SPOT):
            book = await client.fetch_order_book(symbol, 20)
            assert len(book["bids"]) == len(book["asks"]) == 20
            assert book["bids"][0][0] < book["asks"][0][0]
            ticker = await client.fetch_ticker(symbol)
            assert ticker["bid"] < ticker["ask"]
            for row in await client.fetch_trades(symbol, limit=5):
                assert row["side"] in ("buy", "sell")

    trade(make, venue, day, anonymous=True)


@MARKETS
@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_the_watched_book_is_the_exchanges(venue: LocalExchange, symbol: str, depth: int) -> None:
    category = "linear" if symbol == SWAP else "spot"
    topic = f"orderbook.{depth}.BTCUSDT"

    async def day(client: Any) -> None:
        for _ in range(5):
            book = await client.watch_order_book(symbol, depth)
        # ccxt does not keep `u`: the topic is silenced, and its last state compared.
        venue.fault(kind="stall", topic=topic, seconds=60)
        _, sides = venue.published(category, topic)
        while sides_of(book["bids"], book["asks"]) != sides:
            book = await client.watch_order_book(symbol, depth)
        assert len(book["bids"]) <= depth

    trade(ccxt.pro.bybit, venue, day, anonymous=True)


def test_public_streams(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        for symbol in (SWAP, SPOT):
            (first, *_) = await client.watch_trades(symbol)
            assert first["symbol"] == symbol
            ticker = await client.watch_ticker(symbol)
            assert ticker["last"] > 0

    trade(ccxt.pro.bybit, venue, day, anonymous=True)


# Orders, and what comes of them.


@EITHER
@MARKETS
def test_create_and_cancel(make: Any, venue: LocalExchange, symbol: str) -> None:
    async def day(client: Any) -> None:
        price = await far_bid(client, symbol)
        order = await client.create_order(
            symbol, "limit", "buy", 0.01, price, {"clientOrderId": "mine"}
        )
        (row,) = await client.fetch_open_orders(symbol)
        assert (row["id"], row["clientOrderId"]) == (order["id"], "mine")
        assert (row["status"], row["price"], row["remaining"]) == ("open", price, 0.01)
        await client.cancel_order(order["id"], symbol)
        assert await client.fetch_open_orders(symbol) == []
        (row,) = await client.fetch_canceled_orders(symbol)
        assert (row["id"], row["status"]) == (order["id"], "canceled")
        for _ in range(2):
            await client.create_order(symbol, "limit", "buy", 0.01, price)
        assert len(await client.cancel_all_orders(symbol)) == 2
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(order["id"], symbol)

    trade(make, venue, day)


@EITHER
def test_a_position_is_opened_and_closed(make: Any, venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        opened = await client.create_order(SWAP, "market", "buy", 0.02)
        fills = await client.fetch_my_trades(SWAP)
        assert {fill["order"] for fill in fills} == {opened["id"]}
        assert sum(Decimal(str(fill["amount"])) for fill in fills) == Decimal("0.02")
        (position,) = await client.fetch_positions([SWAP])
        assert (position["side"], position["contracts"]) == ("long", 0.02)
        cost = sum(fill["cost"] for fill in fills)
        assert position["entryPrice"] == pytest.approx(cost / 0.02)
        balance = await client.fetch_balance()
        fees = sum(fill["fee"]["cost"] for fill in fills)
        wallet = balance["info"]["result"]["list"][0]["coin"]
        (usdt,) = [coin for coin in wallet if coin["coin"] == "USDT"]
        assert float(usdt["walletBalance"]) == pytest.approx(100_000 - fees, abs=1e-9)
        await client.create_order(SWAP, "market", "sell", 0.02, params={"reduceOnly": True})
        closed = await client.fetch_closed_orders(SWAP)
        assert [row["status"] for row in closed] == ["closed", "closed"]
        positions = await client.fetch_positions([SWAP])
        assert sum(position["contracts"] or 0 for position in positions) == 0

    trade(make, venue, day)


@EITHER
def test_spot_is_bought_and_sold(make: Any, venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        book = await client.fetch_order_book(SPOT, 1)
        await client.create_order(SPOT, "limit", "buy", 0.01, book["asks"][0][0] * 1.002)
        (fill, *_) = await client.fetch_my_trades(SPOT)
        assert fill["fee"]["currency"] == "BTC"
        await client.create_order(SPOT, "market", "sell", 0.005)
        sold = (await client.fetch_my_trades(SPOT))[-1]
        assert (sold["side"], sold["fee"]["currency"]) == ("sell", "USDT")

    trade(make, venue, day)


def test_the_account_is_watched(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        assert await client.watch_positions([SWAP]) == []  # how it starts, from REST
        (orders, fills, positions, balance), placed = await trading(
            client,
            client.watch_orders(SWAP),
            client.watch_my_trades(SWAP),
            client.watch_positions([SWAP]),
            client.watch_balance(),
        )
        assert {row["id"] for row in orders} <= placed
        assert {row["status"] for row in orders} == {"closed"}
        assert {fill["order"] for fill in fills} <= placed
        assert [position["side"] for position in positions] == ["long"]
        assert balance["USDT"]["total"] < 100_000
        resting = asyncio.ensure_future(client.watch_orders(SWAP))
        price = await far_bid(client, SWAP)
        order = await client.create_order(SWAP, "limit", "buy", 0.01, price)
        (row,) = [row for row in await resting if row["id"] == order["id"]]
        assert row["status"] == "open"
        await client.cancel_order(order["id"], SWAP)

        def gone(rows: Any) -> bool:
            return any(r["id"] == order["id"] and r["status"] == "canceled" for r in rows)

        await until(lambda: client.watch_orders(SWAP), gone)

    trade(ccxt.pro.bybit, venue, day)


# What is refused.


@EITHER
def test_refusals_are_ccxts_own_errors(make: Any, venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        with pytest.raises(ccxt.InsufficientFunds):
            await client.create_order(SWAP, "limit", "buy", 900, 60_000)
        with pytest.raises(ccxt.InvalidOrder):
            await client.create_order(SWAP, "limit", "buy", 0.01, 60_000, {"reduceOnly": True})
        client.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_positions([SWAP])

    trade(make, venue, day)
