"""The listener in Python: what `_listener.pyx` does, for where that cannot be loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from fastbook.bybit.frames import BookDecoder
from fastbook.core.histogram import Histogram
from fastbook.core.states import ApplyStatus
from fastbook.core.tape import Tape

from ..system_clock import stamp_ns

OnBooks = Callable[[list[int], int], None]
"""Indexes of the touched books, receive time in ns; once per socket read."""


class Link(Protocol):
    """Who a listener tells. All calls come from inside the socket callback."""

    def on_connected(self, transport: WSTransport) -> None: ...

    def on_disconnected(self) -> None: ...

    def on_odd_frame(self, opcode: int, fin: bool, rsv: int, payload: bytes) -> bytes | None:
        """Any frame but a whole text message; returns the message that it completed."""

    def on_message(self, message: Any, recv_ns: int) -> None:
        """A message that is not a book's, as orjson made it (hence Any)."""

    def on_read(self) -> None:
        """A socket read was applied; only while `watched`."""

    def on_desynced(self) -> None:
        """`decoder.take_desynced()` has something."""

    def on_error(self, error: Exception) -> None:
        """Something below raised; the listener has closed itself."""


class FeedListener(Protocol):
    """What both listeners let their connection see and set."""

    latency: Histogram | None
    """Takes, of each message, the time from the socket read to its book and signals."""
    tape: Tape | None
    """Keeps every message, before it is applied."""
    closed: bool
    joining: bool
    watched: bool

    @property
    def frames(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def late_frames(self) -> int: ...

    @property
    def malformed(self) -> int: ...


class PythonListener(WSListener):
    """Hands each whole text message to `decoder`, and what it became to the others.

    Runs inside the socket callback: it must not block, await or raise.
    """

    def __init__(
        self,
        decoder: BookDecoder,
        on_books: OnBooks,
        link: Link,
        *,
        now_ns: Callable[[], int] = stamp_ns,
    ) -> None:
        """`now_ns`: the clock of receive times, stamps by default."""
        self._decoder = decoder
        self._on_books = on_books
        self._link = link
        self._now_ns = now_ns
        self._recv_ns = 0
        self._in_read = False
        self._desynced = False
        self.latency: Histogram | None = None
        self.tape: Tape | None = None
        self.closed = False
        self.joining = False
        self.watched = False
        self.frames = 0
        self.bytes = 0
        self.late_frames = 0
        self.malformed = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._link.on_connected(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._link.on_disconnected()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self._in_read:
            self._recv_ns = self._now_ns()  # first: all after it is our own latency
            self._in_read = True
        if self.closed:
            self.late_frames += 1
            return
        self.frames += 1
        self.bytes += frame.payload_size
        try:
            self._on_frame(frame)
            if frame.last_in_buffer:
                self._in_read = False
                self._end_read()
        except Exception as error:  # noqa: BLE001  (reason below)
            # The one place: picows would log it and hang up; the feed must end with it.
            self.closed = True
            self._link.on_error(error)

    def _on_frame(self, frame: WSFrame) -> None:
        rsv = frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3
        if frame.msg_type == WSMsgType.TEXT and frame.fin and not rsv and not self.joining:
            self._apply(frame.get_payload_as_memoryview())
            return
        message = self._link.on_odd_frame(
            frame.msg_type.value, bool(frame.fin), rsv, frame.get_payload_as_bytes()
        )
        if message is not None:
            self._apply(message)

    def _apply(self, message: memoryview | bytes) -> None:
        if self.tape is not None:
            self.tape.frame(message, self._recv_ns)
        status = self._decoder.apply(message, self._recv_ns)
        if self.latency is not None:
            self.latency.record(self._now_ns() - self._recv_ns)
        if status is ApplyStatus.TRADE or status is ApplyStatus.OTHER:
            self._link.on_message(self._decoder.message, self._recv_ns)
        elif status is ApplyStatus.MALFORMED:
            self.malformed += 1
            self._desynced = True
        elif status is ApplyStatus.GAP:
            self._desynced = True

    def _end_read(self) -> None:
        if self.closed:
            return  # the link ended it within this read, and told of the books itself
        if self.watched:
            self._link.on_read()
        if self._desynced:
            self._desynced = False
            self._link.on_desynced()
        if touched := self._decoder.touched():
            self._on_books(touched, self._recv_ns)
