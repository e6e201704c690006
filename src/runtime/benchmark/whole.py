"""What only a whole process shows: memory, start-up, and coming back after a cut."""

from __future__ import annotations

import asyncio
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple, Self

import orjson
import uvloop

from fastbook import BookDecoder, BookState
from fastbook.errors import FastbookError
from fastbook.replay.universe import universe

from ..bybit.public import PublicFeed, PublicFeedConfig
from ..children import exchange_process
from ..exchange_control import ExchangeControl
from ..system_clock import StampClock
from .results import Report, middle_half

PROCESS_TIMEOUT_S = 60.0
SYNC_TIMEOUT_S = 30.0


def output_of(*args: str) -> str:
    done = subprocess.run(
        (sys.executable, *args),
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise FastbookError(f"{' '.join(args)} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def measure_whole(report: Report, *, quick: bool) -> None:
    """All rows of this module; one that cannot be had is named in `report.skipped`."""
    parts: dict[str, Callable[[], None]] = {
        "memory": lambda: measure_memory(report),
        "start-up time": lambda: measure_start(report, 3 if quick else 9),
        "reconnect": lambda: measure_reconnect(report, 2 if quick else 9),
    }
    for name, measure in parts.items():
        try:
            measure()
        except (FastbookError, TimeoutError, OSError, subprocess.TimeoutExpired) as e:
            report.skipped[name] = f"{type(e).__name__} {e}".strip()


def measure_memory(report: Report) -> None:
    """Rows `memory_100x200x1000` and `book_kb`."""
    said = orjson.loads(output_of("-m", f"{__package__}.footprint"))
    report.add(
        "memory_100x200x1000",
        said["full_bytes"] / 1e6,
        "MB",
        detail={
            "before_mb": said["empty_bytes"] / 1e6,
            "of_that_frames_mb": said["frame_bytes"] / 1e6,
        },
    )
    report.add(
        "book_kb",
        said["bytes_per_book"] / 1e3,
        "kB",
        "a book of 200 levels a side with its signals and their windows of 1,000 samples",
    )


def measure_start(report: Report, times: int = 5) -> None:
    """Rows `help_time` and `import_time`, of whole processes, in processor time: what a quiet
    machine takes, and a busy one cannot blur."""
    bare = seconds_of(times, "-c", "pass")
    library = seconds_of(times, "-c", "import fastbook")
    helped = seconds_of(times, "-m", "fastbook.runtime", "--help")
    cpu = [taken.cpu_s for taken in helped]
    wall = median(taken.wall_s for taken in helped)
    report.add("help_time", median(cpu), "s", spread=middle_half(cpu), detail={"wall_s": wall})
    python_ms = 1000 * median(taken.cpu_s for taken in bare)
    report.add(
        "import_time",
        1000 * median(taken.cpu_s for taken in library) - python_ms,
        "ms",
        "import fastbook, beyond what starting Python takes",
        detail={"python_ms": python_ms},
    )


class Taken(NamedTuple):
    wall_s: float
    cpu_s: float


def seconds_of(times: int, *args: str) -> list[Taken]:
    output_of(*args)  # once to warm the disk's cache
    out = []
    for _ in range(times):
        started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        output_of(*args)
        done = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = done.ru_utime + done.ru_stime - used.ru_utime - used.ru_stime
        out.append(Taken(time.perf_counter() - started, cpu_s))
    return out


def measure_reconnect(report: Report, times: int = 5, symbols: int = 50) -> None:
    """Row `reconnect_ms`: the bundled exchange cuts the connection; until all books are SYNCED."""
    log = logging.getLogger("fastbook.feed")
    level = log.level
    log.setLevel(logging.ERROR)  # each cut would be a warning, and is what we asked for
    try:
        taken = uvloop.run(_reconnects(times, symbols))
    finally:
        log.setLevel(level)
    report.add(
        "reconnect_ms",
        median(taken) * 1000,
        "ms",
        f"from a cut connection to all of {symbols} books SYNCED again, bundled exchange",
        spread=tuple(1000 * s for s in middle_half(taken)),  # type: ignore[arg-type]  # two
    )


async def _reconnects(times: int, symbols: int) -> list[float]:
    taken: list[float] = []
    async with exchange_process(symbols, 7, None) as exchange:
        where = await exchange.first_line()
        markets = universe(symbols)
        topics = tuple(f"orderbook.50.{market.instrument.symbol}" for market in markets)
        async with (
            ExchangeControl(where["rest"]) as control,
            Books(where["ws_public"] + "/linear", topics) as books,
        ):
            for _ in range(times):
                await books.settle()
                books.down.clear()
                hit = await control.fault({"kind": "cut"})
                assert hit == 1
                async with asyncio.timeout(SYNC_TIMEOUT_S):
                    await books.down.wait()
                    started = time.perf_counter()
                    await books.wait_synced()
                taken.append(time.perf_counter() - started)
    return taken


class Books:
    """The runtime's own feed, and whether all of its books can be trusted."""

    def __init__(self, url: str, topics: Sequence[str]) -> None:
        self._decoder = BookDecoder()
        self._wanted = len(topics)
        self._synced = asyncio.Event()
        self.down = asyncio.Event()
        config = PublicFeedConfig(url=url, topics=tuple(topics), stable_after_s=0.05)
        self._feed = PublicFeed(
            config,
            self._decoder,
            self._on_books,
            lambda message, recv_ns: None,
            StampClock(),
            on_link=self._on_link,
        )
        self._task: asyncio.Task[None] | None = None

    def _on_books(self, touched: list[int], recv_ns: int) -> None:
        states = [book.state for book in self._decoder.books.values()]
        if len(states) == self._wanted and all(s is BookState.SYNCED for s in states):
            self._synced.set()

    def _on_link(self, name: str, up: bool, recv_ns: int) -> None:
        if not up:
            self._synced.clear()
            self.down.set()

    @property
    def applied(self) -> int:
        """Frames that are in the books."""
        return self._decoder.counters["applied"]

    @property
    def gaps(self) -> int:
        """Frames that were lost on the way."""
        return self._decoder.counters["gaps"]

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def settle(self) -> None:
        """Synced; then a second, in which the feed regains its whole allowance of requests."""
        async with asyncio.timeout(SYNC_TIMEOUT_S):
            await self.wait_synced()
        await asyncio.sleep(1.1)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._feed.run())
        return self

    async def __aexit__(self, *args: object) -> None:
        self._feed.stop()
        assert self._task is not None
        await self._task
