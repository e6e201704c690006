"""The one gate: every order passes here, and nothing else makes `Approved`.

All checks are hard. What may still trade counts as traded, in the worse direction: a position
counts together with all that is in flight, resting or of unknown outcome. Comparisons are made in
integers of the instrument (price times quantity units), and every rounding is towards the smaller
order and the less eager price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fastbook.errors import ConfigError
from fastbook.risk.denied import Denied
from fastbook.risk.egress import Egress
from fastbook.risk.latches import Latches, Stop
from fastbook.risk.limits import (
    NO_SYMBOL_LIMITS,
    WHOLE_ACCOUNT,
    Budget,
    RiskLimits,
    SymbolLimits,
)
from fastbook.risk.pace import Pace
from fastbook.risk.prices import PriceRules, check_self_trade, px_on_grid
from fastbook.risk.room import (
    FLOOR,
    check_size,
    dearest,
    exit_qty,
    percent,
    qty_max,
    qty_within,
    room,
)
from fastbook.risk.sizing import Sizer
from fastbook.risk.view import HEALTHY, AccountView, ReferenceBook
from fastbook.types import (
    AmendIntent,
    AmendOrder,
    Approved,
    Instrument,
    OrderIntent,
    OrderType,
    PlaceOrder,
    Refused,
    TradingState,
)

STATE_VERSION = 1

Decision = Approved[OrderIntent] | Refused[OrderIntent]
AmendDecision = Approved[AmendIntent] | Refused[AmendIntent]


class RiskGate:
    """Decides on one intent at a time; the only maker of `Approved`.

    It remembers what no single intent can show: the equity at the start of the UTC day and at its
    peak, how many orders were let through and when, and which latch has fallen. A latch stays
    until `rearm`, over midnight as well; `state` and `restore` carry it over a restart.

    Parameters
    ----------
    limits : RiskLimits
    sizer : Sizer, optional
    symbols : mapping of symbol to SymbolLimits, optional
    budgets : mapping of strategy name to Budget, optional
        A strategy that is not named may use the whole account.
    """

    def __init__(
        self,
        limits: RiskLimits,
        sizer: Sizer | None = None,
        *,
        symbols: Mapping[str, SymbolLimits] | None = None,
        budgets: Mapping[str, Budget] | None = None,
    ) -> None:
        self.limits = limits
        self.sizer = sizer or Sizer()
        self.symbol_limits = dict(symbols or {})
        self.budgets = dict(budgets or {})
        self.health = HEALTHY
        """Set by the engine; beyond its limits there are no entries."""
        self.latches = Latches(limits)
        self.pace = Pace(limits)
        self.egress = Egress()
        self._prices = PriceRules(limits)

    # --- latches ---------------------------------------------------------------------------

    @property
    def latched(self) -> str:
        """Why only exits are let through; empty when armed."""
        return self.latches.account

    @property
    def stopped(self) -> Mapping[str, Stop]:
        """Symbols that are not traded freely, and why."""
        return self.latches.symbols

    @property
    def day_equity(self) -> Decimal | None:
        return self.latches.day_equity

    @property
    def revision(self) -> int:
        """Grows whenever `state` has something new that is worth saving."""
        return self.latches.revision + self.pace.revision

    def on_equity(self, equity: Decimal, wall_ns: int) -> bool:
        """Take note of the equity; True if the daily-loss or draw-down latch fell just now.

        The first equity of a UTC day is that day's start. A wall clock that goes back does not
        start a day again.
        """
        self._roll_day(wall_ns)
        return self.latches.on_equity(equity)

    def on_venue_answer(self, *, rejected: bool) -> bool:
        """Count rejections in a row; True if that latch fell just now."""
        return self.latches.on_venue_answer(rejected=rejected)

    def on_round_trip(self, strategy: str, now_ns: int) -> bool:
        """A strategy is flat again; True if it has done so too often and is stopped."""
        why = self.pace.note_round_trip(strategy, now_ns)
        if not why or strategy in self.latches.strategies:
            return False
        self.latches.stop_strategy(strategy, "round_trips_per_hour_max", why)
        return True

    def on_strategy_result(
        self, strategy: str, total: Decimal, equity: Decimal, wall_ns: int
    ) -> bool:
        """A strategy's running P&L; True if its own daily loss stopped it just now."""
        self._roll_day(wall_ns)
        return self.latches.on_strategy_result(strategy, total, equity, self.budget(strategy))

    def rearm(self, equity: Decimal | None = None) -> None:
        """A person's decision: lift every latch. Losses count from `equity` on."""
        self.latches.rearm(equity)
        self.pace.rearm()

    def budget(self, strategy: str) -> Budget:
        return self.budgets.get(strategy, WHOLE_ACCOUNT)

    def state(self) -> dict[str, Any]:  # Any: JSON
        """What must survive a restart, as plain values for JSON."""
        return {
            "version": STATE_VERSION,
            "latches": self.latches.state(),
            "pace": self.pace.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        """Take up where `state` left off. ConfigError for what `state` never gave.

        Forgetting a latch is worse than not starting.
        """
        try:
            if state["version"] != STATE_VERSION:
                raise ValueError(f"version {state['version']}")
            self.latches.restore(state["latches"])
            self.pace.restore(state["pace"])
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as e:
            raise ConfigError(f"the saved state of the risk gate cannot be read: {e!r}") from e

    def _roll_day(self, wall_ns: int) -> None:
        if self.latches.roll_day(wall_ns):
            self.pace.new_day()

    # --- the decision on an order ------------------------------------------------------------

    def check(
        self,
        intent: OrderIntent,
        *,
        instrument: Instrument,
        book: ReferenceBook,
        account: AccountView,
        state: TradingState,
        now_ns: int,
        wall_ns: int,
        operator: bool = False,
    ) -> Decision:
        """Approve `intent`, perhaps smaller and on the grid, or refuse it with rule and numbers.

        `now_ns` is of the same clock as `book.recv_ns`; `wall_ns` decides the UTC day only.
        An intent with `qty` 0 is sized and cut to what the limits leave; one with a quantity is
        refused when it breaks one. A reduce-only intent passes the limits on exposure, and is cut
        so that it cannot turn the position. `operator` marks a person's own exit: it passes where
        only the symbol is halted.
        """
        try:
            item = self._examine(
                intent, instrument, book, account, state, now_ns, wall_ns, operator
            )
        except Denied as denied:
            return Refused(intent, denied.rule, denied.detail)
        self.egress.expect(item)
        return Approved(item)

    def _examine(
        self,
        intent: OrderIntent,
        instrument: Instrument,
        book: ReferenceBook,
        account: AccountView,
        state: TradingState,
        now_ns: int,
        wall_ns: int,
        operator: bool,
    ) -> OrderIntent:
        self._note_time(account, wall_ns)
        exits = intent.reduce_only
        _check_instrument(intent.instrument, instrument, book)
        self._check_state(state, exits=exits)
        self._check_stops(intent.strategy, instrument, exits=exits, operator=operator)
        if not exits:
            self._check_health()
        bid, ask = self._prices.reference(instrument, book, now_ns)
        px = px_on_grid(intent.side, intent.px, instrument)
        self._prices.check_collars(px, bid, ask, instrument.tick, account.mark_px)
        check_self_trade(intent.side, px, account)

        most = qty_max(intent.order_type, instrument)
        if intent.qty < 0:
            raise Denied("qty_max", f"quantity {intent.qty}, most {most}")
        if exits:
            symbol = self.symbol_limits.get(instrument.symbol, NO_SYMBOL_LIMITS)
            qty = exit_qty(
                intent.side, intent.qty, instrument, px, most, account, self.limits, symbol
            )
        else:
            value_px = dearest(instrument, px, bid, ask)
            qty = self._entry_qty(intent, instrument, px, value_px, account)
        check_size(qty, most, instrument, px, reduce_only=exits)

        self.pace.check_open(account.orders_open, exits=exits)
        self.pace.check_day(exits=exits)
        self.pace.check_duplicate(instrument.symbol, intent.side, px, qty, now_ns)
        if not exits:
            self._check_runaway(instrument.symbol, now_ns)
        self.pace.check_minute(now_ns, exits=exits)
        self.pace.take(now_ns, exits=exits)
        self.pace.note_order(instrument.symbol, intent.side, px, qty, now_ns, exits=exits)
        return replace(intent, px=px, qty=qty)

    # --- the decision on an amend ------------------------------------------------------------

    def check_amend(
        self,
        intent: AmendIntent,
        *,
        held_qty: int,
        held_px: int,
        instrument: Instrument,
        book: ReferenceBook,
        account: AccountView,
        state: TradingState,
        now_ns: int,
        wall_ns: int,
    ) -> AmendDecision:
        """Approve a new price and total quantity of a resting order, or refuse them.

        `held_qty` is what the order may trade yet and `held_px` its highest price; `account` is
        everything but this order. Until the venue says otherwise it counts at the larger of the
        old and the new quantity, at the dearer price. Amends are for entries: exits do not rest.
        """
        try:
            item = self._examine_amend(
                intent, held_qty, held_px, instrument, book, account, state, now_ns, wall_ns
            )
        except Denied as denied:
            return Refused(intent, denied.rule, denied.detail)
        self.egress.expect(item)
        return Approved(item)

    def _examine_amend(
        self,
        intent: AmendIntent,
        held_qty: int,
        held_px: int,
        instrument: Instrument,
        book: ReferenceBook,
        account: AccountView,
        state: TradingState,
        now_ns: int,
        wall_ns: int,
    ) -> AmendIntent:
        self._note_time(account, wall_ns)
        _check_instrument(intent.instrument, instrument, book)
        self._check_state(state, exits=False)
        self._check_stops(intent.strategy, instrument, exits=False, operator=False)
        self._check_health()
        bid, ask = self._prices.reference(instrument, book, now_ns)
        px = px_on_grid(intent.side, intent.px, instrument)
        self._prices.check_collars(px, bid, ask, instrument.tick, account.mark_px)
        check_self_trade(intent.side, px, account)

        qty = intent.qty // instrument.lot * instrument.lot
        check_size(qty, qty_max(OrderType.LIMIT, instrument), instrument, px, reduce_only=False)
        equity = _equity(account)
        working = (account.working_px_max, account.working_px_min)
        value_px = dearest(instrument, px, held_px, bid, ask, *working)
        left, rule = room(
            intent.side,
            instrument,
            dearest(instrument, px, held_px),
            value_px,
            account,
            equity,
            self.limits,
            self.symbol_limits.get(instrument.symbol, NO_SYMBOL_LIMITS),
            self.budget(intent.strategy),
        )
        worst = max(qty, held_qty)
        if worst > left:
            raise Denied(rule, f"quantity {worst}, room for {max(left, 0)} at {value_px}")

        self.pace.check_day(exits=False)
        self.pace.check_minute(now_ns, exits=False)
        self.pace.take(now_ns, exits=False)
        self.pace.note_message(now_ns)
        return replace(intent, px=px, qty=qty)

    # --- the way out -------------------------------------------------------------------------

    def take_back(self, item: OrderIntent | AmendIntent) -> None:
        """What was approved will not be sent after all."""
        self.egress.take_back(item)

    def lets_out(self, command: PlaceOrder | AmendOrder) -> str:
        """The last look at a command: why it must not leave, or nothing.

        Anything that was not approved, to the last digit and once, is a bug of ours: it stays
        here, and no entries follow until a person has looked.
        """
        objection = self.egress.objection(command)
        if objection:
            self.latches.latch("egress", objection)
        return objection

    # --- rules -------------------------------------------------------------------------------

    def _note_time(self, account: AccountView, wall_ns: int) -> None:
        self._roll_day(wall_ns)
        if account.equity is not None:
            self.latches.on_equity(account.equity)

    def _check_state(self, state: TradingState, *, exits: bool) -> None:
        if state is TradingState.HALTED:
            raise Denied("trading_state", "halted: only cancels leave, 0 orders")
        if exits:
            return
        if self.latched:
            rule, _, detail = self.latched.partition(": ")
            raise Denied(rule, f"{detail}; until re-armed")
        if state is not TradingState.ACTIVE:
            raise Denied("trading_state", f"{state.value}: only what lowers risk leaves")

    def _check_stops(
        self, strategy: str, instrument: Instrument, *, exits: bool, operator: bool
    ) -> None:
        """What is stopped short of the whole account: a symbol, a strategy."""
        symbol = instrument.symbol
        stop = self.latches.symbols.get(symbol)
        if stop is not None and stop.state is TradingState.HALTED and not operator:
            raise Denied(stop.rule, f"{symbol} is halted: {stop.why}; until re-armed")
        if exits:
            return
        if stop is not None:
            raise Denied(stop.rule, f"{symbol}: {stop.why}; until re-armed")
        if self.symbol_limits.get(symbol, NO_SYMBOL_LIMITS).reduce_only:
            raise Denied("symbol_reduce_only", f"{symbol} is set to reduce only")
        stopped = self.latches.strategies.get(strategy)
        if stopped is not None:
            rule, _, detail = stopped.partition(": ")
            raise Denied(rule, f"{strategy}: {detail}; until re-armed")

    def unhealthy(self) -> tuple[str, str] | None:
        """Why there are no entries just now: rule and numbers; None when all is well."""
        health, limits = self.health, self.limits
        if not health.loop_lag_ms <= limits.loop_lag_ms_max:
            late, most = health.loop_lag_ms, limits.loop_lag_ms_max
            return "loop_lag_ms_max", f"our timers were {late:.0f} ms late, limit {most}"
        if not health.clock_uncertainty_ms <= limits.clock_uncertainty_ms_max:
            unsure, most = health.clock_uncertainty_ms, limits.clock_uncertainty_ms_max
            return (
                "clock_uncertainty_ms_max",
                f"the venue's clock is known to {unsure:.0f} ms, limit {most}",
            )
        return None

    def _check_health(self) -> None:
        if problem := self.unhealthy():
            raise Denied(*problem)

    def _check_runaway(self, symbol: str, now_ns: int) -> None:
        why = self.pace.runaway(symbol, now_ns)
        if why:
            rule = "entries_per_minute_max"
            self.latches.stop_symbol(symbol, TradingState.REDUCE_ONLY, rule, why)
            raise Denied(rule, f"{symbol}: {why}; until re-armed")

    def _entry_qty(
        self,
        intent: OrderIntent,
        instrument: Instrument,
        px: int,
        value_px: int,
        account: AccountView,
    ) -> int:
        equity = _equity(account)
        budget = self.budget(intent.strategy)
        working = (account.working_px_max, account.working_px_min)
        value_px = dearest(instrument, value_px, *working)
        symbol = self.symbol_limits.get(instrument.symbol, NO_SYMBOL_LIMITS)
        left, rule = room(
            intent.side, instrument, px, value_px, account, equity, self.limits, symbol, budget
        )
        if intent.qty > 0:
            qty = intent.qty // instrument.lot * instrument.lot
            if qty > left:
                raise Denied(rule, f"quantity {qty}, room for {max(left, 0)} at {value_px}")
            return qty

        stake = self.sizer.stake(
            account.record, confidence=intent.confidence, volatility_bps=account.volatility_bps
        )
        if stake <= 0.0:
            record = account.record
            raise Denied(
                "sizing",
                f"stake 0: {record.trades} trades, win rate {record.win_rate:.3f}, "
                f"payoff {record.payoff:.3f}, confidence {intent.confidence:.3f}",
            )
        share = percent(equity, budget.equity_pct)
        wanted = qty_within(FLOOR.multiply(share, Decimal(stake)), instrument, value_px)
        most = qty_max(intent.order_type, instrument)
        qty = min(wanted, left, most) // instrument.lot * instrument.lot
        if qty < instrument.qty_min and left < wanted:
            raise Denied(rule, f"quantity {wanted} wanted, room for {max(left, 0)} at {value_px}")
        return qty


def _check_instrument(index: int, instrument: Instrument, book: ReferenceBook) -> None:
    if index != instrument.index or book.symbol != instrument.symbol:
        raise Denied("instrument", f"{index} is not {instrument.symbol}'s book")
    if not instrument.trading:
        raise Denied("not_trading", f"{instrument.symbol} is not open for trading")


def _equity(account: AccountView) -> Decimal:
    if account.equity is None or account.equity <= 0:
        raise Denied("equity", f"equity is {account.equity}")
    return account.equity
