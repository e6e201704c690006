"""Odd input to every way into the bundled exchange: a code of the venue's, never a crash."""

from __future__ import annotations

import time
from typing import Any

import orjson
from tests.integration.simulator_client import Client, Json, Socket, run
from tests.integration.test_simulator_trade import trading

ODD: tuple[Any, ...] = (None, True, -1, 0, 1e400, "", "x" * 300, "-1", "1e9", "NaN", [], [1], {}, {"a": 1}, 2**70)  # fmt: skip
SOUND: Json = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "64000", "timeInForce": "GTC", "orderLinkId": "odd", "positionIdx": 0,
    "reduceOnly": False, "triggerPrice": "90000", "triggerDirection": 1, "takeProfit": "70000",
    "stopLoss": "60000", "tpslMode": "Full", "smpType": "None", "orderId": "1", "buyLeverage": "5",
    "sellLeverage": "5", "mode": 0, "product": "SPOT", "timeWindow": 10, "request": [{}],
    "setMarginMode": "REGULAR_MARGIN", "modifyEnable": True, "coin": "USDT", "settleCoin": "USDT",
}  # fmt: skip
QUERIES: Json = {
    "category": "linear", "symbol": "BTCUSDT", "limit": "5", "cursor": "a%3A1", "startTime": "1",
    "endTime": "2", "start": "1", "end": "2", "interval": "1", "orderFilter": "Order",
    "openOnly": "0", "accountType": "UNIFIED", "coin": "USDT", "baseCoin": "BTC",
    "settleCoin": "USDT", "status": "Trading", "orderId": "1", "orderLinkId": "1",
}  # fmt: skip


def body(**changes: Any) -> bytes:
    try:
        return orjson.dumps(SOUND | changes)
    except TypeError:  # an integer beyond 64 bits, which clients can send all the same
        return orjson.dumps(SOUND | {k: "BIG" for k in changes}).replace(b'"BIG"', b"9" * 30)


def routes(client: Client, method: str) -> list[str]:
    assert client.sim._runner is not None
    return sorted(
        route.resource.canonical
        for route in client.sim._runner.app.router.routes()
        if route.method == method
        and route.resource is not None
        and route.resource.canonical.startswith("/v5/")
        and not route.resource.canonical.startswith(("/v5/public", "/v5/private", "/v5/trade"))
    )


def test_bodies() -> None:
    async def scenario(client: Client) -> None:
        for path in routes(client, "POST"):
            for key in SOUND:
                for value in ODD[len(key) % 3 :: 3]:
                    response, answer = await client.signed("POST", path, body(**{key: value}))
                    assert response.status == 200, (path, key, value)
                    assert isinstance(answer["retCode"], int)
        counters = client.sim.counters
        assert counters["rest_10001"] > 100
        assert counters["rest_10004"] == counters["rest_10006"] == 0  # it was looked at, all of it

    run(scenario, ip_requests_max=0, tier="pro6", symbols=1, deadline_s=60.0)


def test_queries() -> None:
    async def scenario(client: Client) -> None:
        for path in routes(client, "GET"):
            for key in QUERIES:
                for value in ("", "x", "-1", "%00", "9" * 400, "%F0%9F%98%80", "spot", "option"):
                    query = "&".join(f"{k}={v}" for k, v in (QUERIES | {key: value}).items())
                    response, answer = await client.signed("GET", path, query.encode())
                    assert response.status == 200, (path, key, value)
                    assert isinstance(answer["retCode"], int)
        counters = client.sim.counters
        assert counters["rest_10001"] > 100
        assert counters["rest_10004"] == counters["rest_10006"] == 0  # it was looked at, all of it

    run(scenario, ip_requests_max=0, tier="pro6", symbols=1, deadline_s=60.0)


def test_requests_of_the_trade_stream() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:
            now = str(time.time_ns() // 1_000_000)
            sound: Json = {
                "reqId": "r", "op": "order.create", "args": [SOUND],
                "header": {"X-BAPI-TIMESTAMP": now},
            }  # fmt: skip
            for key in sound:
                for value in ODD[:-1]:
                    if value == 1e400:
                        continue  # no JSON has it
                    await ws.send(sound | {key: value})
                    assert isinstance((await ws.next())["retCode"], int)
            for op in ("create", "amend", "cancel", "create-batch", "cancel-batch"):
                for key in SOUND:
                    odd = orjson.loads(body(**{key: ODD[len(key) % 12]}))
                    await ws.send(sound | {"reqId": None, "op": f"order.{op}", "args": [odd]})
                    assert isinstance((await ws.next())["retCode"], int)
        async with client.private() as private:
            await private.send({"op": "subscribe", "args": ["order", {}]})
            assert (await Socket.answer(private, "subscribe"))["success"] is False

    run(scenario, tier="pro6", symbols=1)
