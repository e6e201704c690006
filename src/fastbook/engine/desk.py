"""The way of one intent: journal, gate, executor, command. And what has to be withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from fastbook.clock import Clock
from fastbook.core.states import BookState
from fastbook.engine.account import Account
from fastbook.engine.delay import DelayWatch
from fastbook.engine.lanes import Lane, SignalRows
from fastbook.engine.stats import Stats
from fastbook.errors import ConfigError
from fastbook.execution import Executor, Order, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import RiskGate
from fastbook.risk.room import dearest
from fastbook.strategy.base import BookView, PositionView, Strategy, touch
from fastbook.types import (
    AmendIntent,
    AmendOrder,
    CancelOrder,
    Command,
    Instrument,
    Intent,
    OrderIntent,
    OrderState,
    PlaceOrder,
    Quote,
    Refused,
    Side,
    TimeInForce,
    TradingState,
)

OPERATOR = "operator"
"""Strategy name of the exits that FLATTEN and the guard of stops make."""

_EXIT_BPS = 50
_RATES = frozenset({"orders_per_second_max", "orders_per_minute_max", "commands_per_second_max"})
_UNSURE = frozenset({OrderState.SENT, OrderState.UNKNOWN})

StateNow = Callable[[], TradingState]


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
        self._account = Account(self.lanes, self.orders, portfolio)
        self.dress: Callable[[Lane, OrderIntent], OrderIntent] = lambda lane, intent: intent
        """What is added to every order before it is judged: the stops that it carries."""

    @property
    def exposure_used(self) -> Decimal:
        """What positions and orders take of `exposure_pct_max`, at their worst; 1 = all of it."""
        equity = self.portfolio.equity
        if equity is None or equity <= 0:
            return Decimal(1)
        limit = Decimal(str(self.gate.limits.exposure_pct_max)) * equity / 100
        return min(Decimal(1), self._account.worst_notional() / limit)

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
        self, strategy: Strategy, intents: Sequence[Intent], state: StateNow, recv_ns: int
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
            elif isinstance(intent, Quote):
                commands += self._quote(lane, intent, state(), recv_ns)
            else:
                commands += self.submit(lane, intent, state(), recv_ns)
        return commands

    def submit(
        self, lane: Lane, intent: OrderIntent, state: TradingState, recv_ns: int
    ) -> list[Command]:
        """Journal, gate, executor: the way of every intent."""
        self.stats.intents += 1
        intent = self.dress(lane, intent)
        self.journal.append("intent", intent, recv_ns)
        wall_ns = self.clock.now_ns()
        self.mark_positions()
        decision = self.gate.check(
            intent,
            instrument=lane.instrument,
            book=lane.book,
            account=self._account.view(
                lane, intent.strategy, recv_ns, share=self.gate.health.share
            ),
            state=state,
            now_ns=recv_ns,
            wall_ns=wall_ns,
            operator=intent.strategy == OPERATOR,
        )
        if isinstance(decision, Refused):
            self._refuse(decision, recv_ns)
            return []
        wanted = decision.item
        command = self.executor.plan(
            decision,
            now_ns=recv_ns,
            wall_ms=wall_ns // 1_000_000,
            position_idx=self.portfolio.leg(
                wanted.instrument, wanted.side, wanted.qty, reduce_only=wanted.reduce_only
            ),
        )
        if not isinstance(command, PlaceOrder):
            self.gate.take_back(decision.item)
            self._refuse(command, recv_ns)
            return []
        self.stats.orders += 1
        self.refresh(lane.instrument.index)
        return self.noted([command], recv_ns)

    # --- quotes ------------------------------------------------------------------------------

    def _quote(self, lane: Lane, quote: Quote, state: TradingState, recv_ns: int) -> list[Command]:
        """Bring the one resting order of this side to where the strategy wants it."""
        resting = [
            o
            for o in self.orders.working(lane.instrument.index)
            if o.strategy == quote.strategy and o.side is quote.side and _is_quote(o)
        ]
        if quote.qty <= 0:
            return self._withdraw(resting, recv_ns)
        if not resting:
            return self.submit(lane, _as_intent(quote), state, recv_ns)
        order, *doubles = resting
        commands = self._withdraw(doubles, recv_ns)
        if order.cancel_due_ns is not None or order.amending or order.state in _UNSURE:
            return commands  # on its way to somewhere: wait for what becomes of it
        if (order.px, order.qty - order.cum_qty) != (quote.px, quote.qty):
            commands += self._amend(lane, order, quote, state, recv_ns)
        return commands

    def _amend(
        self, lane: Lane, order: Order, quote: Quote, state: TradingState, recv_ns: int
    ) -> list[Command]:
        """Move a resting order. One that may not go where it is wanted must not stay either."""
        self.stats.intents += 1
        intent = AmendIntent(
            client_id=order.client_id,
            instrument=order.instrument,
            side=order.side,
            px=quote.px,
            qty=order.cum_qty + quote.qty,
            strategy=quote.strategy,
            reason=quote.reason,
            book_u=quote.book_u,
            book_ts_ms=quote.book_ts_ms,
        )
        self.journal.append("intent", intent, recv_ns)
        wall_ns = self.clock.now_ns()
        self.mark_positions()
        decision = self.gate.check_amend(
            intent,
            held_qty=order.reserved,
            held_px=dearest(lane.instrument, order.px_max, order.px_min),
            instrument=lane.instrument,
            book=lane.book,
            account=self._account.view(
                lane, quote.strategy, recv_ns, share=self.gate.health.share, without=order
            ),
            state=state,
            now_ns=recv_ns,
            wall_ns=wall_ns,
        )
        if isinstance(decision, Refused):
            return self._not_amended(order, decision, recv_ns)
        command = self.executor.amend(decision, now_ns=recv_ns)
        if not isinstance(command, AmendOrder):
            self.gate.take_back(decision.item)
            return self._not_amended(order, command, recv_ns)
        self.stats.amends += 1
        return self.noted([command], recv_ns)

    def _not_amended(
        self, order: Order, refused: Refused[AmendIntent], recv_ns: int
    ) -> list[Command]:
        """Only where nothing but the rate is in the way, and it waits at a safer price, it stays."""
        self._refuse(refused, recv_ns)
        eager = (order.px - refused.item.px) * order.side
        if refused.rule in _RATES and eager <= 0:
            return []
        return self._withdraw([order], recv_ns)

    def pull_quotes(self, state: TradingState, recv_ns: int) -> list[Command]:
        """Withdraw resting entries that nobody can look after now.

        Because nothing risky may leave, so they could not be moved; because we are late or unsure
        of the clock; because their book is not SYNCED or too old; or because their symbol or
        strategy is stopped.
        """
        pulled: list[Order] = []
        nothing_risky = state is not TradingState.ACTIVE or self.gate.unhealthy() is not None
        for order in self.orders.all_working():
            if order.reduce_only or not order.may_rest or order.cancel_due_ns is not None:
                continue
            lane = self.lanes[order.instrument]
            stopped = (
                lane.instrument.symbol in self.gate.stopped
                or order.strategy in self.gate.latches.strategies
            )
            if nothing_risky or stopped or not self.fresh(lane, recv_ns):
                pulled.append(order)
        self.stats.quotes_pulled += len(pulled)
        return self._withdraw(pulled, recv_ns)

    def _withdraw(self, orders: Sequence[Order], recv_ns: int) -> list[Command]:
        return self.noted(
            [c for order in orders for c in self.executor.cancel(order, recv_ns)], recv_ns
        )

    # --- exits of our own --------------------------------------------------------------------

    def flatten(self, state: TradingState, recv_ns: int) -> list[Command]:
        """One immediate exit for every position that has no order under way."""
        return [
            command
            for index in sorted(self.portfolio.open_instruments)
            if not self.lanes[index].view.working
            for command in self.leave(index, "flatten", state, recv_ns)
        ]

    def leave(self, index: int, reason: str, state: TradingState, recv_ns: int) -> list[Command]:
        """One immediate exit of a whole position; nothing while its book gives no price."""
        lane = self.lanes[index]
        bid, ask = touch(lane.book, lane.instrument)
        if not lane.view.qty or not self.fresh(lane, recv_ns) or not bid or not ask:
            return []
        side = Side.SELL if lane.view.qty > 0 else Side.BUY
        best = ask if side is Side.BUY else bid
        slip_bps = min(_EXIT_BPS, int(self.gate.limits.price_collar_bps) // 2)
        intent = OrderIntent(
            instrument=index,
            side=side,
            px=best + side * (best * slip_bps // 10_000),
            qty=abs(lane.view.qty),
            reduce_only=True,
            strategy=OPERATOR,
            reason=reason,
            book_u=lane.book.u,
            book_ts_ms=lane.book.ts_ms,
        )
        return self.submit(lane, intent, state, recv_ns)

    # --- the way out -------------------------------------------------------------------------

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

    def _refuse(
        self, refused: Refused[OrderIntent] | Refused[AmendIntent] | Refused[Intent], recv_ns: int
    ) -> None:
        self.stats.denied[refused.rule] += 1
        self.journal.append("refused", refused, recv_ns)


def checked(intents: Iterable[Intent]) -> tuple[Intent, ...]:
    """What a strategy answered, as a tuple of well-typed intents; raises TypeError otherwise."""
    wanted = tuple(intents)
    for intent in wanted:
        if not isinstance(intent, (OrderIntent, Quote)):
            raise TypeError(
                f"a strategy answers with OrderIntent or Quote, not {type(intent).__name__}"
            )
        if type(intent.px) is not int or type(intent.qty) is not int:
            raise TypeError(f"px and qty of an intent are integers: {intent.px!r}, {intent.qty!r}")
    return wanted


def _is_quote(order: Order) -> bool:
    return order.tif is TimeInForce.POST_ONLY and not order.reduce_only and order.may_rest


def _as_intent(quote: Quote) -> OrderIntent:
    return OrderIntent(
        instrument=quote.instrument,
        side=quote.side,
        px=quote.px,
        qty=quote.qty,
        tif=TimeInForce.POST_ONLY,
        strategy=quote.strategy,
        reason=quote.reason,
        book_u=quote.book_u,
        book_ts_ms=quote.book_ts_ms,
    )
