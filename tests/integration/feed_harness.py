"""A feed under test: its callbacks recorded, its books at hand, deadlines on everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import uvloop

from fastbook.bybit.frames import BookDecoder
from fastbook.core.book import Book
from fastbook.core.states import BookState
from fastbook.runtime.bybit.listener import MakeListener
from fastbook.runtime.bybit.public import PublicFeed, PublicFeedConfig

DEADLINE_S = 60.0
LOOK_S = 0.01

BTC, ETH, SOL = "orderbook.50.BTCUSDT", "orderbook.50.ETHUSDT", "orderbook.50.SOLUSDT"
TRADES = "publicTrade.BTCUSDT"


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass(frozen=True)
class Setup:
    """What a test is run with: which listener, which loop."""

    make_listener: MakeListener
    uv: bool

    def run(self, scenario: Callable[[Setup], Coroutine[Any, Any, None]]) -> None:
        factory = uvloop.new_event_loop if self.uv else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(scenario(self), 2 * DEADLINE_S))


class Watched:
    """A running feed and all that it said."""

    def __init__(self, config: PublicFeedConfig, setup: Setup) -> None:
        self.decoder = BookDecoder()
        self.reads: list[list[int]] = []
        self.recv_ns: list[int] = []
        self.messages: list[dict[str, Any]] = []
        self.links: list[tuple[str, bool]] = []
        self.states_at_down: list[set[BookState]] = []
        self.told_at_down: list[list[int]] = []
        self.fail_on_books: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self._said = asyncio.Event()
        self.feed = PublicFeed(
            config,
            self.decoder,
            self._on_books,
            self._on_message,
            WallClock(),
            on_link=self._on_link,
            rng=Random(1),
            make_listener=setup.make_listener,
        )

    def book(self, topic: str) -> Book:
        return self.decoder.books[topic]

    def synced(self, *topics: str) -> bool:
        return all(self.book(t).state is BookState.SYNCED for t in topics)

    def count(self, name: str) -> int:
        value = self.feed.stats()[name]
        assert isinstance(value, int)
        return value

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait for what a callback will tell; counters that no callback tells are looked at."""
        async with asyncio.timeout(DEADLINE_S):
            while not ready():
                self._said.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._said.wait()
                except TimeoutError:
                    pass

    def _on_books(self, touched: list[int], recv_ns: int) -> None:
        self.reads.append(touched)
        self.recv_ns.append(recv_ns)
        self._said.set()
        if self.fail_on_books is not None:
            error, self.fail_on_books = self.fail_on_books, None
            raise error

    def _on_message(self, message: Any, recv_ns: int) -> None:
        self.messages.append(message)
        self._said.set()

    def _on_link(self, name: str, up: bool, recv_ns: int) -> None:
        self.links.append((name, up))
        if not up:
            self.told_at_down.append(self.reads[-1])
            self.states_at_down.append({b.state for b in self.decoder.books.values()})
        self._said.set()


@asynccontextmanager
async def running(setup: Setup, url: str, *topics: str, **settings: Any) -> AsyncIterator[Watched]:
    """`settings`: of PublicFeedConfig, hence Any."""
    quick = {"stale_after_s": 30.0, "snapshot_timeout_s": 30.0, "resync_min_interval_s": 0.0}
    config = PublicFeedConfig(url=url, topics=topics, **(quick | settings))
    watched = Watched(config, setup)
    watched.task = task = asyncio.create_task(watched.feed.run())
    try:
        yield watched
        watched.feed.stop()
        async with asyncio.timeout(DEADLINE_S):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
