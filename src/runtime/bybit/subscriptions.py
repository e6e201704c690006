"""What one connection has asked for and what it got. Requests out, answers in; no socket, no clock.

A topic is LIVE when its first data came (books: a snapshot), whatever became of the answer:
data may come before the answer, and an answer may be lost.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from .backoff import WindowBudget

OUTSTANDING_MAX = 256
"""Requests without an answer that are remembered; beyond it the oldest is given up, counted."""

REASON_CHARS_MAX = 200
RESYNC_WINDOW_S = 60.0

REFUSED_RETRY_S = 60.0
"""A refused topic is asked for again after this, alone; at once by a new connection."""

BLAME_S = 600.0
"""A topic ends its connection at most once in this time: if a new one did not cure it, another
would only take the other topics down with it."""

QUARANTINE_S = 30.0
"""How long such a topic then waits before it is asked for again, on the connection as it is."""


class TopicState(Enum):
    WANTED = "wanted"  # to be asked for
    REQUESTED = "requested"  # asked for, nothing came yet
    LIVE = "live"
    FAILED = "failed"  # refused by the venue; asked for again after `REFUSED_RETRY_S`


@dataclass(frozen=True, slots=True)
class Request:
    """One control message to send now."""

    op: str
    req_id: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionLimits:
    args_per_request: int
    requests_per_s: int
    snapshot_timeout_s: float
    resync_min_interval_s: float
    resyncs_per_min: int


@dataclass(slots=True)
class SubscriptionCounters:
    requests: int = 0
    acks: int = 0
    acks_refused: int = 0
    acks_unmatched: int = 0
    acks_given_up: int = 0
    already_subscribed: int = 0
    unconfirmed: int = 0  # never answered, taken as live
    resyncs: int = 0
    resyncs_refused: int = 0  # one was in flight already
    snapshot_timeouts: int = 0
    quarantines: int = 0  # times that a topic was left alone for a while

    def add(self, other: SubscriptionCounters) -> None:
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))


@dataclass(slots=True)
class _Topic:
    name: str
    needs_snapshot: bool
    state: TopicState = TopicState.WANTED
    alone: bool = False  # in a request of its own: somebody in its company was refused
    again: bool = False  # unsubscribe first
    not_before_s: float = -math.inf
    asked_s: float = -math.inf
    tries: int = 0
    req_id: str = ""
    reason: str = ""
    resyncs_s: deque[float] = field(default_factory=deque)
    blamed_s: float = -math.inf  # when a connection was last given up because of it


class SubscriptionTable:
    """All topics of one connection. `restart` when a new connection takes the place of the old."""

    def __init__(
        self, topics: Iterable[str], books: Iterable[str], limits: SubscriptionLimits
    ) -> None:
        """`books`: those of `topics` that begin with a snapshot."""
        with_snapshot = frozenset(books)
        self._limits = limits
        self._topics = {name: _Topic(name, name in with_snapshot) for name in topics}
        self._budget = WindowBudget(limits.requests_per_s, 1.0)
        self._outstanding: dict[str, Request] = {}
        self._last_req = 0
        self._pending: set[str] = set()
        self.counters = SubscriptionCounters()
        self.exhausted = ""
        """Why this connection must be given up; empty while it need not be."""

    @property
    def pending(self) -> frozenset[str]:
        """Topics that were asked for and have sent nothing yet."""
        return frozenset(self._pending)

    @property
    def waiting(self) -> bool:
        return bool(self._pending)

    def states(self) -> dict[str, tuple[TopicState, str]]:
        """State and, when refused, reason of each topic."""
        return {t.name: (t.state, t.reason) for t in self._topics.values()}

    def restart(self) -> None:
        """A new connection: the venue remembers nothing, so everything is asked for again.

        What was refused before is asked for alone, so that it spoils no request of others.
        """
        self.exhausted = ""
        self._outstanding.clear()
        self._pending.clear()
        for topic in self._topics.values():
            topic.alone = topic.state is TopicState.FAILED
            topic.state = TopicState.WANTED
            topic.again = False
            topic.not_before_s = -math.inf
            topic.asked_s = -math.inf
            topic.tries = 0
            topic.req_id = ""
            topic.resyncs_s.clear()

    # Out.

    def poll(self, now_s: float) -> list[Request]:
        """What to send now, in this order. Taken as sent."""
        self._give_up_waiting(now_s)
        requests: list[Request] = []
        if self.exhausted:
            return requests
        for topic in self._topics.values():
            if topic.state is TopicState.FAILED and now_s - topic.asked_s >= REFUSED_RETRY_S:
                self._want(topic, alone=True)
        while batch := self._next_batch(now_s):
            ops = ("unsubscribe", "subscribe") if batch[0].again else ("subscribe",)
            if self._budget.room(now_s) < len(ops):
                break
            for op in ops:
                self._budget.take(now_s)
                requests.append(self._request(op, batch))
            for topic in batch:
                self._mark_asked(topic, requests[-1].req_id, now_s)
        return requests

    def due_in_s(self, now_s: float) -> float:
        """Seconds until `poll` may have something to do, if nothing comes in; inf when never."""
        due_in_s = math.inf
        for topic in self._topics.values():
            if topic.state is TopicState.WANTED:
                wait_s = self._budget.wait_s(now_s, 2 if topic.again else 1)
                due_in_s = min(due_in_s, max(wait_s, topic.not_before_s - now_s))
            elif topic.state is TopicState.REQUESTED:
                due_in_s = min(due_in_s, topic.asked_s + self._limits.snapshot_timeout_s - now_s)
        return max(0.0, due_in_s)

    def resync(self, topic_name: str, now_s: float) -> bool:
        """Ask for a fresh snapshot of a topic that lost its place. False: one is on its way.

        The book must have been live: a loss that is told of a topic still waiting means that
        its snapshot came and was lost again within one read.
        """
        topic = self._topics.get(topic_name)
        if topic is None or topic.state not in (TopicState.LIVE, TopicState.REQUESTED):
            self.counters.resyncs_refused += 1
            return False
        self._pending.discard(topic_name)
        while topic.resyncs_s and now_s - topic.resyncs_s[0] >= RESYNC_WINDOW_S:
            topic.resyncs_s.popleft()
        topic.not_before_s = max(now_s, topic.asked_s + self._limits.resync_min_interval_s)
        if (count := len(topic.resyncs_s)) >= self._limits.resyncs_per_min:
            why = f"{topic_name} lost its place again after {count} resyncs in a minute"
            self._give_up(topic, why, now_s)
        topic.resyncs_s.append(topic.not_before_s)
        topic.state = TopicState.WANTED
        topic.again = True
        topic.tries = 0
        self.counters.resyncs += 1
        return True

    # In.

    def on_data(self, topic_name: str) -> None:
        """First data of a topic (books: its snapshot is applied)."""
        topic = self._topics.get(topic_name)
        if topic is not None and topic.state is TopicState.REQUESTED:
            self._mark_live(topic)

    def on_answer(self, message: Mapping[str, object]) -> None:
        """An answer to a request, in either of the venue's two dialects."""
        if message.get("type") == "COMMAND_RESP":
            self._on_named_answer(message.get("data"))
            return
        request = self._take_outstanding(message.get("op"), message.get("req_id"))
        if request is None:
            self.counters.acks_unmatched += 1
            return
        self.counters.acks += 1
        if request.op == "unsubscribe":
            return  # the subscribe behind it tells how it went
        if message.get("success") is True:
            for topic in self._of_request(request):
                self._confirm(topic)
        else:
            self._on_refusal(request, str(message.get("ret_msg", "")))

    def _on_refusal(self, request: Request, text: str) -> None:
        """Only what is named is refused; whether the others were subscribed is not known."""
        self.counters.acks_refused += 1
        named = {name for name in request.topics if _mentions(text, name)}
        if len(request.topics) == 1:
            named = set(request.topics)
        already = "already subscribed" in text.lower()
        for topic in self._of_request(request):
            if topic.name not in named:
                self._want(topic, alone=True)
            elif already:
                self.counters.already_subscribed += 1
                self._confirm(topic)
            else:
                self._fail(topic, text)

    def _on_named_answer(self, data: object) -> None:
        if not isinstance(data, Mapping):
            self.counters.acks_unmatched += 1
            return
        failed = _texts(data.get("failTopics"))
        succeeded = _texts(data.get("successTopics"))
        self.counters.acks += 1
        self.counters.acks_refused += bool(failed)
        for name in succeeded + failed:
            topic = self._topics.get(name)
            if topic is None or topic.state is not TopicState.REQUESTED:
                continue
            self._outstanding.pop(topic.req_id, None)
            if name in failed:
                self._fail(topic, "refused without a reason")
            else:
                self._confirm(topic)

    # Inside.

    def _next_batch(self, now_s: float) -> list[_Topic]:
        """Topics of the next request: first those never asked for, last those to ask alone."""
        ready = [
            t
            for t in self._topics.values()
            if t.state is TopicState.WANTED and t.not_before_s <= now_s
        ]
        for kind in (
            [t for t in ready if not t.again and not t.alone],
            [t for t in ready if t.again and not t.alone],
        ):
            if kind:
                return kind[: self._limits.args_per_request]
        return ready[:1]

    def _request(self, op: str, batch: list[_Topic]) -> Request:
        self._last_req += 1
        self.counters.requests += 1
        request = Request(op, f"{op[:3]}-{self._last_req}", tuple(t.name for t in batch))
        if len(self._outstanding) >= OUTSTANDING_MAX:
            self._outstanding.pop(next(iter(self._outstanding)))
            self.counters.acks_given_up += 1
        self._outstanding[request.req_id] = request
        return request

    def _mark_asked(self, topic: _Topic, req_id: str, now_s: float) -> None:
        topic.state = TopicState.REQUESTED
        topic.req_id = req_id
        topic.asked_s = now_s
        topic.tries += 1
        self._pending.add(topic.name)

    def _give_up_waiting(self, now_s: float) -> None:
        """Nothing came: ask once more; then a book's connection is no good."""
        for name in sorted(self._pending):
            topic = self._topics[name]
            if now_s - topic.asked_s < self._limits.snapshot_timeout_s:
                continue
            if topic.tries < 2:
                self.counters.snapshot_timeouts += topic.needs_snapshot
                self._want(topic, alone=not topic.needs_snapshot, again=topic.needs_snapshot)
            elif topic.needs_snapshot:
                self.counters.snapshot_timeouts += 1
                self._want(topic, alone=False, again=True)
                topic.tries = 0
                self._give_up(topic, f"no snapshot of {name} after two requests", now_s)
            else:
                # No trade happened and no answer came: nothing says that it is not subscribed.
                self.counters.unconfirmed += 1
                self._mark_live(topic)

    def _give_up(self, topic: _Topic, why: str, now_s: float) -> None:
        """Asking again does not help: try a new connection, and after that leave it alone."""
        if now_s - topic.blamed_s >= BLAME_S:
            topic.blamed_s = now_s
            self.exhausted = why
        else:
            topic.not_before_s = now_s + QUARANTINE_S
            self.counters.quarantines += 1

    def _of_request(self, request: Request) -> list[_Topic]:
        """Topics that still wait for the outcome of this very request."""
        topics = (self._topics[name] for name in request.topics)
        return [t for t in topics if t.state is TopicState.REQUESTED and t.req_id == request.req_id]

    def _take_outstanding(self, op: object, req_id: object) -> Request | None:
        if isinstance(req_id, str) and req_id:
            return self._outstanding.pop(req_id, None)
        # Not echoed: answers come in the order of the requests.
        for request in self._outstanding.values():
            if request.op == op:
                return self._outstanding.pop(request.req_id)
        return None

    def _confirm(self, topic: _Topic) -> None:
        if not topic.needs_snapshot:
            self._mark_live(topic)

    def _mark_live(self, topic: _Topic) -> None:
        topic.state = TopicState.LIVE
        topic.alone = topic.again = False
        topic.tries = 0
        topic.reason = ""
        self._pending.discard(topic.name)

    def _want(self, topic: _Topic, *, alone: bool, again: bool = False) -> None:
        topic.state = TopicState.WANTED
        topic.alone = alone
        topic.again = again
        self._pending.discard(topic.name)

    def _fail(self, topic: _Topic, text: str) -> None:
        topic.state = TopicState.FAILED
        topic.reason = text[:REASON_CHARS_MAX]
        self._pending.discard(topic.name)


def _mentions(text: str, topic: str) -> bool:
    """The wording is not documented: the topic's text, not followed by more of a name."""
    start = text.find(topic)
    while start >= 0:
        end = start + len(topic)
        if not text[end : end + 1].isalnum() and text[end : end + 1] not in ("-", "_", "."):
            return True
        start = text.find(topic, end)
    return False


def _texts(value: object) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
