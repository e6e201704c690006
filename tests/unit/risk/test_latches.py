"""What falls and stays down, and what a restart remembers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.support_decide import SECOND, limits

from fastbook.errors import ConfigError
from fastbook.risk import Budget, RiskGate
from fastbook.risk.latches import Latches
from fastbook.types import TradingState

DAY = 86_400 * SECOND


def latches(**changes: Any) -> Latches:  # Any: fields of different types
    return Latches(limits(**changes))


def test_draw_down_counts_from_the_peak_and_over_days() -> None:
    gate = RiskGate(limits(drawdown_pct_max=10, daily_loss_pct_max=50))
    assert not gate.on_equity(Decimal(1_000), DAY)
    assert not gate.on_equity(Decimal(1_200), DAY)
    assert not gate.on_equity(Decimal("1080.01"), 3 * DAY)
    assert gate.on_equity(Decimal(1_080), 3 * DAY)
    assert gate.latched == "drawdown_pct_max: 120 below the peak of 1200"
    assert not gate.on_equity(Decimal(500), 4 * DAY), "it has fallen already"

    gate.rearm(Decimal(1_080))
    assert not gate.on_equity(Decimal(1_000), 4 * DAY)
    assert gate.on_equity(Decimal(972), 4 * DAY)


def test_without_a_limit_there_is_no_draw_down() -> None:
    held = latches(daily_loss_pct_max=100)
    assert not held.on_equity(Decimal(1_000))
    assert not held.on_equity(Decimal(1))


@pytest.mark.parametrize("start", [0, -5])
def test_nothing_latches_on_a_start_of_nothing(start: int) -> None:
    held = latches(drawdown_pct_max=1)
    assert not held.on_equity(Decimal(start))
    assert not held.on_equity(Decimal(start - 10))


def test_money_from_outside_hides_no_loss_and_money_taken_counts_as_one() -> None:
    held = latches(daily_loss_pct_max=10, drawdown_pct_max=50)
    held.on_deposit(Decimal(7))  # nothing known yet: nothing to move
    held.on_equity(Decimal(1_000))
    held.on_deposit(Decimal(500))
    assert held.day_equity == 1_500
    assert held.peak_equity == 1_500
    held.on_deposit(Decimal(-400))
    assert held.day_equity == 1_500
    assert held.on_equity(Decimal(1_350))


def test_a_strategy_is_stopped_by_its_own_loss_of_the_day() -> None:
    gate = RiskGate(limits(), budgets={"a": Budget(daily_loss_pct_max=1)})
    equity = Decimal(100_000)

    def result(total: int, day: int = 1) -> bool:
        return gate.on_strategy_result("a", Decimal(total), equity, day * DAY)

    assert not result(-5_000), "whatever it lost before counts from here"
    assert not result(-5_999)
    assert not result(-4_000)
    assert result(-6_000)
    assert gate.latches.strategies == {"a": "strategy_daily_loss_pct_max: lost 1000 today"}
    assert not result(-9_000), "it has fallen already"
    assert not gate.on_strategy_result("b", Decimal(-10_000), equity, DAY), "no budget, no limit"

    gate.rearm(equity)
    assert not result(-9_000, day=2)
    assert not result(-9_999, day=2)
    assert not result(-9_999, day=3)
    assert not result(-10_998, day=3)
    assert result(-10_999, day=3)


def test_a_restart_goes_on_with_the_loss_of_the_day() -> None:
    budgets = {"a": Budget(daily_loss_pct_max=1)}
    gate = RiskGate(limits(), budgets=budgets)
    gate.on_strategy_result("a", Decimal(0), Decimal(100_000), DAY)
    gate.on_strategy_result("a", Decimal(-600), Decimal(100_000), DAY)

    again = RiskGate(limits(), budgets=budgets)
    again.restore(json.loads(json.dumps(gate.state())))
    assert not again.on_strategy_result("a", Decimal(0), Decimal(100_000), DAY)
    assert again.on_strategy_result("a", Decimal(-400), Decimal(100_000), DAY)


def test_no_loss_at_no_equity_stops_nobody() -> None:
    gate = RiskGate(limits(), budgets={"a": Budget(daily_loss_pct_max=1)})
    assert not gate.on_strategy_result("a", Decimal(0), Decimal(0), DAY)
    assert not gate.on_strategy_result("a", Decimal(5), Decimal(0), DAY)


def test_stopping_a_symbol_never_softens() -> None:
    held = latches()
    assert held.stop_symbol("X", TradingState.REDUCE_ONLY, "r", "a")
    assert not held.stop_symbol("X", TradingState.REDUCE_ONLY, "r", "b")
    assert held.stop_symbol("X", TradingState.HALTED, "h", "c")
    assert not held.stop_symbol("X", TradingState.REDUCE_ONLY, "r", "d")
    assert held.symbols["X"].rule == "h"
    held.latch("egress", "one")
    held.latch("egress", "two")
    assert held.account == "egress: one"
    held.rearm(None)
    assert held.symbols == {}
    assert held.account == ""
    assert held.day_equity is None


def test_everything_survives_a_restart_by_way_of_json() -> None:
    gate = RiskGate(
        limits(
            orders_per_minute_max=9,
            entries_per_minute_max=3,
            round_trips_per_hour_max=2,
            rejections_in_a_row_max=5,
        )
    )
    gate.on_equity(Decimal("1000.5"), DAY)
    gate.on_venue_answer(rejected=True)
    gate.latches.stop_symbol("X", TradingState.HALTED, "external_change", "by hand")
    gate.latches.latch("daily_loss_pct_max", "lost 1")
    gate.on_round_trip("a", 5 * SECOND)
    assert gate.on_round_trip("a", 6 * SECOND)
    assert not gate.on_round_trip("a", 7 * SECOND), "it is stopped already"
    gate.pace.note_message(SECOND)
    gate.pace.note_cancel()
    kept = json.loads(json.dumps(gate.state()))

    again = RiskGate(gate.limits)
    again.restore(kept)
    assert again.state() == kept
    assert again.latched == gate.latched
    assert again.stopped == gate.stopped
    assert again.latches.strategies == {"a": "round_trips_per_hour_max: 2 within an hour"}


def test_a_restart_with_other_limits_keeps_what_they_can_hold() -> None:
    gate = RiskGate(limits(entries_per_minute_max=3, round_trips_per_hour_max=2))
    gate.on_round_trip("a", SECOND)
    off = RiskGate(limits(entries_per_minute_max=None))
    off.restore(gate.state())
    assert off.state()["pace"]["round_trips"] == {}
    assert off.state()["pace"]["entries"] == {}


@pytest.mark.parametrize("spoil", ["version", "latches", "pace", "day", "equity"])
def test_a_state_that_cannot_be_read_is_refused(spoil: str) -> None:
    kept = RiskGate(limits()).state()
    if spoil == "version":
        kept["version"] = 99
    elif spoil == "day":
        kept["latches"]["day"] = "x"
    elif spoil == "equity":
        kept["latches"]["day_equity"] = "much"
    else:
        kept[spoil] = None
    with pytest.raises(ConfigError, match="cannot be read"):
        RiskGate(limits()).restore(kept)


def test_news_are_told_by_the_revision() -> None:
    gate = RiskGate(limits())
    seen = [gate.revision]
    gate.on_equity(Decimal(1_000), DAY)
    seen.append(gate.revision)
    gate.on_equity(Decimal("1000.05"), DAY)  # a new peak, by half a basis point
    assert gate.revision == seen[-1]
    gate.on_equity(Decimal(1_001), DAY)
    seen.append(gate.revision)
    gate.on_venue_answer(rejected=True)
    seen.append(gate.revision)
    gate.pace.note_cancel()
    seen.append(gate.revision)
    assert seen == sorted(set(seen))


def test_the_first_day_is_seen_as_new_whichever_it_is() -> None:
    held = latches()
    assert held.roll_day(0), "1970 is a day too"
    assert not held.roll_day(DAY - 1)
