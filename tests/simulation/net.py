"""The network between engine and exchange: in memory, with delays, and faults when asked for.

Above it the production code of both sides runs: the engine's connections believe they hold a
picows transport, the exchange's sessions believe they hold aiohttp's. Requests and answers of REST
are handed to the exchange's own handlers. What a real network does to bytes is done here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import WSMsgType as ServerMsgType
from picows import WSError, WSMsgType

from fastbook.errors import TransportError
from fastbook.runtime.bybit.transport import HttpAnswer

from .loop import Universe, VirtualLoop

if TYPE_CHECKING:
    from fastbook.runtime.simulator.server import Simulator

    from .process import Process
    from .trace import Trace

STREAMS = ("public", "private", "trade")


@dataclass(slots=True)
class LinkFaults:
    """How one kind of link misbehaves now; probabilities are of one message or request."""

    drop: float = 0.0
    double: float = 0.0
    swap: float = 0.0
    delay: float = 0.0
    delay_s_max: float = 2.0
    refuse: float = 0.0  # new connections
    hang: float = 0.0  # new connections, and requests of REST that arrive nowhere
    lost_answer: float = 0.0  # REST: carried out, and the answer is lost
    late: float = 0.0  # REST: the request arrives late, perhaps after its time-out
    bad_status: float = 0.0  # REST: a gateway's 5xx, half of them after it was carried out
    garbled: float = 0.0  # REST: the answer is no envelope


class Frame:
    """One WebSocket frame as a listener of picows reads it."""

    __slots__ = ("fin", "last_in_buffer", "msg_type", "payload", "payload_size")
    rsv1 = rsv2 = rsv3 = 0

    def __init__(self, payload: bytes, last: bool, msg_type: WSMsgType = WSMsgType.TEXT) -> None:
        self.payload = payload
        self.payload_size = len(payload)
        self.msg_type = msg_type
        self.fin = True
        self.last_in_buffer = last

    def get_payload_as_memoryview(self) -> bytes:
        return self.payload

    def get_payload_as_bytes(self) -> bytes:
        return self.payload


def frames_in(data: bytes) -> list[bytes]:
    """The payloads of whole, unmasked frames (RFC 6455, section 5.2)."""
    found = []
    at, end = 0, len(data)
    while at < end:
        size = data[at + 1]
        if size < 126:
            at += 2
        elif size == 126:
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            at += 4
        else:
            size = int.from_bytes(data[at + 2 : at + 10], "big")
            at += 10
        found.append(data[at : at + size])
        at += size
    return found


@dataclass(slots=True)
class ServerMessage:
    type: ServerMsgType
    data: Any = None


CLOSED = ServerMessage(ServerMsgType.CLOSED)


class Wire:
    """One WebSocket connection. Bytes keep their order each way, as in TCP."""

    def __init__(self, net: Net, stream: str, process: Process, listener: Any) -> None:
        self.net = net
        self.stream = stream
        self.process = process
        self.listener = listener
        self.client = ClientTransport(self)
        self.server = ServerSide(self)
        self.half_open = False
        self.lost = False  # reset: nothing arrives at the engine any more
        self.up_lost = False  # nor at the exchange
        self.held_until_s = 0.0
        self._down_s = 0.0
        self._up_s = 0.0
        self._kept: bytes | None = None

    # From the exchange to the engine.

    def down(self, payloads: list[bytes]) -> None:
        net = self.net
        if self.half_open or self.lost or self.client.closed:
            return
        payloads = self._harmed(payloads)
        if payloads:
            at = max(self._down_s, self.held_until_s, net.now_s + net.latency_s())
            self._down_s = at
            self.process.loop.call_at(at, self._arrive, payloads)

    def _harmed(self, payloads: list[bytes]) -> list[bytes]:
        faults, net = self.net.links[self.stream], self.net
        if not (faults.drop or faults.double or faults.swap or faults.delay or self._kept):
            return payloads
        dice, came = net.dice, []
        for payload in payloads:
            if faults.drop and dice.random() < faults.drop:
                net.count(f"{self.stream} frame dropped")
                continue
            if faults.swap and self._kept is None and dice.random() < faults.swap:
                net.count(f"{self.stream} frames swapped")
                self._kept = payload
                continue
            came.append(payload)
            if self._kept is not None:
                came.append(self._kept)
                self._kept = None
            if faults.double and dice.random() < faults.double:
                net.count(f"{self.stream} frame doubled")
                came.append(payload)
        if faults.delay and dice.random() < faults.delay:
            net.count(f"{self.stream} frames delayed")
            self._down_s = max(self._down_s, net.now_s) + dice.random() * faults.delay_s_max
        return came

    def _arrive(self, payloads: list[bytes]) -> None:
        if self.lost or self.client.closed:
            return
        trace, listener, last = self.net.trace, self.listener, len(payloads) - 1
        for i, payload in enumerate(payloads):
            trace.note(self.stream, payload)
            listener.on_ws_frame(self.client, Frame(payload, i == last))
            if self.client.closed:
                break
        self.net.after_read(self)

    def close_frame(self, code: int) -> None:
        """The server says goodbye."""
        if self.half_open or self.lost or self.client.closed:
            return
        at = max(self._down_s, self.held_until_s, self.net.now_s + self.net.latency_s())
        self._down_s = at
        self.process.loop.call_at(at, self._goodbye, code)

    def _goodbye(self, code: int) -> None:
        if not self.lost and not self.client.closed:
            frame = Frame(code.to_bytes(2, "big"), True, WSMsgType.CLOSE)
            self.listener.on_ws_frame(self.client, frame)
            self.client.ended()

    # From the engine to the exchange.

    def up(self, text: bytes) -> None:
        net = self.net
        if self.half_open or self.lost or self.up_lost:
            return
        at = max(self._up_s, self.held_until_s, net.now_s + net.latency_s())
        self._up_s = at
        net.loop.call_at(at, self._take, text)

    def _take(self, text: bytes) -> None:
        if not self.up_lost and not self.server.closed:
            self.net.trace.note(self.stream + ">", text)
            self.server.put(ServerMessage(ServerMsgType.TEXT, text.decode()))

    def client_gone(self) -> None:
        """The engine closed its end."""
        if not self.half_open and not self.lost:
            at = max(self._up_s, self.net.now_s + self.net.latency_s())
            self.net.loop.call_at(at, self.server.put, CLOSED)
        self.net.forget(self)

    def server_gone(self) -> None:
        """The exchange broke the connection: what it wrote before may be lost with it."""
        self.lost = self.up_lost = True
        if not self.half_open and not self.client.closed:
            self.process.loop.call_at(self.net.now_s + self.net.latency_s(), self.client.ended)
        self.net.forget(self)

    def reset(self, *, up_lost: bool = True) -> None:
        """The network breaks it: both ends hear of it, what is under way is lost.

        A process that dies (`up_lost` False) leaves to the kernel what it had written.
        """
        self.lost = True
        self.up_lost = up_lost
        at = max(self._up_s, self.net.now_s)
        self.net.loop.call_at(at, self.server.put, CLOSED)
        if not self.client.closed:
            self.process.loop.call_soon(self.client.ended)
        self.net.forget(self)


class ClientTransport:
    """What the engine holds: the part of picows' WSTransport that it uses."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.closed = False
        self._told = False
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_disconnected(self) -> bool:
        return self.closed

    def send(self, msg_type: WSMsgType, message: bytes) -> None:
        if not self.closed:
            self._wire.up(bytes(message))

    def send_pong(self, payload: bytes = b"") -> None:
        pass

    def send_close(self, code: object = None, message: bytes = b"") -> None:
        if not self.closed and not self._wire.half_open:
            self._wire.client_gone()

    def disconnect(self, graceful: bool = True) -> None:
        if not self.closed:
            self.closed = True
            self._wire.client_gone()
            self._wire.process.loop.call_soon(self._tell)

    def ended(self) -> None:
        """The other side, or the network, ended it."""
        if not self.closed:
            self.closed = True
            self._tell()

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._wire.listener.on_ws_disconnected(self)

    async def wait_disconnected(self) -> None:
        if not self._told:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class ServerSide:
    """What the exchange holds: aiohttp's socket, its request and its transport, in one."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.closed = False
        self._inbox: list[ServerMessage] = []
        self._waiter: asyncio.Future[None] | None = None
        self.query: dict[str, str] = {}
        self.remote = "127.0.0.1"

    @property
    def transport(self) -> ServerSide:
        return self

    def put(self, message: ServerMessage) -> None:
        if self.closed:
            return
        self.closed = message is CLOSED
        self._inbox.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> ServerMessage:
        while not self._inbox:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._inbox.pop(0)

    async def send_str(self, text: str) -> None:
        if not self.closed:
            self._wire.down([text.encode()])

    def write(self, data: bytes) -> None:
        if not self.closed:
            self._wire.down(frames_in(data))

    def is_closing(self) -> bool:
        return self.closed

    @staticmethod
    def get_write_buffer_size() -> int:
        return 0

    async def close(self, code: int = 1000) -> None:
        if not self.closed:
            self.put(CLOSED)
            self._wire.close_frame(code)

    def abort(self) -> None:
        if not self.closed:
            self.put(CLOSED)
            self._wire.server_gone()


class Request:
    """One REST request as the exchange's handlers read it."""

    remote = "127.0.0.1"

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.raw_path = target
        self.path, _, query = target.partition("?")
        self.query = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        self.headers = headers
        self.body = body
        self.aborted = False

    @property
    def transport(self) -> Request:
        return self

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        """Also when the asker has given up: then its connection is gone."""
        return self.aborted

    async def read(self) -> bytes:
        return self.body


class Routes:
    """Takes the handlers that the exchange would give to aiohttp."""

    def __init__(self) -> None:
        self.handlers: dict[tuple[str, str], Callable[[Any], Any]] = {}

    @property
    def router(self) -> Routes:
        return self

    def add_get(self, path: str, handler: Callable[[Any], Any], **_: Any) -> None:
        self.handlers["GET", path] = handler

    def add_post(self, path: str, handler: Callable[[Any], Any]) -> None:
        self.handlers["POST", path] = handler


class Net:
    """All links of one simulation."""

    def __init__(
        self,
        universe: Universe,
        loop: VirtualLoop,
        exchange: Simulator,
        dice: Random,
        trace: Trace,
        *,
        latency_ms: tuple[float, float],
    ) -> None:
        """`loop` is the exchange's; delays are drawn between the two of `latency_ms`."""
        self.universe = universe
        self.loop = loop
        self.exchange = exchange
        self.dice = dice
        self.trace = trace
        self.links = {name: LinkFaults() for name in (*STREAMS, "rest")}
        self.hits: Counter[str] = Counter()
        self.wires: dict[Wire, None] = {}
        self.after_read: Callable[[Wire], None] = lambda wire: None
        self.before_request: Callable[[Request], None] = lambda request: None
        self.rest_down_until_s = 0.0
        self._low_s, self._high_s = latency_ms[0] / 1000, latency_ms[1] / 1000
        self._routes = Routes()
        exchange.rest.add_routes(self._routes)  # type: ignore[arg-type]  # takes what it calls
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def now_s(self) -> float:
        return self.universe.now_s

    def count(self, fault: str) -> None:
        self.hits[fault] += 1

    def latency_s(self) -> float:
        return self._low_s + (self._high_s - self._low_s) * self.dice.random()

    def forget(self, wire: Wire) -> None:
        self.wires.pop(wire, None)

    def of(self, stream: str) -> list[Wire]:
        return [w for w in self.wires if w.stream == stream]

    # WebSockets.

    async def connect_ws(self, process: Process, make_listener: Any, url: str) -> Any:
        stream, category = self._named(url)
        if process.killed:
            raise ConnectionRefusedError("dead")
        faults = self.links[stream]
        await asyncio.sleep(3 * self.latency_s())
        if faults.refuse and self.dice.random() < faults.refuse:
            self.count(f"{stream} connect refused")
            raise ConnectionRefusedError("refused")
        if faults.hang and self.dice.random() < faults.hang:
            self.count(f"{stream} connect hangs")
            await asyncio.get_running_loop().create_future()
        host = getattr(self.exchange, stream)
        if host.upgrade_errors:
            raise WSError(f"upgrade refused: {host.upgrade_errors.popleft()}")
        wire = Wire(self, stream, process, make_listener())
        self.wires[wire] = None
        hold = (
            host.hold(category, wire.server, wire.server)
            if stream == "public"
            else host.hold(wire.server, wire.server)
        )
        task = self.loop.create_task(hold)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(self.latency_s())
        self.trace.note("connected", stream.encode())
        wire.listener.on_ws_connected(wire.client)
        if wire.client.closed:
            wire.client._tell()
        return wire.client, wire.listener

    @staticmethod
    def _named(url: str) -> tuple[str, str]:
        path = url.partition("://")[2].partition("/")[2].partition("?")[0]
        _, stream, *rest = path.split("/")
        return stream, rest[0] if rest else ""

    # REST.

    async def request(
        self,
        process: Process,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> HttpAnswer:
        faults, dice = self.links["rest"], self.dice
        name = f"{method} {target.partition('?')[0]}"
        if process.killed:
            raise TransportError(f"{name}: dead", sent=False)
        if self.now_s < self.rest_down_until_s or (faults.refuse and dice.random() < faults.refuse):
            self.count("rest refused")
            await asyncio.sleep(self.latency_s())
            raise TransportError(f"{name}: no connection", sent=False)
        request = Request(method, target, headers, body or b"")
        answered: asyncio.Future[HttpAnswer] = process.loop.create_future()
        call = Call(self, process, request, answered, name)
        timer = process.loop.call_later(timeout_s, call.timed_out)
        at = self.now_s + self.latency_s()
        if faults.late and dice.random() < faults.late:
            self.count("rest request late")
            at += dice.random() * 2 * timeout_s
        if faults.hang and dice.random() < faults.hang:
            self.count("rest request lost")
        else:
            self.loop.call_at(at, call.arrive)
        try:
            return await answered
        finally:
            timer.cancel()


class Call:
    """One request on its way."""

    __slots__ = ("_answered", "_name", "_net", "_process", "_request")

    def __init__(
        self,
        net: Net,
        process: Process,
        request: Request,
        answered: asyncio.Future[HttpAnswer],
        name: str,
    ) -> None:
        self._net = net
        self._process = process
        self._request = request
        self._answered = answered
        self._name = name

    def timed_out(self) -> None:
        self._request.aborted = True
        self._fail("timed out")

    def _fail(self, why: str) -> None:
        if not self._answered.done():
            self._answered.set_exception(TransportError(f"{self._name}: {why}"))

    def arrive(self) -> None:
        """At the exchange."""
        net, request = self._net, self._request
        faults, dice = net.links["rest"], net.dice
        net.trace.note("rest>", request.raw_path.encode() + request.body)
        if faults.bad_status and dice.random() < faults.bad_status:
            net.count("rest 5xx")
            if dice.random() < 0.5:
                self._carry_out(dropped=True)
            self._back(502, b"<html>502</html>", {})
            return
        self._carry_out(dropped=False)

    def _carry_out(self, *, dropped: bool) -> None:
        net, request = self._net, self._request
        handler = net._routes.handlers.get((request.method, request.path))
        if handler is None:
            if not dropped:
                self._back(404, b"", {})
            return
        net.before_request(request)
        self._step(handler(request), dropped)

    def _step(self, handling: Any, dropped: bool) -> None:
        """Run a handler to its end, or to the next thing that it waits for."""
        try:
            waits_for = handling.send(None)
        except StopIteration as done:
            self._answer(done.value, dropped)
            return
        waits_for._asyncio_future_blocking = False  # as a task does before it waits
        waits_for.add_done_callback(lambda _: self._step(handling, dropped))

    def _answer(self, response: Any, dropped: bool) -> None:
        net, faults, dice = self._net, self._net.links["rest"], self._net.dice
        if dropped:
            return
        if self._request.aborted:
            self._process.loop.call_at(net.now_s + net.latency_s(), self._fail, "disconnected")
            return
        if faults.lost_answer and dice.random() < faults.lost_answer:
            net.count("rest answer lost")
            if dice.random() < 0.5:
                self._process.loop.call_at(net.now_s + net.latency_s(), self._fail, "disconnected")
            return
        body = response.body
        if faults.garbled and dice.random() < faults.garbled:
            net.count("rest answer garbled")
            body = dice.choice([body[: len(body) // 2], b"<html>busy</html>", b"", b"[]"])
        self._back(response.status, body, response.headers)

    def _back(self, status: int, body: bytes, headers: Any) -> None:
        net, faults, dice = self._net, self._net.links["rest"], self._net.dice
        at = net.now_s + net.latency_s()
        if faults.delay and dice.random() < faults.delay:
            net.count("rest answer delayed")
            at += dice.random() * faults.delay_s_max * 3
        answer = HttpAnswer(status, {k.lower(): v for k, v in headers.items()}, body)
        self._process.loop.call_at(at, self._deliver, answer)

    def _deliver(self, answer: HttpAnswer) -> None:
        self._net.trace.note("rest", answer.body)
        if not self._answered.done():
            self._answered.set_result(answer)


class MemoryHttp:
    """Implements `HttpExchange` for one process."""

    def __init__(self, net: Net, process: Process, timeout_s: float) -> None:
        self._net = net
        self._process = process
        self._timeout_s = timeout_s

    async def exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> HttpAnswer:
        return await self._net.request(
            self._process, method, target, headers, body, self._timeout_s
        )

    async def close(self) -> None:
        pass
