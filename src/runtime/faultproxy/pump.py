"""One direction of one connection: read, harm, wait, pass on."""

from __future__ import annotations

import asyncio
import enum
import heapq
import socket
import struct
from collections import Counter
from random import Random

from .harm import MessageHarm, Piece
from .toxics import ByteToxics

READ_BYTES = 64 * 1024
WAITING_MAX = 256  # pieces waiting for their time; when full, the sender is held up


class End(enum.Enum):
    """How a direction came to its end."""

    IN_ORDER = enum.auto()  # the sender has closed, and everything was passed on
    LIMITED = enum.auto()  # `limit_bytes` were passed on
    BROKEN = enum.auto()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST rather than a FIN."""
    transport = writer.transport
    if transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Pump:
    """Copies from `reader` to `writer`; `run` returns when the direction has ended."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        toxic: ByteToxics,
        harm: MessageHarm,
        counters: Counter[str],
        rng: Random,
    ) -> None:
        self.writer = writer
        self._reader = reader
        self._toxic = toxic
        self._harm = harm
        self._counters = counters
        self._random = rng
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, int, Piece]] = []  # a heap by the time to leave
        self._pieces = 0
        self._last_due_s = 0.0
        self._sent = 0
        self._ended: End | None = None  # of the reading side
        self._swallowing = False
        self._moving = asyncio.Event()
        self._moving.set()
        self._news = asyncio.Event()  # for the writing side
        self._room = asyncio.Event()  # for the reading side
        self._room.set()

    # From outside.

    def stall(self) -> None:
        self._moving.clear()

    def resume(self) -> None:
        self._moving.set()

    def swallow(self) -> None:
        """From now on pass nothing on: read and lose it."""
        self._swallowing = True
        self._moving.set()

    async def run(self) -> End:
        read = asyncio.create_task(self._read())
        write = asyncio.create_task(self._write())
        try:
            return await write
        finally:
            for task in (read, write):
                task.cancel()
            await asyncio.gather(read, write, return_exceptions=True)
            for piece in (*(p for _, _, p in self._waiting), *self._harm.rest()):
                self._lose(piece)
            self._waiting.clear()

    def _lose(self, piece: Piece) -> None:
        self._counters["bytes_lost"] += len(piece.data)
        self._counters["lost"] += piece.messages

    # In.

    async def _read(self) -> None:
        ended = End.IN_ORDER
        while True:
            await self._room.wait()
            try:
                data = await self._reader.read(READ_BYTES)
            except OSError:
                ended = End.BROKEN
                break
            if not data:
                break
            self._counters["bytes_in"] += len(data)
            if self._swallowing:
                self._counters["bytes_lost"] += len(data)
                continue
            for piece in self._harm.take(data):
                self._schedule(piece)
        if ended is End.IN_ORDER:
            for piece in self._harm.rest():
                self._schedule(piece)
        self._ended = ended
        self._news.set()

    def _schedule(self, piece: Piece) -> None:
        """Latency keeps the order; a delay of its own does not."""
        toxic = self._toxic
        due_s = self._loop.time() + toxic.latency_s
        if toxic.jitter_s:
            due_s += self._random.random() * toxic.jitter_s
        due_s = max(due_s, self._last_due_s)
        if piece.delay_s:
            due_s += piece.delay_s
        else:
            self._last_due_s = due_s
        self._pieces += 1
        heapq.heappush(self._waiting, (due_s, self._pieces, piece))
        if len(self._waiting) >= WAITING_MAX:
            self._room.clear()
        self._news.set()

    # Out.

    async def _write(self) -> End:
        while True:
            piece = await self._next()
            if piece is None:
                break
            end = await self._pass_on(piece)
            if end is not None:
                return end
        assert self._ended is not None
        if self._ended is End.IN_ORDER and not self._swallowing:
            await self._moving.wait()
            if not self.writer.transport.is_closing():
                try:
                    self.writer.write_eof()
                except OSError:
                    return End.BROKEN
        return self._ended

    async def _next(self) -> Piece | None:
        """The next piece when its time has come; None at the end of the stream."""
        while True:
            self._news.clear()
            if self._ended is End.BROKEN:
                return None
            if not self._waiting:
                if self._ended is not None:
                    return None
                await self._news.wait()
                continue
            wait_s = self._waiting[0][0] - self._loop.time()
            if wait_s <= 0:
                piece = heapq.heappop(self._waiting)[2]
                self._room.set()
                return piece
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _pass_on(self, piece: Piece) -> End | None:
        """Write one piece as the toxics want it; how the direction ends, if it does here."""
        toxic = self._toxic
        data = piece.data
        if toxic.truncate and self._random.random() < toxic.truncate:
            data = data[: self._random.randrange(len(data))]
            self._counters["truncated_reads"] += 1
        limited = 0 < toxic.limit_bytes <= self._sent + len(data)
        if limited:
            data = data[: max(0, toxic.limit_bytes - self._sent)]
            self._counters["limited"] += 1
        before = self._sent
        try:
            await self._moving.wait()
            if self._swallowing:
                return None
            await self._write_slices(data)
        except OSError:
            return End.BROKEN
        finally:  # also when the connection is cut in the middle of it
            written = self._sent - before
            self._counters["bytes_out"] += written
            self._counters["bytes_lost"] += len(piece.data) - written
            self._counters["messages_out" if written == len(data) else "lost"] += piece.messages
        return End.LIMITED if limited else None

    async def _write_slices(self, data: bytes) -> None:
        slice_bytes = self._toxic.slice_bytes
        step = slice_bytes or max(1, len(data))
        for start in range(0, len(data), step):
            if self.writer.transport.is_closing():
                raise ConnectionResetError("closed meanwhile")
            part = data[start : start + step]
            self.writer.write(part)
            self._sent += len(part)
            await self.writer.drain()
            if slice_bytes:
                await asyncio.sleep(self._toxic.slice_gap_s)
