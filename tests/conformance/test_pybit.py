"""A trading day of pybit, unmodified, at the bundled exchange: what it sees, orders, fills, refusals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pybit.exceptions import InvalidRequestError
from tests.conformance.local_exchange import Key, LocalExchange, sides_of, until
from tests.conformance.pybit_session import (
    BTC,
    SPOT,
    Books,
    Inbox,
    far_bid,
    http,
    point_pybit_at,
    refusal,
    stream,
)

# Any in this file: pybit has no types; its answers are JSON.


@pytest.fixture(autouse=True)
def _urls(venue: LocalExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    point_pybit_at(venue, monkeypatch)


# The morning: what anybody may see.


@pytest.mark.parametrize("instrument", [BTC, SPOT], ids=["linear", "spot"])
def test_market_data_over_rest(instrument: dict[str, str]) -> None:
    with http() as session:
        second = int(session.get_server_time()["result"]["timeSecond"])
        assert second > 1_700_000_000
        (info,) = session.get_instruments_info(**instrument)["result"]["list"]
        assert info["symbol"] == "BTCUSDT"
        (ticker,) = session.get_tickers(**instrument)["result"]["list"]
        assert Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"])
        book = session.get_orderbook(**instrument, limit=20)["result"]
        assert len(book["b"]) == len(book["a"]) == 20

        def trades() -> Any:
            return session.get_public_trade_history(**instrument, limit=5)["result"]["list"]

        assert until(trades, "a public trade")[0]["symbol"] == "BTCUSDT"


@pytest.mark.parametrize("channel", ["linear", "spot"])
@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_the_book_is_the_exchanges(venue: LocalExchange, channel: str, depth: int) -> None:
    topic = f"orderbook.{depth}.BTCUSDT"
    books = Books()
    with stream(channel) as socket:
        socket.orderbook_stream(depth, "BTCUSDT", books)
        until(lambda: books.at, "a snapshot")
        for _ in range(3):
            known = max(books.at)
            until(lambda: max(books.at) > known, "a delta")  # noqa: B023
            u, sides = venue.published(channel, topic)
            until(lambda: u in books.at, f"u {u}")  # noqa: B023
            assert books.at[u] == sides
            assert max(sides[0]) < min(sides[1])
            assert max(map(len, sides)) <= depth
    assert sorted(books.at) == list(range(min(books.at), max(books.at) + 1))


def test_the_deepest_book_is_that_of_rest(venue: LocalExchange) -> None:
    books = Books()
    with http() as session, stream("linear") as socket:
        socket.orderbook_stream(1000, "BTCUSDT", books)
        until(lambda: len(books.at) > 1, "a delta")
        book = session.get_orderbook(**BTC, limit=1000)["result"]
        until(lambda: book["u"] in books.at, f"u {book['u']}")
        assert books.at[book["u"]] == sides_of(book["b"], book["a"])


@pytest.mark.parametrize("channel", ["linear", "spot"])
def test_public_trades_and_tickers(channel: str) -> None:
    trades, ticker = Inbox(), Inbox()
    with stream(channel) as socket:
        socket.trade_stream("BTCUSDT", trades)
        socket.ticker_stream("BTCUSDT", ticker)
        for row in trades.wait()[0]["data"]:
            assert row["s"] == "BTCUSDT"
            assert row["S"] in ("Buy", "Sell")
        last = ticker.wait(3)[-1]["data"]
        assert last["symbol"] == "BTCUSDT"
        assert Decimal(last["lastPrice"]) > 0


# The day: orders, and what comes of them.


@pytest.mark.parametrize("instrument", [BTC, SPOT], ids=["linear", "spot"])
def test_place_and_cancel(venue: LocalExchange, instrument: dict[str, str]) -> None:
    with http(venue.next_key()) as session:
        price = far_bid(session, **instrument)
        order = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price}
        placed = session.place_order(**instrument, **order, orderLinkId="mine-1")["result"]
        assert placed["orderLinkId"] == "mine-1"
        (row,) = session.get_open_orders(**instrument)["result"]["list"]
        assert (row["orderId"], row["orderStatus"]) == (placed["orderId"], "New")
        assert Decimal(row["price"]) == Decimal(price)
        with pytest.raises(InvalidRequestError) as refused:
            session.place_order(**instrument, **order, orderLinkId="mine-1")
        assert refused.value.status_code in (110072, 170141)
        assert session.cancel_order(**instrument, orderId=placed["orderId"])["retCode"] == 0
        assert session.get_open_orders(**instrument)["result"]["list"] == []
        (row,) = session.get_order_history(**instrument, limit=1)["result"]["list"]
        assert (row["orderId"], row["orderStatus"]) == (placed["orderId"], "Cancelled")
        with pytest.raises(InvalidRequestError) as refused:
            session.cancel_order(**instrument, orderId=placed["orderId"])
        assert refused.value.status_code in (110001, 170213)


def test_cancel_all(venue: LocalExchange) -> None:
    with http(venue.next_key()) as session:
        price = far_bid(session, **BTC)
        ids = {
            session.place_order(**BTC, side="Buy", orderType="Limit", qty="0.01", price=price)[
                "result"
            ]["orderId"]
            for _ in range(3)
        }
        cancelled = session.cancel_all_orders(**BTC)["result"]["list"]
        assert {row["orderId"] for row in cancelled} == ids
        assert session.get_open_orders(**BTC)["result"]["list"] == []


def test_a_fill_everywhere_it_shows(venue: LocalExchange) -> None:
    """One market order: its order row, executions, position and wallet, by stream and by REST."""
    key = venue.next_key()
    inboxes = {name: Inbox() for name in ("order", "execution", "position", "wallet")}
    with http(key) as session, stream("private", key) as socket:
        socket.order_stream(inboxes["order"])
        socket.execution_stream(inboxes["execution"])
        socket.position_stream(inboxes["position"])
        socket.wallet_stream(inboxes["wallet"])
        until(lambda: socket.auth, "auth")
        rest = session.place_order(
            **BTC, side="Buy", orderType="Limit", qty="0.01", price=far_bid(session, **BTC)
        )["result"]
        inboxes["order"].row(orderId=rest["orderId"], orderStatus="New")
        session.cancel_order(**BTC, orderId=rest["orderId"])
        gone = inboxes["order"].row(orderId=rest["orderId"], orderStatus="Cancelled")
        assert gone["cancelType"] == "CancelByUser"
        order_id = session.place_order(**BTC, side="Buy", orderType="Market", qty="0.02")["result"][
            "orderId"
        ]
        filled = inboxes["order"].row(orderId=order_id, orderStatus="Filled")
        assert filled["cumExecQty"] == "0.02"
        held = inboxes["position"].row(symbol="BTCUSDT", size="0.02")
        assert held["side"] == "Buy"

        fills = session.get_executions(**BTC, orderId=order_id)["result"]["list"]
        streamed = [inboxes["execution"].row(execId=fill["execId"]) for fill in fills]
        assert [row["execFee"] for row in streamed] == [row["execFee"] for row in fills]
        assert sum(Decimal(row["execQty"]) for row in fills) == Decimal("0.02")
        value = sum(Decimal(row["execValue"]) for row in fills)
        assert Decimal(filled["cumExecValue"]) == value

        (position,) = session.get_positions(**BTC)["result"]["list"]
        assert (position["size"], position["side"]) == ("0.02", "Buy")
        assert position["avgPrice"] == held["entryPrice"]
        assert Decimal(position["avgPrice"]) == pytest.approx(value / Decimal("0.02"))
        (account,) = session.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"][
            "list"
        ]
        fees = sum(Decimal(row["execFee"]) for row in fills)
        (coin,) = account["coin"]
        assert Decimal(coin["walletBalance"]) == Decimal(100_000) - fees
        until(
            lambda: any(
                coin["coin"] == "USDT" and Decimal(coin["walletBalance"]) == 100_000 - fees
                for message in inboxes["wallet"].messages
                for row in message["data"]
                for coin in row["coin"]
            ),
            "the wallet",
        )


def test_spot_fees_are_taken_from_what_is_received(venue: LocalExchange) -> None:
    with http(venue.next_key()) as session:
        order_id = session.place_order(
            **SPOT, side="Buy", orderType="Market", qty="0.01", marketUnit="baseCoin"
        )["result"]["orderId"]
        fills = session.get_executions(**SPOT, orderId=order_id)["result"]["list"]
        assert {row["feeCurrency"] for row in fills} == {"BTC"}
        (account,) = session.get_wallet_balance(accountType="UNIFIED", coin="BTC")["result"]["list"]
        (coin,) = account["coin"]
        fees = sum(Decimal(row["execFee"]) for row in fills)
        assert Decimal(coin["walletBalance"]) == Decimal("10.01") - fees


def test_what_the_account_is(venue: LocalExchange) -> None:
    key = venue.next_key()
    with http(key) as session:
        assert session.get_api_key_information()["result"]["apiKey"] == key.api_key
        (rates,) = session.get_fee_rates(**BTC)["result"]["list"]
        assert (rates["makerFeeRate"], rates["takerFeeRate"]) == ("0.0002", "0.00055")


# What is refused.


def test_refusals_reach_the_client_with_the_venues_codes(venue: LocalExchange) -> None:
    key = venue.next_key()
    limit = BTC | {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "60000"}
    with http(key) as session:
        assert refusal(lambda: session.place_order(**(limit | {"symbol": "XXXUSDT"}))) == 10001
        assert refusal(lambda: session.place_order(**(limit | {"qty": "0"}))) == 10001
        assert refusal(lambda: session.place_order(**(limit | {"qty": "900"}))) == 110007
        assert refusal(lambda: session.place_order(**limit, reduceOnly=True)) == 110017
        assert refusal(lambda: session.cancel_order(**BTC, orderId="no-such-order")) == 110001
    with http(Key(key.api_key, "wrong")) as session:
        assert refusal(lambda: session.get_positions(**BTC)) == 10004
    with http(Key("unknown", "wrong")) as session:
        assert refusal(lambda: session.get_positions(**BTC)) in (10003, 401)
