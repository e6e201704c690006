"""Stands before an engine and notes all that goes in; the engine behind it is any engine."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Protocol

from fastbook import Book, BookDecoder, SignalSet
from fastbook._version import __version__
from fastbook.clock import Clock
from fastbook.core.states import BookState
from fastbook.engine import Engine
from fastbook.execution import Order
from fastbook.risk import Health, SizingParams
from fastbook.strategy.bars import Bar
from fastbook.types import Command, Control, Execution, Instrument, OrderEvent, Record, Trade

from ..config import Config
from ..config.written import config_text
from .recorder import EventLog

FORMAT = 1
DIGEST_EVERY_NS = 1_000_000_000
INPUT_KINDS = frozenset({"event", "control", "link"})
"""Journal records that repeat an input: noted once, where it came in."""


BAR_FIELDS = tuple(f.name for f in fields(Bar))


class FrontDoor(Protocol):
    """How events reach an engine: an `Engine`, or whatever stands before it."""

    def on_books(self, touched: list[int], recv_ns: int) -> list[Command]: ...
    def on_trades(self, trades: Sequence[Trade], recv_ns: int) -> list[Command]: ...
    def on_event(self, event: OrderEvent, recv_ns: int) -> list[Command]: ...
    def on_control(self, control: Control, recv_ns: int) -> list[Command]: ...
    def on_link(self, name: str, up: bool, recv_ns: int) -> list[Command]: ...
    def on_timer(self, recv_ns: int) -> list[Command]: ...
    def reconciled(self, recv_ns: int, *, positions_complete: bool = False) -> list[Command]: ...
    def drop_copied(self, listed: Collection[str], recv_ns: int) -> list[Command]: ...
    def on_mark(self, instrument: int, mark_px: int, recv_ns: int) -> None: ...
    def on_health(self, health: Health, recv_ns: int) -> None: ...
    def warm_up(self, instrument: int, bars: Sequence[Bar], recv_ns: int) -> list[Command]: ...


class RecordedClock:
    """Implements `Clock`; notes every wall time that the engine reads."""

    def __init__(self, clock: Clock, log: EventLog) -> None:
        self._clock = clock
        self._log = log

    def now_ns(self) -> int:
        ns = self._clock.now_ns()
        self._log.note("wall", ns)
        return ns

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()


class Tap:
    """Notes each input, hands it on, and notes what cannot be told from the inputs.

    Parameters
    ----------
    start : dict
        Whatever the engine was built from: see docs/recording.md.
    """

    def __init__(
        self,
        log: EventLog,
        engine: Engine,
        decoder: BookDecoder,
        books: Sequence[Book],
        signals: SignalSet,
        start: dict[str, Any],  # Any: JSON
    ) -> None:
        self._log = log
        self._engine = engine
        self._books = books
        self._signals = signals
        self._digest_due_ns = 0
        self._digests = 0
        decoder.on_mark = self._on_mark
        log.note("start", 0, start | {"format": FORMAT, "fastbook": __version__})

    def _on_mark(self, topic: str, state: BookState) -> None:
        self._log.note("mark", 0, [topic, state.name])

    # --- the front door ---

    def on_books(self, touched: list[int], recv_ns: int) -> list[Command]:
        self._log.read(touched, recv_ns)
        return self._engine.on_books(touched, recv_ns)

    def on_trades(self, trades: Sequence[Trade], recv_ns: int) -> list[Command]:
        self._log.note("trades", recv_ns, len(trades))
        return self._engine.on_trades(trades, recv_ns)

    def on_event(self, event: OrderEvent, recv_ns: int) -> list[Command]:
        self._log.note("event", recv_ns, event)
        commands = self._engine.on_event(event, recv_ns)
        if isinstance(event, Execution):
            self._log.note(
                "account", recv_ns, account(self._engine, event.instrument, len(self._books))
            )
        return commands

    def on_control(self, control: Control, recv_ns: int) -> list[Command]:
        self._log.note("control", recv_ns, control)
        return self._engine.on_control(control, recv_ns)

    def on_link(self, name: str, up: bool, recv_ns: int) -> list[Command]:
        self._log.note("link", recv_ns, [name, up])
        return self._engine.on_link(name, up, recv_ns)

    def on_timer(self, recv_ns: int) -> list[Command]:
        self._log.note("timer", recv_ns)
        commands = self._engine.on_timer(recv_ns)
        if recv_ns >= self._digest_due_ns:
            self._digest_due_ns = recv_ns + DIGEST_EVERY_NS
            whole = self._digests % len(self._books)
            self._digests += 1
            self._log.note("books", recv_ns, touch_digest(self._books, self._signals, whole))
        return commands

    def reconciled(self, recv_ns: int, *, positions_complete: bool = False) -> list[Command]:
        self._log.note("reconciled", recv_ns, positions_complete)
        return self._engine.reconciled(recv_ns, positions_complete=positions_complete)

    def drop_copied(self, listed: Collection[str], recv_ns: int) -> list[Command]:
        self._log.note("drop_copy", recv_ns, sorted(listed))
        return self._engine.drop_copied(listed, recv_ns)

    def on_health(self, health: Health, recv_ns: int) -> None:
        said = [health.loop_lag_ms, health.clock_uncertainty_ms, str(health.share)]
        self._log.note("health", recv_ns, said)
        self._engine.on_health(health, recv_ns)

    def warm_up(self, instrument: int, bars: Sequence[Bar], recv_ns: int) -> list[Command]:
        plain = [[getattr(bar, name) for name in BAR_FIELDS] for bar in bars]
        self._log.note("warm_up", recv_ns, [instrument, plain])
        return self._engine.warm_up(instrument, bars, recv_ns)

    def on_mark(self, instrument: int, mark_px: int, recv_ns: int) -> None:
        self._log.note("mark_px", recv_ns, [instrument, mark_px])
        self._engine.on_mark(instrument, mark_px, recv_ns)

    def restored(self, orders: Sequence[Order], recv_ns: int) -> None:
        """The engine has been given back what the last run left; `orders` follow at `recv_ns`."""
        engine = self._engine
        self._log.note(
            "restored",
            recv_ns,
            {
                "gate": engine.gate.state(),
                "records": engine.portfolio.records_state(),
                "strategies": {name: s.state() for name, s in engine.strategies.items()},
                "exec_ids": engine.orders.exec_ids(),
                "orders": [{f.name: getattr(o, f.name) for f in fields(o)} for o in orders],
            },
        )

    # --- what it decided ---

    def drained(self, records: Sequence[Record]) -> None:
        """The journal has been drained: what was decided since the last time."""
        if said := decisions(records):
            self._log.note("journal", 0, said)
        self._log.flush()

    def end(self) -> None:
        """The run is over: the last word on everything."""
        self._log.note("end", 0, final_state(self._engine, self._books, self._signals))
        self._log.flush()


def decisions(records: Sequence[Record]) -> list[list[Any]]:  # Any: see Record.value
    """Journal records that are no inputs, as (kind, time, value)."""
    return [[r.kind, r.recv_ns, r.value] for r in records if r.kind not in INPUT_KINDS]


def account(
    engine: Engine, instrument: int, instruments: int
) -> list[Any]:  # Any: int and decimals
    """What a fill has made of the ledger."""
    ledger = engine.portfolio
    if not 0 <= instrument < instruments:
        return [instrument]
    return [
        *(instrument, ledger.qty(instrument), ledger.cost(instrument)),
        *(ledger.realized_of(instrument), ledger.fees_of(instrument), ledger.balance),
    ]


def touch_digest(books: Sequence[Book], signals: SignalSet, whole: int) -> list[int]:
    """Checksums: state, ids and best levels of every book; every signal; one whole book.

    About a microsecond a book, and a third of one for each level of the book `whole`.
    """
    crc = 0
    for b in books:
        text = b"%d %d %d %d %d %d" % (
            *(b.state, b.u, b.best_bid_px, b.best_bid_qty, b.best_ask_px, b.best_ask_qty),
        )
        crc = zlib.crc32(text, crc)
    levels = zlib.crc32(repr(books[whole].levels()).encode())
    return [crc, zlib.crc32(signals.rows.tobytes()), whole, levels]


def final_state(engine: Engine, books: Sequence[Book], signals: SignalSet) -> dict[str, Any]:
    """Every level of every book, and the account. Any: JSON."""
    ledger, stats = engine.portfolio, engine.stats
    return {
        "books": [
            [b.topic, b.state.name, b.u, zlib.crc32(repr(b.levels()).encode())] for b in books
        ],
        "signals": zlib.crc32(signals.rows.tobytes()),
        "realized": ledger.realized,
        "fees": ledger.fees,
        "funding": ledger.funding,
        "balance": ledger.balance,
        "positions": [[b.symbol, ledger.qty(i)] for i, b in enumerate(books)],
        "orders": stats.orders,
        "fills": stats.fills,
        "signals_seen": stats.signals,
        "denied": dict(sorted(stats.denied.items())),
        "working": engine.orders.working_count,
    }


def start_record(
    config: Config, instruments: Sequence[Instrument], orders_epoch: str, sizing: SizingParams
) -> dict[str, Any]:  # Any: JSON
    """What has to be known to build the same engine again."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config_text(config),
        "instruments": list(instruments),
        "orders_epoch": orders_epoch,
        "sizing": {f.name: getattr(sizing, f.name) for f in fields(sizing)},
    }
