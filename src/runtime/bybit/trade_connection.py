"""One trade connection: requests out, each answered by its `reqId`, in any order or never."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastbook.bybit import requests
from fastbook.bybit.codes import Outcome, classify
from fastbook.bybit.private import parse_frame
from fastbook.errors import TransportError

from .link_connection import LinkConnection, LinkContext, Stage
from .trade_config import TradeStats, TradeStreamConfig

INTERNAL_ERROR, RESTARTING = 10016, 10019
RESTART_CODES = frozenset({INTERNAL_ERROR, RESTARTING})
"""The service behind this connection goes down: a new connection finds another one."""

Reply = dict[str, Any]  # Any: JSON from outside; each value is checked when it is read


@dataclass(slots=True, kw_only=True)
class TradeContext(LinkContext):
    """What the connections of one trade stream share."""

    config: TradeStreamConfig
    stats: TradeStats


class TradeConnection(LinkConnection):
    """When it ends, every request without an answer has an unknown outcome."""

    def __init__(self, epoch: int, context: TradeContext) -> None:
        super().__init__(epoch, context)
        self._trade = context
        self._count = 0
        self._pending: dict[str, asyncio.Future[Reply]] = {}  # at most in_flight_max
        self._retired = ""

    @property
    def ready(self) -> bool:
        """Whether a request can be sent now."""
        transport = self._transport
        return (
            self.stage is Stage.LIVE
            and not (self.reason or self._retired)
            and len(self._pending) < self._trade.config.in_flight_max
            and transport is not None
            and not transport.is_disconnected
        )

    async def request(self, op: str, body: bytes) -> Reply:
        """Send one request and wait for its answer, whatever that says.

        Raises `TransportError`: with `sent` False when it did not go out, else the outcome is
        unknown.
        """
        if not self.ready:
            raise TransportError(f"{op}: the trade stream is not up", sent=False)
        config, stats = self._trade.config, self._trade.stats
        self._count += 1
        req_id = f"{self._epoch}-{self._count}"
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[req_id] = reply
        seen = self._frames
        stats.requests += 1
        stamp_ms = self._trade.venue_now_ms()
        self.send(requests.trade_request(op, body, req_id, stamp_ms, config.recv_window_ms))
        try:
            async with asyncio.timeout(config.reply_timeout_s):
                return await reply
        except TimeoutError:
            stats.unanswered += 1
            if seen == self._frames:
                # Not a word since: it is the connection, not this one answer.
                self.finish("silent: nothing came after a request")
            text = f"{op}: no answer within {config.reply_timeout_s:g} s"
            raise TransportError(text) from None
        finally:
            self._pending.pop(req_id, None)
            self._end_if_drained()

    def retire(self, why: str) -> None:
        """Take no more requests; end once those under way have their answers or have given up."""
        if not self._retired:
            self._retired = why
            self._trade.stats.retired += 1
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        if self._retired and not self._pending:
            self.finish(f"retired: {self._retired}")

    # As every authenticated connection.

    def auth_message(self, key: str, secret: bytes, expires_ms: int, req_id: str) -> bytes:
        return requests.trade_auth(key, secret, expires_ms, req_id)

    def ping_message(self, req_id: str) -> bytes:
        return requests.trade_ping(req_id)

    def on_authenticated(self) -> None:
        self.go_live()

    def on_end(self) -> None:
        for reply in self._pending.values():
            if not reply.done():
                text = f"the trade stream ended before the answer: {self.reason}"
                reply.set_exception(TransportError(text))

    def on_message(self, frame: bytes, recv_ns: int) -> None:
        message = dict(parse_frame(frame))
        op, code = message.get("op"), message.get("retCode")
        if op == "pong" or (op == "ping" and code == 0):
            self.take_pong()
            return
        if type(code) is not int:
            self._trade.stats.strays += 1
            return
        if op == "auth":
            if self.stage is Stage.AUTHENTICATING:
                text = message.get("retMsg")
                ok = classify(code) in (Outcome.ACCEPTED, Outcome.IDEMPOTENT)
                self.take_auth(ok=ok, code=code, text=text if isinstance(text, str) else "")
            return
        self._on_answer(message, code)

    def _on_answer(self, message: Reply, code: int) -> None:
        req_id = message.get("reqId")
        reply = self._pending.get(req_id) if isinstance(req_id, str) else None
        if reply is None or reply.done():
            # Of which request, nobody can tell: those that wait go on waiting, and give up unknown.
            self._trade.stats.strays += 1
        else:
            self._trade.stats.replies += 1
            reply.set_result(message)
        if code in RESTART_CODES:
            self.retire(f"the venue said {code}")
