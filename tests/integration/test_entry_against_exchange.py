"""Orders by socket and by REST against the bundled exchange, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.integration.entry_harness import World, play

from fastbook.execution import Portfolio
from fastbook.runtime.bybit.gateway import NO_NEW_RISK
from fastbook.types import (
    AmendOrder,
    AmendRejected,
    CancelAll,
    CancelOrder,
    CancelRejected,
    Category,
    Execution,
    OrderAccepted,
    OrderRejected,
    OrderType,
    OrderUnknown,
    OrderUpdate,
    PositionSnapshot,
    QueryOrder,
    SetStops,
    Side,
    StopsRejected,
    StopsSet,
    TimeInForce,
)


async def resting(world: World, *client_ids: str) -> None:
    world.gateway.send([world.place(client_id) for client_id in client_ids])
    await world.heard.until(lambda: all("New" in world.heard.statuses(c) for c in client_ids))


async def idle(world: World) -> None:
    while not world.gateway.cancels.idle:  # noqa: ASYNC110  # tells nobody; the deadline is play's
        await asyncio.sleep(0.005)


def test_orders_go_by_socket() -> None:
    async def story(world: World) -> None:
        heard, px = world.heard, world.low[0] - 10 * world.instruments[0].tick
        await resting(world, "a")
        world.gateway.send([AmendOrder(client_id="a", instrument=0, px=px, qty=2 * world.qty[0])])
        await heard.until(
            lambda: any((u.px, u.qty) == (px, 2 * world.qty[0]) for u in heard.of(OrderUpdate))
        )
        world.gateway.send([CancelOrder(client_id="a", instrument=0)])
        await heard.until(lambda: "Cancelled" in heard.statuses("a"))
        world.gateway.send([CancelOrder(client_id="a", instrument=0)])
        await heard.until(lambda: heard.of(CancelRejected))
        assert heard.of(CancelRejected)[0].code == 110001
        world.gateway.send([AmendOrder(client_id="a", instrument=0, px=px, qty=world.qty[0])])
        await heard.until(lambda: heard.of(AmendRejected))
        assert heard.ids(OrderAccepted) == ["a"]
        # Taken or refused by the venue; a refusal is no answer of the entry's.
        assert (world.gateway.entry.by_socket, world.gateway.entry.by_rest) == (3, 0)

    play(story)


def test_batches_go_by_socket_and_end_each_by_itself() -> None:
    async def story(world: World) -> None:
        heard, ids = world.heard, [f"b-{i}" for i in range(12)]
        huge = world.instruments[0].qty_max * 1000
        world.gateway.send(
            [*(world.place(client_id) for client_id in ids), world.place("huge", qty=huge)]
        )
        await heard.until(lambda: len(heard.ids(OrderAccepted)) == 12 and heard.of(OrderRejected))
        assert heard.ids(OrderRejected) == ["huge"]
        assert await world.open_ids() == sorted(ids)
        world.gateway.send([CancelOrder(client_id=i, instrument=0) for i in [*ids, "nobody"]])
        await heard.until(lambda: all("Cancelled" in heard.statuses(i) for i in ids))
        await heard.until(lambda: heard.ids(CancelRejected) == ["nobody"])
        assert world.gateway.entry.by_socket == 4
        assert world.gateway.stats.batches == 2

    play(story)


@pytest.mark.parametrize("fault", ["cut", "lost_answer"])
def test_orders_under_way_when_the_socket_dies_are_asked_for(fault: str) -> None:
    async def story(world: World) -> None:
        heard = world.heard
        if fault == "cut":
            await world.fault(kind="slow_orders", ms=10_000, way="out")
        else:
            await world.fault(kind="lost_answer")
        world.gateway.send([world.place("a")])
        await heard.until(lambda: "New" in heard.statuses("a"))
        if fault == "cut":
            await world.fault(kind="cut", stream="trade")
        await heard.until(lambda: heard.of(OrderUnknown))
        assert heard.ids(OrderRejected) == []
        seen = len(heard.statuses("a"))
        world.gateway.send([QueryOrder(client_id="a", instrument=0)])
        await heard.until(lambda: len(heard.statuses("a")) > seen)
        assert await world.open_ids() == ["a"]

    play(story)


def test_frozen_socket_gives_up_and_rest_takes_over() -> None:
    async def story(world: World) -> None:
        heard = world.heard
        await world.fault(kind="freeze", stream="trade")
        await world.fault(kind="refuse_upgrade", stream="trade", n=1000)
        world.gateway.send([world.place("a")])
        await heard.until(lambda: heard.of(OrderUnknown))
        await heard.until(lambda: heard.up["trade"] is False)
        world.gateway.send([world.place("b")])
        await heard.until(lambda: "b" in heard.ids(OrderAccepted))
        assert world.gateway.entry.by_rest == 1
        assert await world.open_ids() == ["b"]

    play(story, trade={"reply_timeout_s": 0.3})


@pytest.mark.parametrize(
    ("code", "named", "outcome"),
    [
        (10016, True, OrderUnknown),
        (10016, False, OrderUnknown),
        (10019, True, OrderAccepted),  # certainly not executed: by REST then
        (10429, True, OrderUnknown),
        (20006, True, OrderUnknown),
        (10403, True, OrderRejected),
        (20003, True, OrderRejected),
    ],
)
def test_errors_of_the_trade_gateway(code: int, named: bool, outcome: type) -> None:
    async def story(world: World) -> None:
        heard = world.heard
        await world.fault(kind="gateway_error", code=code, named=named)
        world.gateway.send([world.place("a")])
        await heard.until(lambda: "a" in heard.ids(outcome))
        if code in (10016, 10019):
            await heard.until(lambda: world.trade.stats.links == 2)
        world.gateway.send([world.place("b")])
        await heard.until(lambda: "b" in heard.ids(OrderAccepted))

    play(story, trade={"reply_timeout_s": 0.5})


def test_refused_permission_alarms() -> None:
    async def story(world: World) -> None:
        await world.fault(kind="gateway_error", code=10005)
        world.gateway.send([world.place("a")])
        await world.heard.until(lambda: world.heard.fatal)
        assert world.heard.ids(OrderRejected) == ["a"]

    play(story)


def test_while_rest_is_closed_cancels_and_exits_go_by_socket() -> None:
    async def story(world: World) -> None:
        heard, qty = world.heard, world.qty[0]
        await resting(world, "a", "b", "c")
        world.gateway.send([world.buy_now("in")])
        await heard.until(lambda: "Filled" in heard.statuses("in"))
        await world.fault(kind="ban", seconds=600)
        world.gateway.send([QueryOrder(client_id="a", instrument=0)])
        await heard.until(lambda: heard.of(OrderUnknown))  # that is how the ban is learnt
        asked = world.rest.counters()["calls"]

        world.gateway.send([world.place("new-risk")])
        await heard.until(lambda: heard.of(OrderRejected))
        assert NO_NEW_RISK in heard.of(OrderRejected)[0].reason
        out = world.place(
            "out", side=Side.SELL, px=world.low[0], qty=qty, reduce_only=True, tif=TimeInForce.IOC
        )
        world.gateway.send([out, CancelOrder(client_id="a", instrument=0)])
        await heard.until(lambda: "Filled" in heard.statuses("out"))
        await heard.until(lambda: "Cancelled" in heard.statuses("a"))
        # As the engine does on a kill: the sweep, which is not possible, and each by itself.
        world.gateway.send(
            [CancelAll(), *(CancelOrder(client_id=i, instrument=0) for i in ("b", "c"))]
        )
        await heard.until(lambda: all("Cancelled" in heard.statuses(i) for i in ("b", "c")))
        assert world.rest.counters()["calls"] == asked  # not one request in the window
        assert heard.fatal == []

    play(story)


def test_cancel_all_ends_more_orders_than_the_venue_takes_at_once() -> None:
    async def story(world: World) -> None:
        heard = world.heard
        for start in range(0, 560, 140):
            world.gateway.send([world.place(f"{i}", i % 2) for i in range(start, start + 140)])
            count = start + 140
            await heard.until(lambda n=count: len(heard.ids(OrderAccepted)) == n)  # type: ignore[misc]  # bound now
            await asyncio.sleep(0.25)  # the venue takes 600 a second
        world.gateway.send([CancelAll()])
        await heard.until(
            lambda: sum("Cancelled" in heard.statuses(f"{i}") for i in range(560)) == 560
        )
        assert await world.open_ids() == []

    play(story, symbols=2, gateway={"queue_max": 1000})


def test_stops_stand_at_the_venue_and_survive_cancel_all() -> None:
    async def story(world: World) -> None:
        heard, stop_px = world.heard, world.low[0]
        world.gateway.send([SetStops(instrument=0, stop_loss_px=stop_px)])
        await heard.until(lambda: heard.of(StopsRejected))  # there is no position yet
        world.gateway.send([world.buy_now("in"), world.place("rests")])
        await heard.until(lambda: "Filled" in heard.statuses("in"))
        world.gateway.send([SetStops(instrument=0, stop_loss_px=stop_px)])
        await heard.until(lambda: heard.of(StopsSet))
        world.gateway.send([SetStops(instrument=0, stop_loss_px=stop_px)])
        await heard.until(lambda: len(heard.of(StopsSet)) == 2)  # not modified = as wanted
        world.gateway.send([CancelAll()])
        await heard.until(lambda: "Cancelled" in heard.statuses("rests"))
        await idle(world)
        seen = [e for e in await world.gateway.reconcile() if isinstance(e, PositionSnapshot)]
        assert [(p.qty, p.stop_loss_px, p.position_idx) for p in seen] == [
            (world.qty[0], stop_px, 0)
        ]
        assert seen[0].leverage

    play(story)


def test_stops_come_with_the_entry() -> None:
    async def story(world: World) -> None:
        world.gateway.send(
            [world.buy_now("in", stop_loss_px=world.low[0], take_profit_px=2 * world.high[0])]
        )
        await world.heard.until(lambda: "Filled" in world.heard.statuses("in"))
        seen = [e for e in await world.gateway.reconcile() if isinstance(e, PositionSnapshot)]
        assert (seen[0].stop_loss_px, seen[0].take_profit_px) == (
            world.low[0],
            2 * world.high[0],
        )

    play(story)


def test_hedge_mode_is_read_and_every_order_names_its_leg() -> None:
    async def story(world: World) -> None:
        heard, qty, name = world.heard, world.qty[0], world.instruments[0].symbol
        body = orjson.dumps({"category": "linear", "symbol": name, "mode": 3})
        await world.rest._caller.post("/v5/position/switch-mode", body)
        ledger = Portfolio(world.instruments)

        async def look() -> dict[int, int]:
            seen = [e for e in await world.gateway.reconcile() if isinstance(e, PositionSnapshot)]
            for each in seen:
                ledger.on_position(each)
            ledger.adopt(0, at_once=True)
            return {p.position_idx: p.qty for p in seen}

        assert await look() == {1: 0, 2: 0}
        world.gateway.send([world.buy_now("no-leg")])
        await heard.until(lambda: heard.ids(OrderRejected) == ["no-leg"])
        assert heard.of(OrderRejected)[0].code == 10001

        for client_id, side, size, reduce_only, expected in (
            ("in", Side.BUY, 2 * qty, False, {1: 2 * qty, 2: 0}),
            ("less", Side.SELL, qty, False, {1: qty, 2: 0}),
            ("out", Side.SELL, qty, True, {1: 0, 2: 0}),
            ("short", Side.SELL, qty, False, {1: 0, 2: -qty}),
        ):
            px = world.high[0] if side is Side.BUY else world.low[0]
            idx = ledger.leg(0, side, size, reduce_only=reduce_only)
            order: dict[str, Any] = {
                "side": side,
                "px": px,
                "qty": size,
                "reduce_only": reduce_only,
            }
            world.gateway.send([world.buy_now(client_id, position_idx=idx, **order)])
            await heard.until(lambda c=client_id: "Filled" in heard.statuses(c))  # type: ignore[misc]  # bound now
            assert await look() == expected
            assert ledger.qty(0) == sum(expected.values())
        world.gateway.send([SetStops(instrument=0, stop_loss_px=world.high[0], position_idx=2)])
        await heard.until(lambda: heard.of(StopsSet))

    play(story)


def test_spot_market_orders_count_base_coins_and_sales_need_no_flag() -> None:
    async def story(world: World) -> None:
        heard, qty = world.heard, 2 * world.qty[0]
        market: dict[str, Any] = {"order_type": OrderType.MARKET, "tif": TimeInForce.IOC}
        world.gateway.send([world.buy_now("in", qty=qty, **market)])
        await heard.until(lambda: sum(e.qty for e in heard.of(Execution)) == qty)
        bought = len(heard.of(Execution))
        out = world.place("out", side=Side.SELL, reduce_only=True, **market)
        world.gateway.send([out, world.place("short", side=Side.BUY, reduce_only=True)])
        await heard.until(lambda: len(heard.of(Execution)) > bought)
        await heard.until(lambda: heard.ids(OrderRejected) == ["short"])
        await resting(world, "r-1", "r-2")
        world.gateway.send([CancelAll()])
        await heard.until(lambda: all("Cancelled" in heard.statuses(i) for i in ("r-1", "r-2")))
        await idle(world)
        assert await world.open_ids() == []
        assert heard.fatal == []

    play(story, category=Category.SPOT)
