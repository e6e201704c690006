"""The bundled exchange's trade stream and batches, over real sockets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.integration.simulator_client import Client, Json, Socket, auth_request, run

from fastbook.runtime.simulator.keys import ApiKey
from fastbook.runtime.simulator.sessions import Refusal

ORDER = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "64000",
}  # fmt: skip


def order_request(req_id: str, op: str = "order.create", **args: Any) -> Json:
    header = {"X-BAPI-TIMESTAMP": str(time.time_ns() // 1_000_000), "X-BAPI-RECV-WINDOW": "5000"}
    return {"reqId": req_id, "header": header, "op": op, "args": [args]}


@asynccontextmanager
async def trading(client: Client, key: ApiKey | None = None) -> AsyncIterator[Socket]:
    async with client.http.ws_connect(client.endpoints.ws_trade) as ws:
        socket = Socket(ws)
        request = auth_request(key or client.key)
        request["reqId"] = request.pop("req_id")
        await socket.send(request)
        answer = await socket.answer("auth")
        assert answer.pop("connId")
        assert answer == {"reqId": "auth-1", "retCode": 0, "retMsg": "OK", "op": "auth"}
        yield socket


async def ask(ws: Socket, req_id: str, op: str = "order.create", **args: Any) -> Json:
    await ws.send(order_request(req_id, op, **args))
    return await ws.until(lambda frame: frame.get("reqId") == req_id)


def test_an_order_lives_on_the_trade_stream() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws, client.private("order") as private:
            made = await ask(ws, "c-1", **ORDER, orderLinkId="mine")
            assert list(made) == [
                *("reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId")
            ]
            assert (made["retCode"], made["retMsg"], made["op"]) == (0, "OK", "order.create")
            assert made["data"]["orderLinkId"] == "mine"
            assert set(made["header"]) == {
                "X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp",
                "Traceid", "Timenow",
            }  # fmt: skip
            assert all(isinstance(value, str) for value in made["header"].values())
            row = (await private.data("order"))["data"][0]
            assert (row["orderStatus"], row["orderId"]) == ("New", made["data"]["orderId"])
            name = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "mine"}
            amended = await ask(ws, "a-1", "order.amend", **name, price="63999")
            assert amended["retCode"] == 0
            assert (await private.data("order"))["data"][0]["price"] == "63999"
            assert (await ask(ws, "x-1", "order.cancel", **name))["retCode"] == 0
            gone = await ask(ws, "x-2", "order.cancel", **name)
            assert (gone["retCode"], gone["data"]) == (110001, {})
            assert "header" in gone

    run(scenario)


def test_the_gateway_refuses_without_header_and_data() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:
            assert (await ask(ws, "1", **ORDER))["retCode"] == 0
            refused = await ask(ws, "1", **ORDER)
            assert refused.pop("connId")
            assert refused == {
                "reqId": "1", "retCode": 20006, "retMsg": "Duplicate reqId", "op": "order.create",
            }  # fmt: skip
            assert (await ask(ws, "2", "order.nothing", **ORDER))["retCode"] == 10404
            assert (await ask(ws, "3", **{**ORDER, "category": "cash"}))["retCode"] == 10404
            assert (await ask(ws, "r" * 37, **ORDER))["retCode"] == 10001
            for number, header in enumerate(({}, {"X-BAPI-TIMESTAMP": "1"}, None)):
                request = order_request(f"h{number}", **ORDER) | {"header": header}
                await ws.send(request)
                assert (await ws.next())["retCode"] == 10002
            request = order_request("n", **ORDER)
            request["header"]["X-BAPI-TIMESTAMP"] = int(request["header"]["X-BAPI-TIMESTAMP"])
            await ws.send(request)  # a number, as pybit sends it
            assert (await ws.next())["retCode"] == 0
            await ws.send(order_request("m", **ORDER) | {"args": []})
            assert (await ws.next())["retCode"] == 10001
            await ws.send(auth_request(client.key))
            assert (await ws.next())["retCode"] == 20001
            await ws.send(b"nonsense")
            assert (await ws.next())["retCode"] == 10001
            await ws.send({"op": "ping"})
            pong = await ws.next()
            assert (pong["op"], pong["retMsg"], len(pong["data"])) == ("pong", "OK", 1)

    run(scenario)


def test_who_may_trade() -> None:
    async def scenario(client: Client) -> None:
        keys = {key.kind: key for key in client.sim.keys}
        async with client.http.ws_connect(client.endpoints.ws_trade) as raw:
            ws = Socket(raw)
            assert (await ask(ws, "1", **ORDER))["retCode"] == 10003
            for key, code in (
                (ApiKey(1, "NOBODY", "x"), 10003),
                (ApiKey(1, client.key.api_key, "wrong"), 10004),
                (keys["read"], 10005),
            ):
                await ws.send(auth_request(key))
                assert (await ws.next())["retCode"] == code
            await ws.send(auth_request(client.key, ahead_ms=-1))
            assert (await ws.next())["retCode"] == 10001
        async with trading(client, keys["spot"]) as ws:
            refused = await ask(ws, "1", **ORDER)
            assert refused["retCode"] == 10005
            assert "header" not in refused
        assert (await client.post("/v5/order/create", **ORDER))["retCode"] == 0
        for kind, code in (("read", 10005), ("spot", 10005), ("derivatives", 0)):
            _, answer = await client.signed(
                "POST", "/v5/order/cancel-all", b'{"category":"linear","symbol":"BTCUSDT"}',
                key=keys[kind],
            )  # fmt: skip
            assert answer["retCode"] == code
        _, info = await client.signed("GET", "/v5/user/query-api", b"", key=keys["read"])
        assert info["result"]["readOnly"] == 1

    run(scenario, keys=("trade", "read", "derivatives", "spot"))


def batch(*items: Json) -> Json:
    return {"category": "linear", "request": list(items)}


def item(link: str, **changes: Any) -> Json:
    return {k: v for k, v in ORDER.items() if k != "category"} | {"orderLinkId": link} | changes


@pytest.mark.parametrize("way", ["rest", "stream"])
def test_batches_answer_for_each_order(way: str) -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:

            async def send(what: str, body: Json) -> tuple[list[Json], list[Json]]:
                if way == "rest":
                    answer = await client.post(f"/v5/order/{what}-batch", **body)
                    result = answer["result"]
                else:
                    answer = await ask(ws, f"b-{what}", f"order.{what}-batch", **body)
                    result = answer["data"]
                assert answer["retCode"] == 0
                return result["list"], answer["retExtInfo"]["list"]

            rows, codes = await send(
                "create", batch(item("b-1"), item("b-2", qty="999999"), item("b-3"))
            )
            assert [code["code"] for code in codes] == [0, 10001, 0]
            assert [bool(row["orderId"]) for row in rows] == [True, False, True]
            assert [row["orderLinkId"] for row in rows] == ["b-1", "b-2", "b-3"]
            assert rows[0]["createAt"].isdigit()
            assert rows[1]["createAt"] == ""
            name = {"symbol": "BTCUSDT"}
            rows, codes = await send(
                "amend",
                batch(
                    {**name, "orderLinkId": "b-1", "price": "63990"},
                    {**name, "orderLinkId": "b-2", "price": "63990"},
                ),
            )
            assert [code["code"] for code in codes] == [0, 110001]
            assert "createAt" not in rows[0]
            rows, codes = await send(
                "cancel", batch({**name, "orderId": rows[0]["orderId"]}, {**name}, {"x": 1})
            )
            assert [code["code"] for code in codes] == [0, 10001, 10001]
            left = await client.ask("/v5/order/realtime", category="linear", symbol="BTCUSDT")
            assert [row["orderLinkId"] for row in left["result"]["list"]] == ["b-3"]

    run(scenario)


def test_a_batch_beyond_the_rate_fails_at_its_tail() -> None:
    async def scenario(client: Client) -> None:
        first = await client.post(
            "/v5/order/create-batch", **batch(*(item(f"l-{n}") for n in range(12)))
        )
        codes = [row["code"] for row in first["retExtInfo"]["list"]]
        assert codes == [0] * 10 + [10006] * 2
        single = await client.post("/v5/order/create", **ORDER)  # has a budget of its own
        assert single["retCode"] == 0
        too_many = batch(*(item(f"m-{n}") for n in range(21)))
        assert (await client.post("/v5/order/create-batch", **too_many))["retCode"] == 10001

    run(scenario, tier="default")


def test_single_orders_share_one_budget_on_both_ways_in() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:
            for number in range(5):
                made = await ask(ws, str(number), **ORDER)
                assert made["header"]["X-Bapi-Limit-Status"] == str(9 - 2 * number)
                await client.post("/v5/order/create", **ORDER)
            refused = await ask(ws, "last", **ORDER)
            assert refused["retCode"] == 10006
            response, answer = await client.signed("POST", "/v5/order/create", b"{}")
            # Another category's bucket: the request itself is what is wrong.
            assert answer["retCode"] == 10001
            assert response.headers["X-Bapi-Limit"] == "10"

    run(scenario, tier="default")


def test_an_address_that_asks_too_often_is_banned_for_a_while() -> None:
    async def scenario(client: Client) -> None:
        url = f"{client.endpoints.rest}/v5/market/time"
        statuses = []
        for _ in range(7):
            async with client.http.get(url) as response:
                statuses.append(response.status)
        assert statuses == [200] * 5 + [403] * 2
        response, _ = await client.signed("GET", "/v5/account/info", b"")
        assert response.status == 403
        await client.fault(kind="ban", seconds=0)
        assert (await client.ask("/v5/account/info"))["result"]["unifiedMarginStatus"] == 5

    run(scenario, ip_requests_max=5)


def test_silence_longer_than_promised_cuts_trade_and_private_streams() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws, client.private("order") as private:
            for session in (*client.sim.trade.sessions, *client.sim.private.sessions):
                assert session.idle_s == 600
                session.idle_s = 0.0
            await ws.until_cut()
            await private.until_cut()
        async with client.http.ws_connect(f"{client.endpoints.ws_private}?max_active_time=1m"):
            (session,) = client.sim.private.sessions
            assert session.idle_s == 60

    run(scenario)


def test_a_stream_that_is_not_let_in_answers_with_a_status() -> None:
    async def scenario(client: Client) -> None:
        for host in (client.sim.trade, client.sim.private):
            host.upgrade_errors.append(Refusal(502))
        for url in (client.endpoints.ws_trade, client.endpoints.ws_private):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.http.ws_connect(url)
            assert refused.value.status == 502

    run(scenario)
