"""The public market-data feed: topics spread over connections, each kept up until told to stop."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from picows import ws_connect

from fastbook.bybit.frames import BookDecoder
from fastbook.clock import Clock
from fastbook.core.histogram import Histogram
from fastbook.core.states import BookState
from fastbook.core.tape import Tape

from .backoff import Backoff, WindowBudget
from .connection import Connection, FeedContext
from .feed_config import ATTEMPTS_WINDOW_S, BACKOFF_BASE_S, PublicFeedConfig, shard
from .listener import Listener, MakeListener
from .listener_py import OnBooks
from .subscriptions import SubscriptionCounters, SubscriptionLimits, SubscriptionTable, TopicState
from .transport import ConnectWs

__all__ = ["PublicFeed", "PublicFeedConfig", "TopicStatus"]

log = logging.getLogger("fastbook.feed")


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """Where one topic stands, for a screen or a log."""

    topic: str
    connection: str
    state: TopicState
    book: BookState | None  # None: not a book's topic
    reason: str  # why the venue refused it, else empty


class PublicFeed:
    """Keeps books of a decoder in step with the venue over one or more connections.

    Parameters
    ----------
    config : PublicFeedConfig
    decoder : BookDecoder
        Book topics that it does not know yet are added in the order of `config.topics`.
    on_books : callable(list[int], int)
        Once per socket read, from inside the socket callback: indexes of the books that
        changed, receive time in ns (wall clock). Also when books leave SYNCED outside a read.
    on_message : callable(object, int)
        Every other data message (trades, tickers, ...), decoded. Answers and pongs stay here.
    clock : Clock
        For timers and for stamps outside socket reads.
    on_link : callable(str, bool, int), optional
        A connection came up or went down, by name.
    rng : random.Random, optional
        Jitter of reconnects; give a seeded one for repeatable runs.
    make_listener : callable, optional
        Another listener than the one that fits this machine.
    connect_ws : callable, optional
        Another way to the venue than a socket.
    latency : Histogram, optional
        Takes, of each message, the ns from the socket read to its book and signals.
    tape : Tape, optional
        Keeps every message with its receive time, before it is applied.

    An exception of a callback ends the feed: `run` raises it. Network faults never do.
    """

    def __init__(
        self,
        config: PublicFeedConfig,
        decoder: BookDecoder,
        on_books: OnBooks,
        on_message: Callable[[Any, int], None],
        clock: Clock,
        *,
        on_link: Callable[[str, bool, int], None] | None = None,
        rng: Random | None = None,
        make_listener: MakeListener = Listener,
        connect_ws: ConnectWs = ws_connect,
        latency: Histogram | None = None,
        tape: Tape | None = None,
    ) -> None:
        books = [t for t in config.topics if _add_book(decoder, t)]
        self._config = config
        self._decoder = decoder
        self._rng = rng or Random()
        self._budget = WindowBudget(config.attempts_per_5min, ATTEMPTS_WINDOW_S)
        self._stopping = asyncio.Event()
        self._epoch = 0
        self._context = FeedContext(
            config=config,
            decoder=decoder,
            clock=clock,
            on_books=on_books,
            on_message=on_message,
            on_link=on_link,
            on_desynced=self._resync_desynced,
            make_listener=make_listener,
            ssl_context=_ssl_context(config),
            connect_ws=connect_ws,
            latency=latency,
            tape=tape,
        )
        limits = SubscriptionLimits(
            args_per_request=config.args_per_request,
            requests_per_s=config.subscribe_requests_per_s,
            snapshot_timeout_s=config.snapshot_timeout_s,
            resync_min_interval_s=config.resync_min_interval_s,
            resyncs_per_min=config.resyncs_per_min_before_reconnect,
        )
        self._lanes = [
            _Lane(f"public-{i}", SubscriptionTable(topics, books, limits))
            for i, topics in enumerate(shard(config))
        ]
        self._lane_of = {topic: lane for lane in self._lanes for topic in lane.table.states()}

    async def run(self) -> None:
        """Returns after `stop`; until then only cancellation or a callback's error ends it."""
        tasks = [asyncio.create_task(self._keep(lane), name=lane.name) for lane in self._lanes]
        try:
            # Not a TaskGroup: the first error is raised as it is, not in a group.
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Close all connections; `run` returns within `close_timeout_s`."""
        self._stopping.set()
        for lane in self._lanes:
            if lane.connection is not None:
                lane.connection.finish("stopped")

    def resync(self, topic: str) -> bool:
        """Ask for a fresh snapshot. False: unknown topic, or one is on its way already."""
        lane = self._lane_of.get(topic)
        if lane is None or not lane.table.resync(topic, self._context.now_s()):
            return False
        if lane.connection is not None:
            lane.connection.nudge()
        return True

    def topics(self) -> list[TopicStatus]:
        """One row a topic, in the order of the configuration."""
        books = self._decoder.books
        rows = []
        for topic in self._config.topics:
            lane = self._lane_of[topic]
            state, reason = lane.table.states()[topic]
            book = books.get(topic)
            rows.append(
                TopicStatus(topic, lane.name, state, None if book is None else book.state, reason)
            )
        return rows

    def stats(self) -> dict[str, Any]:
        """All counters and gauges as of now; a new plain dict. Any: numbers, texts and dicts."""
        total = self._context.stats.copy()
        subscriptions = SubscriptionCounters()
        for lane in self._lanes:
            subscriptions.add(lane.table.counters)
            if lane.connection is not None and not lane.connection.counted:
                lane.connection.add_counts(total)
        topics = self.topics()
        counts = total.as_dict() | asdict(subscriptions)
        counts["topics"] = {s.value: sum(t.state is s for t in topics) for s in TopicState}
        counts["failed"] = {t.topic: t.reason for t in topics if t.state is TopicState.FAILED}
        counts["stale_topics"] = sum(t.book is BookState.STALE for t in topics)
        counts["synced_topics"] = sum(t.book is BookState.SYNCED for t in topics)
        counts["connections"] = [lane.describe() for lane in self._lanes]
        return counts

    async def _keep(self, lane: _Lane) -> None:
        """One lane's connections, one after the other."""
        backoff = Backoff(base_s=BACKOFF_BASE_S, cap_s=self._config.backoff_cap_s, rng=self._rng)
        while not self._stopping.is_set():
            await self._wait_for_budget()
            if self._stopping.is_set():
                return
            self._epoch += 1
            lane.connection = Connection(
                lane.name, self._epoch, lane.table, self._context, again=lane.connected
            )
            await lane.connection.run()
            lane.last_end = lane.connection.reason
            if lane.connection.error is not None:
                raise lane.connection.error
            opened_s = lane.connection.opened_s
            lane.connected |= opened_s is not None
            if self._stopping.is_set():
                return
            lived_s = 0.0 if opened_s is None else self._context.now_s() - opened_s
            delay_s = backoff.failed(was_stable=lived_s >= self._config.stable_after_s)
            log.warning(
                "%s: ended after %.1f s (%s), again in %.1f s",
                lane.name, lived_s, lane.connection.reason, delay_s,
            )  # fmt: skip
            await self._pause(delay_s)

    async def _wait_for_budget(self) -> None:
        waited = False
        while not self._stopping.is_set():
            now_s = self._context.now_s()
            if self._budget.take(now_s):
                return
            self._context.stats.budget_waits += not waited
            waited = True
            await self._pause(self._budget.wait_s(now_s))

    async def _pause(self, delay_s: float) -> None:
        if delay_s <= 0.0:
            return
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            pass  # waited as long as asked

    def _resync_desynced(self) -> None:
        """A read of any connection may tell of any book that the decoder holds."""
        for topic in self._decoder.take_desynced():
            self._context.stats.gaps += 1
            self.resync(topic)


@dataclass(slots=True)
class _Lane:
    """A share of the topics, and the connection that carries it now."""

    name: str
    table: SubscriptionTable
    connection: Connection | None = None
    connected: bool = False
    last_end: str = ""

    def describe(self) -> dict[str, Any]:  # Any: numbers and texts
        connection = self.connection
        up = connection is not None and connection.opened_s is not None and not connection.reason
        return {
            "name": self.name,
            "up": up,
            "epoch": 0 if connection is None else connection.epoch,
            "topics": len(self.table.states()),
            "last_end": self.last_end,
        }


def _add_book(decoder: BookDecoder, topic: str) -> bool:
    """Make the topic's book if it is a book's topic at all."""
    try:
        decoder.add_book(topic)
    except ValueError:
        return False
    return True


def _ssl_context(config: PublicFeedConfig) -> ssl.SSLContext | None:
    if not config.url.startswith("wss://"):
        return None
    context = ssl.create_default_context(cafile=config.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
