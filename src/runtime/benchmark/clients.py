"""The receiving ends that are measured, each over one picows connection.

A client runs until the sender says goodbye and returns what it took and what it ended up
knowing, so that its answer can be checked.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from fastbook import BookDecoder, SignalSet

from ..bybit.listener import Listener, MakeListener
from ..bybit.listener_py import FeedListener
from ._loop import CountingListener
from .peers import Peer, Reading

DEADLINE_S = 120.0
SUBSCRIBE = b'{"op":"subscribe","args":["orderbook.50.BTCUSDT"]}'


@dataclass(slots=True, kw_only=True)
class Received:
    """What one connection took, from the subscription to the goodbye."""

    frames: int
    wall_s: float
    cpu_s: float  # of the whole process: system calls and event loop included
    readings: dict[str, Reading] = field(default_factory=dict)  # by symbol, at the end
    arrivals: array[int] = field(default_factory=lambda: array("q"))
    """Monotonic ns, frames so far; again and again, each time that books were handed over."""


Client = Callable[[str, ssl.SSLContext | None], Coroutine[Any, Any, Received]]
"""Any: what a coroutine yields and is sent, which nobody uses."""


class Connection:
    """What a listener tells, and the clock around it. Also a `Link` for fastbook's listeners."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.error: Exception | None = None
        self._transport: WSTransport | None = None
        self._started = 0.0
        self._started_cpu = 0.0
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def on_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._started, self._started_cpu = time.perf_counter(), time.process_time()
        transport.send(WSMsgType.TEXT, SUBSCRIBE)

    def on_disconnected(self) -> None:
        self.wall_s = time.perf_counter() - self._started
        self.cpu_s = time.process_time() - self._started_cpu
        self.over.set()

    def on_odd_frame(self, opcode: int, fin: bool, rsv: int, payload: bytes) -> bytes | None:
        if self._transport is not None:  # the goodbye
            self._transport.disconnect()
        return None

    def on_message(self, message: object, recv_ns: int) -> None:
        raise AssertionError(f"not a book's frame: {message}")

    def on_read(self) -> None: ...

    def on_desynced(self) -> None:
        raise AssertionError("a book lost its trust: a frame was lost or misread")

    def on_error(self, error: Exception) -> None:
        self.error = error

    async def run(self, url: str, listener: WSListener, context: ssl.SSLContext | None) -> None:
        async with asyncio.timeout(DEADLINE_S):
            transport, _ = await ws_connect(
                lambda: listener,
                url,
                ssl_context=context,
                enable_auto_pong=False,
                use_aiofastnet=False,  # as the feed of fastbook connects
            )
            await transport.wait_disconnected()
            await self.over.wait()
        if self.error is not None:
            raise self.error


def fastbook_client(
    symbols: int, *, keep_arrivals: bool = False, make_listener: MakeListener = Listener
) -> Client:
    """Socket to books and all signals, told of touched books once a socket read."""

    async def client(url: str, context: ssl.SSLContext | None) -> Received:
        decoder = BookDecoder(signals=SignalSet(symbols, sample_ms=0))
        arrivals = array("q")  # no objects: the collector has nothing to look at

        def on_books(touched: list[int], recv_ns: int) -> None:
            if keep_arrivals:
                arrivals.extend((time.monotonic_ns(), listener.frames))

        link = Connection()
        made = make_listener(decoder, on_books, link)
        listener: FeedListener = made  # type: ignore[assignment]  # both listeners are
        await link.run(url, made, context)
        assert decoder.signals is not None
        return Received(
            frames=decoder.counters["snapshot"] + decoder.counters["applied"],
            wall_s=link.wall_s,
            cpu_s=link.cpu_s,
            readings={b.symbol: (b.mid, b.imbalance(10)) for b in decoder.books.values()},
            arrivals=arrivals,
        )

    return client


def counting_client() -> Client:
    """The floor: a compiled listener that looks at nothing."""

    async def client(url: str, context: ssl.SSLContext | None) -> Received:
        link = Connection()
        listener = CountingListener(link)
        await link.run(url, listener, context)
        return Received(frames=listener.frames, wall_s=link.wall_s, cpu_s=link.cpu_s)

    return client


class PeerListener(WSListener):
    """A peer behind picows, as an expert would put it there in an afternoon."""

    def __init__(self, peer: Peer, link: Connection) -> None:
        self._apply = peer.apply
        self._link = link
        self.frames = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._link.on_connected(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._link.on_disconnected()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.frames += 1
            self._apply(frame.get_payload_as_bytes())
        else:
            self._link.on_odd_frame(frame.msg_type.value, True, 0, b"")


def peer_client(make: Callable[[], Peer]) -> Client:
    async def client(url: str, context: ssl.SSLContext | None) -> Received:
        peer, link = make(), Connection()
        listener = PeerListener(peer, link)
        await link.run(url, listener, context)
        return Received(
            frames=listener.frames,
            wall_s=link.wall_s,
            cpu_s=link.cpu_s,
            readings=peer.readings(),
        )

    return client
