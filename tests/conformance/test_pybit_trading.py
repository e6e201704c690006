"""More of pybit's day: amends, batches, settings, conditional orders, the trade stream, history."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.conformance.local_exchange import LocalExchange, until
from tests.conformance.pybit_session import (
    BTC,
    INVERSE,
    SPOT,
    Inbox,
    far_bid,
    http,
    point_pybit_at,
    refusal,
    stream,
    touch,
    trade_stream,
)

# Any in this file: pybit has no types; its answers are JSON.


@pytest.fixture(autouse=True)
def _urls(venue: LocalExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    point_pybit_at(venue, monkeypatch)


def bid(price: str, qty: str = "0.01", **more: str) -> dict[str, str]:
    return {"side": "Buy", "orderType": "Limit", "qty": qty, "price": price, **more}


def on_tick(price: Decimal) -> str:
    return str(price.quantize(Decimal("0.1")))


def above(price: str, ticks: int = 1) -> str:
    return str(Decimal(price) + ticks * Decimal("0.1"))


# What anybody may see.


@pytest.mark.parametrize("instrument", [BTC, SPOT], ids=["linear", "spot"])
def test_candles(instrument: dict[str, str]) -> None:
    with http() as session:
        rows = session.get_kline(**instrument, interval=1)["result"]["list"]
        assert [len(row) for row in rows] == [7] * len(rows)
        starts = [int(row[0]) for row in rows]
        assert starts == sorted(starts, reverse=True)


def test_limits_funding_and_status() -> None:
    with http() as session:
        limits = session.get_price_limit(**BTC)["result"]
        assert Decimal(limits["sellLmt"]) < Decimal(limits["buyLmt"])
        assert isinstance(session.get_funding_rate_history(**BTC)["result"]["list"], list)
        assert isinstance(session.get_system_status()["result"]["list"], list)


# Orders.


@pytest.mark.parametrize("instrument", [BTC, SPOT], ids=["linear", "spot"])
def test_amend(venue: LocalExchange, instrument: dict[str, str]) -> None:
    key = venue.next_key()
    orders = Inbox()
    with http(key) as session, stream("private", key) as socket:
        socket.order_stream(orders)
        price = far_bid(session, **instrument)
        placed = session.place_order(**instrument, **bid(price))["result"]["orderId"]
        orders.row(orderId=placed, orderStatus="New")
        session.amend_order(**instrument, orderId=placed, price=above(price), qty="0.02")
        (row,) = session.get_open_orders(**instrument)["result"]["list"]
        assert (row["orderId"], Decimal(row["qty"])) == (placed, Decimal("0.02"))
        assert Decimal(row["price"]) == Decimal(above(price))
        until(
            lambda: any(
                Decimal(r["qty"]) == Decimal("0.02") for m in orders.messages for r in m["data"]
            ),
            "the amended row",
        )
        session.cancel_order(**instrument, orderId=placed)
        gone = refusal(
            lambda: session.amend_order(**instrument, orderId=placed, price=above(price, 2))
        )
        assert gone in (110001, 170213)


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_batches(venue: LocalExchange, category: str) -> None:
    with http(venue.next_key()) as session:
        price = far_bid(session, category=category, symbol="BTCUSDT")
        requests = [
            {"symbol": "BTCUSDT", **bid(price, qty, orderLinkId=f"b-{n}")}
            for n, qty in enumerate(["0.01", "0", "0.02"])
        ]
        answer = session.place_batch_order(category=category, request=requests)
        codes = [item["code"] for item in answer["retExtInfo"]["list"]]
        assert codes[0] == codes[2] == 0
        assert codes[1] != 0
        made = [row["orderId"] for row in answer["result"]["list"]]
        assert made[1] == ""
        amends = [{"symbol": "BTCUSDT", "orderId": i, "qty": "0.03"} for i in (made[0], made[2])]
        answer = session.amend_batch_order(category=category, request=amends)
        assert [item["code"] for item in answer["retExtInfo"]["list"]] == [0, 0]
        rows = session.get_open_orders(category=category, symbol="BTCUSDT")["result"]["list"]
        assert {Decimal(row["qty"]) for row in rows} == {Decimal("0.03")}
        cancels = [{"symbol": "BTCUSDT", "orderId": i} for i in (made[0], made[2])]
        answer = session.cancel_batch_order(category=category, request=cancels)
        assert [item["code"] for item in answer["retExtInfo"]["list"]] == [0, 0]
        rows = session.get_open_orders(category=category, symbol="BTCUSDT")["result"]["list"]
        assert rows == []


def test_orders_over_the_trade_stream(venue: LocalExchange) -> None:
    key = venue.next_key()
    answers: list[Any] = []
    refused: list[Any] = []

    def last(count: int) -> Any:
        until(lambda: len(answers) + len(refused) >= count, f"{count} answers")
        return (answers + refused)[-1]

    with http(key) as session, trade_stream(key) as socket:
        price = far_bid(session, **BTC)
        socket.place_order(answers.append, refused.append, **BTC, **bid(price, orderLinkId="w"))
        made = last(1)
        assert (made["retCode"], made["op"], made["data"]["orderLinkId"]) == (
            0,
            "order.create",
            "w",
        )
        assert int(made["header"]["X-Bapi-Limit"]) > int(made["header"]["X-Bapi-Limit-Status"]) >= 0
        order_id = made["data"]["orderId"]
        socket.amend_order(answers.append, refused.append, **BTC, orderId=order_id, qty="0.02")
        assert last(2)["data"]["orderId"] == order_id
        (row,) = session.get_open_orders(**BTC)["result"]["list"]
        assert row["qty"] == "0.02"
        socket.cancel_order(answers.append, refused.append, **BTC, orderId=order_id)
        assert last(3)["op"] == "order.cancel"
        assert session.get_open_orders(**BTC)["result"]["list"] == []
        socket.cancel_order(answers.append, refused.append, **BTC, orderId=order_id)
        assert last(4)["retCode"] == 110001
        assert len(refused) == 1
        batch = [{"symbol": "BTCUSDT", **bid(price)} for _ in range(2)]
        socket.place_batch_order(answers.append, refused.append, category="linear", request=batch)
        until(lambda: len(answers) == 4, "the batch")
        assert [item["code"] for item in answers[3]["retExtInfo"]["list"]] == [0, 0]
        assert len(session.get_open_orders(**BTC)["result"]["list"]) == 2


def test_every_private_topic(venue: LocalExchange) -> None:
    key = venue.next_key()
    fast, fills, dcp = Inbox(), Inbox(), Inbox()
    with http(key) as session, stream("private", key) as socket:
        socket.fast_execution_stream(fast)
        socket.execution_stream(fills)
        socket.subscribe("dcp.future", dcp, symbol="")
        socket.order_stream(Inbox())
        socket.position_stream(Inbox())
        socket.wallet_stream(Inbox())
        order_id = session.place_order(**BTC, side="Buy", orderType="Market", qty="0.01")["result"][
            "orderId"
        ]
        quick = fast.row(orderId=order_id)
        assert "execFee" not in quick
        assert fills.row(execId=quick["execId"])["execPrice"] == quick["execPrice"]


# Conditional orders, and what is attached to a position.


def test_a_conditional_order_waits_and_fires(venue: LocalExchange) -> None:
    key = venue.next_key()
    orders = Inbox()
    with (
        http(key) as session,
        http(venue.next_key()) as other,
        stream("private", key) as socket,
    ):
        socket.order_stream(orders)
        trigger = touch(session, **BTC)[1] * Decimal("1.05")
        waiting = session.place_order(
            **BTC, side="Buy", orderType="Market", qty="0.01",
            triggerPrice=on_tick(trigger), triggerDirection=1,
        )["result"]["orderId"]  # fmt: skip
        orders.row(orderId=waiting, orderStatus="Untriggered")
        (row,) = session.get_open_orders(**BTC)["result"]["list"]
        assert (row["orderId"], row["orderStatus"]) == (waiting, "Untriggered")
        near = touch(session, **BTC)[1] + 5
        session.amend_order(**BTC, orderId=waiting, triggerPrice=on_tick(near))
        # Somebody else buys through that price.
        sweep = bid(on_tick(near + 5), "10", timeInForce="IOC")
        other.place_order(**BTC, **sweep)
        assert orders.row(orderId=waiting, orderStatus="Filled")["cumExecQty"] == "0.01"
        (position,) = session.get_positions(**BTC)["result"]["list"]
        assert position["size"] == "0.01"


def test_leverage_mode_and_trading_stop(venue: LocalExchange) -> None:
    with http(venue.next_key()) as session:
        session.set_leverage(**BTC, buyLeverage="5", sellLeverage="5")
        again = refusal(lambda: session.set_leverage(**BTC, buyLeverage="5", sellLeverage="5"))
        assert again == 110043
        session.place_order(**BTC, side="Buy", orderType="Market", qty="0.01")
        (position,) = session.get_positions(**BTC)["result"]["list"]
        assert Decimal(position["leverage"]) == 5
        bound = touch(session, **BTC)[0]
        stop = {
            "takeProfit": on_tick(bound * Decimal("1.2")),
            "stopLoss": on_tick(bound * Decimal("0.8")),
        }
        session.set_trading_stop(**BTC, tpslMode="Full", positionIdx=0, **stop)
        (position,) = session.get_positions(**BTC)["result"]["list"]
        assert {name: Decimal(position[name]) for name in stop} == {
            name: Decimal(value) for name, value in stop.items()
        }
        assert refusal(lambda: session.switch_position_mode(**BTC, mode=3)) == 110024
        session.place_order(**BTC, side="Sell", orderType="Market", qty="0.01", reduceOnly=True)
        (closed, *_) = until(
            lambda: session.get_closed_pnl(**BTC)["result"]["list"], "a closed position"
        )
        assert (closed["symbol"], closed["closedSize"]) == ("BTCUSDT", "0.01")
        session.switch_position_mode(**BTC, mode=3)
        rows = session.get_positions(**BTC)["result"]["list"]
        assert {row["positionIdx"] for row in rows} == {1, 2}


def test_account_settings(venue: LocalExchange) -> None:
    with http(venue.next_key()) as session:
        info = session.get_account_info()["result"]
        assert info["unifiedMarginStatus"] in (5, 6)
        assert info["marginMode"] == "REGULAR_MARGIN"
        coins = session.get_coin_info(coin="BTC")["result"]["rows"]
        assert [row["coin"] for row in coins] == ["BTC"]


def test_inverse(venue: LocalExchange) -> None:
    """Quantities in dollars, fees and profits in the coin."""
    with http(venue.next_key()) as session:
        session.place_order(**INVERSE, side="Buy", orderType="Market", qty="100")
        (position,) = session.get_positions(**INVERSE)["result"]["list"]
        assert (position["side"], position["size"]) == ("Buy", "100")
        fills = session.get_executions(**INVERSE)["result"]["list"]
        assert {row["feeCurrency"] for row in fills} == {"BTC"}
        paid = sum(Decimal(row["execFee"]) for row in fills)
        (account,) = session.get_wallet_balance(accountType="UNIFIED", coin="BTC")["result"]["list"]
        assert Decimal(account["coin"][0]["walletBalance"]) == 10 - paid


# Pages.


def test_pages_of_history(venue: LocalExchange) -> None:
    with http(venue.next_key()) as session:
        price = far_bid(session, **BTC)
        ids = []
        for _ in range(5):
            ids.append(session.place_order(**BTC, **bid(price))["result"]["orderId"])
            session.cancel_order(**BTC, orderId=ids[-1])
        seen, cursor = [], ""
        while True:
            page = session.get_order_history(**BTC, limit=2, cursor=cursor)["result"]
            seen += [row["orderId"] for row in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
        assert seen == ids[::-1]
