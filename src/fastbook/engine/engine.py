"""The engine: events in, commands out.

Synchronous, without I/O: whoever owns the sockets calls in with what happened and sends the
commands that come back. Live, replay and simulation use the same object, and the same calls give
the same commands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fastbook.clock import Clock
from fastbook.core.states import BookState
from fastbook.engine.desk import Desk, checked
from fastbook.engine.lanes import SignalRows
from fastbook.engine.protection import Protection
from fastbook.engine.roster import Roster
from fastbook.engine.watch import AccountWatch
from fastbook.errors import ConfigError
from fastbook.execution import Booking, Change, Executor, Order, Orders, Portfolio
from fastbook.execution.portfolio import CASH_ONLY
from fastbook.journal import Journal
from fastbook.risk import Health, RiskGate
from fastbook.risk.protection import OFF, ProtectionParams
from fastbook.strategy.bars import Bar
from fastbook.strategy.base import BookView, PositionView, Strategy
from fastbook.types import (
    CancelAll,
    Command,
    Control,
    ControlKind,
    Execution,
    Instrument,
    OrderEvent,
    OrderRejected,
    OrderState,
    OrderUpdate,
    PositionSnapshot,
    StopsRejected,
    StopsSet,
    Trade,
    TradingState,
    WalletSnapshot,
)

PRIVATE_LINK = "private"
REST_LINK = "rest"
STATE_VERSION = 1

VENUE_STOPS = frozenset(
    {
        "CreateByStopLoss",
        "CreateByPartialStopLoss",
        "CreateByTakeProfit",
        "CreateByPartialTakeProfit",
        "CreateByTrailingStop",
    }
)
"""Makers of orders at the venue that stand there in our name."""

_YOUNG_NS = 5_000_000_000
"""An order younger than this may be missing from a list that was asked for just now."""


class Engine:
    """Takes events, returns commands.

    Every `recv_ns` is of one clock, that of the books' `recv_ns` (monotonic, when live); ages and
    timers are its differences. `clock` gives the wall time for the UTC day and for comparing with
    the venue's. `on_timer` wants to be called a few times a second.

    The engine starts RECONCILING: the owner feeds the venue's open orders, executions, positions
    and wallet as events and then calls `reconciled`. The same after the private link was down,
    and whenever `needs_reconcile` says so. Every few seconds in between it feeds the same and
    calls `drop_copied`.

    Parameters
    ----------
    instruments, books : sequences by instrument index
    signals : SignalSet with a row for each
    strategies : each symbol belongs to at most one of them
    protection : how positions are protected at the venue; by default they are not
    reduce_only_codes : codes of rejections that mean "only exits in this symbol"
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[BookView],
        signals: SignalRows,
        strategies: Sequence[Strategy],
        gate: RiskGate,
        executor: Executor,
        orders: Orders,
        portfolio: Portfolio,
        journal: Journal,
        clock: Clock,
        *,
        protection: ProtectionParams = OFF,
        reduce_only_codes: Collection[int] = (),
    ) -> None:
        if executor.orders is not orders:
            raise ConfigError("the executor must work on the engine's own orders")
        self.gate = gate
        self.executor = executor
        self.orders = orders
        self.portfolio = portfolio
        self.journal = journal
        self.clock = clock
        self._halted = False
        self._paused = False
        self._flattening = False
        self._reconciling = True
        self._private_down = False
        self._rest_closed = False
        self._desk = Desk(instruments, books, signals, gate, executor, portfolio, journal, clock)
        self._lanes = self._desk.lanes
        self.stats = self._desk.stats
        self._watch = AccountWatch(self._desk, reduce_only_codes)
        self.protection = Protection(self._desk, protection)
        self._desk.dress = self.protection.attach
        self._roster = Roster(self._desk, strategies, self._trading_state)
        self.strategies = self._roster.strategies
        self.disabled = self._roster.disabled

    # --- state -----------------------------------------------------------------------------

    @property
    def state(self) -> TradingState:
        """What may leave now. The strictest reason wins."""
        if self._halted or self.journal.broken:
            return TradingState.HALTED
        if self._paused or self.gate.latched or self.journal.full or self._rest_closed:
            return TradingState.REDUCE_ONLY
        if self._reconciling:
            return TradingState.RECONCILING
        return TradingState.ACTIVE

    @property
    def needs_reconcile(self) -> bool:
        """Whether the owner should fetch orders, positions and wallet and call `reconciled`."""
        return self._reconciling and not self._private_down

    @property
    def listens_to_trades(self) -> bool:
        """Whether `on_trades` need be called at all."""
        return self._roster.listens_to_trades

    @property
    def exposure_used(self) -> Decimal:
        """See `Desk.exposure_used`."""
        return self._desk.exposure_used

    def position(self, instrument: int) -> PositionView:
        return self._lanes[instrument].view

    def remembered(self) -> dict[str, Any]:  # Any: JSON
        """What has to survive a restart: the gate, the track records, the strategies' own."""
        return {
            "version": STATE_VERSION,
            "gate": self.gate.state(),
            "records": self.portfolio.records_state(),
            "strategies": self._roster.state(),
        }

    def remember(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        """Take up what `remembered` gave, before anything else is fed. ConfigError if it cannot be

        read: to start without the latches of before would be worse.
        """
        try:
            if state["version"] != STATE_VERSION:
                raise ValueError(f"version {state['version']}")
            self.gate.restore(state["gate"])
            self.portfolio.restore_records(state["records"])
            strategies = dict(state["strategies"])
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as e:
            raise ConfigError(f"the saved state of the engine cannot be read: {e!r}") from e
        self._roster.restore(strategies)

    def reconciled(self, recv_ns: int, *, positions_complete: bool = False) -> list[Command]:
        """Everything the venue holds has been fed in since the gap: trust the ledger again.

        Where the venue's last word differs from the ledger, the answer may just be older than a
        fill that has come meanwhile: the engine stays RECONCILING, `needs_reconcile` asks for
        another round, and what differs for the portfolio's grace time is adopted and counted; a
        symbol whose position changed that way is stopped (`external_change`). The first time,
        everything is adopted at once. `positions_complete` says that a position that was not fed
        in is flat at the venue. Ignored while the private link is down: the answer would be old
        before it is used.
        """
        if self._private_down:
            return []
        at_start = self.stats.reconciliations == 0
        before = {index: self.portfolio.qty(index) for index in self._lanes}
        said, agreed = self.portfolio.adopt(
            recv_ns, missing_is_flat=positions_complete, at_once=at_start
        )
        for one in said:
            self.stats.mismatches += 1
            self.journal.append("adopted", one, recv_ns)
        for index in self._lanes:
            self._desk.refresh(index)
        self._watch.adopted(before, recv_ns, at_start=at_start)
        if not agreed:
            return []
        self._reconciling = False
        self.stats.reconciliations += 1
        self.journal.append("state", "reconciled", recv_ns)
        return []

    def drop_copied(self, listed: Collection[str], recv_ns: int) -> list[Command]:
        """A second look at the account, read apart from the private stream, has been fed in.

        So fills that the stream lost are booked, and positions and wallet are compared: what
        differs for longer than messages cross makes the engine RECONCILING. `listed` are the
        client ids of all orders that the venue says are open: one that we think rests and that
        is not among them is asked for.
        """
        if self._private_down:
            return []
        self.stats.drop_copies += 1
        for order in self.orders.all_working():
            rests = order.state in (OrderState.NEW, OrderState.PARTIAL)
            if rests and order.client_id not in listed and recv_ns - order.sent_ns > _YOUNG_NS:
                self.executor.ask(order, recv_ns)
        return []

    def _reconcile(self, reason: str, recv_ns: int) -> None:
        self.journal.append("state", f"reconciling: {reason}", recv_ns)
        self._reconciling = True
        self.portfolio.forget_venue()

    def _trading_state(self) -> TradingState:
        return self.state

    # --- market ----------------------------------------------------------------------------

    def on_books(self, touched: Sequence[int], recv_ns: int) -> list[Command]:
        """The books of these instruments have changed. Once for each socket read.

        About half a microsecond for a book whose strategy wants nothing.
        """
        commands: list[Command] = []
        lanes = self._lanes
        synced = BookState.SYNCED
        oldest_ns = recv_ns - self._desk.stale_ns
        delays = self._desk.delays
        self.stats.book_updates += len(touched)
        if touched and (first := lanes.get(touched[0])) is not None:
            delays.note(first.book.recv_ns, first.book.ts_ms)  # one of a read stands for all
        for index in touched:
            lane = lanes.get(index)
            if lane is None or lane.on_book is None or lane.strategy is None:
                continue
            book = lane.book
            if book.state is not synced or book.recv_ns < oldest_ns:
                self.stats.books_unfit += 1
                continue
            try:
                intents = lane.on_book(book, lane.row, lane.view)
                if not intents:
                    continue
                wanted = checked(intents)
            except Exception as error:  # noqa: BLE001 - foreign code: the strategy alone stops
                commands += self._roster.failed(lane.strategy, error, recv_ns)
                continue
            if delays.late(book.recv_ns, book.ts_ms):
                self.stats.books_late += 1
                continue
            commands += self._desk.decide(lane.strategy, wanted, self._trading_state, recv_ns)
        return commands

    def on_trades(self, trades: Sequence[Trade], recv_ns: int) -> list[Command]:
        """Public trades. Costs next to nothing for strategies that do not listen."""
        commands: list[Command] = []
        self.stats.trades += len(trades)
        for trade in trades:
            lane = self._lanes.get(trade.instrument)
            if lane is not None and lane.strategy is not None and self._desk.fit(lane, recv_ns):
                commands += self._roster.on_trade(lane, trade, recv_ns)
        return commands

    def on_mark(self, instrument: int, mark_px: int, recv_ns: int) -> None:
        """The venue's mark price, rounded to the instrument's scale: for the collar."""
        lane = self._lanes.get(instrument)
        if lane is not None:
            lane.mark_px, lane.mark_ns = mark_px, recv_ns

    def wanted_history(self) -> list[tuple[Instrument, int, int]]:
        """(instrument, length in ms, how many) of the bars that strategies want beforehand."""
        return self._roster.wanted_history()

    def warm_up(self, instrument: int, bars: Sequence[Bar], recv_ns: int) -> list[Command]:
        """History for a strategy, oldest first; before trading."""
        return self._roster.warm_up(instrument, bars, recv_ns)

    # --- orders and account ----------------------------------------------------------------

    def on_event(self, event: OrderEvent, recv_ns: int) -> list[Command]:
        """Something came from the venue or the gateway about orders or the account."""
        self.journal.append("event", event, recv_ns)
        if isinstance(event, Execution):
            return self._on_execution(event, recv_ns)
        if isinstance(event, PositionSnapshot):
            if event.instrument in self._lanes:
                self._watch.on_position(event, recv_ns)
                self.portfolio.on_position(event)
            return []
        if isinstance(event, WalletSnapshot):
            self.portfolio.on_wallet(event)
            return []
        if isinstance(event, (StopsSet, StopsRejected)):
            self.protection.on_answer(event, recv_ns)
            return []
        change = self.orders.apply(event, recv_ns)
        if change is not None:
            if isinstance(event, OrderRejected):
                self._watch.on_rejected(change.order.instrument, event, recv_ns)
                if event.code == 0 and change.closed:  # never left: no word of the venue's
                    self.stats.unsent += 1
                    self._desk.refresh(change.order.instrument)
                    return []
            return self._on_change(change, recv_ns)
        if isinstance(event, OrderUpdate) and event.instrument in self._lanes:
            return self._watch.on_strange_order(event, recv_ns)
        return []

    def _on_execution(self, execution: Execution, recv_ns: int) -> list[Command]:
        if self.orders.seen(execution.exec_id):
            self.stats.duplicate_fills += 1
            return []
        lane = self._lanes.get(execution.instrument)
        if lane is None:
            self._reconcile(f"an execution of unknown instrument {execution.instrument}", recv_ns)
            return []
        known = self.orders.find(execution.client_id, execution.order_id)
        stopped_out = known is None and execution.created_by in VENUE_STOPS
        name = known.strategy if known else ""
        if stopped_out and lane.strategy is not None:
            name = lane.strategy.name
        trips = self.portfolio.record(name).total if name else 0
        if not self.portfolio.apply(execution, name):
            self.orders.mark(execution.exec_id)
            self._reconcile(f"execution type {execution.exec_type!r}", recv_ns)
            return []
        if execution.exec_type in CASH_ONLY:
            self.orders.mark(execution.exec_id)
            return []
        if name and self.portfolio.record(name).total > trips:
            self._watch.on_round_trip(name, recv_ns)
        if stopped_out:
            return self._on_stopped_out(name, execution, recv_ns)
        # Position, order and id in one step: what is marked as seen has been applied.
        booking, order = self.orders.book(execution, recv_ns)
        self.stats.fills += 1
        self._desk.refresh(execution.instrument)
        if booking is Booking.OVERFILL:
            self._reconcile(f"{execution.client_id} has traded more than was ordered", recv_ns)
        if order is None:
            return []
        self.gate.on_venue_answer(rejected=False)
        return self._roster.on_fill(order.strategy, execution, recv_ns)

    def _on_stopped_out(self, name: str, execution: Execution, recv_ns: int) -> list[Command]:
        """A stop that the venue kept for us has traded."""
        self.orders.mark(execution.exec_id)
        self.stats.fills += 1
        self.stats.stopped_out += 1
        self.journal.append("stopped_out", execution, recv_ns)
        self._desk.refresh(execution.instrument)
        return self._roster.on_fill(name, execution, recv_ns)

    def _on_change(self, change: Change, recv_ns: int) -> list[Command]:
        order, state = change.order, change.order.state
        self._desk.refresh(order.instrument)
        if state is OrderState.UNKNOWN and change.before is OrderState.SENT:
            self.stats.unknown += 1
        if change.closed:
            self._on_closed(order, recv_ns)
        elif change.before is OrderState.SENT and state is OrderState.NEW:
            self.gate.on_venue_answer(rejected=False)
        commands: list[Command] = []
        if change.ghost:
            self.stats.ghosts += 1
            self._reconcile(f"{order.client_id} was given up and exists", recv_ns)
            commands += self._desk.noted(self.executor.cancel(order, recv_ns), recv_ns)
        for execution in change.fills:
            commands += self._roster.on_fill(order.strategy, execution, recv_ns)
        return commands

    def _on_closed(self, order: Order, recv_ns: int) -> None:
        if order.state is OrderState.NEVER_ACCEPTED:
            self.stats.never_accepted += 1
            return
        rejected = order.state is OrderState.REJECTED
        self.stats.rejected += rejected
        if self.gate.on_venue_answer(rejected=rejected):
            self.journal.append("latched", self.gate.latched, recv_ns)

    # --- operator, links, time -------------------------------------------------------------

    def on_control(self, control: Control, recv_ns: int) -> list[Command]:
        """An operator's word.

        RESUME lifts a pause, every latch (of account, symbols, strategies) and, after KILL, the
        halt: then the account has to be reconciled before anything risky leaves. Strategies that
        raised stay disabled.
        """
        self.journal.append("control", control, recv_ns)
        kind = control.kind
        if kind is ControlKind.RESUME:
            if self._halted:
                self._reconcile("resumed after a halt", recv_ns)
            self._halted = self._paused = self._flattening = False
            self._desk.mark_positions()
            self.gate.rearm(self.portfolio.equity)
        elif kind is ControlKind.PAUSE:
            self._paused = True
        elif kind is ControlKind.KILL:
            self._halted = True
            self._flattening = False
        elif kind is ControlKind.FLATTEN:
            self._paused = self._flattening = True
        if kind not in (ControlKind.KILL, ControlKind.CANCEL_ALL, ControlKind.FLATTEN):
            return []
        # One sweep for whatever the account holds; ours are followed until they are closed.
        commands: list[Command] = [CancelAll()]
        commands += self.executor.cancel_working(recv_ns)
        return self._desk.noted(commands, recv_ns)

    def on_link(self, name: str, up: bool, recv_ns: int) -> list[Command]:
        """A connection came or went. Without the private one nothing is known for sure.

        Without REST (the venue bans addresses that ask too often) no order can be asked for and
        no stop be set: then nothing new is risked.
        """
        self.journal.append("link", (name, up), recv_ns)
        if name == REST_LINK:
            self._rest_closed = not up
        if name == PRIVATE_LINK:
            self._private_down = not up
            if not up:
                self._reconcile("the private link is down", recv_ns)
            else:
                # What became of them meanwhile was told to nobody.
                self.executor.ask_all(recv_ns)
        return []

    def on_health(self, health: Health, recv_ns: int) -> None:
        """How late our timers are and how sure we are of the venue's clock, as of now."""
        before = self.gate.unhealthy()
        self.gate.health = health
        now = self.gate.unhealthy()
        if (before is None) != (now is None):
            self.journal.append("health", "well" if now is None else ": ".join(now), recv_ns)

    def on_timer(self, recv_ns: int) -> list[Command]:
        """Time passed: unknown outcomes, old orders, marks, losses, mismatches, stops, quotes."""
        timeouts = self.executor.counters["timeouts"]
        commands = self._desk.noted(self.executor.on_timer(recv_ns), recv_ns)
        self.stats.unknown += self.executor.counters["timeouts"] - timeouts
        differs = self._watch.on_timer(self.strategies.values(), recv_ns)
        if differs:
            self._reconcile(differs, recv_ns)
        commands += self._desk.pull_quotes(self.state, recv_ns)
        commands += self.protection.on_timer(self.state, not self._private_down, recv_ns)
        if self._flattening:
            commands += self._desk.flatten(self.state, recv_ns)
            # An entry that is still under way may yet become a position.
            self._flattening = bool(self.portfolio.open_instruments or self.orders.working_count)
        return commands + self._roster.on_timer(recv_ns)
