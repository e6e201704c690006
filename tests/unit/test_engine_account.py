"""What happens to the account from outside, and what the engine remembers over a restart."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.support_decide import fill, row_of
from tests.support_engine import Scripted, World, scripted, want

from fastbook.engine import PRIVATE_LINK
from fastbook.errors import ConfigError
from fastbook.risk import Budget, SymbolLimits
from fastbook.strategy import Bar, BarSource
from fastbook.types import (
    AmendOrder,
    CancelOrder,
    Control,
    ControlKind,
    OrderRejected,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    Side,
    TimeInForce,
    Trade,
    TradingState,
    WalletSnapshot,
)


def snapshot(**changes: Any) -> PositionSnapshot:  # Any: fields of different types
    values: dict[str, Any] = {
        "instrument": 0,
        "qty": 0,
        "entry_px": Decimal(500),
        "realized_pnl": Decimal(0),
        "seq": 1,
        "updated_ms": 1,
    }
    return PositionSnapshot(**(values | changes))


def denied_by(world: World, asker: Scripted, **changes: Any) -> str:
    """The rule that refuses the next intent, or "" when it passes."""
    before = dict(world.engine.stats.denied)
    asker.answers["book"] = [[want(**changes)]]
    world.wait(200)
    world.tick()
    new = {k: n for k, n in world.engine.stats.denied.items() if n != before.get(k, 0)}
    return next(iter(new), "")


# --- from outside ---


@pytest.mark.parametrize(
    ("policy", "state"),
    [("halt", TradingState.HALTED), ("reduce_only", TradingState.REDUCE_ONLY), ("adopt", None)],
)
def test_a_trade_by_hand_stops_its_symbol_as_configured(
    policy: str, state: TradingState | None
) -> None:
    strategy = Scripted()
    world = World([strategy], external_change=policy)
    world.tell(fill("x1", "", order_id="hand", qty=30))
    world.wait(2_000)
    world.engine.on_timer(world.now)
    stopped = world.engine.gate.stopped
    assert {s: stop.state for s, stop in stopped.items()} == ({"BTCUSDT": state} if state else {})
    refused = denied_by(world, strategy, side=Side.SELL, px=50_000, qty=30, reduce_only=True)
    assert refused == ("external_change" if policy == "halt" else "")
    assert denied_by(world, strategy, instrument=1) == "", "the other symbol goes on"

    flatten = world.engine.on_control(Control(ControlKind.FLATTEN), world.now)
    flatten += world.engine.on_timer(world.now)
    exits = [c for c in flatten if isinstance(c, PlaceOrder) and c.instrument == 0]
    assert len(exits) == (1 if policy == "halt" else 0), "a person may leave a halted symbol"
    world.engine.on_control(Control(ControlKind.RESUME), world.now)
    assert world.engine.gate.stopped == {}


def test_a_position_taken_over_stops_its_symbol_and_the_first_does_not() -> None:
    strategy = Scripted()
    world = World([strategy], reconciled=False)
    world.tell(snapshot(qty=70))
    world.engine.reconciled(world.now)
    assert world.engine.gate.stopped == {}, "what was there at the start is nobody's doing"

    world.tell(snapshot(qty=90, seq=2))
    for _ in range(3):
        world.wait(2_000)
        world.engine.on_timer(world.now)
        world.tell(snapshot(qty=90, seq=2))
        if world.engine.needs_reconcile:
            world.engine.reconciled(world.now)
    assert world.engine.position(0).qty == 90
    assert world.engine.gate.stopped["BTCUSDT"].why == "position 70 became 90"


def test_a_deposit_moves_the_start_of_the_day() -> None:
    world = World(balance=None)
    world.tell(WalletSnapshot(coin="USDT", balance=Decimal(1_000), equity=Decimal(1_000)))
    world.engine.on_timer(world.now)
    world.tell(WalletSnapshot(coin="USDT", balance=Decimal(1_500), equity=Decimal(1_500)))
    for _ in range(3):
        world.wait(2_000)
        world.engine.on_timer(world.now)
        world.tell(WalletSnapshot(coin="USDT", balance=Decimal(1_500), equity=Decimal(1_500)))
        if world.engine.needs_reconcile:
            world.engine.reconciled(world.now)
    assert world.portfolio.balance == 1_500
    assert world.engine.gate.day_equity == 1_500


def test_leverage_and_position_mode_changed_outside_halt_the_symbol() -> None:
    world = World([Scripted()])
    world.tell(snapshot(leverage=Decimal(10)), snapshot(leverage=Decimal(10), seq=2))
    assert world.engine.gate.stopped == {}
    world.tell(snapshot(leverage=Decimal(25), seq=3), snapshot(seq=4))
    stop = world.engine.gate.stopped["BTCUSDT"]
    assert (stop.state, stop.rule) == (TradingState.HALTED, "leverage_changed")
    assert "10 to 25" in stop.why
    world.tell(snapshot(instrument=1))
    world.tell(snapshot(instrument=1, position_idx=2))
    assert world.engine.gate.stopped["ETHUSDT"].rule == "position_mode"


def test_margin_counts_at_the_venues_leverage() -> None:
    strategy = Scripted()
    world = World([strategy], position_pct_max=900.0, exposure_pct_max=900.0, margin_use_pct_max=50)
    world.tell(snapshot(leverage=Decimal(2)))
    # Half of 100,000 at leverage 2 is 100,000 of notional, 199.96 at 500.10.
    assert denied_by(world, strategy, qty=199_970) == "margin"
    assert denied_by(world, strategy, qty=150_000) == ""
    world.tell(snapshot(instrument=1, leverage=Decimal(10)))
    # 75,015 of it are taken: 12,492.50 of margin are left, 124,925 of notional at leverage 10.
    assert denied_by(world, strategy, qty=249_900, instrument=1) == "margin"
    assert denied_by(world, strategy, qty=249_700, instrument=1) == ""


def test_the_venues_reduce_only_is_remembered() -> None:
    strategy = Scripted()
    world = World([strategy], reduce_only_codes=[110023])
    strategy.answers["book"] = [[want()]]
    (entry,) = world.tick()
    world.tell(OrderRejected(client_id=entry.client_id, code=110023, reason="only reduce"))
    assert world.engine.gate.stopped["BTCUSDT"].state is TradingState.REDUCE_ONLY
    assert denied_by(world, strategy) == "venue_reduce_only"


def test_an_order_of_our_making_that_nobody_knows_is_withdrawn() -> None:
    world = World([Scripted()], reconciled=False)
    row = row_of("maker-P1_abc-9", "New")
    cancel = CancelOrder(client_id="maker-P1_abc-9", instrument=0)
    assert world.tell(row) == [cancel]
    assert world.engine.gate.stopped == {}, "of a session before: it is withdrawn, no more"
    world.engine.reconciled(world.now)
    assert world.tell(row) == [cancel]
    assert world.engine.gate.stopped["BTCUSDT"].rule == "external_change"
    assert world.tell(row_of("by-hand", "New"), row_of("maker-P1_abc-9", "Filled")) == []
    assert world.engine.stats.strange_orders == 2


def test_a_fill_that_waits_for_its_order_is_an_alarm_and_no_stranger() -> None:
    world, _ = scripted(book=[[want()]])
    entry = world.enter()
    world.tell(fill("e1", "", order_id="v9"))
    world.wait(1_999)
    world.engine.on_timer(world.now)
    assert world.engine.stats.parked_overdue == 0
    world.wait(1)
    world.engine.on_timer(world.now)
    assert (world.engine.stats.parked_overdue, world.engine.stats.external_fills) == (1, 0)
    world.tell(row_of(entry.client_id, "Filled", order_id="v9", cum_qty=100))
    assert world.engine.position(0).working == 0


# --- drop copy ---


def test_what_the_venue_does_not_list_is_asked_for() -> None:
    world, _ = scripted(book=[[want(tif=TimeInForce.GTC)]])
    entry = world.enter()
    world.tell(row_of(entry.client_id, "New"))
    world.engine.drop_copied([], world.now)
    assert world.engine.on_timer(world.now) == [], "it may be younger than the list"
    world.wait(5_001)
    world.engine.drop_copied([entry.client_id], world.now)
    assert world.engine.on_timer(world.now) == []
    world.engine.drop_copied([], world.now)
    assert world.engine.on_timer(world.now) == [QueryOrder(client_id=entry.client_id, instrument=0)]
    assert world.engine.stats.drop_copies == 3
    world.engine.on_link(PRIVATE_LINK, False, world.now)
    world.engine.drop_copied([], world.now)
    assert world.engine.stats.drop_copies == 3


# --- budgets and limits of single symbols ---


def test_a_strategy_keeps_to_its_budget_over_its_symbols() -> None:
    strategy = Scripted()
    world = World([strategy], budgets={"scripted": Budget(exposure_pct_max=1)})
    # One per cent of 100,000: 1.999 at 500.10.
    assert denied_by(world, strategy, qty=2_000) == "strategy_exposure_pct_max"
    assert denied_by(world, strategy, qty=1_500) == ""
    assert denied_by(world, strategy, qty=500, instrument=1) == "strategy_exposure_pct_max"
    assert denied_by(world, strategy, qty=499, instrument=1) == ""


def test_a_strategy_that_lost_too_much_today_stops_and_another_goes_on() -> None:
    one, two = Scripted("one", ["BTCUSDT"]), Scripted("two", ["ETHUSDT"])
    world = World([one, two], budgets={"one": Budget(daily_loss_pct_max=0.001)})
    one.answers["book"] = [[want("one")]]
    (entry,) = world.tick()
    world.engine.on_timer(world.now)
    world.filled(entry, fee=Decimal("1.5"))
    world.wait(200)
    world.engine.on_timer(world.now)
    assert list(world.engine.gate.latches.strategies) == ["one"]
    assert denied_by(world, one, strategy="one", qty=50) == "strategy_daily_loss_pct_max"
    leaving = {"side": Side.SELL, "px": 50_000, "reduce_only": True}
    assert denied_by(world, one, strategy="one", qty=50, **leaving) == ""
    two.answers["book"] = [[want("two", instrument=1)]]
    assert len(world.tick(index=1)) == 1


def test_too_many_round_trips_stop_a_strategy() -> None:
    strategy = Scripted()
    world = World([strategy], round_trips_per_hour_max=2)
    for n in range(2):
        strategy.answers["book"] = [[want()]]
        (entry,) = world.tick()
        world.filled(entry, f"a{n}")
        world.wait(200)
        strategy.answers["book"] = [[want(side=Side.SELL, px=50_000, reduce_only=True)]]
        (leave,) = world.tick()
        world.filled(leave, f"b{n}")
        world.wait(200)
    assert denied_by(world, strategy) == "round_trips_per_hour_max"
    world.engine.on_control(Control(ControlKind.RESUME), world.now)
    assert denied_by(world, strategy) == ""


def test_limits_of_one_symbol() -> None:
    strategy = Scripted()
    world = World(
        [strategy],
        symbols={
            "BTCUSDT": SymbolLimits(
                order_qty_max=0.2, order_notional_max=75, position_notional_max=100
            ),
            "ETHUSDT": SymbolLimits(reduce_only=True),
        },
    )
    assert denied_by(world, strategy, qty=201) == "symbol_order_notional_max"
    assert denied_by(world, strategy, qty=150) == "symbol_order_notional_max"
    assert denied_by(world, strategy, qty=149) == ""
    world.tell(fill("x", "", order_id="o", qty=100))
    assert denied_by(world, strategy, qty=60) in ("symbol_position_notional_max",)
    assert denied_by(world, strategy, instrument=1) == "symbol_reduce_only"


def test_the_mark_price_is_a_collar_while_it_is_fresh() -> None:
    strategy = Scripted()
    world = World([strategy])
    world.engine.on_mark(0, 51_100, world.now)
    world.engine.on_mark(7, 51_100, world.now)  # nobody's
    assert denied_by(world, strategy) == "mark_collar_bps"
    world.wait(10_001)
    assert denied_by(world, strategy) == ""


# --- the last look ---


def test_what_nobody_approved_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    world, strategy = scripted(book=[[want()]])
    plan = world.engine.executor.plan

    def doubled(*args: Any, **kwargs: Any) -> Any:  # Any: as `plan`
        command = plan(*args, **kwargs)
        assert isinstance(command, PlaceOrder)
        return PlaceOrder(
            **{name: getattr(command, name) for name in PlaceOrder.__slots__ if name != "qty"},
            qty=2 * command.qty,
        )

    monkeypatch.setattr(world.engine.executor, "plan", doubled)
    assert world.tick() == []
    assert world.engine.stats.held_back == 1
    assert world.engine.gate.latched.startswith("egress: Buy 200 at 50010")
    assert denied_by(world, strategy) == "egress"
    assert "held_back" in world.kinds()


def test_an_amend_that_nobody_approved_does_not_leave_either() -> None:
    world, _ = scripted()
    amend = AmendOrder(client_id="x", instrument=0, px=1, qty=1)
    assert world.engine._desk.noted([amend], 0) == []
    assert world.engine.stats.held_back == 1


# --- bars, history, memory ---


class Bars(Scripted):
    """Notes its bars."""

    def __init__(self, source: BarSource) -> None:
        super().__init__()
        self.bar_ms, self.bar_source, self.warm_up_bars = 1_000, source, 5
        self.bars: list[Bar] = []
        self.history: list[Bar] = []
        self.kept: dict[str, Any] | None = None

    def on_bar(self, bar: Bar, book: Any, position: Any) -> Any:
        self.bars.append(bar)
        return self._next("bar")

    def warm_up(self, instrument: Any, bars: Any) -> None:
        self.history = list(bars)
        self._next("warm_up")

    def state(self) -> dict[str, Any] | None:
        return {"bars": len(self.bars)}

    def restore(self, state: Any) -> None:
        self.kept = {"bars": int(state["bars"])}


def test_bars_of_mids_come_before_the_book_that_closed_them() -> None:
    strategy = Bars(BarSource.MIDS)
    world = World([strategy])
    strategy.answers = {"bar": [[want()]], "book": [(), (), [want(px=50_000, qty=50)]]}
    for mid, ms in ((500.0, 0), (501.0, 400), (499.5, 700)):
        world.wait(ms)
        world.signals.set(0.0, 0.0, mid=mid)
        commands = world.engine.on_books([0], world.now)
    (bar,) = strategy.bars
    assert (bar.start_ms, bar.open, bar.high, bar.low, bar.close) == (
        1_700_000_000_000,
        *(500.0, 501.0, 500.0, 501.0),
    )
    assert (bar.count, bar.volume) == (2, 0.0)
    assert len(commands) == 1
    assert world.engine.stats.denied == {"entry_in_flight": 1}
    assert world.engine.stats.bars == 1


def test_bars_of_trades_come_before_the_trade() -> None:
    strategy = Bars(BarSource.TRADES)
    world = World([strategy])
    assert world.engine.listens_to_trades
    world.engine.on_trades([Trade(0, Side.BUY, 50_000, 500, 1_000, "a", 1)], world.now)
    strategy.answers = {"bar": [[want()]]}
    commands = world.engine.on_trades(
        [Trade(0, Side.BUY, 50_100, 200, 1_999, "b", 2), Trade(0, Side.SELL, 1, 1, 2_000, "c", 3)],
        world.now,
    )
    (bar,) = strategy.bars
    assert (bar.open, bar.close, bar.volume, bar.count) == (500.0, 501.0, 0.7, 2)
    assert len(commands) == 1


def test_history_is_asked_for_and_given_and_may_raise() -> None:
    strategy = Bars(BarSource.MIDS)
    world = World([strategy])
    wanted = world.engine.wanted_history()
    assert [(i.symbol, ms, n) for i, ms, n in wanted] == [
        ("BTCUSDT", 1_000, 5),
        ("ETHUSDT", 1_000, 5),
    ]
    bar = Bar(0, 0, 1.0, 1.0, 1.0, 1.0, 0.0, 1)
    assert world.engine.warm_up(0, [bar], world.now) == []
    assert strategy.history == [bar]
    strategy.answers = {"warm_up": [RuntimeError("boom")]}
    world.engine.warm_up(0, [], world.now)
    assert world.engine.disabled == {"scripted": "RuntimeError: boom"}
    assert world.engine.warm_up(0, [bar], world.now) == []
    assert world.engine.on_trades([Trade(0, Side.BUY, 1, 1, 1, "a", 1)], world.now) == []
    assert strategy.history == []


def test_what_is_remembered_comes_back_by_way_of_json() -> None:
    world = World([Bars(BarSource.MIDS)], rejections_in_a_row_max=1)
    world.engine.gate.on_venue_answer(rejected=True)
    world.portfolio.record("scripted").add(Decimal("1.5"))
    world.portfolio.record("scripted").add(Decimal(-1))
    kept = json.loads(json.dumps(world.engine.remembered()))

    strategy = Bars(BarSource.MIDS)
    again = World([strategy])
    again.engine.remember(kept)
    assert again.engine.gate.latched == "rejections_in_a_row_max: 1"
    assert again.state() is TradingState.REDUCE_ONLY
    record = again.portfolio.record("scripted")
    assert (record.total, record.trades, record.win_rate, record.payoff) == (2, 2, 0.5, 1.5)
    assert strategy.kept == {"bars": 0}
    assert again.engine.remembered() == kept


def test_what_cannot_be_read_is_no_start() -> None:
    world = World([Bars(BarSource.MIDS)])
    kept = world.engine.remembered()
    for spoilt in ({}, kept | {"version": 0}, kept | {"records": {"a": None}}):
        with pytest.raises(ConfigError, match="cannot be read"):
            World([Bars(BarSource.MIDS)]).engine.remember(spoilt)
    with pytest.raises(ConfigError, match="'scripted' cannot restore"):
        world.engine.remember(kept | {"strategies": {"scripted": {}}})
    world.engine.remember(kept | {"strategies": {"gone": {}}})


def test_a_strategy_that_cannot_say_its_state_is_said_and_left_out() -> None:
    class Mute(Scripted):
        def state(self) -> dict[str, Any] | None:
            raise RuntimeError("boom")

    world = World([Mute()])
    assert world.engine.remembered()["strategies"] == {}
    assert [r.value for r in world.journal.drain() if r.kind == "strategy_error"] == [
        ("scripted", "state: boom")
    ]
