"""The public streams: control requests in their dialects, and frames out in batches.

aiohttp speaks the handshake and reads requests. Frames go out beside it, whole and already
framed, with one write a tick: that is what makes tens of thousands a second cheap.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from .hub import STATUS_STREAM, TopicHub
from .limits import AddressLimit
from .sessions import UPGRADE_FAULTS_MAX, Refusal, write_raw
from .topics import Topic, ws_json

SPOT_ARGS_MAX = 10
CONNECTS_WINDOW_S = 300.0
ARGS_CHARS_MAX = 21_000
REQUEST_BYTES_MAX = 256 * 1024
CLOSE_TIMEOUT_S = 1.0  # for the peer's half of the closing handshake


class PublicExchange:
    """What every public connection shares."""

    def __init__(
        self,
        hub: TopicHub,
        categories: tuple[str, ...],
        counters: Counter[str],
        clock: Callable[[], tuple[float, int]],
        *,
        slow_reader_bytes_max: int,
        connects_max: int = 0,
        connections_max: int = 1000,
    ) -> None:
        """`clock()` is (monotonic seconds, wall clock ms)."""
        self.hub = hub
        self.categories = categories
        self.counters = counters
        self.clock = clock
        self.slow_reader_bytes_max = slow_reader_bytes_max
        self.sessions: dict[PublicSession, None] = {}
        self.all_gone = asyncio.Event()  # set while there is no connection
        self.all_gone.set()
        self.rejected_topics: Counter[str] = Counter()  # fault: how often to refuse a topic
        self.data_before_ack = False  # fault
        self.mute_pongs = False  # fault
        self.mute_acks = 0  # fault: how many of the next acknowledgements are lost
        self.upgrade_errors: deque[Refusal] = deque(maxlen=UPGRADE_FAULTS_MAX)  # fault
        self.connects = AddressLimit(connects_max, CONNECTS_WINDOW_S)
        self._connections = 0
        self._connections_max = connections_max

    def new_conn_id(self) -> str:
        self._connections += 1
        return f"d4sim{self._connections:015d}-pub"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handler of the upgrade."""
        category = request.match_info["category"]
        if category not in (*self.categories, STATUS_STREAM):
            self.counters["unknown_paths"] += 1
            return web.Response(status=404)
        if self.upgrade_errors:
            return self.upgrade_errors.popleft().response()
        if self._is_full(request, category):
            self.counters["refused_connections"] += 1
            return Refusal(403).response()
        socket = web.WebSocketResponse(
            max_msg_size=REQUEST_BYTES_MAX, compress=False, timeout=CLOSE_TIMEOUT_S
        )
        await socket.prepare(request)
        await self.hold(category, socket, request)
        return socket

    async def hold(
        self, category: str, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        """One connection from its upgrade to its end."""
        session = PublicSession(self, category, socket, request)
        self.sessions[session] = None
        self.all_gone.clear()
        self.counters["public_connections"] += 1
        try:
            await session.run()
        finally:
            self.sessions.pop(session, None)
            if not self.sessions:
                self.all_gone.set()

    def _is_full(self, request: web.Request, category: str) -> bool:
        """Whether the address has, or makes, too many connections."""
        peer = request.remote or ""
        if not self.connects.allows(peer, self.clock()[0]):
            return True
        mine = sum(s.category == category and s.peer == peer for s in self.sessions)
        return mine >= self._connections_max

    def freeze(self, count: int | None = None) -> int:
        """Leave connections open and say nothing on them any more: half open."""
        victims = list(self.sessions)[:count]
        for session in victims:
            session.frozen = True
        return len(victims)

    def raw(self, data: bytes, count: int | None, *, end: bool) -> int:
        """Fault: these bytes to connections, whatever they are."""
        self.flush()
        victims = list(self.sessions)[:count]
        for session in victims:
            write_raw(session.request, data, end=end)
        return len(victims)

    async def close(self, code: int = 1001) -> int:
        """Send everybody a close frame."""
        sessions = list(self.sessions)
        await asyncio.gather(*(session.close(code) for session in sessions))
        return len(sessions)

    def flush(self) -> None:
        """Hand what every connection has queued to its socket, one write each."""
        for session in list(self.sessions):
            session.flush()

    def cut(self, count: int | None = None) -> int:
        """Break connections without a close frame; how many were broken."""
        victims = list(self.sessions)[:count]
        for session in victims:
            session.drop()
        return len(victims)

    def close_idle(self, older_than_s: float) -> None:
        """Cut connections with no traffic in either direction since then."""
        for session in list(self.sessions):
            if session.active_s < older_than_s:
                self.counters["idle_closed"] += 1
                session.drop()


class PublicSession:
    """One connection. Frames are queued as bytes and written once per tick."""

    def __init__(
        self,
        exchange: PublicExchange,
        category: str,
        socket: web.WebSocketResponse,
        request: web.Request,
    ) -> None:
        self._exchange = exchange
        self._spot = category == "spot"
        self.category = category
        self.peer = request.remote or ""
        self.frozen = False  # fault
        self._socket = socket
        self.request = request
        self._outbox: list[bytes] = []
        self._topics: dict[str, Topic] = {}
        self._chars = 0
        self.conn_id = exchange.new_conn_id()
        self.active_s = exchange.clock()[0]

    async def run(self) -> None:
        """Read requests until the peer is gone. aiohttp answers control frames."""
        try:
            while True:
                message = await self._socket.receive()
                if message.type is not WSMsgType.TEXT:
                    break
                self.active_s = self._exchange.clock()[0]
                if not self.frozen:
                    self._take(message.data)
                    self.flush()
        finally:
            for topic in self._topics.values():
                self._exchange.hub.leave(topic, self)
            self._topics.clear()
            self._outbox.clear()

    # Sending.

    def queue(self, frame: bytes) -> None:
        """Take one whole WebSocket frame; it leaves with the next flush."""
        self._outbox.append(frame)

    def flush(self) -> None:
        socket = self.request.transport
        if not self._outbox or socket is None or socket.is_closing():
            return
        if self.frozen:
            self._outbox.clear()
            return
        if socket.get_write_buffer_size() > self._exchange.slow_reader_bytes_max:
            self._exchange.counters["slow_readers"] += 1
            self.drop()
            return
        self._exchange.counters["public_messages"] += len(self._outbox)
        self.active_s = self._exchange.clock()[0]
        socket.write(b"".join(self._outbox))
        self._outbox.clear()

    def drop(self) -> None:
        """Break the connection without a close frame."""
        self._outbox.clear()
        if self.request.transport is not None:
            self.request.transport.abort()

    async def close(self, code: int) -> None:
        await self._socket.close(code=code)

    # Control requests.

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
            if not self._exchange.mute_pongs:
                self._answer("ping", request, note="pong")
        elif op == "subscribe" or op == "unsubscribe":
            self._change(op, request)
        else:
            self._answer(str(op), request, error=f"error:request:op not supported,op:{op}")

    def _answer(self, op: str, request: dict[str, Any], *, note: str = "", error: str = "") -> None:
        """One acknowledgement; spot repeats the op and omits an absent `req_id`."""
        if self._exchange.mute_acks and not note and not error:
            self._exchange.mute_acks -= 1
            return
        spot = self._spot
        answer: dict[str, Any] = {
            "success": not error,
            "ret_msg": error or note or (op if spot else ""),
            "conn_id": self.conn_id,
        }
        req_id = request.get("req_id")
        if req_id is not None or not spot:
            answer["req_id"] = req_id if isinstance(req_id, str) else ""
        answer["op"] = op
        self.queue(ws_json(answer))

    def _change(self, op: str, request: dict[str, Any]) -> None:
        args = request.get("args")
        if not isinstance(args, list) or not args or not all(isinstance(a, str) for a in args):
            self._answer(op, request, error="Params Error")
            return
        if self._spot and len(args) > SPOT_ARGS_MAX:
            self._answer(op, request, error=f"args size >{SPOT_ARGS_MAX}")
            return
        if op == "unsubscribe":
            for name in args:
                self._leave(name)
            self._answer(op, request)
            return
        topics = self._wanted(args, request)
        if topics is None:
            return
        if not self._exchange.data_before_ack:
            self._answer(op, request)
        now_ms = self._exchange.clock()[1]
        for topic in topics:
            self._topics[topic.name] = topic
            self._chars += len(topic.name)
            self._exchange.hub.join(topic, self, now_ms)
        if self._exchange.data_before_ack:
            self._answer(op, request)

    def _wanted(self, args: list[str], request: dict[str, Any]) -> list[Topic] | None:
        """The topics asked for; None after an error, which then holds for the whole request."""
        topics: dict[str, Topic] = {}
        for name in args:
            topic, error = self._lookup(name)
            if name in topics:
                error = f"error:already subscribed,topic:{name}"
            if topic is None or error:
                self._exchange.counters["refused_subscriptions"] += 1
                self._answer("subscribe", request, error=error)
                return None
            topics[name] = topic
        if self._chars + sum(map(len, topics)) > ARGS_CHARS_MAX:
            self._answer("subscribe", request, error=f"args length >{ARGS_CHARS_MAX}")
            return None
        return list(topics.values())

    def _lookup(self, name: str) -> tuple[Topic | None, str]:
        exchange = self._exchange
        if exchange.rejected_topics[name] > 0:
            exchange.rejected_topics[name] -= 1
            return None, f"error:handler not found,topic:{name}"
        if name in self._topics:
            return None, f"error:already subscribed,topic:{name}"
        topic = exchange.hub.find(name, self.category)
        if topic is not None:
            return topic, ""
        symbol = exchange.hub.symbol_of(name)
        if symbol and self._spot:
            return None, f"Invalid symbol :[{name}]"
        return None, f"error:handler not found,topic:{name}"

    def _leave(self, name: str) -> None:
        topic = self._topics.pop(name, None)
        if topic is not None:
            self._chars -= len(name)
            self._exchange.hub.leave(topic, self)
