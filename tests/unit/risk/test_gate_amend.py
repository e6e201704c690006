"""Amends before the gate, and the last look at what leaves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support_decide import INSTRUMENT, SECOND, FakeBook, instrument, intent, limits

from fastbook.core.states import BookState
from fastbook.risk import AccountView, Budget, Health, RiskGate, SymbolLimits
from fastbook.risk.egress import IDS_MAX, Egress
from fastbook.types import (
    AmendIntent,
    AmendOrder,
    Approved,
    Instrument,
    PlaceOrder,
    Refused,
    Side,
    TradingState,
)

NOW = 50 * SECOND
FLAT = AccountView(equity=Decimal(100_000))


def amend(**changes: Any) -> AmendIntent:  # Any: fields of different types
    values: dict[str, Any] = {
        "client_id": "a-n1-1",
        "instrument": 0,
        "side": Side.BUY,
        "px": 50_000,
        "qty": 100,
        "strategy": "maker",
        "reason": "test",
    }
    return AmendIntent(**(values | changes))


def ask(
    gate: RiskGate,
    wanted: AmendIntent,
    *,
    held_qty: int = 100,
    held_px: int = 50_000,
    account: AccountView = FLAT,
    unit: Instrument = INSTRUMENT,
    state: TradingState = TradingState.ACTIVE,
    now_ns: int = NOW,
    **book: Any,  # Any: fields of different types
) -> Approved[AmendIntent] | Refused[AmendIntent]:
    return gate.check_amend(
        wanted,
        held_qty=held_qty,
        held_px=held_px,
        instrument=unit,
        book=FakeBook(**({"recv_ns": now_ns} | book)),
        account=account,
        state=state,
        now_ns=now_ns,
        wall_ns=now_ns,
    )


def rule(decision: Approved[AmendIntent] | Refused[AmendIntent]) -> str:
    return decision.rule if isinstance(decision, Refused) else "approved"


def test_an_amend_is_put_on_the_grid_the_careful_way() -> None:
    unit = instrument(lot=7)
    bought = ask(RiskGate(limits()), amend(px=50_009, qty=100), unit=unit)
    sold = ask(RiskGate(limits()), amend(px=50_021, side=Side.SELL), held_px=50_030)
    assert isinstance(bought, Approved)
    assert isinstance(sold, Approved)
    assert (bought.item.px, bought.item.qty) == (50_000, 98)
    assert sold.item.px == 50_030


@pytest.mark.parametrize(
    ("expected", "wanted", "more"),
    [
        ("instrument", amend(instrument=1), {}),
        ("not_trading", amend(), {"unit": instrument(trading=False)}),
        ("book_not_synced", amend(), {"state_": BookState.STALE}),
        ("book_stale", amend(), {"recv_ns": NOW - 2 * SECOND - 1}),
        ("no_reference", amend(), {"best_ask_px": 0}),
        ("tick", amend(px=3), {}),
        ("price_collar_bps", amend(px=49_000), {}),
        ("mark_collar_bps", amend(), {"account": replace(FLAT, mark_px=52_000)}),
        ("self_trade", amend(), {"account": replace(FLAT, own_ask_min=50_000)}),
        ("qty_max", amend(qty=1_000_001), {}),
        ("qty_max", amend(qty=-1), {}),
        ("qty_min", amend(qty=0), {}),
        ("notional_min", amend(qty=9), {}),
        ("equity", amend(), {"account": AccountView(equity=None)}),
        ("equity", amend(), {"account": AccountView(equity=Decimal(-1))}),
        # 10 % of 100,000 at the ask of 500.10 is 19.996, whichever of old and new is more.
        ("position_pct_max", amend(qty=19_997), {}),
        ("approved", amend(qty=19_996), {}),
        ("position_pct_max", amend(), {"held_qty": 19_997}),
        ("approved", amend(), {"held_qty": 19_996}),
        ("position_pct_max", amend(qty=19_996), {"held_px": 50_020}),
        ("position_pct_max", amend(qty=19_996), {"account": replace(FLAT, working_px_max=50_020)}),
        ("position_pct_max", amend(qty=19_996), {"account": replace(FLAT, working_buy=1)}),
        ("trading_state", amend(), {"state": TradingState.HALTED}),
        ("trading_state", amend(), {"state": TradingState.REDUCE_ONLY}),
        ("trading_state", amend(), {"state": TradingState.RECONCILING}),
    ],
)
def test_refusal_of_an_amend_names_the_rule(
    expected: str, wanted: AmendIntent, more: dict[str, Any]
) -> None:
    more = dict(more)
    gate = RiskGate(limits())
    if "state_" in more:
        book_state = more.pop("state_")
        decision = gate.check_amend(
            wanted,
            held_qty=1,
            held_px=1,
            instrument=INSTRUMENT,
            book=FakeBook(recv_ns=NOW, state=book_state),
            account=FLAT,
            state=TradingState.ACTIVE,
            now_ns=NOW,
            wall_ns=NOW,
        )
    else:
        decision = ask(gate, wanted, **more)
    assert rule(decision) == expected
    if isinstance(decision, Refused):
        assert decision.item is wanted
        assert decision.detail


def test_what_is_stopped_short_of_the_account_stops_amends_too() -> None:
    gate = RiskGate(limits(), symbols={"BTCUSDT": SymbolLimits(reduce_only=True)})
    assert rule(ask(gate, amend())) == "symbol_reduce_only"
    gate = RiskGate(limits(), budgets={"maker": Budget(exposure_pct_max=0.04)})
    assert rule(ask(gate, amend())) == "strategy_exposure_pct_max"
    assert rule(ask(gate, amend(strategy="other"))) == "approved"
    gate.latches.stop_symbol("BTCUSDT", TradingState.REDUCE_ONLY, "some_rule", "why")
    assert rule(ask(gate, amend(strategy="other"))) == "some_rule"
    gate.rearm()
    gate.latches.stop_strategy("maker", "its_rule", "why")
    assert rule(ask(gate, amend())) == "its_rule"
    gate.rearm()
    gate.health = Health(loop_lag_ms=999)
    assert rule(ask(gate, amend())) == "loop_lag_ms_max"
    gate.health = Health()
    gate.latches.latch("account_rule", "why")
    assert rule(ask(gate, amend())) == "account_rule"


def test_amends_spend_the_rates_of_orders_and_are_no_entries() -> None:
    gate = RiskGate(limits(entries_per_minute_max=1, duplicate_window_ms=60_000))
    for _ in range(8):
        assert rule(ask(gate, amend())) == "approved"
    assert rule(ask(gate, amend())) == "orders_per_second_max"
    assert (gate.pace.day_orders, gate.pace.day_messages) == (0, 8)
    gate = RiskGate(limits(orders_per_minute_max=1))
    assert rule(ask(gate, amend())) == "approved"
    assert rule(ask(gate, amend())) == "orders_per_minute_max"
    gate = RiskGate(limits(messages_per_day_max=1))
    assert rule(ask(gate, amend())) == "approved"
    assert rule(ask(gate, amend())) == "messages_per_day_max"


# --- the last look ---


def place(client_id: str = "c1", **changes: Any) -> PlaceOrder:
    order = intent(**changes)
    return PlaceOrder(
        client_id=client_id,
        instrument=order.instrument,
        side=order.side,
        px=order.px,
        qty=order.qty,
        order_type=order.order_type,
        tif=order.tif,
        reduce_only=order.reduce_only,
        stop_loss_px=order.stop_loss_px,
        take_profit_px=order.take_profit_px,
    )


def test_each_approval_is_good_for_one_order_of_exactly_its_terms() -> None:
    egress = Egress()
    egress.expect(intent())
    assert egress.objection(place(qty=101)) == "Buy 101 at 50010 that nobody approved"
    for changes in (
        {"px": 50_020},
        {"side": Side.SELL},
        {"reduce_only": True},
        {"instrument": 1},
        {"stop_loss_px": 1},
        {"take_profit_px": 1},
    ):
        assert egress.objection(place(**changes))
    assert egress.objection(place()) == ""
    assert egress.objection(place("c2")), "it was used"
    assert (egress.approved_qty, egress.sent_qty) == (100, 100)


def test_a_name_is_used_once() -> None:
    egress = Egress()
    egress.expect(intent())
    egress.expect(intent())
    assert egress.objection(place()) == ""
    assert egress.objection(place()) == "client id c1 was used before"
    assert egress.objection(place("c2")) == ""


def test_what_is_taken_back_is_good_for_nothing() -> None:
    egress = Egress()
    egress.expect(intent())
    egress.expect(amend())
    egress.take_back(intent())
    egress.take_back(amend())
    egress.take_back(intent(qty=7))  # nobody approved that
    assert egress.approved_qty == 0
    assert egress.objection(place())
    assert egress.objection(AmendOrder(client_id="a-n1-1", instrument=0, px=50_000, qty=100))


def test_an_amend_passes_once_and_as_approved() -> None:
    gate = RiskGate(limits())
    assert isinstance(ask(gate, amend()), Approved)
    good = AmendOrder(client_id="a-n1-1", instrument=0, px=50_000, qty=100)
    assert gate.lets_out(good) == ""
    assert gate.latched == ""
    assert "nobody approved" in gate.lets_out(good)
    assert gate.latched.startswith("egress: amend ('a-n1-1', 50000, 100)")


def test_names_are_remembered_within_bounds() -> None:
    assert IDS_MAX == 65_536, "as the limits in ARCHITECTURE.md say"
    egress = Egress()
    for n in range(IDS_MAX + 1):
        egress.expect(intent())
        assert egress.objection(place(f"c{n}")) == ""
    egress.expect(intent())
    assert egress.objection(place("c1")), "the second oldest is not forgotten yet"
    assert egress.objection(place(f"c{IDS_MAX}"))
    assert egress.objection(place("c0")) == "", "the oldest is"


def test_approvals_that_nobody_uses_lapse() -> None:
    egress = Egress()
    for n in range(257):
        egress.expect(intent(qty=1_000 + n))
    assert egress.objection(place(qty=1_000)), "the oldest of 257"
    assert egress.objection(place(qty=1_001)) == ""
