"""A small client of the bundled exchange, with its own signatures: nothing of ours in between."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from fastbook.runtime.simulator.keys import ApiKey, Endpoints
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator

DEADLINE_S = 60.0
Json = dict[str, Any]


def run(scenario: Callable[[Client], Any], **options: Any) -> None:
    """Start an exchange, run the scenario against it within the deadline, stop it."""

    deadline_s = options.pop("deadline_s", DEADLINE_S)

    async def main() -> None:
        async with asyncio.timeout(deadline_s), exchange(**options) as client:
            await scenario(client)
            assert client.sim.failure is None

    asyncio.run(main())


@asynccontextmanager
async def exchange(**options: Any) -> AsyncIterator[Client]:
    category = options.pop("category", None)
    if category:
        options["categories"] = (category,)
    sim = Simulator(SimulatorOptions(**({"symbols": 3} | options)))
    endpoints = await sim.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Client(sim, endpoints, http)
    finally:
        await sim.stop()


class Client:
    def __init__(self, sim: Simulator, endpoints: Endpoints, http: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.endpoints = endpoints
        self.http = http
        self.key = endpoints.accounts[0]

    @asynccontextmanager
    async def public(self, category: str | None = None) -> AsyncIterator[Socket]:
        category = category or self.sim.options.categories[0]
        async with self.http.ws_connect(
            f"{self.endpoints.ws_public}/{category}", max_msg_size=0
        ) as ws:
            yield Socket(ws)

    @asynccontextmanager
    async def private(self, *topics: str, key: ApiKey | None = None) -> AsyncIterator[Socket]:
        """An authenticated private connection, subscribed to `topics`."""
        key = key or self.key
        async with self.http.ws_connect(self.endpoints.ws_private) as ws:
            socket = Socket(ws)
            await socket.send(auth_request(key))
            assert (await socket.answer("auth"))["success"] is True
            if topics:
                await socket.send({"op": "subscribe", "args": list(topics)})
                assert (await socket.answer("subscribe"))["success"] is True
            yield socket

    async def get(self, path: str, **query: Any) -> Json:
        text = urlencode(query)
        url = f"{self.endpoints.rest}{path}" + (f"?{text}" if text else "")
        async with self.http.get(URL(url, encoded=True)) as response:
            assert response.status == 200
            answer: Json = orjson.loads(await response.read())
            return answer

    async def signed(
        self,
        method: str,
        path: str,
        payload: bytes,
        *,
        key: ApiKey | None = None,
        ahead_ms: int = 0,
        window: str = "5000",
        sign: str | None = None,
    ) -> tuple[aiohttp.ClientResponse, Json]:
        key = key or self.key
        stamp = str(time.time_ns() // 1_000_000 + ahead_ms)
        text = f"{stamp}{key.api_key}{window}".encode() + payload
        headers = {
            "X-BAPI-API-KEY": key.api_key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-SIGN": signature(key.api_secret, text) if sign is None else sign,
            "X-BAPI-RECV-WINDOW": window,
            "Content-Type": "application/json",
        }
        url = f"{self.endpoints.rest}{path}"
        if method == "GET" and payload:
            url += f"?{payload.decode()}"
        async with self.http.request(
            method,
            URL(url, encoded=True),
            data=payload if method == "POST" else None,
            headers=headers,
        ) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            return response, orjson.loads(body) if is_json else {"html": body}

    async def ask(self, path: str, **query: Any) -> Json:
        """A signed GET; the whole envelope."""
        return (await self.signed("GET", path, urlencode(query).encode()))[1]

    async def post(self, path: str, **params: Any) -> Json:
        """A signed POST; the whole envelope."""
        return (await self.signed("POST", path, orjson.dumps(params)))[1]

    async def fault(self, **fault: Any) -> Json:
        url = f"{self.endpoints.rest}/_control/fault"
        async with self.http.post(url, data=orjson.dumps(fault)) as response:
            answer: Json = orjson.loads(await response.read())
            return answer | {"status": response.status}

    async def state(self) -> Json:
        return await self.get("/_control/state")


class Socket:
    """One WebSocket. What is not waited for is kept in `frames`."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.frames: list[Json] = []

    async def send(self, request: Mapping[str, Any] | bytes) -> None:
        text = request if isinstance(request, bytes) else orjson.dumps(request)
        await self.ws.send_str(text.decode())

    async def next(self) -> Json:
        """The next text message; ConnectionError when the exchange is gone."""
        message = await self.ws.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(message.type)
        frame: Json = orjson.loads(message.data)
        return frame

    async def until(self, wanted: Callable[[Json], bool]) -> Json:
        """The first message that is wanted; the others go to `frames`."""
        while True:
            frame = await self.next()
            if wanted(frame):
                return frame
            self.frames.append(frame)

    async def until_cut(self) -> None:
        """Read on until the exchange is gone."""
        try:
            while True:
                await self.next()
        except ConnectionError:
            return

    async def answer(self, op: str) -> Json:
        return await self.until(lambda frame: frame.get("op") == op)

    async def data(self, topic: str) -> Json:
        return await self.until(lambda frame: frame.get("topic") == topic)

    async def subscribe(self, *topics: str) -> Json:
        await self.send({"op": "subscribe", "args": list(topics)})
        return await self.answer("subscribe")


def signature(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def auth_request(key: ApiKey, *, ahead_ms: int = 10_000) -> Json:
    expires = time.time_ns() // 1_000_000 + ahead_ms
    return {
        "req_id": "auth-1",
        "op": "auth",
        "args": [
            key.api_key,
            expires,
            signature(key.api_secret, f"GET/realtime{expires}".encode()),
        ],
    }


async def follow(ws: Socket, topic: str, frames: int) -> PlainBook:
    """A book made of the first `frames` frames after a subscription."""
    book = PlainBook()
    first = await ws.data(topic)
    assert first["type"] == "snapshot"
    book.apply(first)
    while book.frames < frames:
        book.apply(await ws.data(topic))
    return book


class PlainBook:
    """An order book as a client keeps it: two dicts, and every rule asserted."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {}
        self.u = 0
        self.frames = 0

    def apply(self, frame: Json) -> None:
        data = frame["data"]
        if frame["type"] == "snapshot":
            self.sides = {"b": {}, "a": {}}
        else:
            assert data["u"] == self.u + 1, "a gap"
        self.u = data["u"]
        self.frames += 1
        for name, side in self.sides.items():
            for px, qty in data[name]:
                if Decimal(qty) == 0:
                    del side[Decimal(px)]  # a delete of an absent level is an error
                else:
                    side[Decimal(px)] = Decimal(qty)
        if self.sides["b"] and self.sides["a"]:
            assert max(self.sides["b"]) < min(self.sides["a"])

    def levels(self, name: str) -> list[tuple[Decimal, Decimal]]:
        return sorted(self.sides[name].items(), reverse=name == "b")
