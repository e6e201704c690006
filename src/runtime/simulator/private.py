"""The private stream: `auth`, topics of one account, rows as they happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from fastbook.errors import VenueError
from fastbook.replay.accounts import Event

from .auth import Keys

TOPICS = frozenset(
    {"order", "execution", "position", "wallet"}
    | {f"{t}.{c}" for t in ("order", "execution") for c in ("spot", "linear", "inverse", "option")}
    | {f"position.{c}" for c in ("linear", "inverse", "option")}
)
REQUEST_BYTES_MAX = 64 * 1024
CLOSE_TIMEOUT_S = 1.0  # for the peer's half of the closing handshake


class PrivateExchange:
    """All private connections; hands events to those of the right account."""

    def __init__(
        self,
        keys: Keys,
        counters: Counter[str],
        now_ms: Callable[[], int],
        *,
        queue_max: int,
        delay_s: float,
        idle_timeout_s: float,
    ) -> None:
        self.keys = keys
        self.counters = counters
        self.now_ms = now_ms
        self.queue_max = queue_max
        self.idle_timeout_s = idle_timeout_s
        self.sessions: dict[PrivateSession, None] = {}
        self.mute = False  # fault: rows are lost
        self.reverse = False  # fault: wallet before position before execution before order
        self._delay_s = delay_s
        self._connections = 0

    def new_conn_id(self) -> str:
        self._connections += 1
        return f"d4sim{self._connections:015d}-prv"

    def publish(self, account: int, events: Sequence[Event]) -> None:
        """Send rows to whoever listens now; nothing is kept for later, as at the venue."""
        if self.mute or not self.sessions:
            return
        if self.reverse:
            events = events[::-1]
        for session in self.sessions:
            if session.account != account:
                continue
            for event in events:
                self._send(session, event)

    def _send(self, session: PrivateSession, event: Event) -> None:
        if self._delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(self._delay_s, session.push, event, self.now_ms)
        else:
            session.push(event, self.now_ms)

    def cut(self, count: int | None = None) -> int:
        """Break connections without a close frame; how many were broken."""
        victims = list(self.sessions)[:count]
        for session in victims:
            session.drop()
        return len(victims)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Handler of the upgrade."""
        socket = web.WebSocketResponse(
            max_msg_size=REQUEST_BYTES_MAX, compress=False, timeout=CLOSE_TIMEOUT_S
        )
        await socket.prepare(request)
        session = PrivateSession(self, socket, request)
        self.sessions[session] = None
        self.counters["private_connections"] += 1
        try:
            await session.run()
        finally:
            self.sessions.pop(session, None)
        return socket

    async def close(self) -> None:
        """Say goodbye to everybody at once."""
        await asyncio.gather(*(session.close() for session in self.sessions))


class PrivateSession:
    """One connection of one account, after `auth`."""

    def __init__(
        self, exchange: PrivateExchange, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        self._exchange = exchange
        self._socket = socket
        self._request = request
        self._topics: dict[str, None] = {}
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(exchange.queue_max)
        self.account = 0  # before auth
        self.conn_id = exchange.new_conn_id()

    async def run(self) -> None:
        """Read requests until the peer is gone or silent for too long."""
        writer = asyncio.create_task(self._write())
        try:
            while True:
                try:
                    message = await self._socket.receive(self._exchange.idle_timeout_s)
                except TimeoutError:
                    self._exchange.counters["idle_closed"] += 1
                    break
                if message.type is not WSMsgType.TEXT:
                    break
                self._take(message.data)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
            await self._socket.close()

    async def _write(self) -> None:
        while True:
            text = await self._queue.get()
            await self._socket.send_str(text.decode())

    def push(self, event: Event, now_ms: Callable[[], int]) -> None:
        """Queue one event under every topic name that it was subscribed by."""
        for name in (event.topic, f"{event.topic}.{event.category}"):
            if name in self._topics:
                self._queue_json(
                    {
                        "id": event.id,
                        "topic": name,
                        "creationTime": now_ms(),
                        "data": event.rows,
                    }
                )
                self._exchange.counters["private_messages"] += 1

    def _queue_json(self, value: dict[str, Any]) -> None:
        try:
            self._queue.put_nowait(orjson.dumps(value))
        except asyncio.QueueFull:
            self._exchange.counters["slow_readers"] += 1
            self.drop()

    def drop(self) -> None:
        """Break the connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self) -> None:
        await self._socket.close(code=1001)

    # Requests.

    def _take(self, text: str) -> None:
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            self._exchange.counters["malformed_requests"] += 1
            self._answer("", {}, error="Params Error")
            return
        op = request.get("op")
        if op == "ping":
            pong = {"op": "pong", "args": [str(self._exchange.now_ms())], "conn_id": self.conn_id}
            if isinstance(request.get("req_id"), str):
                pong = {"req_id": request["req_id"], **pong}
            self._queue_json(pong)
        elif op == "auth":
            self._authenticate(request)
        elif op == "subscribe" or op == "unsubscribe":
            self._change(op, request)
        else:
            self._answer(str(op), request, error=f"error:request:op not supported,op:{op}")

    def _answer(self, op: str, request: dict[str, Any], *, error: str = "") -> None:
        answer: dict[str, Any] = {"success": not error, "ret_msg": error, "op": op}
        if isinstance(request.get("req_id"), str):
            answer = {"req_id": request["req_id"], **answer}
        self._queue_json({**answer, "conn_id": self.conn_id})

    def _authenticate(self, request: dict[str, Any]) -> None:
        try:
            key = self._exchange.keys.check_ws(request.get("args"), self._exchange.now_ms())
        except VenueError as e:
            self._exchange.counters["refused_credentials"] += 1
            self._answer("auth", request, error=e.message)
            return
        self.account = key.account
        self._answer("auth", request)

    def _change(self, op: str, request: dict[str, Any]) -> None:
        args = request.get("args")
        if not self.account:
            self._answer(op, request, error="Request not authorized")
            return
        if not isinstance(args, list) or not args or not all(isinstance(a, str) for a in args):
            self._answer(op, request, error="Params Error")
            return
        error = self._problem(args)
        if error:
            self._answer(op, request, error=error)
            return
        for name in args:
            if op == "subscribe":
                self._topics[name] = None
            else:
                self._topics.pop(name, None)
        self._answer(op, request)

    @staticmethod
    def _problem(args: list[str]) -> str:
        for name in args:
            if name not in TOPICS:
                return f"error:handler not found,topic:{name}"
            if "." in name and name.partition(".")[0] in args:
                return f"error:all-in-one and categorised topics in one request,topic:{name}"
        return ""
