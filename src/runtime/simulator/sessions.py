"""Connections that one account speaks on: what the private and the trade stream share."""

from __future__ import annotations

import asyncio
import contextlib
import re
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from .auth import Keys

REQUEST_BYTES_MAX = 64 * 1024
CLOSE_TIMEOUT_S = 1.0  # for the peer's half of the closing handshake
UPGRADE_FAULTS_MAX = 1000
_ACTIVE_TIME = re.compile(r"([0-9]{1,3})([sm])")
_ACTIVE_MIN_S, _ACTIVE_MAX_S = 30.0, 600.0


def max_active_s(text: str, default_s: float) -> float:
    """Seconds of a `max_active_time` parameter; the default when it is absent or out of range."""
    match = _ACTIVE_TIME.fullmatch(text)
    if match is None:
        return default_s
    seconds = float(match[1]) * (60.0 if match[2] == "m" else 1.0)
    return seconds if _ACTIVE_MIN_S <= seconds <= _ACTIVE_MAX_S else default_s


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a gateway in front of the exchange turns a request away."""

    status: int
    location: str = ""  # of a redirect
    retry_after_s: int = 0

    def response(self) -> web.Response:
        headers = {"Location": self.location} if self.location else {}
        if self.retry_after_s:
            headers["Retry-After"] = str(self.retry_after_s)
        return web.Response(
            status=self.status,
            text=f"<html><body>{self.status}</body></html>",
            content_type="text/html",
            headers=headers,
        )


def write_raw(request: web.Request, data: bytes, *, end: bool) -> None:
    """Fault: bytes past the WebSocket writer; with `end` the connection then closes in order."""
    if request.transport is not None:
        request.transport.write(data)
        if end:
            request.transport.close()


class SessionHost(ABC):
    """All connections of one stream."""

    def __init__(
        self,
        stream: str,
        keys: Keys,
        counters: Counter[str],
        clock: Callable[[], tuple[float, int]],
        *,
        queue_max: int,
        idle_timeout_s: float,
    ) -> None:
        """`clock()` is (monotonic seconds, wall clock ms)."""
        self.stream = stream
        self.keys = keys
        self.counters = counters
        self.clock = clock
        self.queue_max = queue_max
        self.sessions: dict[Session, None] = {}
        self.mute_pongs = False  # fault
        self.mute_acks = 0  # fault: how many of the next acknowledgements are lost
        self.upgrade_errors: deque[Refusal] = deque(maxlen=UPGRADE_FAULTS_MAX)  # fault
        self._idle_timeout_s = idle_timeout_s
        self._connections = 0

    def now_ms(self) -> int:
        return self.clock()[1]

    def new_conn_id(self) -> str:
        self._connections += 1
        return f"d4sim{self._connections:015d}-{self.stream[:3]}"

    @abstractmethod
    def make_session(self, socket: web.WebSocketResponse, request: web.Request) -> Session:
        """The session of one upgraded connection."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handler of the upgrade."""
        if self.upgrade_errors:
            return self.upgrade_errors.popleft().response()
        socket = web.WebSocketResponse(
            max_msg_size=REQUEST_BYTES_MAX, compress=False, timeout=CLOSE_TIMEOUT_S
        )
        await socket.prepare(request)
        await self.hold(socket, request)
        return socket

    async def hold(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        """One connection from its upgrade to its end."""
        session = self.make_session(socket, request)
        session.idle_s = max_active_s(
            request.query.get("max_active_time", ""), self._idle_timeout_s
        )
        self.sessions[session] = None
        self.counters[f"{self.stream}_connections"] += 1
        try:
            await session.run()
        finally:
            self.sessions.pop(session, None)
            self.gone(session)

    def gone(self, session: Session) -> None:  # noqa: B027  # most have nothing to tidy
        """The connection has ended."""

    def close_idle(self, now_s: float) -> None:
        """Cut connections on which nothing was said for too long."""
        for session in list(self.sessions):
            if now_s - session.active_s >= session.idle_s:
                self.counters["idle_closed"] += 1
                session.drop()

    def cut(self, count: int | None = None) -> int:
        """Break connections without a close frame; how many were broken."""
        victims = list(self.sessions)[:count]
        for session in victims:
            session.drop()
        return len(victims)

    def freeze(self, count: int | None = None) -> int:
        """Leave connections open and say nothing on them any more: half open."""
        victims = list(self.sessions)[:count]
        for session in victims:
            session.frozen = True
        return len(victims)

    def raw(self, data: bytes, count: int | None, *, end: bool) -> int:
        """Fault: these bytes to connections, whatever they are."""
        victims = list(self.sessions)[:count]
        for session in victims:
            write_raw(session.request, data, end=end)
        return len(victims)

    def loses_ack(self) -> bool:
        """Whether the acknowledgement that is due now is lost."""
        lost = self.mute_acks > 0
        self.mute_acks -= lost
        return lost

    async def close(self, code: int = 1001) -> int:
        """Say goodbye to everybody at once."""
        sessions = list(self.sessions)
        await asyncio.gather(*(session.close(code) for session in sessions))
        return len(sessions)


class Session(ABC):
    """One connection: requests in through `take`, answers out through a bounded queue."""

    def __init__(
        self, host: SessionHost, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        self._host = host
        self._socket = socket
        self.request = request
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(host.queue_max)
        self.conn_id = host.new_conn_id()
        self.active_s = host.clock()[0]
        self.idle_s = 0.0
        self.frozen = False  # fault

    @property
    def peer(self) -> str:
        return self.request.remote or ""

    async def run(self) -> None:
        """Read requests until the peer is gone."""
        writer = asyncio.create_task(self._write())
        try:
            while True:
                message = await self._socket.receive()
                if message.type is not WSMsgType.TEXT:
                    break
                self.active_s = self._host.clock()[0]
                if not self.frozen:
                    self._read(message.data)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
            await self._socket.close()

    def _read(self, text: str) -> None:
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            request = None
        if isinstance(request, dict):
            self.take(request)
        else:
            self._host.counters["malformed_requests"] += 1
            self.refuse_malformed()

    @abstractmethod
    def take(self, request: dict[str, Any]) -> None:
        """Carry out one request. Any: it is JSON."""

    @abstractmethod
    def refuse_malformed(self) -> None:
        """Answer what was not a JSON object."""

    async def _write(self) -> None:
        while True:
            text = await self._queue.get()
            await self._socket.send_str(text.decode())
            self.active_s = self._host.clock()[0]

    def send(self, value: dict[str, Any]) -> None:
        """Queue one message; a reader who lets the queue fill up is cut off."""
        if self.frozen:
            return
        try:
            self._queue.put_nowait(orjson.dumps(value))
        except asyncio.QueueFull:
            self._host.counters["slow_readers"] += 1
            self.drop()

    def drop(self) -> None:
        """Break the connection without a close frame."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def close(self, code: int = 1001) -> None:
        await self._socket.close(code=code)
