"""A run's way to its stores: what it tells the spool and the board, and the process that reads them.

Nothing here waits for a store. What a tick costs is bounded: a slice of the books is looked at, and
packed only where it has changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from fastbook import Book, SignalSet, __version__
from fastbook.engine import Engine
from fastbook.errors import ConfigError
from fastbook.types import Instrument, Record, Trade

from .children import Child
from .config import Config
from .latency import LatencyStages, quantiles_us
from .report import Json
from .stores.board import BoardWriter
from .stores.history import StoreError, StoreUnavailable, open_backend
from .stores.layout import pack_l2
from .stores.rows import RowMaker, text
from .stores.shipper import LAST_S_MAX, ShipperConfig
from .stores.spool import Row, Spool

log = logging.getLogger("fastbook.memory")

FIGURES_S = 1.0
LATENCY_S = 10.0
RESTART_S = 1.0
RESTART_S_MAX = 30.0
SPOOL = "spool"
BOARD = "board"


async def check_stores(config: Config) -> None:
    """Before a run: a store that can never be used is a mistake in the configuration.

    One that does not answer is not: rows wait for it, and the cache is a mirror. Raises
    `ConfigError` that names the key.
    """
    if config.history.url:
        backend = open_backend(config.history.url)
        try:
            await backend.open()
        except StoreUnavailable as e:
            log.warning("history: %s; rows wait in the spool", e)
        except StoreError as e:
            raise ConfigError(f"history.url: {e}") from e
        finally:
            await backend.close()
    if config.cache.url:
        try:
            from .stores.cache import check
        except ImportError as e:
            raise ConfigError(
                "cache.url is set, and redis is not installed: pip install 'fastbook-engine[redis]'"
            ) from e
        try:
            await check(config.cache.url)
        except StoreUnavailable as e:
            log.warning("%s; it is tried again", e)
        except StoreError as e:
            raise ConfigError(f"cache.url: {e}") from e


class Memory:
    """Use as a context: inside it, books and rows leave by themselves. `status` has counters."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        instruments: Sequence[Instrument],
        books: Sequence[Book],
        signals: SignalSet,
        engine: Engine,
        latency: LatencyStages,
        *,
        run: str,
        wall_ns: Callable[[], int],
    ) -> None:
        cache, history = config.cache, config.history
        self._config = config
        self._instruments = instruments
        self._books = books
        self._signals = signals
        self._engine = engine
        self._latency = latency
        self._run = run
        self._wall_ns = wall_ns
        self._rows = RowMaker(instruments, run)
        self._pending: list[Row] = []
        self._spool = Spool(folder / SPOOL, bytes_max=history.spool_mb_max << 20)
        self._board: BoardWriter | None = None
        if cache.url:
            self._board = BoardWriter(folder / BOARD, len(books), cache.levels)
        self._tick_s = cache.tick_ms / 1000
        self._written: list[tuple[int, int, int]] = [(-1, -1, 0)] * len(books)
        self._next_sample = 0.0
        self._figures_due_ns = self._latency_due_ns = 0
        self._child: Child | None = None
        self._ending = False
        self._said: Json = {}
        self.restarts = 0
        self.failure = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._setup = ShipperConfig(
            spool=str(folder / SPOOL),
            history_url=history.url,
            retention_days=history.retention_days,
            cache_url=cache.url,
            environment=config.venue.environment,
            category=config.venue.category,
            symbols=[i.symbol for i in instruments],
            board=str(folder / BOARD) if cache.url else "",
            ttl_ms=cache.ttl_ms,
            tick_ms=cache.tick_ms,
        )

    @staticmethod
    def wanted(config: Config) -> bool:
        return bool(config.cache.url or config.history.url)

    @property
    def wants_trades(self) -> bool:
        return bool(self._config.history.url and self._config.history.trades)

    # --- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        names = ",".join(i.symbol for i in self._instruments)
        venue = self._config.venue
        mode = self._config.execution.mode
        self._pending.append((
            "runs",
            [self._wall_ns(), self._run, venue.environment, venue.category, mode, __version__,
             names],
        ))  # fmt: skip
        self._flush()
        self._tasks = [
            asyncio.create_task(self._keep_ticking(), name="memory"),
            asyncio.create_task(self._keep_child(), name="stores"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._on_task_done)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending = True
        self.tick()
        self._spool.close()
        child = self._child
        if child is not None and child.alive:
            await child.end_of_input(LAST_S_MAX + 1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._board is not None:
            self._board.close()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """Trading goes on without its memory; but somebody has to know."""
        if not self._ending and not task.cancelled():
            self.failure = f"the {task.get_name()} task ended: {task.exception()!r}"
            log.error("%s", self.failure)

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            self.tick()

    async def _keep_child(self) -> None:
        """One process of the stores, always; started again when it ends, ever later."""
        wait_s = RESTART_S
        while True:
            child = Child("the stores", "fastbook.runtime.stores.shipper", stdin=True, stdout=True)
            async with child:
                child.feed(orjson.dumps(asdict(self._setup)))
                self._child = child
                self._resend()
                async for line in child.lines():
                    self._said = orjson.loads(line)
                    wait_s = RESTART_S
            self._child = None
            if self._ending:
                return
            self.restarts += 1
            reason = self._said.get("failed", "it was killed, or broke")
            log.warning("the stores' process ended: %s; again in %g s", reason, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RESTART_S_MAX)

    # --- what the run says ---------------------------------------------------------------------

    def on_records(self, records: Sequence[Record]) -> None:
        """What was drained from the journal."""
        wall_ns = self._wall_ns()
        for record in records:
            self._pending += self._rows.of_record(record, wall_ns)
        self._flush()

    def on_trades(self, trades: Sequence[Trade]) -> None:
        """Public trades; they leave with the next tick."""
        self._pending += self._rows.trades(trades)

    def tick(self) -> None:
        """Whatever has fallen due. Under a tenth of a millisecond with fifty symbols."""
        wall_ns = self._wall_ns()
        if self._board is not None:
            self._show_books(self._board, wall_ns)
        if self._config.history.url:
            self._sample_some(wall_ns)
            self._figures(wall_ns)
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            rows, self._pending = self._pending, []
            self._spool.append(rows, self._wall_ns())

    def _show_books(self, board: BoardWriter, wall_ns: int) -> None:
        """Changed books onto the board, and unchanged ones now and then: a sign of life."""
        cache = self._config.cache
        now_ms = wall_ns // 1_000_000
        refresh_ms = cache.ttl_ms // 3
        for slot, book in enumerate(self._books):
            u, state, at_ms = self._written[slot]
            if book.u == u and int(book.state) == state and now_ms - at_ms < refresh_ms:
                continue
            board.write(slot, pack_l2(book, cache.levels, now_ms))
            self._written[slot] = (book.u, int(book.state), now_ms)

    def _sample_some(self, wall_ns: int) -> None:
        """Every book once in `sample_s`, a few at a tick."""
        history = self._config.history
        share = len(self._books) * self._tick_s / history.sample_s
        begin, end = int(self._next_sample), int(self._next_sample + share)
        for at in range(begin, end):
            book = self._books[at % len(self._books)]
            self._pending += self._rows.sample(
                book, self._signals.row(book.index), history.levels, wall_ns
            )
        self._next_sample = (self._next_sample + share) % len(self._books)

    def _figures(self, wall_ns: int) -> None:
        if wall_ns >= self._figures_due_ns:
            self._figures_due_ns = wall_ns + int(FIGURES_S * 1e9)
            self._pending += self._equity(wall_ns)
        if wall_ns >= self._latency_due_ns:
            self._latency_due_ns = wall_ns + int(LATENCY_S * 1e9)
            self._pending += self._latencies(wall_ns)

    def _equity(self, wall_ns: int) -> list[Row]:
        held = self._engine.portfolio
        if held.balance is None or held.equity is None:
            return []
        # The balance has had fees and realised P&L; what is left of equity is open.
        figures = (held.equity, held.balance, held.realized, held.fees, held.equity - held.balance)
        return [("equity", [wall_ns, self._run, *(text(figure) for figure in figures)])]

    def _latencies(self, wall_ns: int) -> list[Row]:
        rows: list[Row] = []
        for stage in ("book", "decision", "order", "loop_lag"):
            histogram = getattr(self._latency, stage)
            figures = quantiles_us(histogram)
            rows.append((
                "latency",
                [wall_ns, self._run, stage, histogram.count, *figures.values()],
            ))  # fmt: skip
        return rows

    def _resend(self) -> None:
        """The cache's process knows nothing of before: tell it what is open."""
        engine, wall_ns = self._engine, self._wall_ns()
        for order in engine.orders.all_working():
            i = self._instruments[order.instrument]
            self._pending.append((
                "orders",
                [wall_ns, order.order_id, order.client_id, i.category.value, i.symbol,
                 order.state.value, text(i.px_decimal(order.px)), text(i.qty_decimal(order.qty)),
                 text(i.qty_decimal(order.cum_qty)), "", self._run],
            ))  # fmt: skip

    # --- what is known of the stores -----------------------------------------------------------

    def status(self) -> Json:
        """Health of cache and history, and what was dropped on the way."""
        return {
            "running": self._child is not None,
            "restarts": self.restarts,
            "rows": self._spool.rows,
            "dropped": dict(self._spool.dropped),
            "failure": self.failure or self._spool.failure,
            **{name: self._said.get(name) for name in ("history", "cache")},
        }
