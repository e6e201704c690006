"""Watching the account: losses, trades that are not ours, and a venue that differs from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal

from fastbook.engine.desk import Desk
from fastbook.execution.orders import is_our_id
from fastbook.risk import ADOPT, HALT
from fastbook.strategy.base import Strategy
from fastbook.types import (
    CancelOrder,
    Command,
    OrderRejected,
    OrderUpdate,
    PositionSnapshot,
    TradingState,
)

EXTERNAL = "external_change"

_STRANGER_NS = 2_000_000_000
_OPEN_WORDS = frozenset({"New", "PartiallyFilled", "Created", "Active"})


class AccountWatch:
    """Tells the gate what has to stop, and the journal why."""

    def __init__(self, desk: Desk, reduce_only_codes: Collection[int] = ()) -> None:
        self._desk = desk
        self._gate = desk.gate
        self._portfolio = desk.portfolio
        self._reduce_only_codes = frozenset(reduce_only_codes)
        self._hedged: dict[int, bool] = {}  # as first told: by the venue, before anything is sent
        self._leverage: dict[int, Decimal] = {}
        self._adjustments = Decimal(0)

    # --- losses ------------------------------------------------------------------------------

    def on_timer(self, strategies: Iterable[Strategy], recv_ns: int) -> str:
        """Marks, losses, strangers; why the account has to be reconciled, or nothing."""
        desk, gate = self._desk, self._gate
        desk.mark_positions()
        wall_ns = desk.clock.now_ns()
        equity = self._portfolio.equity
        if equity is not None:
            if gate.on_equity(equity, wall_ns):
                desk.journal.append("latched", gate.latched, recv_ns)
            for strategy in strategies:
                self._watch_strategy(strategy, equity, wall_ns, recv_ns)
        self._watch_strangers(recv_ns)
        if not self._portfolio.compare(recv_ns):
            return ""
        desk.stats.mismatches += 1
        return f"ledger and venue differ: {'; '.join(self._portfolio.differences())}"

    def _watch_strategy(
        self, strategy: Strategy, equity: Decimal, wall_ns: int, recv_ns: int
    ) -> None:
        if self._gate.budget(strategy.name).daily_loss_pct_max is None:
            return
        total = Decimal(0)
        for index, lane in self._desk.lanes.items():
            if lane.strategy is strategy:
                result = self._portfolio.result_of(index)
                if result is None:
                    return  # no mark yet: nothing can be told
                total += result
        if self._gate.on_strategy_result(strategy.name, total, equity, wall_ns):
            self._note_stop(strategy.name, recv_ns)

    def on_round_trip(self, strategy: str, recv_ns: int) -> None:
        if self._gate.on_round_trip(strategy, recv_ns):
            self._note_stop(strategy, recv_ns)

    def _note_stop(self, strategy: str, recv_ns: int) -> None:
        why = self._gate.latches.strategies[strategy]
        self._desk.journal.append("latched", f"{strategy}: {why}", recv_ns)

    # --- what is not ours --------------------------------------------------------------------

    def _watch_strangers(self, recv_ns: int) -> None:
        desk = self._desk
        for stranger in desk.orders.take_strangers(recv_ns - _STRANGER_NS):
            desk.stats.external_fills += 1
            desk.journal.append("external", stranger, recv_ns)
            self.external(stranger.instrument, f"execution {stranger.exec_id}", recv_ns)
        for late in desk.orders.take_overdue(recv_ns - _STRANGER_NS):
            desk.stats.parked_overdue += 1
            desk.journal.append("parked", late, recv_ns)

    def external(self, index: int, why: str, recv_ns: int) -> None:
        """The position changed and it was not us: the symbol waits for a person, as configured."""
        policy = self._gate.limits.external_change
        if policy != ADOPT:
            state = TradingState.HALTED if policy == HALT else TradingState.REDUCE_ONLY
            self._stop(index, state, EXTERNAL, why, recv_ns)

    def on_strange_order(self, row: OrderUpdate, recv_ns: int) -> list[Command]:
        """An order that nobody here knows. One with a name of our making is withdrawn."""
        if row.status not in _OPEN_WORDS or not is_our_id(row.client_id):
            return []
        self._desk.stats.strange_orders += 1
        self._desk.journal.append("strange_order", row, recv_ns)
        if self._desk.stats.reconciliations:  # at the start: what another session left behind
            self.external(row.instrument, f"order {row.client_id} nobody knows", recv_ns)
        cancel = CancelOrder(client_id=row.client_id, instrument=row.instrument)
        return self._desk.noted([cancel], recv_ns)

    def adopted(self, before: dict[int, int], recv_ns: int, *, at_start: bool) -> None:
        """Positions and cash were taken over from the venue; `before` is what was held."""
        gained = self._portfolio.adjustments - self._adjustments
        self._adjustments = self._portfolio.adjustments
        if at_start:
            return
        self._gate.latches.on_deposit(gained)
        for index, held in before.items():
            now = self._portfolio.qty(index)
            if now != held:
                self.external(index, f"position {held} became {now}", recv_ns)

    # --- the venue's settings ----------------------------------------------------------------

    def on_position(self, snapshot: PositionSnapshot, recv_ns: int) -> None:
        """Leverage or position mode changed outside: the symbol waits for a person."""
        index, leverage = snapshot.instrument, snapshot.leverage
        hedged = snapshot.position_idx != 0
        if self._hedged.setdefault(index, hedged) != hedged:
            self._hedged[index] = hedged
            why = f"the symbol is in {'hedge' if hedged else 'one-way'} mode now"
            self._stop(index, TradingState.HALTED, "position_mode", why, recv_ns)
        if leverage is None:
            return
        known = self._leverage.get(index)
        self._leverage[index] = leverage
        if known is not None and known != leverage:
            why = f"leverage went from {known} to {leverage}"
            self._stop(index, TradingState.HALTED, "leverage_changed", why, recv_ns)

    def on_rejected(self, index: int, event: OrderRejected, recv_ns: int) -> None:
        """The venue takes only exits in this symbol."""
        if event.code in self._reduce_only_codes:
            why = f"{event.code} {event.reason}"
            self._stop(index, TradingState.REDUCE_ONLY, "venue_reduce_only", why, recv_ns)

    def _stop(self, index: int, state: TradingState, rule: str, why: str, recv_ns: int) -> None:
        symbol = self._desk.lanes[index].instrument.symbol
        if self._gate.latches.stop_symbol(symbol, state, rule, why):
            said = f"{symbol} {state.value}: {rule}: {why}"
            self._desk.journal.append("latched", said, recv_ns)
