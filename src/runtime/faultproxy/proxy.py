"""A TCP proxy on loopback that does to a connection what networks do, on purpose.

    proxy = FaultProxy("127.0.0.1", port_of_the_server, seed=7)
    port = await proxy.start()              # clients connect here instead
    proxy.to_client.frames.drop = 0.01      # of WebSocket messages, that way
    proxy.to_server.bytes.latency_s = 0.05
    proxy.cut()                             # every connection: RST to both ends
    await proxy.stop()

Toxics are set per direction and may change at any time. What was done is counted, so that
nothing is lost unseen: for each direction ``bytes_in == bytes_out + bytes_lost`` (without
duplicates) and ``messages_in + duplicated == messages_out + dropped + lost`` once a connection
has ended; `lost` are those that were under way when it broke. Frame toxics read plain WebSocket streams only;
whatever else passes through (TLS, plain HTTP) is bytes. Random choices come from the seed, the
number of the connection and the direction; the choice for a message depends on its place in
the stream alone, never on how the stream was cut into reads.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from fastbook.errors import TransportError

from .harm import MessageHarm
from .pump import End, Pump, reset
from .toxics import ByteToxics, FrameToxics

CONNECT_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 1000  # further clients are reset, and counted


@dataclass(slots=True)
class Direction:
    """One way through the proxy: what is done to it, and what was done.

    Counters: ``bytes_in, bytes_out, bytes_lost``; ``messages_in, messages_out, dropped, lost,
    duplicated, reordered, delayed, truncated``; ``truncated_reads, limited``.
    """

    bytes: ByteToxics = field(default_factory=ByteToxics)
    frames: FrameToxics = field(default_factory=FrameToxics)
    counters: Counter[str] = field(default_factory=Counter)


class FaultProxy:
    """Stands between clients and one server. Binds loopback only."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.to_client = Direction()
        self.to_server = Direction()
        # connections, refused, unreachable; cut, half_opened, stalled, resumed
        self.counters: Counter[str] = Counter()
        self._target = (host, port)
        self._seed = seed
        self._server: asyncio.Server | None = None
        self._links: dict[_Link, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> int:
        """Bind (0: any free port) and return the port. TransportError when it cannot be had."""
        try:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        except OSError as e:
            why = os.strerror(e.errno) if e.errno else str(e)
            raise TransportError(f"cannot listen on 127.0.0.1:{port}: {why}") from e
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the port and every connection. Safe to call twice."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    @property
    def connections(self) -> int:
        return len(self._links)

    # At once, to every connection there is.

    def cut(self) -> int:
        """RST to both ends; what is under way is lost. How many connections it hit."""
        return self._each("cut", _Link.cut)

    def half_open(self) -> int:
        """The server's end is reset; the client's stays open and silent, and swallows bytes."""
        return self._each("half_opened", _Link.half_open)

    def stall(self) -> int:
        """Pass nothing on in either direction until `resume`; the senders are held up."""
        return self._each("stalled", _Link.stall)

    def resume(self) -> int:
        return self._each("resumed", _Link.resume)

    def _each(self, name: str, act: Callable[[_Link], None]) -> int:
        links = list(self._links)
        for link in links:
            act(link)
        self.counters[name] += len(links)
        return len(links)

    # Connections.

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._links) + 1 > CONNECTIONS_MAX:
            self.counters["refused"] += 1
            reset(writer)
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.counters["connections"]
        self.counters["connections"] += 1
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                up_reader, up_writer = await asyncio.open_connection(*self._target)
        except (OSError, TimeoutError):
            self.counters["unreachable"] += 1
            reset(writer)
            return
        link = _Link(
            self._pump(up_reader, writer, self.to_client, f"{number}-to-client"),
            self._pump(reader, up_writer, self.to_server, f"{number}-to-server"),
        )
        self._links[link] = None
        try:
            await link.run()
        finally:
            del self._links[link]

    def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Direction,
        name: str,
    ) -> Pump:
        seed = f"{self._seed}-{name}"
        harm = MessageHarm(way.frames, way.counters, Random(f"{seed}-messages"))
        return Pump(reader, writer, way.bytes, harm, way.counters, Random(f"{seed}-bytes"))


class _Link:
    """One client's connection and its twin to the server."""

    def __init__(self, to_client: Pump, to_server: Pump) -> None:
        self._to_client, self._to_server = to_client, to_server
        self._pumps = (to_client, to_server)
        self._half_open = False

    async def run(self) -> None:
        """Until both directions have ended; one that ends in order leaves the other be."""
        tasks = [asyncio.create_task(pump.run()) for pump in self._pumps]
        try:
            for ended in asyncio.as_completed(tasks):
                end = await ended
                if end is End.LIMITED:
                    break
                if end is End.BROKEN and not self._half_open:
                    self.cut()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for pump in self._pumps:
                pump.writer.close()

    def cut(self) -> None:
        self._half_open = False
        for pump in self._pumps:
            pump.swallow()
            reset(pump.writer)

    def half_open(self) -> None:
        self._half_open = True
        for pump in self._pumps:
            pump.swallow()
        reset(self._to_server.writer)

    def stall(self) -> None:
        for pump in self._pumps:
            pump.stall()

    def resume(self) -> None:
        for pump in self._pumps:
            pump.resume()
