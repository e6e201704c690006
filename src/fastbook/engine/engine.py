"""The engine: events in, commands out.

Synchronous, without I/O: whoever owns the sockets calls in with what happened and sends the
commands that come back. Live, replay and simulation use the same object, and the same calls give
the same commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from fastbook.clock import Clock
from fastbook.core.states import BookState
from fastbook.engine.desk import OPERATOR, Desk, SignalRows, checked
from fastbook.errors import ConfigError
from fastbook.execution import Booking, Change, Executor, Order, Orders, Portfolio
from fastbook.execution.portfolio import CASH_ONLY
from fastbook.journal import Journal
from fastbook.risk import RiskGate
from fastbook.strategy.base import BookView, PositionView, Strategy
from fastbook.types import (
    CancelAll,
    Command,
    Control,
    ControlKind,
    Execution,
    Instrument,
    OrderEvent,
    OrderIntent,
    OrderState,
    PositionSnapshot,
    StopsRejected,
    StopsSet,
    Trade,
    TradingState,
    WalletSnapshot,
)

PRIVATE_LINK = "private"

_STRANGER_NS = 2_000_000_000


class Engine:
    """Takes events, returns commands.

    Every `recv_ns` is of one clock, that of the books' `recv_ns` (monotonic, when live); ages and
    timers are its differences. `clock` gives the wall time for the UTC day and for comparing with
    the venue's. `on_timer` wants to be called a few times a second.

    The engine starts RECONCILING: the owner feeds the venue's open orders, executions, positions
    and wallet as events and then calls `reconciled`. The same after the private link was down,
    and whenever `needs_reconcile` says so.

    Parameters
    ----------
    instruments, books : sequences by instrument index
    signals : SignalSet with a row for each
    strategies : each symbol belongs to at most one of them
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
    ) -> None:
        if executor.orders is not orders:
            raise ConfigError("the executor must work on the engine's own orders")
        self.gate = gate
        self.executor = executor
        self.orders = orders
        self.portfolio = portfolio
        self.journal = journal
        self.clock = clock
        self.disabled: dict[str, str] = {}
        """Strategies that raised, and what."""
        self.strategies: dict[str, Strategy] = {}
        self._desk = Desk(instruments, books, signals, gate, executor, portfolio, journal, clock)
        self._lanes = self._desk.lanes
        self.stats = self._desk.stats
        self._halted = False
        self._paused = False
        self._flattening = False
        self._reconciling = True
        self._private_down = False
        for strategy in strategies:
            self._admit(strategy)

    def _admit(self, strategy: Strategy) -> None:
        if not isinstance(strategy, Strategy):
            raise ConfigError(f"{strategy!r} is not a fastbook Strategy")
        if strategy.name in self.strategies or strategy.name == OPERATOR:
            raise ConfigError(f"the strategy name {strategy.name!r} is taken")
        mine: list[Instrument] = []
        for lane in self._lanes.values():
            if strategy.symbols is not None and lane.instrument.symbol not in strategy.symbols:
                continue
            if lane.strategy is not None:
                raise ConfigError(
                    f"{lane.instrument.symbol} is wanted by {lane.strategy.name!r} and by "
                    f"{strategy.name!r}: a symbol has one strategy"
                )
            lane.strategy = strategy
            if type(strategy).on_book is not Strategy.on_book:
                lane.on_book = strategy.on_book
            mine.append(lane.instrument)
        self.strategies[strategy.name] = strategy
        strategy.on_start(mine)

    # --- state -----------------------------------------------------------------------------

    @property
    def state(self) -> TradingState:
        """What may leave now. The strictest reason wins."""
        if self._halted or self.journal.broken:
            return TradingState.HALTED
        if self._paused or self.gate.latched or self.journal.full:
            return TradingState.REDUCE_ONLY
        if self._reconciling:
            return TradingState.RECONCILING
        return TradingState.ACTIVE

    @property
    def needs_reconcile(self) -> bool:
        """Whether the owner should fetch orders, positions and wallet and call `reconciled`."""
        return self._reconciling and not self._private_down

    def position(self, instrument: int) -> PositionView:
        return self._lanes[instrument].view

    def reconciled(self, recv_ns: int, *, positions_complete: bool = False) -> list[Command]:
        """Everything the venue holds has been fed in since the gap: trust the ledger again.

        Where the venue's last word differs from the ledger, the answer may just be older than a
        fill that has come meanwhile: the engine stays RECONCILING, `needs_reconcile` asks for
        another round, and what differs for the portfolio's grace time is adopted and counted.
        The first time, everything is adopted at once. `positions_complete` says that a position
        that was not fed in is flat at the venue. Ignored while the private link is down: the
        answer would be old before it is used.
        """
        if self._private_down:
            return []
        said, agreed = self.portfolio.adopt(
            recv_ns,
            missing_is_flat=positions_complete,
            at_once=self.stats.reconciliations == 0,
        )
        for one in said:
            self.stats.mismatches += 1
            self.journal.append("adopted", one, recv_ns)
        for index in self._lanes:
            self._desk.refresh(index)
        if not agreed:
            return []
        self._reconciling = False
        self.stats.reconciliations += 1
        self.journal.append("state", "reconciled", recv_ns)
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
                commands += self._strategy_failed(lane.strategy, error, recv_ns)
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
            if lane is None or lane.strategy is None or lane.strategy.name in self.disabled:
                continue
            strategy = lane.strategy
            if type(strategy).on_trade is Strategy.on_trade or not self._desk.fit(lane, recv_ns):
                continue
            commands += self._consult(
                strategy, partial(strategy.on_trade, trade, lane.view), recv_ns
            )
        return commands

    # --- orders and account ----------------------------------------------------------------

    def on_event(self, event: OrderEvent, recv_ns: int) -> list[Command]:
        """Something came from the venue or the gateway about orders or the account."""
        self.journal.append("event", event, recv_ns)
        if isinstance(event, Execution):
            return self._on_execution(event, recv_ns)
        if isinstance(event, PositionSnapshot):
            if event.instrument in self._lanes:
                self.portfolio.on_position(event)
            return []
        if isinstance(event, WalletSnapshot):
            self.portfolio.on_wallet(event)
            return []
        if isinstance(event, (StopsSet, StopsRejected)):
            return []  # journalled; what stands at the venue is told by the position rows
        change = self.orders.apply(event, recv_ns)
        return [] if change is None else self._on_change(change, recv_ns)

    def _on_execution(self, execution: Execution, recv_ns: int) -> list[Command]:
        if self.orders.seen(execution.exec_id):
            self.stats.duplicate_fills += 1
            return []
        if execution.instrument not in self._lanes:
            self._reconcile(f"an execution of unknown instrument {execution.instrument}", recv_ns)
            return []
        known = self.orders.find(execution.client_id, execution.order_id)
        if not self.portfolio.apply(execution, known.strategy if known else ""):
            self.orders.mark(execution.exec_id)
            self._reconcile(f"execution type {execution.exec_type!r}", recv_ns)
            return []
        if execution.exec_type in CASH_ONLY:
            self.orders.mark(execution.exec_id)
            return []
        # Position, order and id in one step: what is marked as seen has been applied.
        booking, order = self.orders.book(execution, recv_ns)
        self.stats.fills += 1
        self._desk.refresh(execution.instrument)
        if booking is Booking.OVERFILL:
            self._reconcile(f"{execution.client_id} has traded more than was ordered", recv_ns)
        if order is None:
            return []
        self.gate.on_venue_answer(rejected=False)
        return self._tell_fill(order, execution, recv_ns)

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
            commands += self._tell_fill(order, execution, recv_ns)
        return commands

    def _on_closed(self, order: Order, recv_ns: int) -> None:
        if order.state is OrderState.NEVER_ACCEPTED:
            self.stats.never_accepted += 1
            return
        rejected = order.state is OrderState.REJECTED
        self.stats.rejected += rejected
        if self.gate.on_venue_answer(rejected=rejected):
            self.journal.append("latched", self.gate.latched, recv_ns)

    def _tell_fill(self, order: Order, execution: Execution, recv_ns: int) -> list[Command]:
        strategy = self.strategies.get(order.strategy)
        if strategy is None or strategy.name in self.disabled:
            return []
        if type(strategy).on_fill is Strategy.on_fill:
            return []
        view = self._lanes[execution.instrument].view
        return self._consult(strategy, partial(strategy.on_fill, execution, view), recv_ns)

    # --- operator, links, time -------------------------------------------------------------

    def on_control(self, control: Control, recv_ns: int) -> list[Command]:
        """An operator's word.

        RESUME lifts a pause, every latch and, after KILL, the halt: then the account has to be
        reconciled before anything risky leaves. Strategies that raised stay disabled.
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
        """A connection came or went. Without the private one nothing is known for sure."""
        self.journal.append("link", (name, up), recv_ns)
        if name == PRIVATE_LINK:
            self._private_down = not up
            if not up:
                self._reconcile("the private link is down", recv_ns)
            else:
                # What became of them meanwhile was told to nobody.
                self.executor.ask_all(recv_ns)
        return []

    def on_timer(self, recv_ns: int) -> list[Command]:
        """Time passed: unknown outcomes, old orders, marks, the day's loss, mismatches."""
        timeouts = self.executor.counters["timeouts"]
        commands = self._desk.noted(self.executor.on_timer(recv_ns), recv_ns)
        self.stats.unknown += self.executor.counters["timeouts"] - timeouts
        self._watch_account(recv_ns)
        if self._flattening:
            commands += self._desk.flatten(self.state, recv_ns)
            # An entry that is still under way may yet become a position.
            self._flattening = bool(self.portfolio.open_instruments or self.orders.working_count)
        for strategy in self.strategies.values():
            if strategy.name in self.disabled or type(strategy).on_timer is Strategy.on_timer:
                continue
            commands += self._consult(strategy, partial(strategy.on_timer, recv_ns), recv_ns)
        return commands

    def _watch_account(self, recv_ns: int) -> None:
        self._desk.mark_positions()
        equity = self.portfolio.equity
        if equity is not None and self.gate.on_equity(equity, self.clock.now_ns()):
            self.journal.append("latched", self.gate.latched, recv_ns)
        for stranger in self.orders.take_strangers(recv_ns - _STRANGER_NS):
            self.stats.external_fills += 1
            self.journal.append("external", stranger, recv_ns)
        for late in self.orders.take_overdue(recv_ns - _STRANGER_NS):
            self.stats.parked_overdue += 1
            self.journal.append("parked", late, recv_ns)
        if self.portfolio.compare(recv_ns):
            self.stats.mismatches += 1
            said = "; ".join(self.portfolio.differences())
            self._reconcile(f"ledger and venue differ: {said}", recv_ns)

    # --- strategies ------------------------------------------------------------------------

    def _consult(
        self, strategy: Strategy, ask: Callable[[], Iterable[OrderIntent]], recv_ns: int
    ) -> list[Command]:
        try:
            wanted = checked(ask())
        except Exception as error:  # noqa: BLE001 - foreign code: the strategy alone stops
            return self._strategy_failed(strategy, error, recv_ns)
        return self._desk.decide(strategy, wanted, self._trading_state, recv_ns)

    def _strategy_failed(self, strategy: Strategy, error: Exception, recv_ns: int) -> list[Command]:
        """Disable it for good, withdraw its orders; everything else goes on."""
        said = f"{type(error).__name__}: {error}"
        self.stats.strategy_errors += 1
        self.disabled[strategy.name] = said
        self.journal.append("strategy_error", (strategy.name, said), recv_ns)
        for lane in self._lanes.values():
            if lane.strategy is strategy:
                lane.on_book = None
        return self._desk.noted(self.executor.cancel_working(recv_ns, strategy.name), recv_ns)
