"""One pass over recorded lines, with any number of accounts side by side.

The decoder, its books and signals do not depend on what we do, so scenarios share them; each has
an engine, a venue and a wire of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fastbook.bybit.frames import BookDecoder
from fastbook.bybit.trades import parse_trades
from fastbook.core.book import Book
from fastbook.core.signals import SignalSet
from fastbook.core.states import BookState
from fastbook.engine import Engine
from fastbook.errors import DataFileError, WireError
from fastbook.replay._cursor import FrameCursor, Step
from fastbook.replay.backtest.metrics import EquityCurve, Series
from fastbook.replay.backtest.trail import Trail
from fastbook.replay.backtest.wire import NEVER_NS, Wire
from fastbook.strategy.base import Strategy
from fastbook.types import Command, Execution, Instrument, PlaceOrder

TIMER_NS = 50_000_000
IDLE_TIMER_NS = 1_000_000_000
"""While an account is flat and has no orders."""
SAMPLE_NS = 1_000_000_000
FINE_NS, FINE_SAMPLES = 200_000_000, 600
"""The first samples are closer, so that a short run has a picture too."""
FUNDING_EVERY_NS = 8 * 3600 * 1_000_000_000
GAP_NS = 60_000_000_000
"""A pause of the data beyond this is told; time jumps over it unless orders are under way."""

_READ = int(Step.STEP_READ)

OnDamage = Callable[[DataFileError], None]


class Now:
    """Implements `Clock` with the time of the backtest."""

    __slots__ = ("ns",)

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@dataclass(slots=True, eq=False)
class Account:
    """One scenario: an engine with a venue at the other end of a wire."""

    name: str
    engine: Engine
    wire: Wire
    trail: Trail = field(default_factory=Trail)
    equity: EquityCurve = field(default_factory=EquityCurve)
    timer_ns: int = NEVER_NS

    @property
    def due_ns(self) -> int:
        return min(self.wire.due_ns, self.timer_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingRule:
    """`rate` for every eight hours, or None: what the recorded tickers say."""

    rate: Decimal | None = None


class Backtest:
    """Drives the accounts with recorded lines.

    Parameters
    ----------
    decoder, books, signals, instruments
        The market, by instrument index.
    accounts : sequence of Account
        The first one's orders are in the plots.
    cursor : FrameCursor
        Over `decoder`.
    now : Now
        The clock that the engines were built with.
    ask_all : bool
        Ask strategies after every read, also where they have said that they want nothing.
    on_damage : callable, optional
        Takes what cannot be read; by default it is raised.
    """

    def __init__(
        self,
        decoder: BookDecoder,
        books: Sequence[Book],
        signals: SignalSet,
        instruments: Sequence[Instrument],
        accounts: Sequence[Account],
        cursor: FrameCursor,
        now: Now,
        *,
        funding: FundingRule | None = None,
        on_damage: OnDamage | None = None,
        on_progress: Callable[[], None] | None = None,
        ask_all: bool = False,
    ) -> None:
        self.accounts = accounts
        self.cursor = cursor
        self.first_ns = 0
        self.last_ns = 0
        self.reads = 0
        self.trades = 0
        self.damaged = 0
        self.pauses: list[tuple[int, int]] = []
        """Silences of more than a minute: (from, to); at most a thousand."""
        self.fundings = 0
        names = ["t", "exposure", *(a.name for a in accounts), *(b.symbol for b in books)]
        self.series = Series(names)
        self.decoder = decoder
        self._books = books
        self._signals = signals
        self.instruments = instruments
        self._by_symbol = {i.symbol: i for i in instruments}
        self._now = now
        self._funding = funding
        self._on_damage = on_damage
        self.on_progress = on_progress
        self._tickers: dict[str, dict[str, Any]] = {}  # Any: JSON; one entry a symbol
        self._due_ns = -NEVER_NS
        self._sample_ns = NEVER_NS
        self._fund_ns = NEVER_NS
        self._name, self._line_before = "", 0
        self._watched = bytearray(len(books))
        strategies = [s for account in accounts for s in account.engine.strategies.values()]
        quiet_below = min((s.quiet_below for s in strategies), default=0.0)
        if ask_all or any(s.bar_ms for s in strategies):
            quiet_below = 0.0  # bars are made of every book
        if quiet_below > 0.0:
            lean = min(s.quiet_lean for s in strategies)
            cursor.skip_quiet(quiet_below, self._watched, lean)
        self._asks_trades = any(
            type(s).on_trade is not Strategy.on_trade
            for account in accounts
            for s in account.engine.strategies.values()
        )

    # --- the pass ---

    def run(self, chunks: Iterable[tuple[str, bytes]]) -> None:
        """Every line of `chunks`: (name for messages, whole lines)."""
        cursor = self.cursor
        step, touched = cursor.step, self.decoder.touched
        cursor.trades = self._asks_trades
        cursor.others = self._funding is not None and self._funding.rate is None
        now, accounts = self._now, self.accounts
        for name, lines in chunks:
            if name != self._name:
                self._name, self._line_before = name, cursor.line
            cursor.feed(lines)
            while (why := step(self._due_ns)) != 0:
                if why == _READ:
                    recv_ns = now.ns = cursor.recv_ns
                    books = touched()
                    self.reads += 1
                    for account in accounts:
                        wire = account.wire
                        if wire.venue.watching:
                            wire.on_books(books, recv_ns)
                            self._due_ns = min(self._due_ns, wire.due_ns)
                        commands = account.engine.on_books(books, recv_ns)
                        if commands:
                            self._act(account, commands, recv_ns)
                else:
                    self._on_step(why)
            if self.on_progress is not None:
                self.on_progress()
        if cursor.finish():
            self._read(touched())
        self._end()

    def _on_step(self, why: int) -> None:
        if why == Step.STEP_DUE:
            self._catch_up(self.cursor.next_ns)
        elif why == Step.STEP_MESSAGE:
            self._on_message(self.decoder.message or {})
        else:
            self._on_damaged(why)

    def _read(self, books: list[int]) -> None:
        recv_ns = self._now.ns = self.cursor.recv_ns
        self.reads += 1
        for account in self.accounts:
            account.wire.on_books(books, recv_ns)
            self._act(account, account.engine.on_books(books, recv_ns), recv_ns)

    def _on_damaged(self, why: int) -> None:
        line = self.cursor.line - self._line_before
        reason = "not a frame, or a malformed one"
        if why == Step.STEP_UNSTAMPED:
            reason = "has no receive time: give a feed latency that is not recorded"
        error = DataFileError(self._name, reason, line=line)
        if self._on_damage is None or why == Step.STEP_UNSTAMPED:
            raise error
        self.damaged += 1
        self._on_damage(error)

    # --- what happens between frames ---

    def _catch_up(self, next_ns: int) -> None:
        """Everything that is due before the frame at `next_ns`, in order."""
        if self._due_ns == -NEVER_NS:
            self._start(next_ns)
        if 0 < self.cursor.recv_ns < next_ns - GAP_NS and len(self.pauses) < 1_000:
            self.pauses.append((self.cursor.recv_ns, next_ns))
        while True:
            account = min(self.accounts, key=lambda a: a.due_ns)
            own_ns = min(self._sample_ns, self._fund_ns)
            due_ns = min(account.due_ns, own_ns)
            if due_ns >= next_ns:
                self._due_ns = due_ns
                return
            self._now.ns = due_ns
            if due_ns == self._sample_ns:
                self._sample(due_ns)
                again_ns = due_ns + (SAMPLE_NS if len(self.series) > FINE_SAMPLES else FINE_NS)
                self._sample_ns = max(again_ns, next_ns if next_ns - due_ns > GAP_NS else 0)
            elif due_ns == self._fund_ns:
                self._fund_all(due_ns)
                self._fund_ns += FUNDING_EVERY_NS
            elif due_ns == account.wire.due_ns:
                at_ns, events = account.wire.take()
                for event in events:
                    self._tell(account, event, at_ns)
                self.cursor.trades = self._asks_trades or self._watching
            else:
                account.timer_ns = due_ns + (TIMER_NS if self._busy(account) else IDLE_TIMER_NS)
                if next_ns - due_ns > GAP_NS and not account.engine.orders.working_count:
                    account.timer_ns = max(account.timer_ns, next_ns - TIMER_NS)
                self._act(account, account.engine.on_timer(due_ns), due_ns)
                if account.engine.needs_reconcile:
                    self._reconcile(account, due_ns)

    @staticmethod
    def _busy(account: Account) -> bool:
        engine = account.engine
        return bool(engine.orders.working_count or engine.portfolio.open_instruments)

    def _watch(self, index: int) -> None:
        """Whether some account has anything in the instrument: then its every read counts."""
        if not 0 <= index < len(self._watched):
            return
        views = (account.engine.position(index) for account in self.accounts)
        self._watched[index] = any(view.qty or view.working for view in views)

    @property
    def _watching(self) -> bool:
        return any(account.wire.venue.watching for account in self.accounts)

    def _start(self, now_ns: int) -> None:
        self.first_ns = now_ns
        self._sample_ns = now_ns + SAMPLE_NS
        if self._funding is not None and self._funding.rate is not None:
            self._fund_ns = (now_ns // FUNDING_EVERY_NS + 1) * FUNDING_EVERY_NS
        self._now.ns = now_ns
        for account in self.accounts:
            account.timer_ns = now_ns + TIMER_NS
            self._reconcile(account, now_ns)

    def _reconcile(self, account: Account, now_ns: int) -> None:
        for event in account.wire.venue.snapshot(now_ns // 1_000_000):
            self._tell(account, event, now_ns)
        account.engine.reconciled(now_ns, positions_complete=True)
        for index in range(len(self._watched)):
            self._watch(index)

    def _tell(self, account: Account, event: Any, now_ns: int) -> None:  # Any: an OrderEvent
        commands = account.engine.on_event(event, now_ns)
        self._watch(getattr(event, "instrument", -1))
        if isinstance(event, Execution):
            instrument = self.instruments[event.instrument]
            account.trail.on_fill(event, now_ns, instrument, account.engine.orders)
        self._act(account, commands, now_ns)

    def _act(self, account: Account, commands: list[Command], now_ns: int) -> None:
        if not commands:
            return
        for command in commands:
            if isinstance(command, PlaceOrder):
                index = command.instrument
                self._watched[index] = 1
                account.timer_ns = min(account.timer_ns, now_ns + TIMER_NS)
                account.trail.on_order(
                    command,
                    now_ns,
                    self._books[index],
                    self._signals.row(index),
                    self.instruments[index],
                )
        account.wire.send(commands, now_ns)
        self._due_ns = min(self._due_ns, account.due_ns)

    def _sample(self, now_ns: int) -> None:
        values: dict[str, float] = {"t": now_ns / 1e9}
        for account in self.accounts:
            account.engine.journal.drain()
            equity = account.engine.portfolio.equity
            values[account.name] = math.nan if equity is None else float(equity)
            account.equity.push(now_ns, values[account.name])
        ledger = self.accounts[0].engine.portfolio
        exposure = 0.0
        for index in ledger.open_instruments:
            mark = ledger.mark(index)
            if mark is not None:
                held = self.instruments[index].qty_decimal(ledger.qty(index))
                exposure += float(mark * held)
        values["exposure"] = exposure
        for book in self._books:
            if book.state is BookState.SYNCED:
                values[book.symbol] = book.mid
        self.series.push(values)

    def _end(self) -> None:
        self.last_ns = self.cursor.recv_ns if self.first_ns else 0
        if self.first_ns:
            self._now.ns = self.last_ns
            for account in self.accounts:
                account.engine.on_timer(self.last_ns)  # marks what is open
            self._sample(self.last_ns)

    # --- messages ---

    def _on_message(self, message: dict[str, Any]) -> None:  # Any: JSON from the venue
        recv_ns = self._now.ns = self.cursor.recv_ns
        topic = message.get("topic", "")
        if topic.startswith("publicTrade."):
            try:
                trades = parse_trades(message, self._by_symbol)
            except WireError:
                self._on_damaged(Step.STEP_DAMAGED)
                return
            self.trades += len(trades)
            for account in self.accounts:
                if account.wire.venue.watching:
                    account.wire.on_trades(trades, recv_ns)
                    self._due_ns = min(self._due_ns, account.wire.due_ns)
                if self._asks_trades:
                    self._act(account, account.engine.on_trades(trades, recv_ns), recv_ns)
        elif topic.startswith("tickers."):
            self._on_ticker(message, topic.removeprefix("tickers."), recv_ns)

    def _on_ticker(self, message: dict[str, Any], symbol: str, recv_ns: int) -> None:
        """Deltas of the funding rate and its time; when that has come, it is paid."""
        data, instrument = message.get("data"), self._by_symbol.get(symbol)
        if not isinstance(data, dict) or instrument is None:
            return
        known = self._tickers.setdefault(symbol, {})
        due_ms, now_ms = known.get("nextFundingTime"), message.get("ts", 0)
        if due_ms and str(due_ms).isdigit() and now_ms >= int(due_ms):
            self._fund(instrument, known.get("fundingRate"), known.get("markPrice"), recv_ns)
            known["nextFundingTime"] = None
        for key in ("fundingRate", "nextFundingTime", "markPrice"):
            if data.get(key):
                known[key] = data[key]

    def _fund(self, instrument: Instrument, rate: Any, mark: Any, now_ns: int) -> None:
        try:
            share, px = Decimal(rate), Decimal(mark)
        except (TypeError, ValueError, ArithmeticError):
            return  # the tickers have not told of both yet
        self.fundings += 1
        for account in self.accounts:
            events = account.wire.venue.fund(instrument.index, share, px, now_ns // 1_000_000)
            if events:
                account.wire.tell(events, now_ns)
                self._due_ns = min(self._due_ns, account.wire.due_ns)

    def _fund_all(self, now_ns: int) -> None:
        assert self._funding is not None  # it was due
        for instrument, book in zip(self.instruments, self._books, strict=True):
            if book.mid > 0.0:
                self._fund(instrument, self._funding.rate, str(book.mid), now_ns)
