"""Quotes: what a strategy wants to rest becomes orders, amends and cancels."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support_decide import SECOND, row_of
from tests.support_engine import Scripted, World

from fastbook.core.states import BookState
from fastbook.risk import Health
from fastbook.types import (
    AmendOrder,
    AmendRejected,
    CancelOrder,
    Control,
    ControlKind,
    PlaceOrder,
    Quote,
    Side,
    TimeInForce,
)


def quote(px: int = 49_990, qty: int = 100, side: Side = Side.BUY, **changes: Any) -> Quote:
    values: dict[str, Any] = {"instrument": 0, "strategy": "scripted", "reason": "quote"}
    return Quote(side=side, px=px, qty=qty, **(values | changes))


class Quoting(World):
    """One strategy that quotes what it is told to."""

    def __init__(self, **limit: Any) -> None:
        self.strategy = Scripted()
        super().__init__([self.strategy], **limit)

    def quote(self, *quotes: Quote) -> list[Any]:  # Any: every kind of command
        self.strategy.answers["book"] = [list(quotes)]
        self.wait(200)
        return self.tick()

    def rest(self, **changes: Any) -> PlaceOrder:
        (command,) = self.quote(quote(**changes))
        assert isinstance(command, PlaceOrder)
        self.tell(row_of(command.client_id, "New", px=command.px, qty=command.qty))
        return command


def test_a_quote_is_placed_once_amended_in_place_and_withdrawn() -> None:
    world = Quoting()
    placed = world.rest()
    assert (placed.tif, placed.px, placed.qty) == (TimeInForce.POST_ONLY, 49_990, 100)
    assert world.quote(quote()) == [], "it stands as wanted"

    (amend,) = world.quote(quote(px=49_980, qty=150))
    assert amend == AmendOrder(client_id=placed.client_id, instrument=0, px=49_980, qty=150)
    assert world.quote(quote(px=49_970)) == [], "one amend at a time"
    world.tell(row_of(placed.client_id, "New", px=49_980, qty=150, updated_ms=2))
    assert len(world.quote(quote(px=49_970))) == 1
    world.tell(AmendRejected(client_id=placed.client_id, code=110001, reason="no"))

    (cancel,) = world.quote(quote(qty=0))
    assert cancel == CancelOrder(client_id=placed.client_id, instrument=0)
    assert world.quote(quote()) == [], "it is on its way out"
    world.tell(row_of(placed.client_id, "Cancelled", updated_ms=3))
    assert len(world.quote(quote())) == 1
    assert world.engine.stats.amends == 2


def test_both_sides_rest_and_an_entry_beside_them_waits() -> None:
    world = Quoting()
    both = world.quote(quote(), quote(px=50_020, side=Side.SELL))
    assert [c.side for c in both] == [Side.BUY, Side.SELL]
    assert world.quote(quote(qty=0), quote(px=50_020, qty=0, side=Side.SELL)) == [
        CancelOrder(client_id=c.client_id, instrument=0) for c in both
    ]


def test_a_quote_that_has_partly_traded_keeps_what_it_has() -> None:
    world = Quoting()
    placed = world.rest()
    world.filled(placed, qty=40)
    world.tell(row_of(placed.client_id, "PartiallyFilled", px=49_990, cum_qty=40, updated_ms=2))
    assert world.quote(quote(qty=60)) == []
    (amend,) = world.quote(quote(qty=100))
    assert amend.qty == 140


def test_an_amend_that_may_not_be_takes_the_order_away() -> None:
    world = Quoting()
    placed = world.rest()
    assert world.quote(quote(qty=25_000)) == [CancelOrder(client_id=placed.client_id, instrument=0)]
    assert world.engine.stats.denied == {"position_pct_max": 1}


def test_only_the_rate_in_the_way_lets_a_safer_order_stay() -> None:
    world = Quoting(orders_per_minute_max=1)
    placed = world.rest()
    assert world.quote(quote(px=50_000)) == [], "it waits lower than wanted: no harm"
    assert world.quote(quote(px=49_980)) == [CancelOrder(client_id=placed.client_id, instrument=0)]
    assert world.engine.stats.denied == {"orders_per_minute_max": 2}


def test_an_amend_counts_at_the_dearer_price_until_it_is_told() -> None:
    # One per cent of 100,000 is 1,000: 2.0 at 499.90 hardly fit, 2.0 at 500.20 do not.
    world = Quoting(position_pct_max=1.0)
    world.rest(qty=1_999)
    assert len(world.quote(quote(px=49_890, qty=1_999))) == 1
    assert world.orders.working(0)[0].reserved == 1_999
    assert world.orders.working(0)[0].px_max == 49_990


@pytest.mark.parametrize("why", ["stale", "unsynced", "paused", "lag", "clock", "symbol"])
def test_quotes_are_pulled_when_nobody_can_look_after_them(why: str) -> None:
    world = Quoting()
    placed = world.rest()
    assert world.engine.on_timer(world.now) == []
    if why == "stale":
        world.now += 3 * SECOND
    elif why == "unsynced":
        world.books[0].state = BookState.UNSYNCED
    elif why == "paused":
        world.engine.on_control(Control(ControlKind.PAUSE), world.now)
    elif why == "lag":
        world.engine.on_health(Health(loop_lag_ms=251), world.now)
    elif why == "clock":
        world.engine.on_health(Health(clock_uncertainty_ms=float("nan")), world.now)
    else:
        world.engine.gate.latches.stop_symbol("BTCUSDT", world.state(), "r", "why 1")
    assert world.engine.on_timer(world.now) == [
        CancelOrder(client_id=placed.client_id, instrument=0)
    ]
    assert world.engine.on_timer(world.now) == []
    assert world.engine.stats.quotes_pulled == 1


def test_health_is_told_when_it_changes_and_stops_entries_only_then() -> None:
    world = Quoting()
    for lag in (0, 300, 400, 10):
        world.engine.on_health(Health(loop_lag_ms=lag), world.now)
        commands = world.quote(quote(px=49_000 if lag > 250 else 49_990))
        assert bool(commands) is (lag == 0)
    said = [r.value for r in world.journal.drain() if r.kind == "health"]
    assert said == ["loop_lag_ms_max: our timers were 300 ms late, limit 250", "well"]


def test_a_strategy_answers_with_intents_and_quotes_only() -> None:
    world = Quoting()
    assert world.quote(quote(px=49_990.0)) == []  # type: ignore[arg-type]  # wrong on purpose
    assert list(world.engine.disabled) == ["scripted"]
