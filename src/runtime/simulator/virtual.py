"""The exchange on a clock that the caller moves: no sockets, no waiting, no threads.

For programs that want a day of market in minutes. Everything happens inside `run_until`: the
market lives, topics speak when they are due, callbacks are called. What a callback asks for is
carried out at once, at the virtual time of the moment, and what comes of it is told after it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from math import ceil, inf
from types import MappingProxyType

from fastbook.errors import ConfigError
from fastbook.replay.accounts import Event

from .answers import Answers
from .auth import Keys
from .desk import OrderDesk
from .hub import SLACK_S, TopicHub
from .keys import ApiKey, make_keys
from .market import Json, SimulatedMarket
from .market_answers import MarketAnswers
from .options import SimulatorOptions
from .rest import RestExchange
from .topics import Reader, Topic

START_MS = 1_772_694_600_000
VENUE_TICK_MS = 50
RATE_TICK_MS = 10
_NOTHING: Mapping[str, object] = MappingProxyType({})
OnFrame = Callable[[bytes], None]
OnRow = Callable[[Json], None]
Later = Callable[[], None]


class VirtualExchange:
    """One exchange in this process and in virtual time. Not thread-safe.

    The same options, callbacks and calls make the same frames and rows, byte for byte, in
    every process.
    """

    def __init__(self, options: SimulatorOptions, *, start_ms: int = START_MS) -> None:
        """Nothing happens until `run_until`. `start_ms`: what the clock says at first."""
        self.counters: Counter[str] = Counter()
        self.keys: Sequence[ApiKey] = make_keys(options)
        self.now_ms = start_ms
        self._start_ms = start_ms
        self.market = SimulatedMarket(options, lambda index: self._hub.note_trades(index))
        self.venue = self.market.venue
        self._hub = TopicHub(options, self.market, self.counters)
        self._options = options
        self.market.open_accounts(options)
        desk = OrderDesk(options, self.venue, self.counters, lambda: self.now_ms, self._collect)
        self._rest = RestExchange(
            options,
            self.venue,
            desk,
            MarketAnswers(self.market, self._hub),
            Answers(self.market, options.rules),
            Keys(self.keys),
            self.counters,
            lambda: (self._now_s, self.now_ms),
            self._collect,
        )
        self._readers: dict[tuple[str, str], _Reader] = {}
        self._listeners: dict[int, OnRow] = {}
        self._untold: deque[Later] = deque()
        self._timers: list[tuple[int, int, Later]] = []
        self._timer_count = 0
        self._venue_due_ms = start_ms
        self._telling = False

    @property
    def _now_s(self) -> float:
        return (self.now_ms - self._start_ms) / 1000.0 + 1.0

    # What a program says.

    def subscribe(self, topic: str, on_frame: OnFrame, *, category: str = "") -> None:
        """Call `on_frame` with every frame of a public topic, the JSON text of v5 as bytes.

        A snapshot comes first, where the topic has one. ConfigError: there is no such topic
        (in the category, which is the first one of the exchange when left out).
        """
        category = category or self._options.categories[0]
        found = self._hub.find(topic, category)
        if found is None:
            raise ConfigError(f"no topic {topic} of {category}")
        self.unsubscribe(topic, category=category)
        reader = _Reader(found, on_frame, self._untold)
        self._readers[category, topic] = reader
        self._hub.join(found, reader, self.now_ms)
        self._tell()

    def unsubscribe(self, topic: str, *, category: str = "") -> None:
        """Call nobody any more. Nothing happens when nobody was."""
        reader = self._readers.pop((category or self._options.categories[0], topic), None)
        if reader is not None:
            self._hub.leave(reader.topic, reader)

    def listen(self, on_message: OnRow, *, account: int = 1) -> None:
        """Call `on_message` with every private message of an account, as its stream has them.

        ``{"id", "topic", "creationTime", "data": rows}`` of order, execution, position, wallet.
        """
        self._listeners[account] = on_message
        self.venue.take_events(account)

    def request(
        self, path: str, params: Mapping[str, object] = _NOTHING, *, account: int = 1
    ) -> Json:
        """Carry out one v5 REST request now; the whole envelope of its answer.

        `params`: the body of a POST, or the query of a GET. Permissions and rate limits are
        those of the account's first key.
        ValueError: there is no such endpoint.
        """
        answer = self._rest.call(self._key(account), path, dict(params))
        self._tell()
        return answer

    def call_at(self, at_ms: int, later: Later) -> None:
        """Call `later` when the clock reaches `at_ms`, or at the next step if it has.

        The way to give requests a latency.
        """
        self._timer_count += 1
        heappush(self._timers, (max(at_ms, self.now_ms), self._timer_count, later))

    def _key(self, account: int) -> ApiKey:
        return next(key for key in self.keys if key.account == account)

    # Time.

    def run_until(self, end_ms: int) -> None:
        """Let the exchange live until then. An exception of a callback comes out of here."""
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, max(self.now_ms + 1, self._next_ms()))
            self._step()

    def run_for(self, seconds: float) -> None:
        """Let the exchange live that long, to the millisecond."""
        self.run_until(self.now_ms + round(seconds * 1000))

    @property
    def recording_ended(self) -> bool:
        """Whether recorded markets stand still because there is no more of them."""
        return self.market.recorded is not None and self.market.recorded.ended

    def _next_ms(self) -> int:
        """The next moment at which something is due."""
        due_s = self._hub.next_due_s()
        moments = [self._venue_due_ms]
        if due_s != inf:
            moments.append(self._start_ms + ceil((due_s - 1.0 - SLACK_S / 2) * 1000.0))
        if self._options.rate is not None:
            moments.append(self.now_ms + RATE_TICK_MS)
        if self.market.recorded is not None and self.market.recorded.next_due_ms():
            moments.append(self.market.recorded.next_due_ms())
        if self._timers:
            moments.append(self._timers[0][0])
        return min(moments)

    def _step(self) -> None:
        self._hub.tick(self._now_s, self.now_ms)
        if self.now_ms >= self._venue_due_ms:
            self._venue_due_ms = self.now_ms + VENUE_TICK_MS
            self.venue.tick(self.now_ms)
            self.market.note_liquidations()
            self._hub.flush_trades(self.now_ms)
        while self._timers and self._timers[0][0] <= self.now_ms:
            self._untold.append(heappop(self._timers)[2])
        self._collect()
        self._tell()

    def _collect(self) -> None:
        """What orders brought about waits to be told."""
        self._hub.flush_trades(self.now_ms)
        for account, on_message in self._listeners.items():
            for event in self.venue.take_events(account):
                self._untold.append(_private(on_message, event, self.now_ms))

    def _tell(self) -> None:
        """Call back. What that leads to is told in the same loop, after what was before it."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._untold.popleft()()
        finally:
            self._telling = False


def _private(on_message: OnRow, event: Event, now_ms: int) -> Later:
    message = {"id": event.id, "topic": event.topic, "creationTime": now_ms, "data": event.rows}
    return lambda: on_message(message)


class _Reader(Reader):
    """Unpacks frames again: topics make them ready for a socket."""

    def __init__(self, topic: Topic, on_frame: OnFrame, untold: deque[Later]) -> None:
        self.topic = topic
        self._on_frame = on_frame
        self._untold = untold

    def queue(self, frame: bytes) -> None:
        size = frame[1]
        text = frame[2 if size < 126 else 4 if size == 126 else 10 :]
        self._untold.append(lambda: self._on_frame(text))
