"""The private stream: `auth`, topics of one account, rows as they happen."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from fastbook.errors import VenueError
from fastbook.replay.accounts import Event, Row
from fastbook.replay.disconnect import TOPICS as DCP_TOPICS
from fastbook.replay.disconnect import DisconnectGuard

from .auth import Keys
from .options import EVENT_TOPICS
from .sessions import Session, SessionHost

_CATEGORIES = ("spot", "linear", "inverse", "option")
TOPICS = frozenset(
    {"order", "execution", "execution.fast", "position", "wallet", "greeks"}
    | {f"{t}.{c}" for t in ("order", "execution", "execution.fast") for c in _CATEGORIES}
    | {f"position.{c}" for c in ("linear", "inverse", "option")}
    | set(DCP_TOPICS)
)
TOLD_MAX = 100  # events of an account that a fault can repeat
FAST_KEYS = (
    "category", "symbol", "execId", "execPrice", "execQty", "orderId", "isMaker", "orderLinkId",
    "side", "execTime", "seq",
)  # fmt: skip


def family(topic: str) -> str:
    """The all-in-one form of a topic: ``execution.fast`` of ``execution.fast.linear``."""
    if topic.startswith("execution.fast"):
        return "execution.fast"
    return topic.partition(".")[0]


class PrivateExchange(SessionHost):
    """All private connections; hands events to those of the right account."""

    def __init__(
        self,
        keys: Keys,
        counters: Counter[str],
        clock: Callable[[], tuple[float, int]],
        *,
        queue_max: int,
        delay_s: float,
        idle_timeout_s: float,
        dcp: DisconnectGuard,
        event_order: Sequence[str] = EVENT_TOPICS,
    ) -> None:
        super().__init__(
            "private", keys, counters, clock, queue_max=queue_max, idle_timeout_s=idle_timeout_s
        )
        self.dcp = dcp
        self.mute = False  # fault: rows are lost
        self.reverse = False  # fault: wallet before position before execution before order
        self.doubled = 0  # fault: how many of the next messages are sent twice
        self.delay_s = delay_s
        self.topic_delays_s: dict[str, float] = {}  # fault: of single topics, instead of it
        self._random = random.Random(0x0E0E)  # of the order of events, when that is random
        self._told: dict[int, deque[Event]] = {}  # by account, the last ones
        self.order_events(event_order)

    def order_events(self, topics: Sequence[str]) -> None:
        """In which order the topics of one match are told. The venue promises none.

        An empty list: another one each time, from a seed.
        """
        self._rank = {topic: rank for rank, topic in enumerate(topics)}

    def replay(self, account: int, count: int) -> int:
        """Fault: the last messages of an account once more; how many."""
        events = list(self._told.get(account, ()))[-count:]
        for session in self._sessions_of(account):
            for event in events:
                session.push(event)
        return len(events)

    def _sessions_of(self, account: int) -> list[PrivateSession]:
        return [
            session
            for session in self.sessions
            if isinstance(session, PrivateSession) and session.account == account
        ]

    def make_session(self, socket: web.WebSocketResponse, request: web.Request) -> Session:
        return PrivateSession(self, socket, request)

    def publish(self, account: int, events: Sequence[Event]) -> None:
        """Send rows to whoever listens now; nothing is kept for later, as at the venue."""
        if self.mute or not self.sessions:
            return
        if self.reverse:
            events = events[::-1]
        elif self._rank != _VENUE_RANK:
            events = self._ranked(events)
        told = self._told.setdefault(account, deque(maxlen=TOLD_MAX))
        told.extend(events)
        for session in self._sessions_of(account):
            for event in events:
                self._send(session, event)

    def _ranked(self, events: Sequence[Event]) -> list[Event]:
        """The events of each match in the chosen order; matches stay in theirs."""
        ranked: list[Event] = []
        match: list[Event] = []
        for event in events:
            if match and _VENUE_RANK[event.topic] <= _VENUE_RANK[match[-1].topic]:
                ranked += self._one_match(match)
                match = []
            match.append(event)
        return ranked + self._one_match(match)

    def _one_match(self, match: list[Event]) -> list[Event]:
        if not self._rank:
            return self._random.sample(match, len(match))
        return sorted(match, key=lambda e: self._rank[e.topic])

    def _send(self, session: PrivateSession, event: Event) -> None:
        delay_s = self.topic_delays_s.get(event.topic, self.delay_s)
        if delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, session.push, event)
        else:
            session.push(event)

    def gone(self, session: Session) -> None:
        assert isinstance(session, PrivateSession)
        session.leave_all()


_VENUE_RANK = {topic: rank for rank, topic in enumerate(EVENT_TOPICS)}


class PrivateSession(Session):
    """One connection of one account, after `auth`."""

    def __init__(
        self, exchange: PrivateExchange, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        super().__init__(exchange, socket, request)
        self._exchange = exchange
        self._topics: dict[str, None] = {}
        self.account = 0  # before auth

    @property
    def topics(self) -> list[str]:
        return list(self._topics)

    def leave_all(self) -> None:
        """The connection has ended: it stands for its account no more."""
        self._exchange.dcp.lost(self.conn_id, self._exchange.now_ms())
        self._topics.clear()

    def push(self, event: Event) -> None:
        """Queue one event under every topic name that it was subscribed by."""
        if event.topic == "execution":
            fast = [
                fast_row(row, nameless=row["isMaker"] or row["execId"] in event.nameless)
                for row in event.rows
                if row["execType"] == "Trade"
            ]
            for name in ("execution.fast", f"execution.fast.{event.category}"):
                if name in self._topics and fast:
                    self._push({"topic": name}, fast)
        for name in (event.topic, f"{event.topic}.{event.category}"):
            if name in self._topics:
                self._push({"id": event.id, "topic": name}, event.rows)

    def _push(self, head: dict[str, Any], rows: Sequence[Row]) -> None:
        exchange = self._exchange
        message = {**head, "creationTime": exchange.now_ms(), "data": rows}
        self.send(message)
        exchange.counters["private_messages"] += 1
        if exchange.doubled > 0:
            exchange.doubled -= 1
            self.send(message)

    # Requests.

    def refuse_malformed(self) -> None:
        self._answer("", {}, error="Params Error")

    def take(self, request: dict[str, Any]) -> None:
        op = request.get("op")
        if op == "ping":
            if self._exchange.mute_pongs:
                return
            pong = {"op": "pong", "args": [str(self._exchange.now_ms())], "conn_id": self.conn_id}
            if isinstance(request.get("req_id"), str):
                pong = {"req_id": request["req_id"], **pong}
            self.send(pong)
        elif op == "auth":
            self._authenticate(request)
        elif op == "subscribe" or op == "unsubscribe":
            self._change(op, request)
        else:
            self._answer(str(op), request, error=f"error:request:op not supported,op:{op}")

    def _answer(self, op: str, request: dict[str, Any], *, error: str = "") -> None:
        if not error and self._exchange.loses_ack():
            return
        answer: dict[str, Any] = {"success": not error, "ret_msg": error, "op": op}
        if isinstance(request.get("req_id"), str):
            answer = {"req_id": request["req_id"], **answer}
        self.send({**answer, "conn_id": self.conn_id})

    def _authenticate(self, request: dict[str, Any]) -> None:
        try:
            key = self._exchange.keys.check_ws(request.get("args"), self._exchange.now_ms())
        except VenueError as e:
            self._exchange.counters["refused_credentials"] += 1
            self._answer("auth", request, error=e.message)
            return
        self.account = key.account
        self._answer("auth", request)

    def _change(self, op: str, request: dict[str, Any]) -> None:
        args = request.get("args")
        if not self.account:
            self._answer(op, request, error="Request not authorized")
            return
        if not isinstance(args, list) or not args or not all(isinstance(a, str) for a in args):
            self._answer(op, request, error="Params Error")
            return
        error = self._problem(args)
        if error:
            self._answer(op, request, error=error)
            return
        for name in args:
            if op == "subscribe":
                self._topics[name] = None
            else:
                self._topics.pop(name, None)
        self._stand_for_account(args)
        self._answer(op, request)

    def _stand_for_account(self, changed: list[str]) -> None:
        """Tell the dead-man switch which products this connection stands for now."""
        dcp = self._exchange.dcp
        if not any(name in DCP_TOPICS for name in changed):
            return
        if not any(name in DCP_TOPICS for name in self._topics):
            dcp.lost(self.conn_id, self._exchange.now_ms())
        for name in self._topics:
            if name in DCP_TOPICS:
                dcp.connected(self.account, DCP_TOPICS[name], self.conn_id)

    @staticmethod
    def _problem(args: list[str]) -> str:
        for name in args:
            if name not in TOPICS:
                return f"error:handler not found,topic:{name}"
            if name != family(name) and family(name) in args:
                return f"error:all-in-one and categorised topics in one request,topic:{name}"
        return ""


def fast_row(row: Row, *, nameless: bool) -> Row:
    """An execution as the fast topic has it: fewer keys, some of them without their own id.

    `nameless`: of makers, and of those whom an amend of the price has made takers.
    """
    fast = {key: row[key] for key in FAST_KEYS}
    if nameless:
        fast["orderLinkId"] = ""
    return fast
