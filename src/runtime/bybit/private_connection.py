"""One private connection: the topics of an account, as events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastbook.bybit import requests
from fastbook.bybit.private import ControlReply, PrivateDecoder, parse_control, parse_frame
from fastbook.types import OrderEvent

from .link_connection import LinkConnection, LinkContext, Stage
from .private_config import PrivateStats, PrivateStreamConfig


@dataclass(slots=True, kw_only=True)
class PrivateContext(LinkContext):
    """What the connections of one private stream share."""

    config: PrivateStreamConfig
    stats: PrivateStats
    decoder: PrivateDecoder
    on_events: Callable[[list[OrderEvent], int], None]


class PrivateConnection(LinkConnection):
    """Its end means that events were missed: the stream has no counter that would show it."""

    def __init__(self, epoch: int, context: PrivateContext) -> None:
        super().__init__(epoch, context)
        self._private = context

    def auth_message(self, key: str, secret: bytes, expires_ms: int, req_id: str) -> bytes:
        return requests.auth(key, secret, expires_ms, req_id)

    def ping_message(self, req_id: str) -> bytes:
        return requests.ping(req_id)

    def on_authenticated(self) -> None:
        self.enter(Stage.SUBSCRIBING)
        self.send(requests.subscribe(self._private.config.topics, f"sub-{self._epoch}"))

    def on_message(self, frame: bytes, recv_ns: int) -> None:
        message = parse_frame(frame)
        reply = parse_control(message)
        if reply is not None:
            self._on_reply(reply)
            return
        events = self._private.decoder.events(message)
        if events:
            self._private.stats.events += len(events)
            self._private.on_events(events, recv_ns)

    def _on_reply(self, reply: ControlReply) -> None:
        if reply.op == "pong":
            self.take_pong()
        elif reply.op == "auth" and self.stage is Stage.AUTHENTICATING:
            self.take_auth(ok=reply.ok, code=reply.code, text=reply.text)
        elif reply.op == "subscribe" and self.stage is Stage.SUBSCRIBING:
            if reply.ok:
                self.go_live()
                return
            self.refused = True
            self._private.stats.refusals += 1
            self.finish(f"refused: subscription: {reply.text}")
