"""The stores' process: from the spool to the history, from board and spool to the cache.

Started by the runtime with one JSON object on its standard input; ends when that input ends,
after a last, bounded attempt to deliver. Prints a line of JSON a second: the stores' health.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fastbook.errors import FastbookError

from .history import Backend, StoreError, StoreUnavailable, open_backend
from .spool import Place, Row, SpoolReader, remove_done

ROWS_A_BATCH = 5_000
IDLE_S = 0.05
RETRY_S = 0.25
RETRY_S_MAX = 5.0
LAST_S_MAX = 10.0
STATUS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipperConfig:
    """What the runtime says on standard input. URLs hold passwords: never on a command line."""

    spool: str
    history_url: str = ""
    retention_days: int = 0
    cache_url: str = ""
    environment: str = ""
    category: str = ""
    symbols: list[str] = field(default_factory=list)
    board: str = ""
    ttl_ms: int = 5_000
    tick_ms: int = 25


@dataclass(slots=True)
class HistoryStats:
    """Counts since the start of this process."""

    rows: int = 0
    repeats: int = 0
    batches: int = 0
    failures: int = 0
    refused: int = 0
    backlog_bytes: int = 0
    damaged: int = 0
    up: bool = False
    server: str = ""
    reason: str = ""


class HistoryShipper:
    """Carries the spool to one back end, in order, each row at least once."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self._backend = backend
        self._folder = folder
        self.reader = SpoolReader(folder)
        self.stats = HistoryStats()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then what is left, for as long as it is taken at once."""
        wait_s = RETRY_S
        while not stop.is_set():
            try:
                moved = await self.step()
                wait_s = RETRY_S
            except StoreUnavailable as e:
                self._failed(e)
                await _sleep(stop, wait_s)
                wait_s = min(2 * wait_s, RETRY_S_MAX)
                continue
            if not moved:
                await _sleep(stop, IDLE_S)
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_S_MAX):
                while await self.step():
                    pass
        await self._backend.close()

    async def step(self) -> int:
        """One batch; how many rows it had. Raises `StoreUnavailable`, with nothing lost."""
        if not self.stats.up:
            self.stats.server = await self._backend.open()
            self.stats.up = True
            self.stats.reason = ""
        rows, place = self.reader.read(ROWS_A_BATCH)
        if rows:
            try:
                added = await self._backend.write(rows)
            except StoreError as e:
                await self._set_aside(rows, e)
                added = 0
            self.stats.rows += added
            self.stats.repeats += len(rows) - added
            self.stats.batches += 1
        if place != self.reader.place:
            self.reader.commit(place)
        self.stats.damaged = self.reader.damaged
        self.stats.backlog_bytes = self.reader.backlog_bytes()
        return len(rows)

    async def _set_aside(self, rows: list[Row], error: StoreError) -> None:
        """What a store refuses for good must not stop what comes after it: keep it in a file."""
        self.stats.refused += len(rows)
        self.stats.reason = str(error)
        name = f"refused-{time.time_ns()}.json"
        (self._folder / name).write_bytes(orjson.dumps([str(error), rows]))
        self.stats.up = False  # a refusal closes the connection
        self.stats.server = await self._backend.open()
        self.stats.up = True
        now = time.time_ns()
        gap: Row = ("gaps", [now, now, "history", name, len(rows), str(error)[:200]])
        await self._backend.write([gap])

    def _failed(self, error: StoreUnavailable) -> None:
        self.stats.failures += 1
        self.stats.up = False
        self.stats.reason = str(error)
        self.stats.backlog_bytes = self.reader.backlog_bytes()


class Shipper:
    """Both carriers of one run, and what is known of them."""

    def __init__(self, config: ShipperConfig) -> None:
        self._folder = Path(config.spool)
        self.history: HistoryShipper | None = None
        self.cache: Any = None  # Any: CacheWriter, whose client is imported only when wanted
        if config.history_url:
            backend = open_backend(config.history_url, retention_days=config.retention_days)
            self.history = HistoryShipper(backend, self._folder)
        if config.cache_url:
            from .cache import CacheWriter
            from .keys import Keys

            self.cache = CacheWriter(
                config.cache_url,
                Keys(config.environment, config.category),
                config.symbols,
                Path(config.board),
                ttl_ms=config.ttl_ms,
                tick_ms=config.tick_ms,
            )
            self._tail = SpoolReader(self._folder, "cursor-cache")

    async def run(self, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(self._tidy(stop), name="tidy")]
        if self.history is not None:
            tasks.append(asyncio.create_task(self.history.run(stop), name="history"))
        if self.cache is not None:
            tasks.append(asyncio.create_task(self.cache.run(stop), name="cache"))
            tasks.append(asyncio.create_task(self._feed_cache(stop), name="cache feed"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed_cache(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            rows, place = self._tail.read(ROWS_A_BATCH)
            self.cache.take(rows)
            if place != self._tail.place:
                self._tail.commit(place)
            if not rows:
                await _sleep(stop, self.cache.tick_s)
            else:
                await asyncio.sleep(0)

    async def _tidy(self, stop: asyncio.Event) -> None:
        """Say how it is, and remove what everybody has."""
        while not stop.is_set():
            _say(self.status())
            remove_done(self._folder, self._places())
            await _sleep(stop, STATUS_S)

    def _places(self) -> list[Place]:
        places = []
        if self.history is not None:
            places.append(self.history.reader.place)
        if self.cache is not None:
            places.append(self._tail.place)
        return places

    def status(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "history": None if self.history is None else asdict(self.history.stats),
            "cache": None if self.cache is None else asdict(self.cache.stats),
        }


def _say(document: dict[str, Any]) -> None:  # Any: JSON values
    """A line for the runtime, past any buffer: one that was killed reads no more, and no harm."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), orjson.dumps(document) + b"\n")


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _until_input_ends(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    stop.set()


async def _main(config: ShipperConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_until_input_ends(stop), name="input")
    shipper = Shipper(config)
    try:
        await shipper.run(stop)
    finally:
        watch.cancel()
        _say(shipper.status())


def main() -> int:
    """`python -m fastbook.runtime.stores.shipper`, by the runtime only."""
    config = ShipperConfig(**orjson.loads(sys.stdin.buffer.readline()))
    try:
        asyncio.run(_main(config))
    except (FastbookError, OSError) as e:
        _say({"failed": str(e)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
