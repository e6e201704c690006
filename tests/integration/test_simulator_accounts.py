"""The bundled exchange's accounts over real sockets: settings, inverse, DCP, RSA."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from tests.integration.simulator_client import Client, auth_request, run

LIMIT: dict[str, Any] = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "64000",
}  # fmt: skip
BTC: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT"}


def test_orders_go_when_the_last_connection_is_gone_for_too_long() -> None:
    async def scenario(client: Client) -> None:
        path = "/v5/order/disconnected-cancel-all"
        assert (await client.post(path, product="DERIVATIVES", timeWindow=1))["retCode"] == 10001
        assert (await client.post(path, product="DERIVATIVES", timeWindow=3))["retCode"] == 0
        infos = (await client.ask("/v5/account/query-dcp-info"))["result"]["dcpInfos"]
        assert infos == [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "3"}]
        async with client.private("order") as observer:
            async with client.private("dcp.future"):
                await client.post("/v5/order/create", **LIMIT)
                assert (await observer.data("order"))["data"][0]["orderStatus"] == "New"
            while client.sim.private.sessions.__len__() > 1:
                await client.get("/v5/market/time")
            await client.fault(kind="skew", ms=4_000)
            row = (await observer.data("order"))["data"][0]
            assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByDCP")

    run(scenario, ip_requests_max=0)


def test_leverage_mode_and_stops() -> None:
    async def scenario(client: Client) -> None:
        async def leverage(value: str) -> int:
            answer = await client.post(
                "/v5/position/set-leverage", **BTC, buyLeverage=value, sellLeverage=value
            )
            assert answer["result"] == {}
            return int(answer["retCode"])

        assert await leverage("25") == 0
        assert await leverage("25") == 110043
        assert await leverage("9999") != 0
        (row,) = (await client.ask("/v5/position/list", **BTC))["result"]["list"]
        assert row["leverage"] == "25"
        switched = await client.post("/v5/position/switch-mode", **BTC, mode=3)
        assert switched["retCode"] == 0
        rows = (await client.ask("/v5/position/list", **BTC))["result"]["list"]
        assert [row["positionIdx"] for row in rows] == [1, 2]
        made = await client.post(
            "/v5/order/create", **(LIMIT | {"orderType": "Market"}), positionIdx=1
        )
        assert made["retCode"] == 0
        stop = await client.post(
            "/v5/position/trading-stop", **BTC, positionIdx=1, tpslMode="Full", stopLoss="60000"
        )
        assert stop["retCode"] == 0
        for category in ("inverse", "option"):
            empty = await client.ask("/v5/position/list", category=category)
            assert empty["result"]["list"] == []

    run(scenario)


def test_inverse_is_traded_in_dollars_and_settled_in_coin() -> None:
    async def scenario(client: Client) -> None:
        async with client.public("inverse") as ws, client.private("execution.inverse") as private:
            topics = (
                "orderbook.50.BTCUSD",
                "publicTrade.BTCUSD",
                "tickers.BTCUSD",
                "kline.1.BTCUSD",
            )
            assert (await ws.subscribe(*topics))["success"]
            for topic in topics[::-1]:
                await ws.data(topic)
            made = await client.post(
                "/v5/order/create", category="inverse", symbol="BTCUSD", side="Buy",
                orderType="Market", qty="100",
            )  # fmt: skip
            assert made["retCode"] == 0
            row = (await private.data("execution.inverse"))["data"][0]
            assert row["feeCurrency"] == "BTC"
            held = await client.ask("/v5/position/list", category="inverse", symbol="BTCUSD")
            assert held["result"]["list"][0]["size"] == "100"
            info = await client.get(
                "/v5/market/instruments-info", category="inverse", symbol="BTCUSD"
            )
            assert info["result"]["list"][0]["contractType"] == "InversePerpetual"

    run(scenario, categories=("linear", "inverse"), start_base_balance=Decimal(1))


def test_conditional_orders_wait_and_are_listed_apart() -> None:
    async def scenario(client: Client) -> None:
        made = await client.post(
            "/v5/order/create", **(LIMIT | {"orderType": "Market"}), triggerPrice="90000",
            triggerDirection=1,
        )  # fmt: skip
        assert made["retCode"] == 0
        await client.post("/v5/order/create", **LIMIT)
        for wanted, statuses in (
            ("", {"Untriggered", "New"}), ("StopOrder", {"Untriggered"}), ("Order", {"New"}),
        ):  # fmt: skip
            query = BTC | ({"orderFilter": wanted} if wanted else {})
            rows = (await client.ask("/v5/order/realtime", **query))["result"]["list"]
            assert {row["orderStatus"] for row in rows} == statuses

    run(scenario)


# A 2048-bit pair made for this test; it opens nothing.
RSA_N = int(
    "c2bc500f29b656dc0677fde3bb0ce072d0d5da0df3a8ca0d8e7948e80d78cd1d26ed4d767af4d30a5007aa30"
    "b59151a0e28aa54d5b403aad2c2510b6c28c72041693f9bb5f757b85a5fd2e73e65213d7e8664e5865a5ac70"
    "8722301dccadcaabd7d823128b9dfb82540d2a9394e1cec4334d9f6acaf7897974527deb583f03ee8a16664a"
    "08992f63e5955f8d4415c28cbdf12d05867af80e6eb848a73e2c91cf060475dfb6cdaa8fef75b2e8dc4b864b"
    "0879e74c2fd437009220716b9d90eccce06f07e21e792d4188604b34dea74592b847a9f75f64d126269da7ac"
    "41a76a12cbc05edafc5c0185b8ece321fa14df411b6445874069459ed633452c5f95a5e9",
    16,
)
RSA_D = int(
    "a7df0e6503e05c2070b31ffb2154886871fee86afe91931cfca5316459b8b99957e559d1b94d3460bf7cdc0a"
    "017bb492acb838a7e6f207a3215b127d7a58f830ee05c252f487a26424238dd7fbc4e5b64a7167386ce7d52f"
    "6c4edc8bd3d63dd0c5d15ceaafd110efd8e540bed8a9904532b4c7a8982fac233753a5992c09a6a88a7d38fb"
    "1c6787556b279514861ede7499345e1f8694a864b781392713180772282f10c08f3074699a10e43344216659"
    "b2fcc3021e1f40d2039af6f9d931045c3bbd190c519b6d13206b7ca815f34a4ae587d233cb33289822d87ae5"
    "477ae4689959c323b6710d86e4291c675c64c1422c176c6673e1e6367f3fd56c6cd57ad",
    16,
)


def test_rsa_signatures() -> None:
    import base64
    import hashlib

    def der(tag: int, content: bytes) -> bytes:
        size = len(content)
        if size < 128:
            return bytes((tag, size)) + content
        length = size.to_bytes((size.bit_length() + 7) // 8)
        return bytes((tag, 0x80 | len(length))) + length + content

    def integer(value: int) -> bytes:
        return der(2, value.to_bytes(value.bit_length() // 8 + 1))

    info = bytes.fromhex("3031300d060960864801650304020105000420")

    def sign(text: bytes) -> str:
        digest = info + hashlib.sha256(text).digest()
        padded = b"\x00\x01" + b"\xff" * (256 - len(digest) - 3) + b"\x00" + digest
        return base64.b64encode(pow(int.from_bytes(padded), RSA_D, RSA_N).to_bytes(256)).decode()

    pkcs1 = der(0x30, integer(RSA_N) + integer(65537))
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    spki = der(0x30, algorithm + der(3, b"\x00" + pkcs1))
    pem = base64.encodebytes(spki).decode()

    async def scenario(client: Client) -> None:
        key = client.sim.keys[-1]
        assert client.endpoints.as_json()["accounts"][-1]["kind"] == "rsa"

        async def code(text: bytes) -> int:
            stamp = str(time.time_ns() // 1_000_000)
            headers = {
                "X-BAPI-API-KEY": key.api_key,
                "X-BAPI-TIMESTAMP": stamp,
                "X-BAPI-SIGN": sign(f"{stamp}{key.api_key}5000".encode() + text),
                "X-BAPI-RECV-WINDOW": "5000",
            }
            url = f"{client.endpoints.rest}/v5/account/info"
            async with client.http.get(url, headers=headers) as response:
                return int((await response.json())["retCode"])

        assert await code(b"") == 0
        assert await code(b"x=1") == 10004
        async with client.http.ws_connect(client.endpoints.ws_private) as ws:
            request = auth_request(key)
            request["args"][2] = sign(f"GET/realtime{request['args'][1]}".encode())
            await ws.send_json(request)
            assert (await ws.receive_json())["success"] is True
            for bad in ("", "AAAA", "é", "0" * 344):
                assert not key.rsa.verifies(b"", bad)  # type: ignore[union-attr]

    run(
        scenario,
        rsa_public_key=f"-----BEGIN PUBLIC KEY-----\n{pem}-----END PUBLIC KEY-----\n",
    )
