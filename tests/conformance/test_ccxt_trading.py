"""More of ccxt's day: edits, batches, settings, candles, the trade stream.

With ccxt.pro, whose REST methods are those of the async client.
"""

from __future__ import annotations

from typing import Any

import ccxt.pro
import pytest
from tests.conformance.ccxt_session import INVERSE, MARKETS, SWAP, far_bid, trade, trading
from tests.conformance.local_exchange import LocalExchange

# Any in this file: ccxt's structures are plain dicts.


@MARKETS
def test_candles_over_rest(venue: LocalExchange, symbol: str) -> None:
    async def day(client: Any) -> None:
        for _, opened, high, low, close, _ in await client.fetch_ohlcv(symbol, "1m"):
            assert low <= min(opened, close) <= max(opened, close) <= high

    trade(ccxt.pro.bybit, venue, day, anonymous=True)


def test_funding(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        rate = await client.fetch_funding_rate(SWAP)
        assert rate["fundingRate"] is not None
        assert isinstance(await client.fetch_funding_rate_history(SWAP), list)

    trade(ccxt.pro.bybit, venue, day, anonymous=True)


@MARKETS
def test_edit(venue: LocalExchange, symbol: str) -> None:
    async def day(client: Any) -> None:
        price = await far_bid(client, symbol)
        order = await client.create_order(symbol, "limit", "buy", 0.01, price)
        new = float(client.price_to_precision(symbol, price * 0.999))
        await client.edit_order(order["id"], symbol, "limit", "buy", 0.02, new)
        row = await client.fetch_open_order(order["id"], symbol)
        assert (row["price"], row["amount"], row["status"]) == (new, 0.02, "open")

    trade(ccxt.pro.bybit, venue, day)


@MARKETS
def test_several_orders_at_once(venue: LocalExchange, symbol: str) -> None:
    async def day(client: Any) -> None:
        price = await far_bid(client, symbol)
        wanted = [
            {"symbol": symbol, "type": "limit", "side": "buy", "amount": amount, "price": price}
            for amount in (0.01, 0.02)
        ]
        made = await client.create_orders(wanted)
        rows = await client.fetch_open_orders(symbol)
        assert {row["id"] for row in rows} == {row["id"] for row in made}
        await client.cancel_orders([row["id"] for row in made], symbol)
        assert await client.fetch_open_orders(symbol) == []

    trade(ccxt.pro.bybit, venue, day)


def test_settings(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        await client.set_leverage(5, SWAP)
        await client.create_order(SWAP, "market", "buy", 0.01)
        (position,) = await client.fetch_positions([SWAP])
        assert position["leverage"] == 5
        await client.create_order(SWAP, "market", "sell", 0.01, params={"reduceOnly": True})
        await client.set_position_mode(True, SWAP)
        await client.create_order(SWAP, "market", "buy", 0.01, params={"positionIdx": 1})
        await client.create_order(SWAP, "market", "sell", 0.02, params={"positionIdx": 2})
        sides = {p["side"]: p["contracts"] for p in await client.fetch_positions([SWAP])}
        assert sides == {"long": 0.01, "short": 0.02}

    trade(ccxt.pro.bybit, venue, day)


def test_a_trigger_order(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        price = await far_bid(client, SWAP)
        order = await client.create_order(
            SWAP, "limit", "sell", 0.01, price,
            {"triggerPrice": price, "triggerDirection": "descending"},
        )  # fmt: skip
        (row,) = await client.fetch_open_orders(SWAP, params={"trigger": True})
        assert (row["id"], row["status"]) == (order["id"], "open")
        assert row["triggerPrice"] == price
        await client.cancel_order(order["id"], SWAP)
        assert await client.fetch_open_orders(SWAP, params={"trigger": True}) == []

    trade(ccxt.pro.bybit, venue, day)


def test_a_take_profit_and_a_stop_loss_come_with_an_order(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        price = await far_bid(client, SWAP)
        await client.create_order(
            SWAP, "market", "buy", 0.01,
            params={
                "takeProfit": {"triggerPrice": price * 1.2},
                "stopLoss": {"triggerPrice": price * 0.8},
            },
        )  # fmt: skip
        (position,) = await client.fetch_positions([SWAP])
        assert position["takeProfitPrice"] == pytest.approx(price * 1.2, abs=0.1)
        assert position["stopLossPrice"] == pytest.approx(price * 0.8, abs=0.1)

    trade(ccxt.pro.bybit, venue, day)


@MARKETS
def test_orders_over_the_trade_stream(venue: LocalExchange, symbol: str) -> None:
    async def day(client: Any) -> None:
        price = await far_bid(client, symbol)
        made = await client.create_order_ws(symbol, "limit", "buy", 0.01, price)
        await client.edit_order_ws(made["id"], symbol, "limit", "buy", 0.02, price)
        row = await client.fetch_open_order(made["id"], symbol)
        assert (row["amount"], row["price"]) == (0.02, price)
        await client.cancel_order_ws(made["id"], symbol)
        assert await client.fetch_open_orders(symbol) == []
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order_ws(made["id"], symbol)

    trade(ccxt.pro.bybit, venue, day)


def test_positions_of_everything_are_watched(venue: LocalExchange) -> None:
    """Without a symbol: ccxt first asks for the positions of every category and settle coin."""

    async def day(client: Any) -> None:
        assert await client.watch_positions() == []
        (positions,), _ = await trading(client, client.watch_positions())
        assert {position["symbol"] for position in positions} == {SWAP}

    trade(ccxt.pro.bybit, venue, day)


def test_inverse(venue: LocalExchange) -> None:
    async def day(client: Any) -> None:
        assert client.market(INVERSE)["settle"] == "BTC"
        await client.create_order(INVERSE, "market", "buy", 100)
        (position,) = await client.fetch_positions([INVERSE])
        assert (position["side"], position["contracts"]) == ("long", 100)
        fills = await client.fetch_my_trades(INVERSE)
        assert {fill["fee"]["currency"] for fill in fills} == {"BTC"}
        book = await client.watch_order_book(INVERSE, 50)
        assert book["bids"][0][0] < book["asks"][0][0]

    trade(ccxt.pro.bybit, venue, day)
