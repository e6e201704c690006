"""A REST server on loopback that answers as a test scripts, and remembers what it was asked."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
from aiohttp import web
from tests.support_bybit import KEY, SECRET

from fastbook.clock import Clock
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.config import Credentials
from fastbook.runtime.secret import Secret

CREDENTIALS = Credentials(Secret(KEY), Secret(SECRET))
TIME_MS = 1_700_000_000_000


class RealClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # Any: JSON
        return orjson.loads(self.body)


Reply = web.StreamResponse | Callable[[web.Request], Any]  # Any: a coroutine of a response


@dataclass
class ScriptedRest:
    """Answers of a path are used up in order; the last one stays."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))

    def answer(self, path: str, *replies: object) -> None:
        """A dict is the `result` of a good envelope; an int is a retCode; a callable a handler."""
        self.script[path].extend(replies)

    def count(self, path: str) -> int:
        return sum(a.path == path for a in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        query = request.raw_path.partition("?")[2]
        headers = {k.lower(): v for k, v in request.headers.items()}
        self.asked.append(Asked(request.method, request.path, query, headers, body))
        script = self.script.get(request.path)
        if not script:
            return web.Response(status=404, text="no such path")
        reply = script[0] if len(script) == 1 else script.popleft()
        if callable(reply):
            made = await reply(request)
            assert isinstance(made, web.StreamResponse)
            return made
        return web.json_response(envelope(reply))


def envelope(reply: object) -> dict[str, object]:
    code, result = (reply, {}) if isinstance(reply, int) else (0, reply)
    text = "OK" if code == 0 else f"said {code}"
    return {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": TIME_MS}


def status(code: int, text: str = "<html>Bad Gateway</html>", **headers: str) -> Any:  # Any: Reply
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=text, content_type="text/html", headers=headers)

    return handler


def raw(body: bytes, **headers: str) -> Any:  # Any: Reply
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return handler


@asynccontextmanager
async def scripted_rest() -> AsyncIterator[ScriptedRest]:
    server = ScriptedRest()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sockets = site._server.sockets  # type: ignore[union-attr]  # aiohttp shows the port nowhere else
    server.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def client(url: str, clock: Clock | None = None, **options: Any) -> RestClient:  # Any: passed on
    return RestClient(url, CREDENTIALS, clock or RealClock(), rng=Random(7), **options)
