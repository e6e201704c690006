"""One connection from handshake to its end. Never reused: the next one is a new object."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from picows import WSCloseCode, WSError, WSMsgType, WSProtocolError, WSTransport, ws_connect

from fastbook.bybit import requests
from fastbook.bybit.frames import BookDecoder
from fastbook.clock import Clock
from fastbook.core.histogram import Histogram
from fastbook.core.states import BookState
from fastbook.core.tape import Tape

from . import assembler
from .assembler import MessageAssembler, ProtocolFault
from .feed_config import PublicFeedConfig
from .feed_stats import FeedStats
from .heartbeat import Beat, Heartbeat
from .listener import MakeListener
from .listener_py import FeedListener, OnBooks
from .staleness import StalenessWatch
from .subscriptions import SubscriptionTable, TopicState
from .transport import ConnectWs

log = logging.getLogger("fastbook.feed")

POLL_S_MAX = 1.0
"""The longest sleep of a connection's driver, whatever is due."""

POLL_S_MIN = 0.001


@dataclass(slots=True, kw_only=True)
class FeedContext:
    """What all connections of one feed share."""

    config: PublicFeedConfig
    decoder: BookDecoder
    clock: Clock
    on_books: OnBooks
    on_message: Callable[[Any, int], None]  # Any: the decoded object, of any topic
    on_link: Callable[[str, bool, int], None] | None
    on_desynced: Callable[[], None]
    make_listener: MakeListener
    ssl_context: ssl.SSLContext | None
    connect_ws: ConnectWs = ws_connect
    latency: Histogram | None = None
    tape: Tape | None = None
    stats: FeedStats = field(default_factory=FeedStats)

    def now_s(self) -> float:
        return self.clock.monotonic_ns() / 1e9

    def flush_books(self) -> None:
        """Tell of books whose state was changed outside a socket read."""
        if touched := self.decoder.touched():
            self.on_books(touched, self.clock.now_ns())


class Connection:
    """Connects, subscribes, pings, watches; ends once, for one reason.

    When it ends, all its books have left SYNCED before `finish` returns, and frames that
    still come are ignored and counted: nothing of an old connection reaches a book.
    """

    def __init__(
        self, name: str, epoch: int, table: SubscriptionTable, feed: FeedContext, *, again: bool
    ) -> None:
        """`again`: there was one of this name before."""
        self.name = name
        self.epoch = epoch
        self.reason = ""
        """Why it ended; empty while it has not."""
        self.error: Exception | None = None
        """What one of our own callbacks raised: not the network's fault, so not retried."""
        self.opened_s: float | None = None
        self.counted = False
        """Its listener's counts are in the feed's."""
        self._again = again
        self._table = table
        self._feed = feed
        self._books = [t for t in table.states() if t in feed.decoder.books]
        self._transport: WSTransport | None = None
        self._wake = asyncio.Event()
        self._connecting: asyncio.Future[None] | None = None
        self._assembler = MessageAssembler(
            bytes_max=feed.config.message_bytes_max, fragments_max=feed.config.fragments_max
        )
        self._heartbeat = Heartbeat(
            ping_interval_s=feed.config.ping_interval_s,
            pong_timeout_s=feed.config.pong_timeout_s,
            silence_s=feed.config.stale_after_s,
        )
        self._staleness = StalenessWatch(feed.config.stale_after_s)
        listener = feed.make_listener(feed.decoder, feed.on_books, self)
        self._ws_listener = listener
        self.listener: FeedListener = listener  # type: ignore[assignment]  # both have these
        self.listener.latency = feed.latency
        self.listener.tape = feed.tape

    async def run(self) -> None:
        """Returns when the connection has ended and its socket is closed; see `reason`."""
        try:
            await self._connect()
            if not self.reason:
                await self._drive()
        except Exception as error:  # noqa: BLE001  (reason below)
            # The one place: kept, and raised by the feed once the socket is closed.
            self.on_error(error)
        finally:
            self.finish("cancelled")
            await self._close()
            self.add_counts(self._feed.stats)
            self.counted = True

    def finish(self, reason: str, *, close_code: int = WSCloseCode.GOING_AWAY.value) -> None:
        """End it now. The first reason stays; later ones are consequences."""
        if self.reason:
            return
        self.reason = reason
        self.listener.closed = True
        self._feed.stats.ends[reason.partition(":")[0]] += 1
        if self.opened_s is not None:
            for topic in self._books:
                self._feed.decoder.unsync(topic)
            if self._transport is not None and not self._transport.is_disconnected:
                self._transport.send_close(WSCloseCode(close_code))
            self._tell(self._feed.flush_books)
            if self._feed.on_link is not None:
                on_link = self._feed.on_link
                self._tell(lambda: on_link(self.name, False, self._feed.clock.now_ns()))
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
        self._wake.set()

    def nudge(self) -> None:
        """Something changed in the table: look at it now."""
        self._wake.set()

    # What the listener tells; inside the socket callback.

    def on_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self.reason:  # given up while the handshake was on its way
            transport.disconnect(graceful=False)
            return
        self.opened_s = self._feed.now_s()
        self._feed.stats.connects += 1
        self._feed.stats.reconnects += self._again
        if self._feed.on_link is not None:
            on_link = self._feed.on_link
            self._tell(lambda: on_link(self.name, True, self._feed.clock.now_ns()))

    def on_disconnected(self) -> None:
        # Also a clean end in the middle of a frame: any end not begun by us is a failure.
        self.finish("cut: the peer ended the connection")

    def on_odd_frame(self, opcode: int, fin: bool, rsv: int, payload: bytes) -> bytes | None:
        try:
            assembler.check_reserved(rsv)
            if opcode == assembler.CLOSE:
                self._on_close_frame(payload)
                return None
            if opcode == assembler.PING:
                self._feed.stats.peer_pings += 1
                if self._transport is not None:
                    self._transport.send_pong(payload)
                return None
            if opcode == assembler.PONG:
                return None  # we send none of the frame's kind; unsolicited ones are legal
            message = self._assembler.feed(opcode, fin, payload)
            self.listener.joining = self._assembler.open
            return message
        except ProtocolFault as fault:
            self._feed.stats.protocol_errors[fault.kind] += 1
            self.finish(f"protocol: {fault}", close_code=fault.close_code)
            return None

    def on_message(self, message: Any, recv_ns: int) -> None:
        topic = message.get("topic")
        if topic is not None:
            if self._table.waiting:
                self._table.on_data(topic)
            self._feed.on_message(message, recv_ns)
            return
        op = message.get("op")
        if op == "pong" or (op == "ping" and message.get("ret_msg") == "pong"):
            self._feed.stats.pongs += 1
            self._heartbeat.on_pong()
        elif op in ("subscribe", "unsubscribe") or message.get("type") == "COMMAND_RESP":
            if message.get("success") is False:
                log.warning("%s: %s refused: %.200r", self.name, op, message.get("ret_msg"))
            self._table.on_answer(message)
            self._wake.set()
        else:
            self._feed.stats.unknown_messages += 1

    def on_read(self) -> None:
        books = self._feed.decoder.books
        for topic in self._table.pending:
            book = books.get(topic)
            if book is not None and book.state is BookState.SYNCED:
                self._table.on_data(topic)
        self.listener.watched = self._table.waiting

    def on_desynced(self) -> None:
        self._feed.on_desynced()

    def on_error(self, error: Exception) -> None:
        self.error = error
        self.finish(f"error: {error!r}", close_code=WSCloseCode.INTERNAL_ERROR.value)

    def _on_close_frame(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        text = payload[2:].decode("utf-8", "replace")
        log.info("%s: peer closes with %d %s", self.name, code, text)
        echo = code if code != 1005 else WSCloseCode.OK.value
        self.finish(f"closed: by the peer with {code} {text}".rstrip(), close_code=echo)

    # Its own task.

    async def _connect(self) -> None:
        self._table.restart()
        self._feed.stats.attempts += 1
        self._connecting = asyncio.ensure_future(self._shake_hands())
        try:
            async with asyncio.timeout(self._feed.config.connect_timeout_s):
                await self._connecting
        except ssl.SSLError as error:
            self._feed.stats.protocol_errors["tls"] += 1
            self.finish(f"tls: {error}")
        except (OSError, WSError, TimeoutError) as error:
            self.finish(f"connect: {type(error).__name__}: {error}")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.reason or (task is not None and task.cancelling()):
                raise  # not by `finish`
        if self.opened_s is None:  # picows reports an end during the handshake as a connection
            self.finish("connect: ended during the handshake")

    async def _shake_hands(self) -> None:
        config = self._feed.config
        await self._feed.connect_ws(
            lambda: self._ws_listener,
            config.url,
            ssl_context=self._feed.ssl_context,
            # Also what closes a socket whose handshake we gave up (see `on_connected`).
            websocket_handshake_timeout=config.connect_timeout_s,
            logger_name="fastbook",
            # The listener answers pings itself: picows would keep the last frame of a
            # read to itself, and with it the sign that the read is over.
            enable_auto_pong=False,
            max_frame_size=config.frame_bytes_max,
            max_redirects=0,
            # The loop's own transports: aiofastnet (1.2.0) hands a class where the loop's
            # error handler needs an exception, so a failed TLS handshake ends in a broken
            # traceback. It was no faster in the clear, 0.6 us against 0.7 us of CPU a frame
            # under TLS.
            use_aiofastnet=False,
        )

    async def _drive(self) -> None:
        while not self.reason:
            self._wake.clear()
            now_s = self._feed.now_s()
            self._beat(now_s)
            if not self.reason:
                self._subscribe(now_s)
                self._look_for_silence(now_s)
            if self.reason:
                return
            due_in_s = min(
                self._heartbeat.due_in_s(now_s),
                self._table.due_in_s(now_s),
                self._staleness.look_every_s,
                POLL_S_MAX,
            )
            try:
                async with asyncio.timeout(max(due_in_s, POLL_S_MIN)):
                    await self._wake.wait()
            except TimeoutError:
                pass  # something is due

    def _beat(self, now_s: float) -> None:
        beat = self._heartbeat.poll(now_s, self.listener.frames)
        if beat is Beat.DEAD:
            self.finish("silent: neither data nor pong came after a ping")
        elif beat is Beat.PING:
            self._feed.stats.pings += 1
            self._send(requests.ping(f"p-{self.epoch}-{self._feed.stats.pings}"))

    def _subscribe(self, now_s: float) -> None:
        due = self._table.poll(now_s)
        if self._table.exhausted:
            self.finish(f"resync: {self._table.exhausted}")
            return
        for request in due:
            if request.op == "unsubscribe":
                self._send(requests.unsubscribe(request.topics, request.req_id))
                continue
            for topic in request.topics:
                if topic in self._feed.decoder.books:
                    self._feed.decoder.mark_syncing(topic)
            self._send(requests.subscribe(request.topics, request.req_id))
        self.listener.watched = self._table.waiting
        self._feed.flush_books()

    def _look_for_silence(self, now_s: float) -> None:
        books = self._feed.decoder.books
        states = self._table.states()
        live = [t for t in self._books if states[t][0] is TopicState.LIVE]
        for topic in self._staleness.look(now_s, [(t, books[t].recv_ns) for t in live]):
            if books[topic].state is BookState.SYNCED:
                self._feed.decoder.mark_stale(topic)
                self._feed.stats.stale_marks += 1
        self._feed.flush_books()

    def _send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, message)

    def _tell(self, call: Callable[[], None]) -> None:
        """Call one of the application's callbacks where nothing may be raised."""
        try:
            call()
        except Exception as error:  # noqa: BLE001  (reason below)
            # The one place: kept, and raised by the feed when this connection is over.
            self.error = self.error or error

    async def _close(self) -> None:
        transport = self._transport
        if transport is None:
            return
        transport.disconnect()
        try:
            async with asyncio.timeout(self._feed.config.close_timeout_s):
                await transport.wait_disconnected()
        except WSProtocolError as error:
            self.reason = f"protocol: {error}"
            self._feed.stats.protocol_errors[f"frame_{int(error.code)}"] += 1
        except TimeoutError:
            transport.disconnect(graceful=False)  # the peer does not read: no farewell
            log.info("%s: did not take our end within the time, cut", self.name)

    def add_counts(self, stats: FeedStats) -> None:
        """Add what this connection counted by itself."""
        stats.frames += self.listener.frames
        stats.bytes += self.listener.bytes
        stats.late_frames += self.listener.late_frames
        stats.malformed += self.listener.malformed
        stats.pongs_missed += self._heartbeat.pongs_missed
        stats.binary_ignored += self._assembler.binary_ignored
