"""An exchange that says exactly what a test scripts: subscribe, ack, ping, and frames by hand."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

Level = tuple[str, str]
DEADLINE_S = 60.0


def book_frame(
    topic: str,
    kind: str,
    u: int,
    bids: Iterable[Level] = (("100.0", "1"),),
    asks: Iterable[Level] = (("101.0", "1"),),
) -> bytes:
    """One `orderbook` frame as the linear category sends it."""
    return orjson.dumps(
        {
            "topic": topic,
            "type": kind,
            "ts": 1_700_000_000_000 + u,
            "data": {
                "s": topic.rpartition(".")[2],
                "b": list(bids),
                "a": list(asks),
                "u": u,
                "seq": 10 * u,
            },
            "cts": 1_700_000_000_000 + u,
        }
    )


def snapshot(topic: str, u: int = 100, **sides: Iterable[Level]) -> bytes:
    return book_frame(topic, "snapshot", u, **sides)


def delta(topic: str, u: int, **sides: Iterable[Level]) -> bytes:
    return book_frame(topic, "delta", u, **sides)


class Peer(WSListener):
    """One accepted connection, as the exchange sees it."""

    def __init__(self, exchange: ScriptedExchange) -> None:
        self.exchange = exchange
        self.transport: WSTransport | None = None
        self.requests: list[dict[str, Any]] = []  # Any: JSON
        self.control_frames: list[tuple[WSMsgType, bytes]] = []
        self.subscribed: set[str] = set()
        self.gone = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.exchange.peers.append(self)
        self.exchange.moved()
        self.exchange.on_accept(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            self.control_frames.append((frame.msg_type, frame.get_payload_as_bytes()))
        else:
            request = orjson.loads(frame.get_payload_as_bytes())
            self.requests.append(request)
            self.exchange.on_request(self, request)
        self.exchange.moved()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone.set()
        self.exchange.moved()

    # What a script does.

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.frame(WSMsgType.TEXT, frame)

    def frame(self, kind: WSMsgType, payload: bytes, **flags: bool) -> None:
        assert self.transport is not None
        self.transport.send(kind, payload, **flags)

    def raw(self, data: bytes) -> None:
        """Bytes as they are, in one write: frames of a wrong shape, or many in one read."""
        assert self.transport is not None
        self.transport.underlying_transport.write(data)

    def reset(self) -> None:
        """Cut with a TCP RST."""
        assert self.transport is not None
        sock = self.transport.underlying_transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.disconnect(graceful=False)

    def end(self) -> None:
        """A clean TCP end, without a CLOSE frame."""
        assert self.transport is not None
        self.transport.disconnect()

    def ack(self, request: dict[str, Any], *, success: bool = True, text: str = "") -> None:
        self.send(
            orjson.dumps(
                {
                    "success": success,
                    "ret_msg": text,
                    "conn_id": "c",
                    "req_id": request.get("req_id", ""),
                    "op": request["op"],
                }
            )
        )

    def ops(self, op: str) -> list[list[str]]:
        """The topics of each request of that kind, in order."""
        return [r["args"] for r in self.requests if r["op"] == op]


def wire(payload: bytes, opcode: int = 1, *, fin: bool = True, rsv: int = 0) -> bytes:
    """One unmasked frame, for `Peer.raw`; payloads below 64 KiB."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + bytes([126]) + len(payload).to_bytes(2, "big") + payload


class ScriptedExchange:
    """Answers pings, acknowledges and sends a snapshot on subscribe; each part can be replaced."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.url = ""
        self.snapshots = True
        self.pongs = True
        self.refuse: dict[str, str] = {}
        """Topic -> text of the refusal; as the venue: the whole request is refused."""
        self.acks = True
        self.snapshot_first = False
        self.snapshot_u: Counter[str] = Counter()
        self.handle: Callable[[Peer, dict[str, Any]], bool] = lambda peer, request: False
        """Sees each request first; True: it has dealt with it."""
        self.on_accept: Callable[[Peer], None] = lambda peer: None
        self._moved = asyncio.Event()

    def moved(self) -> None:
        self._moved.set()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until the exchange has seen what `ready` asks for."""
        async with asyncio.timeout(DEADLINE_S):
            while not ready():
                self._moved.clear()
                await self._moved.wait()

    def on_request(self, peer: Peer, request: dict[str, Any]) -> None:
        if self.handle(peer, request):
            return
        op = request["op"]
        if op == "ping":
            if self.pongs:
                peer.ack(request, text="pong")
        elif op == "unsubscribe":
            peer.subscribed -= set(request["args"])
            if self.acks:
                peer.ack(request)
        else:
            self._subscribe(peer, request)

    def _subscribe(self, peer: Peer, request: dict[str, Any]) -> None:
        for topic in request["args"]:
            if topic in self.refuse:
                peer.ack(request, success=False, text=self.refuse[topic])
                return
            if topic in peer.subscribed:
                text = f"error:already subscribed,topic:{topic}"
                peer.ack(request, success=False, text=text)
                return
        peer.subscribed |= set(request["args"])
        if self.acks and not self.snapshot_first:
            peer.ack(request)
        for topic in request["args"]:
            if self.snapshots and topic.startswith("orderbook."):
                self.snapshot_u[topic] += 100
                peer.send(snapshot(topic, self.snapshot_u[topic]))
        if self.acks and self.snapshot_first:
            peer.ack(request)


@asynccontextmanager
async def exchange() -> AsyncIterator[ScriptedExchange]:
    scripted = ScriptedExchange()
    server = await ws_create_server(lambda _: Peer(scripted), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    scripted.url = f"ws://127.0.0.1:{port}/v5/public/linear"
    try:
        yield scripted
    finally:
        server.close()
        for peer in scripted.peers:
            if peer.transport is not None:
                peer.transport.disconnect(graceful=False)
        async with asyncio.timeout(DEADLINE_S):
            for peer in scripted.peers:
                await peer.gone.wait()


Scenario = Callable[[], Awaitable[None]]
