"""All public topics and the clockwork that decides when each of them speaks.

Two ways to pace order books: the venue's own cadence (every topic on its interval), or a fixed
number of book messages a second over all topics that somebody reads. Either way, work that
cannot be done in time is skipped and counted, never queued.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from math import ceil, inf

from fastbook.types import Category, Instrument

from .candles import INTERVALS
from .market import SimulatedMarket
from .options import SimulatorOptions
from .rpi import RpiTopic
from .slow_topics import (
    KlineTopic,
    LiquidationTopic,
    PriceLimitTopic,
    StatusTopic,
    TickerTopic,
    TimedTopic,
)
from .topics import BookTopic, Reader, Topic, TradeTopic

DEPTHS = {"1": 1, "50": 50, "200": 200, "1000": 1000}
_BY_SYMBOL: dict[str, type[TradeTopic | TimedTopic]] = {
    "publicTrade": TradeTopic,
    "tickers": TickerTopic,
    "priceLimit": PriceLimitTopic,
    "allLiquidation": LiquidationTopic,
}
STATUS_STREAM, STATUS_TOPIC = "misc/status", "system.status"
IDLE_STEP_S = 0.25  # a symbol that nobody reads still lives, slowly
SLACK_S = 1e-6  # sums of intervals are a hair off what they mean
CATCH_UP_S = 0.1  # a late tick makes up for at most this much
_STEPS_PER_FRAME_MAX = 4  # tries to make a book change, before its message is skipped


class TopicHub:
    """Topics by name, made when first asked for."""

    def __init__(
        self, options: SimulatorOptions, market: SimulatedMarket, counters: Counter[str]
    ) -> None:
        self._options = options
        self._market = market
        self._counters = counters
        self.topics: dict[tuple[str, str], Topic] = {}  # by (category, name)
        self._books: list[BookTopic] = []  # those that somebody reads
        self._timed: list[TimedTopic] = []
        self._trades: dict[int, TradeTopic] = {}
        self._traded: dict[int, None] = {}
        self._next = 0
        self._budget = 0.0
        self._stepped_s = [0.0] * len(market.instruments)
        self._idle = 0
        self._last_s = 0.0

    def find(self, name: str, category: str = "") -> Topic | None:
        """The topic of this name, None when the category has no such topic.

        Without a category: of the first one that the exchange has.
        """
        key = (category or self._options.categories[0], name)
        topic = self.topics.get(key)
        if topic is None:
            topic = self._make(*key)
            if topic is not None:
                self.topics[key] = topic
        return topic

    def symbol_of(self, name: str) -> str | None:
        """The symbol that a well-formed topic name asks for, listed or not."""
        kind, _, rest = name.partition(".")
        if kind == "orderbook":
            depth, _, symbol = rest.partition(".")
            return symbol if depth in DEPTHS or depth == "rpi" else None
        if kind == "kline":
            interval, _, symbol = rest.partition(".")
            return symbol if interval in INTERVALS else None
        return rest if kind in _BY_SYMBOL else None

    def _make(self, category: str, name: str) -> Topic | None:
        if category == STATUS_STREAM:
            first = self._market.instruments[0]  # of no symbol, but every topic has one
            return StatusTopic(name, first, self._market) if name == STATUS_TOPIC else None
        symbol = self.symbol_of(name)
        instrument = self._market.by_symbol.get((category, symbol)) if symbol else None
        if instrument is None:
            return None
        kind, _, rest = name.partition(".")
        if kind == "orderbook":
            if rest.startswith("rpi."):
                return RpiTopic(name, instrument, self._market)
            depth = DEPTHS[rest.partition(".")[0]]
            return BookTopic(name, depth, instrument, self._market)
        if kind == "kline":
            return KlineTopic(name, rest.partition(".")[0], instrument, self._market)
        if kind == "allLiquidation" and instrument.category is Category.SPOT:
            return None
        return _BY_SYMBOL[kind](name, instrument, self._market)

    def status_topic(self) -> StatusTopic:
        topic = self.find(STATUS_TOPIC, STATUS_STREAM)
        assert isinstance(topic, StatusTopic)
        return topic

    def book(self, depth: int, instrument: Instrument) -> BookTopic:
        topic = self.find(f"orderbook.{depth}.{instrument.symbol}", str(instrument.category))
        assert isinstance(topic, BookTopic)
        return topic

    def matching(self, pattern: str, category: str = "") -> list[BookTopic]:
        """Order book topics made so far whose name matches, with shell wildcards."""
        return [
            topic
            for (of, name), topic in self.topics.items()
            if isinstance(topic, BookTopic)
            and (not category or of == category)
            and fnmatchcase(name, pattern)
        ]

    def join(self, topic: Topic, reader: Reader, now_ms: int) -> None:
        first = not topic.readers
        topic.join(reader, now_ms)
        if not first:
            return
        if isinstance(topic, BookTopic):
            topic.due_s = 0.0
            self._books.append(topic)
        elif isinstance(topic, TimedTopic):
            topic.due_s = 0.0
            self._timed.append(topic)
        elif isinstance(topic, TradeTopic):
            self._trades[topic.index] = topic

    def leave(self, topic: Topic, reader: Reader) -> None:
        if reader not in topic.readers:
            return
        topic.leave(reader)
        if topic.readers:
            return
        if isinstance(topic, BookTopic):
            self._books.remove(topic)
        elif isinstance(topic, TimedTopic):
            self._timed.remove(topic)
        elif isinstance(topic, TradeTopic):
            self._trades.pop(topic.index, None)

    def note_trades(self, index: int) -> None:
        """Trades of this symbol wait to be published."""
        self._traded[index] = None

    # The clockwork.

    def tick(self, now_s: float, now_ms: int) -> None:
        """Do what is due. `now_s` is monotonic, `now_ms` the wall clock for the frames."""
        passed_s = now_s - self._last_s if self._last_s else 0.0
        self._last_s = now_s
        self._market.play_recorded(now_ms)
        self._let_idle_symbols_live(passed_s, now_s, now_ms)
        if self._options.rate is None:
            self._by_cadence(now_s, now_ms)
        else:
            self._by_rate(self._options.rate, passed_s, now_s, now_ms)
        self.flush_trades(now_ms)
        for topic in self._timed:
            if topic.due_s <= now_s + SLACK_S:
                topic.due_s = now_s + topic.interval_s
                topic.publish(now_ms)

    def flush_trades(self, now_ms: int) -> None:
        """Publish waiting trades, those of accounts included."""
        self._market.collect_account_trades()
        for index in self._traded:
            topic = self._trades.get(index)
            if topic is not None:
                topic.publish(now_ms)
        self._traded.clear()

    def _by_cadence(self, now_s: float, now_ms: int) -> None:
        for topic in self._books:
            if topic.due_s > now_s + SLACK_S:
                continue
            late_s = now_s - topic.due_s
            if topic.due_s and late_s < topic.interval_s:
                topic.due_s += topic.interval_s
            else:
                if topic.due_s:
                    self._counters["late_frames"] += int(late_s / topic.interval_s)
                topic.due_s = now_s + topic.interval_s
            seq = self._live(topic.index, now_s, now_ms)
            if topic.publish(now_ms, seq, now_s):
                self._counters["book_frames"] += 1

    def _live(self, index: int, now_s: float, now_ms: int) -> int:
        """Let the flow of one symbol catch up with the time, within bounds."""
        passed_s = min(now_s - self._stepped_s[index], IDLE_STEP_S)
        self._stepped_s[index] = now_s
        return self._market.live(index, passed_s, now_ms)

    def _by_rate(self, rate: float, passed_s: float, now_s: float, now_ms: int) -> None:
        if not self._books:
            self._budget = 0.0
            return
        self._budget += rate * passed_s
        most = max(1.0, rate * CATCH_UP_S)
        if self._budget > most:
            self._counters["late_frames"] += int(self._budget - most)
            self._budget = most
        count = int(self._budget)
        self._budget -= count
        events = self._options.events_per_frame
        for _ in range(count):
            self._next = (self._next + 1) % len(self._books)
            topic = self._books[self._next]
            self._stepped_s[topic.index] = now_s
            for _ in range(_STEPS_PER_FRAME_MAX):
                seq = self._market.step(topic.index, events, now_ms)
                if topic.publish(now_ms, seq, now_s):
                    self._counters["book_frames"] += 1
                    break

    def next_due_s(self) -> float:
        """When the next topic that somebody reads wants to speak; infinite when none does."""
        topics: tuple[list[BookTopic], list[TimedTopic]] = self._books, self._timed
        return min((topic.due_s for of in topics for topic in of), default=inf)

    def _let_idle_symbols_live(self, passed_s: float, now_s: float, now_ms: int) -> None:
        """A few symbols a tick, in turn: cheap, and nobody stands still."""
        count = len(self._stepped_s)
        for _ in range(min(count, max(4, ceil(count * passed_s / IDLE_STEP_S)))):
            self._idle = (self._idle + 1) % count
            if now_s - self._stepped_s[self._idle] >= IDLE_STEP_S:
                self._live(self._idle, now_s, now_ms)
