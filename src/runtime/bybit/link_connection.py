"""One authenticated connection: handshake, auth, ping, end. Never reused."""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
)

from fastbook.bybit.codes import Outcome, classify
from fastbook.clock import Clock
from fastbook.errors import CredentialsError, WireError

from ..config import Credentials
from . import assembler
from .assembler import MessageAssembler, ProtocolFault
from .heartbeat import Beat, Heartbeat
from .link_config import LinkConfig, LinkStats
from .transport import ConnectWs

log = logging.getLogger("fastbook.link")

INVALID_PAYLOAD = 1007
POLL_S_MAX = 1.0
POLL_S_MIN = 0.001

_PING, _PONG, _CLOSE = assembler.PING, assembler.PONG, assembler.CLOSE


class Stage(Enum):
    CONNECTING = auto()
    AUTHENTICATING = auto()
    SUBSCRIBING = auto()
    LIVE = auto()


@dataclass(slots=True, kw_only=True)
class LinkContext:
    """What the connections of one stream share."""

    name: str
    config: LinkConfig
    credentials: Credentials
    clock: Clock
    venue_now_ms: Callable[[], int]
    on_link: Callable[[bool], None]
    tls: ssl.SSLContext | None
    connect_ws: ConnectWs
    stats: LinkStats

    def now_s(self) -> float:
        return self.clock.monotonic_ns() / 1e9


class LinkConnection(WSListener, ABC):
    """Ends once, for one reason. Nothing is asked for before the venue has taken our key.

    Any end that we did not begin is a failure, also a clean one.
    """

    def __init__(self, epoch: int, context: LinkContext) -> None:
        self.reason = ""
        """Why it ended; empty while it has not."""
        self.error: Exception | None = None
        """Not the network's fault: refused credentials, or what a callback raised."""
        self.refused = False
        """The venue refused our subscription, or a key that it took before."""
        self.refusal: CredentialsError | None = None
        self.opened_s: float | None = None
        self.stage = Stage.CONNECTING
        self._epoch = epoch
        self._context = context
        self._config = context.config
        self._stage_since_s = context.now_s()
        self._transport: WSTransport | None = None
        self._wake = asyncio.Event()
        self._frames = 0
        self._assembler = MessageAssembler(
            bytes_max=self._config.message_bytes_max, fragments_max=self._config.fragments_max
        )
        self._heartbeat = Heartbeat(
            ping_interval_s=self._config.ping_interval_s,
            pong_timeout_s=self._config.pong_timeout_s,
            silence_s=self._config.ping_interval_s,  # silence is usual here
        )

    async def run(self) -> None:
        """Returns when the connection has ended and its socket is closed; see `reason`."""
        try:
            await self._connect()
            await self._drive()
        finally:
            self.finish("cancelled")
            await self._close()

    def finish(self, reason: str, *, close_code: int = WSCloseCode.GOING_AWAY.value) -> None:
        """End it now. The first reason stays; later ones are consequences."""
        if self.reason:
            return
        self.reason = reason
        self._context.stats.ends[reason.partition(":")[0]] += 1
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode(close_code))
        self._guarded(self.on_end)
        if self.stage is Stage.LIVE:
            self._guarded(lambda: self._context.on_link(False))
        self._wake.set()

    # What each stream does in its own way.

    @abstractmethod
    def auth_message(self, key: str, secret: bytes, expires_ms: int, req_id: str) -> bytes: ...

    @abstractmethod
    def ping_message(self, req_id: str) -> bytes: ...

    @abstractmethod
    def on_message(self, frame: bytes, recv_ns: int) -> None:
        """One whole message, inside the socket callback. `WireError` ends the connection."""

    @abstractmethod
    def on_authenticated(self) -> None: ...

    def on_end(self) -> None:
        """It is over, whatever stage it had reached; `reason` says why."""

    # Inside the socket callback: nothing here may block, await or raise.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self.reason:  # given up while the handshake was on its way
            transport.disconnect(graceful=False)
            return
        self.opened_s = self._context.now_s()
        self._context.stats.connects += 1
        self.enter(Stage.AUTHENTICATING)
        credentials = self._context.credentials
        expires_ms = self._context.venue_now_ms() + self._config.auth_valid_ms
        self.send(
            self.auth_message(
                credentials.api_key.reveal(),
                credentials.api_secret.reveal().encode(),
                expires_ms,
                f"auth-{self._epoch}",
            )
        )

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.finish("cut: the peer ended the connection")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        recv_ns = self._context.clock.now_ns()  # first: all after it is our own latency
        if self.reason:
            self._context.stats.late_frames += 1
            return
        self._frames += 1
        self._context.stats.frames += 1
        try:
            message = self._whole_message(frame)
            if message is not None:
                self.on_message(message, recv_ns)
        except ProtocolFault as fault:
            self._context.stats.protocol_errors[fault.kind] += 1
            self.finish(f"protocol: {fault}", close_code=fault.close_code)
        except WireError as e:
            # Perhaps it was a fill. Only a new connection and a look at REST will tell.
            self._context.stats.malformed += 1
            self.finish(f"malformed: {e}", close_code=INVALID_PAYLOAD)
        except Exception as e:  # noqa: BLE001  (reason below)
            # The one place: picows would log it and hang up; the stream must end with it.
            self._fail(e)

    def _whole_message(self, frame: WSFrame) -> bytes | None:
        if frame.payload_size > self._config.frame_bytes_max:
            # picows 2.3.1 says no to such a header, and then delivers the frame all the same.
            raise ProtocolFault(
                "frame_size",
                assembler.MESSAGE_TOO_BIG,
                f"frame of {frame.payload_size} bytes",
            )
        opcode = frame.msg_type.value
        payload = frame.get_payload_as_bytes()
        assembler.check_reserved(frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3)
        if opcode == _CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            text = payload[2:].decode("utf-8", "replace")
            self.finish(
                f"closed: by the peer with {code} {text}".rstrip(),
                close_code=code if code != 1005 else WSCloseCode.OK.value,
            )
            return None
        if opcode == _PING:
            self._context.stats.peer_pings += 1
            if self._transport is not None:
                self._transport.send_pong(payload)
            return None
        if opcode == _PONG:
            return None  # we send none of the frame's kind; unsolicited ones are legal
        return self._assembler.feed(opcode, bool(frame.fin), payload)

    def take_auth(self, *, ok: bool, code: int, text: str) -> None:
        """The venue's answer to our key."""
        if ok:
            self.on_authenticated()
        elif classify(code) is Outcome.UNKNOWN:
            self.finish(f"auth: not answered: {code} {text}")  # the venue's own trouble
        else:
            self._on_refused_key(code, text)

    def take_pong(self) -> None:
        self._context.stats.pongs += 1
        self._heartbeat.on_pong()

    def go_live(self) -> None:
        """Everything that was asked for has been granted."""
        self._context.stats.links += 1
        self.enter(Stage.LIVE)
        self._context.on_link(True)

    def _on_refused_key(self, code: int, text: str) -> None:
        text = "".join(c if c.isprintable() else "?" for c in text)
        problem = f"{self._context.name}: key or signature refused: {code} {text}"
        self.refusal = CredentialsError(problem, code=code)
        if self._context.stats.links == 0:
            self._fail(self.refusal)
        else:
            # This very key was taken before: perhaps it is the clock that has gone wrong.
            self.refused = True
            self._context.stats.refusals += 1
            self.finish(f"refused: {problem}")

    # Its own task.

    async def _connect(self) -> None:
        config = self._config
        self._context.stats.attempts += 1
        try:
            async with asyncio.timeout(config.connect_timeout_s):
                await self._context.connect_ws(
                    lambda: self,
                    config.url,
                    ssl_context=self._context.tls,
                    websocket_handshake_timeout=config.connect_timeout_s,
                    logger_name="fastbook",
                    enable_auto_pong=False,  # answered here, and counted
                    max_frame_size=config.frame_bytes_max,
                    max_redirects=0,
                )
        except ssl.SSLError as e:
            self._context.stats.protocol_errors["tls"] += 1
            self.finish(f"tls: {e}")
        except (OSError, WSError, TimeoutError) as e:
            self.finish(f"connect: {type(e).__name__}: {e}")
        if self.opened_s is None:  # picows reports an end during the handshake as a connection
            self.finish("connect: ended during the handshake")

    async def _drive(self) -> None:
        while not self.reason:
            self._wake.clear()
            now_s = self._context.now_s()
            self._beat(now_s)
            due_in_s = min(self._heartbeat.due_in_s(now_s), self._answer_due_in_s(now_s))
            try:
                async with asyncio.timeout(max(min(due_in_s, POLL_S_MAX), POLL_S_MIN)):
                    await self._wake.wait()
            except TimeoutError:
                pass  # something is due

    def _beat(self, now_s: float) -> None:
        beat = self._heartbeat.poll(now_s, self._frames)
        if beat is Beat.DEAD:
            self.finish("silent: neither data nor pong came after a ping")
        elif beat is Beat.PING:
            self._context.stats.pings += 1
            self.send(self.ping_message(f"p-{self._epoch}-{self._context.stats.pings}"))

    def _answer_due_in_s(self, now_s: float) -> float:
        if self.stage is Stage.LIVE or self.reason:
            return POLL_S_MAX
        left_s = self._stage_since_s + self._config.answer_timeout_s - now_s
        if left_s <= 0.0:
            self.finish(f"unanswered: {self.stage.name.lower()}")
        return max(0.0, left_s)

    def enter(self, stage: Stage) -> None:
        self.stage = stage
        self._stage_since_s = self._context.now_s()
        self._wake.set()

    def send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, message)

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error
        self.finish(f"error: {type(error).__name__}", close_code=WSCloseCode.INTERNAL_ERROR.value)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Call one of the application's callbacks where nothing may be raised."""
        try:
            call()
        except Exception as e:  # noqa: BLE001  (reason below)
            # The one place: kept, and raised by the stream when this connection is over.
            self.error = self.error or e

    async def _close(self) -> None:
        transport = self._transport
        if transport is None:
            return
        transport.disconnect()
        try:
            async with asyncio.timeout(self._config.close_timeout_s):
                await transport.wait_disconnected()
        except WSProtocolError as e:
            self.reason = f"protocol: {e}"
            self._context.stats.protocol_errors[f"frame_{int(e.code)}"] += 1
        except TimeoutError:
            transport.disconnect(graceful=False)  # the peer does not read: no farewell
