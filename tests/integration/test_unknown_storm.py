"""Orders whose answers get lost, three in ten: every one ends, and none is there twice."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from random import Random

from tests.integration import entry_harness
from tests.integration.entry_harness import World, play
from tests.support_rest import RealClock

from fastbook.execution import Executor, ExecutorParams, Orders
from fastbook.types import (
    Approved,
    Execution,
    OrderEvent,
    OrderIntent,
    OrderState,
    PlaceOrder,
    PositionSnapshot,
    Side,
    StopsRejected,
    StopsSet,
    TimeInForce,
    WalletSnapshot,
)

ORDERS = int(os.environ.get("FASTBOOK_STORM_ORDERS", "200"))
LOST = 0.3
TIMER_S = 0.01
UNDER_WAY = 8
NOT_ORDERS = (PositionSnapshot, WalletSnapshot, StopsSet, StopsRejected)


class Desk:
    """Orders and executor, driven as the engine drives them."""

    def __init__(self, world: World) -> None:
        self.clock = RealClock()
        self.world = world
        self.orders = Orders("storm")
        self.executor = Executor(self.orders, ExecutorParams(commands_per_second_max=2_000.0))
        self.named: list[str] = []
        self.fills: set[str] = set()
        self.taken = 0

    def take(self) -> None:
        """What has been heard since the last time."""
        events = self.world.heard.events
        while self.taken < len(events):
            self.apply(events[self.taken])
            self.taken += 1

    def apply(self, event: OrderEvent) -> None:
        now_ns = self.clock.monotonic_ns()
        if isinstance(event, Execution):
            self.orders.book(event, now_ns)
            self.fills.add(event.exec_id)
        elif not isinstance(event, NOT_ORDERS):
            self.orders.apply(event, now_ns)

    def create(self, number: int) -> None:
        trades = number % 2 == 0
        intent = OrderIntent(
            instrument=0,
            side=Side.BUY,
            px=(self.world.high if trades else self.world.low)[0],
            qty=self.world.qty[0],
            tif=TimeInForce.IOC,
            reduce_only=True,  # to the executor only: one entry at a time is its other rule
            strategy="storm",
            reason="test",
        )
        command = self.executor.plan(
            Approved(intent),
            now_ns=self.clock.monotonic_ns(),
            wall_ms=self.clock.now_ns() // 1_000_000,
        )
        assert isinstance(command, PlaceOrder)
        self.named.append(command.client_id)
        order = self.world.place(command.client_id, px=command.px, tif=command.tif)
        self.world.gateway.send([order])

    async def tick(self) -> None:
        await asyncio.sleep(TIMER_S)
        self.take()
        self.world.gateway.send(self.executor.on_timer(self.clock.monotonic_ns()))

    async def until_all_have_ended(self) -> None:
        while self.orders.working_count:
            await self.tick()


def test_answers_lost_by_the_hundred() -> None:
    dice = Random(7)

    async def story(world: World) -> None:
        desk = Desk(world)
        for number in range(ORDERS):
            if dice.random() < LOST:
                world.simulator.faults.lost_answer(1)
            desk.create(number)
            while desk.orders.working_count >= UNDER_WAY:
                await desk.tick()
        await desk.until_all_have_ended()

        states = {i: order.state for i in desk.named if (order := desk.orders.get(i)) is not None}
        assert len(states) == ORDERS
        assert all(state.terminal for state in states.values())
        assert world.gateway.stats.unknown >= ORDERS * LOST / 2
        # One order a name at the venue; what never left, or never got there, is not among them.
        history = await world.rest.order_history(world.instruments[0].category)
        at_venue = [str(row["orderLinkId"]) for row in history.rows]
        assert len(set(at_venue)) == len(at_venue)
        absent = {OrderState.REJECTED, OrderState.NEVER_ACCEPTED}
        assert set(at_venue) == {i for i, state in states.items() if state not in absent}
        # And the money: what we booked is what is held.
        booked = sum(order.booked_qty for i in desk.named if (order := desk.orders.get(i)))
        snapshots = [e for e in await world.gateway.reconcile() if isinstance(e, PositionSnapshot)]
        assert snapshots[0].qty == booked > 0
        assert desk.orders.counters["ghosts"] == desk.orders.counters["overfills"] == 0

    old, entry_harness.DEADLINE_S = entry_harness.DEADLINE_S, 30.0 + ORDERS / 5
    try:
        play(story, ip_requests_max=0, address_limit=1_000_000, start_balance=Decimal(10**8))
    finally:
        entry_harness.DEADLINE_S = old
