"""The bundled exchange over real sockets: signatures, orders, rows and money."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.simulator_client import (
    Client,
    Socket,
    auth_request,
    run,
)

from fastbook.runtime.simulator.keys import ApiKey

BOOK = "orderbook.50.BTCUSDT"
ORDER = {"category": "linear", "symbol": "BTCUSDT"}


# Signatures.


def test_signatures_right_wrong_and_stale() -> None:
    async def scenario(client: Client) -> None:
        path, query = "/v5/account/wallet-balance", b"accountType=UNIFIED"

        async def code(**how: Any) -> int:
            return int((await client.signed("GET", path, query, **how))[1]["retCode"])

        assert await code() == 0
        assert await code(ahead_ms=900) == 0
        assert await code(ahead_ms=1500) == 10002
        assert await code(ahead_ms=-4500) == 0
        assert await code(ahead_ms=-5500) == 10002
        assert await code(ahead_ms=-5500, window="9000") == 0
        assert await code(window="soon") == 10002
        assert await code(sign="0" * 64) == 10004
        assert await code(sign="é") == 10004
        assert await code(key=ApiKey(1, "SOMEBODYELSE", client.key.api_secret)) == 10003
        assert await code(key=ApiKey(1, client.key.api_key, "wrong")) == 10004
        response, _ = await client.signed("GET", path, query, sign="")
        assert response.status == 401

    run(scenario)


def test_the_signature_is_of_the_bytes_that_were_sent() -> None:
    async def scenario(client: Client) -> None:
        path = "/v5/order/create"
        for body in (b'{"category": "linear"}', b'{"category":"linear"}', b"not json"):
            _, answer = await client.signed("POST", path, body)
            assert answer["retCode"] == 10001  # signed well, asks for nonsense
        query = b"category=linear&settleCoin=USDT&cursor=a%3A1"
        _, answer = await client.signed("GET", "/v5/order/realtime", query)
        assert answer["retCode"] == 0

    run(scenario)


def test_get_with_a_body_is_forbidden() -> None:
    async def scenario(client: Client) -> None:
        url = f"{client.endpoints.rest}/v5/market/time"
        async with client.http.get(url, data=b"{}") as response:
            assert response.status == 403

    run(scenario)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda args: args[:2],
        lambda args: [args[0], 1, args[2]],
        lambda args: [args[0], "soon", args[2]],
        lambda args: ["NOBODY", args[1], args[2]],
        lambda args: [args[0], args[1], "0" * 64],
        lambda args: [args[0], args[1], None],
        lambda args: [[], {}, True],
    ],
)
def test_bad_socket_credentials(spoil: Any) -> None:
    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(client.endpoints.ws_private) as ws:
            socket = Socket(ws)
            request = auth_request(client.key)
            await socket.send(request | {"args": spoil(request["args"])})
            answer = await socket.answer("auth")
            assert (answer["success"], answer["req_id"]) == (False, "auth-1")
            await socket.send({"op": "subscribe", "args": ["order"]})
            assert (await socket.answer("subscribe"))["success"] is False

    run(scenario)


def test_rate_limit_headers_and_refusal() -> None:
    async def scenario(client: Client) -> None:
        seen = []
        for _ in range(4):
            response, answer = await client.signed(
                "GET", "/v5/account/fee-rate", b"category=linear"
            )
            seen.append((answer["retCode"], response.headers["X-Bapi-Limit-Status"]))
            assert response.headers["X-Bapi-Limit"] == "3"
        assert seen == [(0, "2"), (0, "1"), (0, "0"), (10006, "0")]
        reset_ms = int(response.headers["X-Bapi-Limit-Reset-Timestamp"])
        assert 0 < reset_ms - time.time_ns() // 1_000_000 <= 1000

    run(scenario, queries_per_s_max=3)


# Orders.


def test_life_of_an_order_from_create_to_wallet() -> None:
    async def scenario(client: Client) -> None:
        async with client.private("order", "execution", "position", "wallet") as ws:
            made = await client.post(
                "/v5/order/create", **ORDER, side="Buy", orderType="Market", qty="0.01",
                orderLinkId="t-1",
            )  # fmt: skip
            assert (made["retCode"], made["result"]["orderLinkId"]) == (0, "t-1")
            order = (await ws.data("order"))["data"][0]
            assert (order["orderStatus"], order["orderLinkId"]) == ("Filled", "t-1")
            fills = (await ws.data("execution"))["data"]
            position = (await ws.data("position"))["data"][0]
            wallet = (await ws.data("wallet"))["data"][0]
        assert sum(Decimal(f["execQty"]) for f in fills) == Decimal("0.01")
        assert (position["side"], position["size"]) == ("Buy", "0.01")
        fees = sum(Decimal(f["execFee"]) for f in fills)
        assert Decimal(wallet["coin"][0]["walletBalance"]) == 100_000 - fees

        history = await client.ask("/v5/order/history", category="linear", orderLinkId="t-1")
        assert history["result"]["list"][0]["orderId"] == order["orderId"]
        listed = await client.ask("/v5/execution/list", **ORDER)
        assert {f["execId"] for f in listed["result"]["list"]} == {f["execId"] for f in fills}
        held = await client.ask("/v5/position/list", **ORDER)
        assert held["result"]["list"][0]["avgPrice"] == position["entryPrice"]
        balance = await client.ask("/v5/account/wallet-balance", accountType="UNIFIED")
        coin = balance["result"]["list"][0]["coin"][0]
        assert coin["walletBalance"] == wallet["coin"][0]["walletBalance"]
        state = (await client.state())["accounts"][0]
        assert Decimal(state["fees"]["USDT"]) == fees
        assert state["balances"]["USDT"] == coin["walletBalance"]

    run(scenario)


def test_resting_order_is_listed_cancelled_and_gone() -> None:
    async def scenario(client: Client) -> None:
        async with client.private("order.linear") as ws:
            made = await client.post(
                "/v5/order/create", **ORDER, side="Buy", orderType="Limit", qty="0.01",
                price="40000", timeInForce="PostOnly", orderLinkId="r-1",
            )  # fmt: skip
            assert made["retCode"] == 0
            frame = await ws.data("order.linear")
            assert frame["data"][0]["orderStatus"] == "New"
            listed = await client.ask("/v5/order/realtime", **ORDER)
            assert [row["orderLinkId"] for row in listed["result"]["list"]] == ["r-1"]
            again = await client.post(
                "/v5/order/create", **ORDER, side="Buy", orderType="Limit", qty="0.01",
                price="40000", orderLinkId="r-1",
            )  # fmt: skip
            assert again["retCode"] == 110072
            gone = await client.post("/v5/order/cancel", **ORDER, orderLinkId="r-1")
            assert gone["retCode"] == 0
            assert (await ws.data("order.linear"))["data"][0]["orderStatus"] == "Cancelled"
            listed = await client.ask("/v5/order/realtime", **ORDER)
            assert listed["result"]["list"] == []
            closed = await client.ask("/v5/order/realtime", **ORDER, openOnly=1)
            assert closed["result"]["list"][0]["cancelType"] == "CancelByUser"
            twice = await client.post("/v5/order/cancel", **ORDER, orderLinkId="r-1")
            assert twice["retCode"] == 110001

    run(scenario)


def test_cancel_all_and_paging_of_open_orders() -> None:
    async def scenario(client: Client) -> None:
        for number in range(7):
            await client.post(
                "/v5/order/create", **ORDER, side="Buy", orderType="Limit", qty="0.01",
                price=f"{40000 + number}", orderLinkId=f"p-{number}",
            )  # fmt: skip
        seen: list[str] = []
        cursor = ""
        while True:
            query = "category=linear&symbol=BTCUSDT&limit=3"
            query += f"&cursor={cursor}" if cursor else ""
            _, answer = await client.signed("GET", "/v5/order/realtime", query.encode())
            seen += [row["orderLinkId"] for row in answer["result"]["list"]]
            cursor = answer["result"]["nextPageCursor"]
            if not cursor:
                break
        assert seen == [f"p-{number}" for number in reversed(range(7))]
        answer = await client.post("/v5/order/cancel-all", category="linear", settleCoin="USDT")
        assert len(answer["result"]["list"]) == 7
        assert answer["result"]["success"] == "1"

    run(scenario)


def test_an_account_order_shows_in_the_public_book_and_its_trade_is_public() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe("publicTrade.BTCUSDT")
            await client.post(
                "/v5/order/create", **ORDER, side="Sell", orderType="Market", qty="0.013"
            )
            fills = (await client.ask("/v5/execution/list", **ORDER))["result"]["list"]
            wanted = {fill["execId"] for fill in fills}
            while wanted:
                trades = (await ws.data("publicTrade.BTCUSDT"))["data"]
                wanted -= {trade["i"] for trade in trades}

    run(scenario)


def test_accounts_do_not_see_each_other() -> None:
    async def scenario(client: Client) -> None:
        other = client.endpoints.accounts[1]
        async with client.private("order") as mine, client.private("order", key=other) as theirs:
            await client.post(
                "/v5/order/create", **ORDER, side="Buy", orderType="Limit", qty="0.01",
                price="40000",
            )  # fmt: skip
            await mine.data("order")
            await theirs.send({"op": "ping", "req_id": "p"})
            pong = await theirs.next()
            assert (pong["op"], pong["req_id"], list(pong)) == (
                "pong",
                "p",
                ["req_id", "op", "args", "conn_id"],
            )

    run(scenario, accounts=2)


def test_private_topic_forms_cannot_be_mixed() -> None:
    async def scenario(client: Client) -> None:
        async with client.private() as ws:
            await ws.send({"op": "subscribe", "args": ["order", "order.linear"]})
            assert (await ws.answer("subscribe"))["success"] is False
            await ws.send({"op": "subscribe", "args": ["orders"]})
            assert (await ws.answer("subscribe"))["success"] is False

    run(scenario)


def test_fast_fills_have_no_link_id_of_those_who_rested() -> None:
    async def scenario(client: Client) -> None:
        linear = {"category": "linear", "symbol": "BTCUSDT"}
        limits = (await client.get("/v5/market/price-limit", **linear))["result"]
        order = linear | {
            "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": limits["sellLmt"],
        }  # fmt: skip
        async with client.private("execution", "execution.fast") as ws:
            high = limits["buyLmt"]
            await client.post("/v5/order/create", **order, orderLinkId="rested")
            await client.post("/v5/order/amend", **linear, orderLinkId="rested", price=high)
            await client.post("/v5/order/create", **order | {"price": high}, orderLinkId="new")
            for link_id, shown in (("rested", ""), ("new", "new")):
                fast = (await ws.next())["data"][0]
                whole = (await ws.next())["data"][0]
                assert (whole["orderLinkId"], fast["orderLinkId"]) == (link_id, shown)
                assert fast["execId"] == whole["execId"]
                assert fast["isMaker"] is False
                assert not {"execFee", "leavesQty"} & fast.keys()

    run(scenario)
