"""Stops at the venue: asked for, shown, followed, and what if there are none to be had."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.support_decide import fill
from tests.support_engine import Scripted, World, want

from fastbook.engine import PRIVATE_LINK
from fastbook.errors import ConfigError
from fastbook.risk import ProtectionParams
from fastbook.types import (
    PlaceOrder,
    PositionSnapshot,
    SetStops,
    Side,
    StopsRejected,
    StopsSet,
    TimeInForce,
)


class Guarded(World):
    """A strategy with a stop at 1 % and a target at 2 %; the venue's lie at 1.5 times that."""

    def __init__(self, **params: Any) -> None:
        self.strategy = Scripted()
        self.strategy.stop_loss_pct, self.strategy.take_profit_pct = 1.0, 2.0
        super().__init__([self.strategy], protection=ProtectionParams(**params))
        self.seq = 0

    def enter(self, side: Side = Side.BUY, **changes: Any) -> PlaceOrder:
        px = 50_010 if side is Side.BUY else 50_000
        self.strategy.answers["book"] = [[want(side=side, px=px, **changes)]]
        (command,) = self.tick()
        assert isinstance(command, PlaceOrder)
        return command

    def hold(self, side: Side = Side.BUY) -> None:
        self.filled(self.enter(side), px=50_000)

    def timer(self, wait_ms: int = 50) -> list[Any]:  # Any: every kind of command
        self.wait(wait_ms)
        return self.engine.on_timer(self.now)

    def shows(self, loss: int, profit: int = 0, qty: int = 100) -> None:
        self.seq += 1
        self.tell(
            PositionSnapshot(
                instrument=0,
                qty=qty,
                entry_px=Decimal(500),
                realized_pnl=Decimal(0),
                seq=self.seq,
                updated_ms=1,
                stop_loss_px=loss,
                take_profit_px=profit,
            )
        )


def test_an_entry_carries_its_stops_on_the_grid() -> None:
    world = Guarded()
    entry = world.enter()
    # 500.10 less 1.5 % is 492.5985, more 3 % is 515.103: up to the next tick of 0.10.
    assert (entry.stop_loss_px, entry.take_profit_px) == (49_260, 51_520)
    world.filled(entry)
    other = Guarded().enter(Side.SELL)
    # 500.00 more 1.5 % is 507.5, less 3 % is 485.
    assert (other.stop_loss_px, other.take_profit_px) == (50_750, 48_500)


def test_quotes_exits_and_orders_with_stops_of_their_own_are_left_alone() -> None:
    world = Guarded()
    own = world.enter(stop_loss_px=49_000)
    assert (own.stop_loss_px, own.take_profit_px) == (49_000, 0)
    world.filled(own)
    world.wait(200)
    leave = world.enter(Side.SELL, reduce_only=True)
    assert leave.stop_loss_px == 0
    world = Guarded()
    quoted = world.enter(tif=TimeInForce.POST_ONLY)
    assert quoted.stop_loss_px == 0


def test_stops_are_asked_for_until_the_venue_shows_them() -> None:
    world = Guarded()
    world.hold()
    wanted = SetStops(instrument=0, stop_loss_px=49_250, take_profit_px=51_500)
    assert world.timer() == [wanted]
    assert world.timer() == []
    assert world.engine.protection.unprotected() == [0]
    assert world.timer(1_000) == [wanted]
    world.tell(StopsSet(instrument=0, stop_loss_px=49_250, take_profit_px=51_500))
    assert world.timer(4_900) == [], "taken; the row may take its time"
    assert world.timer(200) == [wanted], "but not for ever"
    world.shows(49_250, 51_500)
    assert world.timer(5_000) == []
    assert world.engine.protection.unprotected() == []
    world.shows(0)  # somebody took it away
    assert world.timer() == [wanted]


def test_stops_follow_the_entry_price_when_it_moves_enough() -> None:
    world = Guarded()
    world.hold()
    world.timer()
    world.shows(49_250, 51_500)
    assert world.timer() == []
    # A tenth of the 7.50 to the stop is 0.75: an entry at 500.50 is not worth a request ...
    world.tell(fill("e2", "", order_id="x", px=50_100, qty=100))
    assert world.timer() == []
    # ... and one at 501.00 is.
    world.tell(fill("e3", "", order_id="x", px=50_200, qty=100))
    (follow,) = world.timer()
    assert isinstance(follow, SetStops)
    assert (follow.stop_loss_px, follow.take_profit_px) == (49_350, 51_610)


def test_a_turned_position_gets_stops_on_the_other_side() -> None:
    world = Guarded()
    world.hold()
    world.timer()
    world.shows(49_250, 51_500)
    world.tell(fill("e2", "", order_id="x", side=Side.SELL, px=50_000, qty=300))
    (command,) = world.timer()
    assert command == SetStops(instrument=0, stop_loss_px=50_750, take_profit_px=48_500)


def test_a_position_that_gets_no_stop_is_left() -> None:
    world = Guarded(attempts_max=2)
    world.hold()
    for _ in range(2):
        assert isinstance(world.timer(1_000)[0], SetStops)
        world.tell(StopsRejected(instrument=0, code=10001, reason="no"))
    (leave,) = world.timer(1_000)
    assert isinstance(leave, PlaceOrder)
    assert (leave.side, leave.qty, leave.reduce_only) == (Side.SELL, 100, True)
    assert world.timer(1_000) == [], "it is on its way"
    world.filled(leave, "e9")
    assert world.timer(1_000) == []
    assert (world.engine.stats.unprotected, world.engine.stats.stops_rejected) == (1, 2)
    assert "unprotected" in world.kinds()


def test_without_the_private_link_it_asks_and_does_not_leave() -> None:
    world = Guarded(attempts_max=1)
    world.hold()
    assert len(world.timer()) == 1
    world.engine.on_link(PRIVATE_LINK, False, world.now)
    for _ in range(4):
        assert all(isinstance(c, SetStops) for c in world.timer(1_000))
    assert world.engine.stats.unprotected == 0


@pytest.mark.parametrize("off", ["switch", "no stop"])
def test_off_means_none(off: str) -> None:
    world = Guarded(enabled=False) if off == "switch" else Guarded(stop_loss_pct=0)
    if off == "no stop":
        world.strategy.stop_loss_pct = 0.0
    assert world.enter().stop_loss_px == 0
    world.tell(fill("e1", "", order_id="x"))
    assert world.timer() == []


def test_a_strategy_without_a_stop_gets_the_general_one() -> None:
    world = Guarded(stop_loss_pct=4)
    world.strategy.stop_loss_pct = world.strategy.take_profit_pct = 0.0
    entry = world.enter()
    assert (entry.stop_loss_px, entry.take_profit_px) == (48_010, 0)


def test_a_stop_of_ours_that_trades_is_nobody_elses_doing() -> None:
    world = Guarded()
    world.hold()
    world.tell(
        fill("s1", "", order_id="stop", side=Side.SELL, px=49_250, created_by="CreateByStopLoss")
    )
    world.timer(3_000)
    stats = world.engine.stats
    assert (stats.stopped_out, stats.external_fills, stats.fills) == (1, 0, 2)
    assert world.engine.gate.stopped == {}
    assert world.portfolio.record("scripted").total == 1
    assert world.strategy.fills[-1] == ("s1", 0)
    assert world.portfolio.stops(0) == (0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slack", 0.5),
        ("slack", float("nan")),
        ("stop_loss_pct", 100),
        ("attempts_max", 0),
        ("repeat_ms", True),
        ("move_share", -0.1),
    ],
)
def test_bad_parameters_are_named(name: str, value: Any) -> None:  # Any: wrong on purpose
    with pytest.raises(ConfigError, match=name):
        ProtectionParams(**{name: value})
