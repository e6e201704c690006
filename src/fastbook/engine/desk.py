"""The way of one intent: journal, gate, executor, command. And what it needs to know on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isnan
from typing import Protocol

from fastbook.clock import Clock
from fastbook.core.signals import Signal
from fastbook.core.states import BookState
from fastbook.engine.delay import DelayWatch
from fastbook.errors import ConfigError
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import AccountView, RiskGate, TrackRecord
from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.types import (
    AmendOrder,
    CancelOrder,
    Command,
    Instrument,
    OrderIntent,
    PlaceOrder,
    Refused,
    Side,
    TradingState,
)

OPERATOR = "operator"
"""Strategy name of the exits that FLATTEN makes."""

_MID = int(Signal.MID)
_ATR = int(Signal.ATR)
_VOLATILITY = int(Signal.VOLATILITY)
_FLATTEN_BPS = 50

OnBook = Callable[[BookView, Row, PositionView], Iterable[OrderIntent]]


class SignalRows(Protocol):
    """Where the rows come from: a `SignalSet`."""

    def row(self, index: int) -> Row: ...


@dataclass(slots=True)
class Stats:
    """Counters since the start; they only grow."""

    book_updates: int = 0
    books_unfit: int = 0  # not SYNCED, or too old: no strategy was asked
    books_late: int = 0  # received long after their time: what strategies wanted was dropped
    trades: int = 0
    signals: int = 0  # intents that strategies emitted
    intents: int = 0  # those that reached the gate, and the operator's exits
    denied: Counter[str] = field(default_factory=Counter)  # by rule: as many keys as rules
    orders: int = 0
    fills: int = 0
    duplicate_fills: int = 0
    external_fills: int = 0
    parked_overdue: int = 0  # fills that have waited long for an order that may be theirs
    rejected: int = 0
    unknown: int = 0
    never_accepted: int = 0
    ghosts: int = 0
    mismatches: int = 0
    reconciliations: int = 0
    strategy_errors: int = 0
    held_back: int = 0  # commands that the gate had not approved: a bug of ours


@dataclass(slots=True, eq=False)
class Lane:
    """One instrument as the engine sees it."""

    instrument: Instrument
    book: BookView
    row: Row
    view: PositionView
    strategy: Strategy | None = None
    on_book: OnBook | None = None


class Desk:
    """Holds the lanes, and turns intents into commands or refusals."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[BookView],
        signals: SignalRows,
        gate: RiskGate,
        executor: Executor,
        portfolio: Portfolio,
        journal: Journal,
        clock: Clock,
    ) -> None:
        if len(instruments) != len(books):
            raise ConfigError(f"{len(instruments)} instruments but {len(books)} books")
        self.gate = gate
        self.executor = executor
        self.orders: Orders = executor.orders
        self.portfolio = portfolio
        self.journal = journal
        self.clock = clock
        self.stats = Stats()
        self.stale_ns = gate.limits.stale_after_ms * 1_000_000
        self.delays = DelayWatch(self.stale_ns)
        self.lanes: dict[int, Lane] = {}
        for i, (instrument, book) in enumerate(zip(instruments, books, strict=True)):
            if instrument.index != i or book.symbol != instrument.symbol:
                raise ConfigError(f"place {i} has {instrument.symbol} and {book.symbol}'s book")
            flat = PositionView(instrument, 0, float("nan"), 0)
            self.lanes[i] = Lane(instrument, book, signals.row(i), flat)
            self.refresh(i)

    # --- reading ---------------------------------------------------------------------------

    def fit(self, lane: Lane, recv_ns: int) -> bool:
        """Whether a strategy may decide on the book."""
        late = self.delays.late(lane.book.recv_ns, lane.book.ts_ms)
        return self.fresh(lane, recv_ns) and not late

    def fresh(self, lane: Lane, recv_ns: int) -> bool:
        """Whether the book may give a price to an exit that is wanted in any case."""
        book = lane.book
        return book.state is BookState.SYNCED and recv_ns - book.recv_ns <= self.stale_ns

    def refresh(self, index: int) -> None:
        """Bring the strategy's view of a position up to date."""
        lane = self.lanes[index]
        lane.view = PositionView(
            lane.instrument,
            self.portfolio.qty(index),
            self.portfolio.entry_px(index),
            len(self.orders.working(index)),
        )

    def mark_positions(self) -> None:
        """Mark what is open at the mid of its book; where that is not SYNCED, as before."""
        for index in self.portfolio.open_instruments:
            lane = self.lanes[index]
            if lane.book.state is not BookState.SYNCED:
                continue
            bid, ask = touch(lane.book, lane.instrument)
            if bid > 0 and ask > 0:
                self.portfolio.set_mark(index, bid, ask)

    # --- intents ---------------------------------------------------------------------------

    def decide(
        self,
        strategy: Strategy,
        intents: Sequence[OrderIntent],
        state: Callable[[], TradingState],
        recv_ns: int,
    ) -> list[Command]:
        """What becomes of a strategy's intents, each seeing the orders of those before it."""
        commands: list[Command] = []
        for intent in intents:
            self.stats.signals += 1
            lane = self.lanes.get(intent.instrument)
            if lane is None or lane.strategy is not strategy:
                self._refuse(Refused(intent, "instrument", "not this strategy's"), recv_ns)
            elif intent.strategy != strategy.name:
                self._refuse(Refused(intent, "strategy", f"is not {strategy.name!r}"), recv_ns)
            else:
                commands += self.submit(lane, intent, state(), recv_ns)
        return commands

    def submit(
        self, lane: Lane, intent: OrderIntent, state: TradingState, recv_ns: int
    ) -> list[Command]:
        """Journal, gate, executor: the way of every intent."""
        self.stats.intents += 1
        self.journal.append("intent", intent, recv_ns)
        wall_ns = self.clock.now_ns()
        self.mark_positions()
        decision = self.gate.check(
            intent,
            instrument=lane.instrument,
            book=lane.book,
            account=self._account(lane, intent),
            state=state,
            now_ns=recv_ns,
            wall_ns=wall_ns,
        )
        if isinstance(decision, Refused):
            self._refuse(decision, recv_ns)
            return []
        command = self.executor.plan(decision, now_ns=recv_ns, wall_ms=wall_ns // 1_000_000)
        if not isinstance(command, PlaceOrder):
            self.gate.take_back(decision.item)
            self._refuse(command, recv_ns)
            return []
        self.stats.orders += 1
        self.refresh(lane.instrument.index)
        return self.noted([command], recv_ns)

    def flatten(self, state: TradingState, recv_ns: int) -> list[Command]:
        """One immediate exit for every position that has no order under way."""
        commands: list[Command] = []
        for index in sorted(self.portfolio.open_instruments):
            lane = self.lanes[index]
            bid, ask = touch(lane.book, lane.instrument)
            if lane.view.working or not self.fresh(lane, recv_ns) or not bid or not ask:
                continue
            side = Side.SELL if lane.view.qty > 0 else Side.BUY
            best = ask if side is Side.BUY else bid
            slip_bps = min(_FLATTEN_BPS, int(self.gate.limits.price_collar_bps) // 2)
            intent = OrderIntent(
                instrument=index,
                side=side,
                px=best + side * (best * slip_bps // 10_000),
                qty=abs(lane.view.qty),
                reduce_only=True,
                strategy=OPERATOR,
                reason="flatten",
                book_u=lane.book.u,
                book_ts_ms=lane.book.ts_ms,
            )
            commands += self.submit(lane, intent, state, recv_ns)
        return commands

    def noted(self, commands: Sequence[Command], recv_ns: int) -> list[Command]:
        """The same commands, journalled: the one way out. What was not approved stays here."""
        leaving: list[Command] = []
        for command in commands:
            if isinstance(command, (PlaceOrder, AmendOrder)):
                objection = self.gate.lets_out(command)
                if objection:
                    self.stats.held_back += 1
                    self.journal.append("held_back", (command, objection), recv_ns)
                    continue
            elif isinstance(command, CancelOrder):
                self.gate.pace.note_cancel()
            self.journal.append("command", command, recv_ns)
            leaving.append(command)
        return leaving

    def _refuse(self, refused: Refused[OrderIntent], recv_ns: int) -> None:
        self.stats.denied[refused.rule] += 1
        self.journal.append("refused", refused, recv_ns)

    # --- the account as the gate sees it ----------------------------------------------------

    def _account(self, lane: Lane, intent: OrderIntent) -> AccountView:
        index = lane.instrument.index
        working = self.orders.working(index)
        record = self.portfolio.record(intent.strategy)
        buys = [o for o in working if o.side is Side.BUY]
        sells = [o for o in working if o.side is Side.SELL]
        others = self.portfolio.open_instruments | set(self.orders.working_instruments())
        return AccountView(
            equity=self.portfolio.equity,
            position=self.portfolio.qty(index),
            working_buy=sum(o.reserved for o in buys),
            working_sell=sum(o.reserved for o in sells),
            own_bid_max=max((o.px_max for o in buys if not o.state.terminal), default=0),
            own_ask_min=min((o.px_min for o in sells if not o.state.terminal), default=0),
            working_px_max=max((o.px_max for o in working), default=0),
            others_notional=sum(
                (self._worst_notional(i) for i in sorted(others) if i != index), Decimal(0)
            ),
            orders_open=self.orders.working_count,
            record=TrackRecord(record.trades, record.win_rate, record.payoff),
            volatility_bps=_volatility_bps(lane.row),
        )

    def _worst_notional(self, index: int) -> Decimal:
        """Value of the largest position that this instrument's orders can still lead to."""
        lane = self.lanes[index]
        working = self.orders.working(index)
        held = self.portfolio.qty(index)
        longest = held + sum(o.reserved for o in working if o.side is Side.BUY)
        shortest = sum(o.reserved for o in working if o.side is Side.SELL) - held
        px = max((o.px_max for o in working), default=0)
        mark = self.portfolio.mark(index)
        if mark is not None:
            px = max(px, -int(-mark.scaleb(lane.instrument.price_scale) // 1))
        if px == 0:
            return self.portfolio.cost(index)  # held, and no book seen yet: what it cost
        return lane.instrument.notional(px, max(longest, shortest))


def checked(intents: Iterable[OrderIntent]) -> tuple[OrderIntent, ...]:
    """What a strategy answered, as a tuple of well-typed intents; raises TypeError otherwise."""
    wanted = tuple(intents)
    for intent in wanted:
        if not isinstance(intent, OrderIntent):
            raise TypeError(f"a strategy answers with OrderIntent, not {type(intent).__name__}")
        if type(intent.px) is not int or type(intent.qty) is not int:
            raise TypeError(f"px and qty of an intent are integers: {intent.px!r}, {intent.qty!r}")
    return wanted


def _volatility_bps(row: Row) -> float:
    """Of one bar, by its average true range; before there is one, of one sample; else nan."""
    of_bar = row[_ATR] / row[_MID] * 10_000.0 if row[_MID] else float("nan")
    return row[_VOLATILITY] * 10_000.0 if isnan(of_bar) else of_bar
