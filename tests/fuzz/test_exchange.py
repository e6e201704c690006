"""Thousands of odd messages to every socket of the bundled exchange, and to its REST port.

Whatever comes, the connection either answers a ping right after it or is closed by the exchange;
its clockwork goes on, and somebody else's connection notices nothing. Seeded.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import aiohttp
import orjson
import pytest
from tests.integration.simulator_client import Client, Json, Socket, auth_request, run

CASES = 3000
BATCH = 50  # messages between two pings
NUMBERS = ("0", "-1", "1e400", "1e-400", "9" * 400, "-0", "0.1", "18446744073709551616")
TEXTS = ("", "x", "\x00", "a\x00b", "\ud7ff", "\U0001f600", "😀" * 40, "orderbook.50.BTCUSDT",
         "orderbook.50.", "orderbook..BTCUSDT", "orderbook.50.BTCUSDT" * 50, "order", "wallet",
         "kline.1.X", "NaN", "null", "../../etc", "%00", "'; --", "linear", "spot",
         "BTCUSDT")  # fmt: skip
OPS = ("subscribe", "unsubscribe", "ping", "auth", "order.create", "order.amend", "order.cancel",
       "order.create-batch", "order.cancel-batch", "pong", "order.create-batch-batch", "order.",
       "login", "")  # fmt: skip
KEYS = ("op", "args", "req_id", "reqId", "header", "X-BAPI-TIMESTAMP", "category", "symbol",
        "request", "side", "qty", "price", "orderType", "orderId", "__proto__", "")  # fmt: skip


def number_or_text(rng: random.Random) -> str:
    """JSON text of one value that is no container."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        return orjson.dumps(rng.choice(TEXTS)).decode()
    return rng.choice(("true", "false", "null"))


def value(rng: random.Random, depth: int = 0) -> str:
    """JSON text of anything."""
    dice = rng.random()
    if depth > 4 or dice < 0.5:
        return number_or_text(rng)
    items = [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if dice < 0.75:
        return f"[{','.join(items)}]"
    pairs = (f'"{rng.choice(KEYS)}":{item}' for item in items)
    return f"{{{','.join(pairs)}}}"


def request(rng: random.Random) -> str:
    """Something like a request, with a part of it that is not."""
    fields = {
        "op": orjson.dumps(rng.choice(OPS)).decode(),
        "args": value(rng) if rng.random() < 0.6 else f"[{value(rng)},{value(rng)}]",
    }
    if rng.random() < 0.5:
        fields["req_id"] = fields["reqId"] = value(rng)
    if rng.random() < 0.4:
        fields["header"] = value(rng)
    if rng.random() < 0.2:
        fields[rng.choice(list(fields))] = value(rng)
    return "{" + ",".join(f'"{key}":{text}' for key, text in fields.items()) + "}"


def message(rng: random.Random) -> str:
    """One text frame: a request, a spoilt one, or no JSON at all."""
    text = request(rng)
    dice = rng.random()
    if dice < 0.6:
        return text
    if dice < 0.7:
        return text[: rng.randrange(len(text))]
    if dice < 0.8:
        at = rng.randrange(len(text))
        return text[:at] + chr(rng.randrange(1, 0x300)) + text[at + 1 :]
    if dice < 0.85:
        return rng.choice(("[", "{")) * rng.choice((1, 50, 5000))
    if dice < 0.9:
        return '{"a":' * 2000 + "1" + "}" * 2000
    return value(rng)


STREAMS = ("public", "private", "trade")


def is_pong(stream: str, name: str, answer: Json) -> bool:
    pong = answer.get("ret_msg" if stream == "public" else "op") == "pong"
    return pong and name in (answer.get("req_id"), answer.get("reqId"))


def url_of(client: Client, stream: str) -> str:
    where = client.endpoints
    return {"public": f"{where.ws_public}/linear", "private": where.ws_private,
            "trade": where.ws_trade}[stream]  # fmt: skip


@pytest.mark.parametrize("authenticated", [True, False])
@pytest.mark.parametrize("stream", STREAMS)
def test_every_text_is_answered_or_ignored(stream: str, authenticated: bool) -> None:
    rng = random.Random(f"{stream}-{authenticated}")

    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(url_of(client, stream), max_msg_size=0) as raw:
            ws = Socket(raw)
            if authenticated and stream != "public":
                await ws.send(auth_request(client.key))
                await ws.answer("auth")
            for batch in range(CASES // 2 // BATCH):
                for _ in range(BATCH):
                    await raw.send_str(message(rng))
                await ws.send({"op": "ping", "req_id": f"n{batch}", "reqId": f"n{batch}"})
                await ws.until(partial(is_pong, stream, f"n{batch}"))
                ws.frames.clear()
        assert client.sim.counters["malformed_requests"] > CASES // 20
        # The clockwork goes on.
        async with client.public() as other:
            await other.subscribe("orderbook.1.BTCUSDT")
            for _ in range(3):
                await other.data("orderbook.1.BTCUSDT")

    run(scenario, symbols=1, deadline_s=60.0, rate=100.0)


@pytest.mark.parametrize("stream", STREAMS)
def test_oversized_binary_and_broken_frames_end_the_connection_at_once(stream: str) -> None:
    async def scenario(client: Client) -> None:
        for kind, data in (
            (aiohttp.WSMsgType.TEXT, b"x" * (300 << 10)),
            (aiohttp.WSMsgType.BINARY, b"\x00\x01"),
            (aiohttp.WSMsgType.TEXT, b"\xff\xfe"),
        ):
            async with client.http.ws_connect(url_of(client, stream)) as ws:
                await ws.send_frame(data, kind)
                async with asyncio.timeout(3):
                    answer = await ws.receive()
                assert answer.type in (
                    aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR,
                )  # fmt: skip

    run(scenario, symbols=1)


@pytest.mark.parametrize("stream", STREAMS)
def test_random_bytes_after_the_upgrade(stream: str) -> None:
    rng = random.Random(f"bytes-{stream}")
    path = {"public": "/v5/public/linear", "private": "/v5/private", "trade": "/v5/trade"}[stream]
    head = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()

    async def scenario(client: Client) -> None:
        port = int(client.endpoints.rest.rpartition(":")[2])
        for _ in range(150):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 101 " in answer
            writer.write(bytes([rng.choice((0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0xF1, 0x83))])
                         + rng.randbytes(rng.randrange(1, 200)))  # fmt: skip
            writer.write_eof()
            while await asyncio.wait_for(reader.read(65536), 5):
                pass
            writer.close()
        await client.get("/v5/market/time")

    run(scenario, symbols=1, connects_max=0, deadline_s=60.0)


def mutated(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(3) :]
    return data


def test_bodies_and_queries_at_random() -> None:
    """Signed as they are: what is refused is refused for what it says."""
    rng = random.Random("rest")
    order = orjson.dumps(
        {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
         "qty": "0.01", "price": "64000", "orderLinkId": "f"}
    )  # fmt: skip

    def body() -> bytes:
        dice = rng.random()
        if dice < 0.4:
            return mutated(rng, order)
        if dice < 0.6:
            return request(rng).encode()
        if dice < 0.65:
            return b"[" * 100_000
        return value(rng).encode()

    async def scenario(client: Client) -> None:
        app = client.sim._runner
        assert app is not None
        paths = [
            (route.method, route.resource.canonical)
            for route in app.app.router.routes()
            if route.resource is not None and route.resource.canonical.startswith("/v5/")
            and not route.resource.canonical.startswith(("/v5/public", "/v5/private", "/v5/trade"))
        ]  # fmt: skip
        codes: set[int] = set()
        for _ in range(CASES):
            method, path = rng.choice(paths)
            payload = body()
            if method == "GET":
                payload = bytes(c for c in payload if 0x20 < c < 0x7F and c not in b'#"<>\\^`{|}')
                payload = payload[:4000]  # a head holds no more
            _, answer = await client.signed(method, path, payload)
            assert "retCode" in answer, (method, path, payload, answer)
            codes.add(answer["retCode"])
        assert 10001 in codes
        assert 10004 not in codes

    run(scenario, symbols=1, ip_requests_max=0, tier="pro6", queries_per_s_max=100_000,
        orders_per_s_max=100_000, deadline_s=90.0)  # fmt: skip


def test_http_that_is_none() -> None:
    rng = random.Random("http")
    sound = b"GET /v5/market/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async def scenario(client: Client) -> None:
        port = int(client.endpoints.rest.rpartition(":")[2])
        answers: list[Any] = []
        for _ in range(300):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(mutated(rng, sound) + b"\r\n\r\n")
            answers.append(await asyncio.wait_for(reader.read(65536), 5))
            writer.close()
        assert any(b" 400 " in answer for answer in answers)
        await client.get("/v5/market/time")

    run(scenario, symbols=1, ip_requests_max=0, deadline_s=60.0)
