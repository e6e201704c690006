"""Faults of orders, accounts, history and REST: each does what the page says."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest
from tests.integration.simulator_client import Client, run
from tests.integration.test_simulator_trade import trading

BTC = {"category": "linear", "symbol": "BTCUSDT"}
MARKET = BTC | {"orderType": "Market"}
LIMIT = BTC | {"orderType": "Limit", "side": "Buy", "qty": "0.001"}


async def passive(client: Client, **more: Any) -> dict[str, Any]:
    """Parameters of a bid far from the market."""
    limits = (await client.get("/v5/market/price-limit", **BTC))["result"]
    return LIMIT | {"price": f"{float(limits['sellLmt']) * 1.001:.1f}"} | more


async def found(client: Client, link_id: str, path: str = "/v5/order/realtime") -> int:
    answer = await client.ask(path, **BTC, orderLinkId=link_id)
    return len(answer["result"]["list"])


def test_answers_and_requests_are_lost() -> None:
    async def scenario(client: Client) -> None:
        order = await passive(client)
        for how in ("cut", "silent"):
            await client.fault(kind="lost_answer", how=how)
            with pytest.raises((aiohttp.ClientError, TimeoutError)):
                async with asyncio.timeout(0.3):
                    await client.post("/v5/order/create", **order, orderLinkId=how)
            assert await found(client, how) == 1
        await client.fault(kind="lost_request")
        with pytest.raises(aiohttp.ClientError):
            await client.post("/v5/order/create", **order, orderLinkId="never")
        assert await found(client, "never") == 0
        await client.fault(kind="lost_answer", operation="cancel")
        with pytest.raises(aiohttp.ClientError):
            await client.post("/v5/order/cancel", **BTC, orderLinkId="cut")
        assert await found(client, "cut", "/v5/order/history") == 1
        refused = await client.fault(kind="lost_answer", operation="x")
        assert refused["status"] == 400

    run(scenario)


def test_the_trade_stream_loses_them_too() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:
            await client.fault(kind="stray_answer", n=2)
            for number in range(2):
                assert (await ws.next())["reqId"] == f"stray-{number}"
            await client.fault(kind="lost_request")
            order = await passive(client, orderLinkId="never")
            await ws.send({"reqId": "3", "op": "order.create", "args": [order],
                           "header": await stamp(client)})  # fmt: skip
            await ws.until_cut()
            assert await found(client, "never") == 0

    run(scenario)


async def stamp(client: Client) -> dict[str, str]:
    return {"X-BAPI-TIMESTAMP": str((await client.get("/v5/market/time"))["time"])}


def test_a_silent_answer_on_the_trade_stream() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:
            await client.fault(kind="lost_answer", how="silent")
            header = await stamp(client)
            order = await passive(client)
            for name in ("1", "2"):
                await ws.send({"reqId": name, "op": "order.create", "header": header,
                               "args": [order | {"orderLinkId": name}]})  # fmt: skip
            assert (await ws.next())["reqId"] == "2"
            assert await found(client, "1") == 1

    run(scenario)


def test_a_create_is_carried_out_after_everybody_has_given_up() -> None:
    async def scenario(client: Client) -> None:
        order = await passive(client, orderLinkId="late")
        async with client.private("order") as ws:
            await client.fault(kind="late_create", ms=200)
            with pytest.raises(aiohttp.ClientError):
                await client.post("/v5/order/create", **order)
            assert await found(client, "late") == 0
            row = (await ws.data("order"))["data"][0]
            assert (row["orderLinkId"], row["orderStatus"]) == ("late", "New")

    run(scenario)


def test_refused_by_stream_after_the_answer() -> None:
    async def scenario(client: Client) -> None:
        async with client.private("order") as ws:
            await client.fault(kind="late_reject")
            made = await client.post("/v5/order/create", **await passive(client))
            assert made["retCode"] == 0
            row = (await ws.data("order"))["data"][0]
            assert (row["orderId"], row["orderStatus"], row["rejectReason"]) == (
                made["result"]["orderId"], "Rejected", "EC_Others",
            )  # fmt: skip
            made = await client.post("/v5/order/create", **await passive(client))
            assert (await ws.data("order"))["data"][0]["orderStatus"] == "New"

    run(scenario)


def test_codes_for_every_operation_and_limits_with_a_wrong_reset() -> None:
    async def scenario(client: Client) -> None:
        order = await passive(client, orderLinkId="x")
        await client.fault(kind="order_error", code=110001, operation="cancel")
        await client.fault(kind="order_error", code=110079, operation="amend")
        assert (await client.post("/v5/order/create", **order))["retCode"] == 0
        named = BTC | {"orderLinkId": "x"}
        assert (await client.post("/v5/order/amend", **named, qty="0.002"))["retCode"] == 110079
        assert (await client.post("/v5/order/cancel", **named))["retCode"] == 110001
        assert (await client.post("/v5/order/cancel", **named))["retCode"] == 0
        await client.fault(kind="rate_limited", reset_ms=90_000)
        response, answer = await client.signed("POST", "/v5/order/create", b"{}")
        assert (answer["retCode"], response.headers["X-Bapi-Limit-Status"]) == (10006, "0")
        ahead = int(response.headers["X-Bapi-Limit-Reset-Timestamp"]) - answer["time"]
        assert 89_000 < ahead <= 90_000
        await client.fault(kind="key_error", code=10010, message="Unmatched IP")
        assert (await client.ask("/v5/account/info"))["retCode"] == 10010
        assert (await client.ask("/v5/account/info"))["retCode"] == 0

    run(scenario)


def test_positions_change_by_the_hand_of_others() -> None:
    async def scenario(client: Client) -> None:
        async with client.private("execution", "position") as ws:
            outside = {"kind": "outside", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.02"}
            await client.fault(**outside, exec_type="MovePosition")
            assert (await ws.data("execution"))["data"][0]["execType"] == "MovePosition"
            await client.fault(kind="adl", symbol="BTCUSDT", qty="0.005")
            row = (await ws.data("execution"))["data"][0]
            assert (row["execType"], row["execQty"]) == ("AdlTrade", "0.005")
            await client.fault(kind="liquidate", symbol="BTCUSDT")
            row = (await ws.data("execution"))["data"][0]
            assert (row["execType"], row["createType"]) == ("BustTrade", "CreateByLiq")
            assert (await client.fault(kind="adl", symbol="BTCUSDT"))["status"] == 400
            assert (await client.fault(kind="liquidate", symbol="NO"))["status"] == 400
            assert (await client.fault(**outside, exec_type="Gift"))["status"] == 400
        await client.fault(kind="setting", symbol="BTCUSDT", leverage="7", mode=3)
        rows = (await client.ask("/v5/position/list", **BTC))["result"]["list"]
        assert [(row["positionIdx"], row["leverage"]) for row in rows] == [(1, "7"), (2, "7")]
        refused = await client.post("/v5/order/create", **MARKET, side="Buy", qty="0.01")
        assert refused["retCode"] == 10001
        await client.fault(kind="reduce_only", symbol="BTCUSDT")
        order = MARKET | {"positionIdx": 1, "side": "Buy", "qty": "0.01"}
        assert (await client.post("/v5/order/create", **order))["retCode"] == 110023

    run(scenario)


def test_a_symbol_changes_its_steps_and_stops_trading() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe("orderbook.50.BTCUSDT")
            await ws.data("orderbook.50.BTCUSDT")
            order = await passive(client)
            await client.fault(kind="filters", category="linear", symbol="BTCUSDT", tick="0.5",
                               lot="0.01")  # fmt: skip
            while True:
                frame = await ws.data("orderbook.50.BTCUSDT")
                if frame["data"]["u"] == 1:
                    break
            assert frame["type"] == "snapshot"
            (info,) = (await client.get("/v5/market/instruments-info", **BTC))["result"]["list"]
            assert info["priceFilter"]["tickSize"] == "0.50"
            assert info["lotSizeFilter"]["qtyStep"] == "0.010"
            px = order["price"].partition(".")[0]
            for price, qty, code in ((f"{px}.1", "0.01", 10001), (f"{px}.5", "0.001", 10001),
                                     (f"{px}.5", "0.01", 0)):  # fmt: skip
                answer = await client.post(
                    "/v5/order/create", **order | {"price": price, "qty": qty}
                )
                assert answer["retCode"] == code, (price, qty)
            status = {"kind": "symbol_status", "category": "linear", "symbol": "BTCUSDT"}
            assert (await client.fault(**status, status="Closed"))["hit"] == 1
            while frame["data"]["b"] or frame["data"]["a"] or frame["type"] == "delta":
                frame = await ws.data("orderbook.50.BTCUSDT")
            order |= {"price": f"{px}.5", "qty": "0.01"}
            assert (await client.post("/v5/order/create", **order))["retCode"] == 110074
            (gone,) = (await client.ask("/v5/order/history", **BTC))["result"]["list"]
            assert gone["cancelType"] == "CancelByAdmin"
            await client.fault(**status, status="Trading")
            assert (await ws.data("orderbook.50.BTCUSDT"))["data"]["u"] == 1
            assert (await client.post("/v5/order/create", **order))["retCode"] == 0
        for bad in ({"tick": "0.0001"}, {"lot": "-1"}, {"tick": "x"}):
            fault = {"kind": "filters", "category": "linear", "symbol": "BTCUSDT"} | bad
            assert (await client.fault(**fault))["status"] == 400

    run(scenario, rate=500.0)


# History.


async def closed_orders(client: Client, count: int) -> list[str]:
    """Ids of orders that were cancelled, newest first."""
    made = []
    for _ in range(count):
        order = await client.post("/v5/order/create", **await passive(client))
        made.append(order["result"]["orderId"])
        await client.post("/v5/order/cancel", **BTC, orderId=made[-1])
    return made[::-1]


def test_pages_repeat_and_are_lost() -> None:
    async def scenario(client: Client) -> None:
        ids = await closed_orders(client, 6)

        async def page(cursor: str = "") -> tuple[list[str], str]:
            more = f"&cursor={cursor}" if cursor else ""
            query = f"category=linear&symbol=BTCUSDT&limit=2{more}".encode()
            answer = (await client.signed("GET", "/v5/order/history", query))[1]["result"]
            return [row["orderId"] for row in answer["list"]], answer["nextPageCursor"]

        first, cursor = await page()
        await client.fault(kind="page_error", how="repeat", n=2)
        assert (await page())[0] == first
        second, same = await page(cursor)
        assert (second, same) == (ids[2:4], cursor)
        again, after = await page(same)
        assert again == second
        assert (await page(after)) == (ids[4:], "")
        await client.fault(kind="page_error", how="lose")
        lost, cursor = await page()
        assert (lost, cursor != "") == (ids[2:4], True)

    run(scenario)


def test_what_never_filled_is_forgotten_after_a_day() -> None:
    async def scenario(client: Client) -> None:
        (cancelled,) = await closed_orders(client, 1)
        filled = (await client.post("/v5/order/create", **MARKET, side="Buy", qty="0.001"))[
            "result"]["orderId"]  # fmt: skip

        async def history(**more: Any) -> list[str]:
            answer = await client.ask("/v5/order/history", **BTC, **more)
            assert answer["retCode"] == 0, answer
            return [row["orderId"] for row in answer["result"]["list"]]

        assert await history() == [filled, cancelled]
        await client.fault(kind="history_age", hours=25)
        assert await history() == [filled]
        assert len((await client.ask("/v5/execution/list", **BTC))["result"]["list"]) == 1
        await client.fault(kind="history_age", hours=8 * 24)
        assert await history() == []
        assert (await client.ask("/v5/execution/list", **BTC))["result"]["list"] == []
        now = (await client.get("/v5/market/time"))["time"]
        day = 24 * 3_600_000
        assert await history(startTime=str(now - 9 * day), endTime=str(now - 3 * day)) == [filled]
        assert await history(startTime=str(now - 9 * day)) == [filled]
        await client.fault(kind="history_age", hours=0)
        for bad in (
            {"startTime": now - 8 * day, "endTime": now}, {"startTime": now, "endTime": now - 1},
            {"startTime": now - 731 * day},
        ):  # fmt: skip
            for path in ("/v5/order/history", "/v5/execution/list", "/v5/position/closed-pnl"):
                assert (await client.ask(path, **BTC, **bad))["retCode"] == 10001, (path, bad)

    run(scenario)


def test_a_restart_forgets_closed_orders_where_they_were_open() -> None:
    async def scenario(client: Client) -> None:
        (old,) = await closed_orders(client, 1)
        await client.fault(kind="forget_closed")
        (new,) = await closed_orders(client, 1)
        rows = (await client.ask("/v5/order/realtime", **BTC, openOnly="1"))["result"]["list"]
        assert [row["orderId"] for row in rows] == [new]
        rows = (await client.ask("/v5/order/history", **BTC))["result"]["list"]
        assert [row["orderId"] for row in rows] == [new, old]

    run(scenario)


def test_pages_of_hedged_positions_end() -> None:
    async def scenario(client: Client) -> None:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            await client.post("/v5/position/switch-mode", category="linear", symbol=symbol, mode=3)
            for side, idx in (("Buy", 1), ("Sell", 2)):
                await client.post("/v5/order/create", category="linear", symbol=symbol, side=side,
                                  orderType="Market", qty="0.1", positionIdx=idx)  # fmt: skip
        seen, cursor = [], ""
        for _ in range(4):
            query = f"category=linear&settleCoin=USDT&limit=1&cursor={cursor}".encode()
            answer = (await client.signed("GET", "/v5/position/list", query))[1]["result"]
            seen += [(row["symbol"], row["positionIdx"]) for row in answer["list"]]
            cursor = answer["nextPageCursor"]
        assert seen == [("BTCUSDT", 1), ("BTCUSDT", 2), ("ETHUSDT", 1), ("ETHUSDT", 2)]
        assert cursor == ""

    run(scenario)


# REST.


def test_bodies_and_redirects() -> None:
    async def scenario(client: Client) -> None:
        url = "/v5/account/info"
        for how in ("truncated", "half_json", "no_object", "empty", "deep"):
            await client.fault(kind="bad_body", how=how)
            with pytest.raises((aiohttp.ClientError, orjson.JSONDecodeError, TypeError)):
                (await client.ask(url))["retCode"]
        for how, bytes_max in (("html", 1_000), ("wrong_type", 10_000), ("huge", 200 << 20)):
            await client.fault(kind="bad_body", how=how)
            try:
                _, answer = await client.signed("GET", url, b"")
                assert 0 < len(answer["html"]) < bytes_max
            except ValueError:
                assert how == "huge"
        await client.fault(kind="http_error", status=503, retry_after_s=7)
        response, _ = await client.signed("GET", url, b"")
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        await client.fault(kind="redirect", location=f"{client.endpoints.rest}/v5/market/time")
        response, _ = await client.signed("GET", url, b"")
        assert [r.status for r in response.history] == [302]
        await client.fault(kind="refuse_upgrade", stream="public", status=302,
                           location=client.endpoints.rest)  # fmt: skip
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with client.public():
                pass

    run(scenario)


def test_a_small_answer_unpacks_into_a_huge_one() -> None:
    async def scenario(client: Client) -> None:
        await client.fault(kind="bad_body", how="bomb")
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            client.http = http
            with pytest.raises(orjson.JSONDecodeError):
                await client.ask("/v5/account/info")

    run(scenario)
