"""Between engine and gateway: written down or not sent; back after a crash; halted by marks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support_decide import SECOND, fill
from tests.support_engine import World

from fastbook.errors import StateError
from fastbook.runtime.custody import Custody
from fastbook.runtime.guard import Guard
from fastbook.runtime.keeper import Keeper, is_ours, session_nonce
from fastbook.runtime.state import KILL, RESUME, Heart, Mark, Store
from fastbook.types import (
    CancelAll,
    CancelOrder,
    Command,
    Control,
    ControlKind,
    OrderAbsent,
    OrderAccepted,
    OrderEvent,
    OrderState,
    OrderUpdate,
    PlaceOrder,
    TradingState,
)


class Desk:
    """An engine, its custody on a real store, and the list of what left."""

    def __init__(self, folder: Path, *, guard: bool = False, at_venue: bool = True) -> None:
        self.world = World(reconciled=False)
        self.store = Store.open(folder)
        epoch = self.store.begin_epoch({})
        nonce = session_nonce(epoch, "abcdef0123", live=False)
        self.world.orders.nonce = nonce
        keeper = Keeper(self.store, nonce, kill=Mark(folder, KILL), resume=Mark(folder, RESUME))
        required = Guard(folder, "b1", required=True, heartbeat_s=1.0) if guard else None
        self.custody = Custody(keeper, required, self.world.clock, at_venue=at_venue)
        self.left: list[Command] = []
        engine = self.world.engine
        instruments = [lane.instrument for lane in engine._lanes.values()]
        self.custody.start(engine, instruments, self.control, self.take_in)
        self.custody.open(self.world.now)
        engine.reconciled(self.world.now)

    def control(self, kind: ControlKind, reason: str) -> None:
        self.send(self.world.engine.on_control(Control(kind, reason), self.world.now))

    def take_in(self, events: list[OrderEvent]) -> None:
        for event in events:
            commands = self.world.engine.on_event(event, self.world.now)
            self.custody.note(event)
            self.send(commands)

    def send(self, commands: Any) -> None:  # Any: any sequence of commands
        self.left += self.custody.release(commands)

    def enter(self) -> PlaceOrder:
        self.send(self.world.tick())
        order = self.left[-1]
        assert isinstance(order, PlaceOrder)
        return order

    def timer(self) -> None:
        self.custody.on_timer(0.0)
        self.send(self.world.engine.on_timer(self.world.now))

    def trading(self) -> TradingState:
        return self.world.engine.state

    def order(self, client_id: str) -> OrderState:
        order = self.world.orders.get(client_id)
        assert order is not None
        return order.state

    def crash(self) -> None:
        self.store._db.close()


def test_an_order_is_written_down_before_it_leaves(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order = desk.enter()
    (row,) = desk.store.open_orders()
    assert (row.client_id, row.symbol, row.px, row.qty) == (
        order.client_id,
        "BTCUSDT",
        order.px,
        order.qty,
    )
    gate = desk.store.load("gate")
    assert gate == desk.world.engine.gate.state()


def test_what_cannot_be_written_does_not_leave(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.store._db.execute("PRAGMA query_only = 1")  # as a disk that has become read-only
    desk.send(desk.world.tick())
    assert {type(c) for c in desk.left} == {CancelAll, CancelOrder}
    assert desk.trading() is TradingState.HALTED
    assert Mark(tmp_path, KILL).there
    (order,) = desk.world.orders._orders.values()
    assert order.state is OrderState.REJECTED
    desk.world.wait(1000)
    desk.send(desk.world.tick())
    assert not any(isinstance(c, PlaceOrder) for c in desk.left)


def test_a_full_disk_later_halts_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order = desk.enter()
    desk.store._db.execute("PRAGMA query_only = 1")
    desk.take_in([OrderAccepted(client_id=order.client_id, order_id="v1")])
    desk.timer()
    assert desk.trading() is TradingState.HALTED
    assert {type(c) for c in desk.left} == {PlaceOrder, CancelAll, CancelOrder}


def test_orders_come_back_unknown_and_count(tmp_path: Path) -> None:
    before = Desk(tmp_path)
    order = before.enter()
    before.take_in(
        [
            OrderAccepted(client_id=order.client_id, order_id="v1"),
            fill("e1", order.client_id, order_id="v1", qty=order.qty - 3, px=order.px),
        ]
    )
    before.timer()
    before.crash()

    desk = Desk(tmp_path)
    (restored,) = desk.world.orders.all_working()
    assert restored.client_id == order.client_id
    assert restored.state is OrderState.UNKNOWN
    assert restored.reserved == 3
    assert desk.world.orders.seen("e1")
    assert desk.world.orders.nonce != before.world.orders.nonce
    queries = desk.world.engine.executor.on_timer(desk.world.now)
    assert [q.client_id for q in queries] == [order.client_id]  # type: ignore[union-attr]  # a query
    desk.take_in(
        [
            OrderUpdate(
                client_id=order.client_id,
                order_id="v1",
                instrument=0,
                status="Cancelled",
                px=order.px,
                qty=order.qty,
                cum_qty=order.qty - 3,
                reject_reason="",
                updated_ms=desk.world.clock.now_ns() // 1_000_000,
            )
        ]
    )
    assert desk.order(order.client_id) is OrderState.CANCELLED
    desk.timer()
    assert desk.store.open_orders() == []
    assert desk.store.fills() == []


def test_killed_between_record_and_venue(tmp_path: Path) -> None:
    before = Desk(tmp_path)
    before.enter()
    before.crash()
    desk = Desk(tmp_path)
    (restored,) = desk.world.orders.all_working()
    absent_ms = desk.world.clock.now_ns() // 1_000_000
    for _ in range(3):
        desk.world.wait(4_000)
        absent_ms += 4_000
        desk.take_in([OrderAbsent(client_id=restored.client_id, venue_time_ms=absent_ms)])
    assert restored.state is OrderState.NEVER_ACCEPTED


def test_what_the_venue_has_forgotten_is_closed(tmp_path: Path) -> None:
    before = Desk(tmp_path)
    order = before.enter()
    before.take_in([OrderAccepted(client_id=order.client_id, order_id="v1")])
    before.timer()
    before.crash()
    desk = Desk(tmp_path)
    (restored,) = desk.world.orders.all_working()
    for n in range(1, 4):
        desk.world.wait(4_000)
        now_ms = desk.world.clock.now_ns() // 1_000_000 + n
        desk.take_in([OrderAbsent(client_id=restored.client_id, venue_time_ms=now_ms)])
    assert restored.state is OrderState.CANCELLED
    assert desk.world.orders.counters["vanished"] == 1


def test_paper_orders_end_with_their_process(tmp_path: Path) -> None:
    Desk(tmp_path, at_venue=False).enter()
    desk = Desk(tmp_path, at_venue=False)
    assert desk.world.orders.working_count == 0
    assert desk.store.open_orders() == []


def test_latches_survive(tmp_path: Path) -> None:
    before = Desk(tmp_path)
    before.enter()
    before.world.engine.gate.latches.account = "daily_loss_pct_max: lost 5 of 100"
    before.world.engine.gate.latches.revision += 1
    before.timer()
    before.crash()
    desk = Desk(tmp_path)
    assert desk.trading() is TradingState.REDUCE_ONLY
    Mark(tmp_path, RESUME).make("by a person", "now")
    desk.timer()
    assert desk.trading() is TradingState.ACTIVE
    assert not Mark(tmp_path, RESUME).there
    desk.crash()
    assert Desk(tmp_path).trading() is TradingState.ACTIVE


def test_a_latch_that_does_not_fit_this_build(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.save("gate", {"something": "else"})
    with pytest.raises(StateError, match="the saved gate does not fit this build"):
        Desk(tmp_path)


def test_orders_in_a_symbol_that_is_not_configured(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.enter()
    row = desk.store.open_orders()[0]

    desk.store.intents([replace(row, client_id="x-P1_abcdef-9", symbol="OLDUSDT")])
    desk.crash()
    with pytest.raises(StateError, match=r"orders in OLDUSDT may be open.*fastbook kill"):
        Desk(tmp_path)


# --- the kill mark ---


def test_the_mark_stops_an_order_that_is_on_its_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    commands = desk.world.tick()
    Mark(tmp_path, KILL).make("by hand", "now")  # between decision and sending
    desk.send(commands)
    assert not any(isinstance(c, PlaceOrder) for c in desk.left)
    assert desk.trading() is TradingState.HALTED
    assert desk.custody.halted == "the kill switch"


def test_halted_again_after_a_restart_until_resumed(tmp_path: Path) -> None:
    Mark(tmp_path, KILL).make("by hand", "now")
    for _ in range(2):
        desk = Desk(tmp_path)
        assert desk.trading() is TradingState.HALTED
        desk.timer()
        desk.timer()
        assert sum(isinstance(c, CancelAll) for c in desk.left) == 1  # once a start
        desk.crash()
    desk = Desk(tmp_path)
    Mark(tmp_path, RESUME).make("by a person", "later")
    desk.timer()
    assert desk.trading() is TradingState.HALTED  # the kill mark is still there
    Mark(tmp_path, KILL).clear()
    desk.timer()
    assert desk.trading() is TradingState.RECONCILING
    desk.world.engine.reconciled(desk.world.now)
    desk.world.wait(2_000)
    desk.enter()


def test_kill_pressed_twice_and_while_halted(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order = desk.enter()
    desk.custody.halt("one")
    desk.custody.halt("two")
    desk.timer()
    assert Mark(tmp_path, KILL).reason().startswith("one")
    assert sum(isinstance(c, CancelAll) for c in desk.left) == 1
    cancels = [c for c in desk.left if isinstance(c, CancelOrder)]
    assert [c.client_id for c in cancels] == [order.client_id]


# --- ids ---


def test_ids_say_mode_and_epoch() -> None:
    assert session_nonce(1, "abcdef0123", live=False) == "P1_abcdef"
    assert session_nonce(36**5, "abcdef0123", live=True) == "L100000_abcdef"
    assert is_ours("meanrev-P1_abcdef-2s")
    assert is_ours("x-Lzz_0a1b2c-1")
    for other in ("", "by-hand", "meanrev-P1_abcdef", "a b-P1_abcdef-1", "meanrev-Q1_abcdef-1"):
        assert not is_ours(other)


def test_strays_of_an_earlier_start_are_cancelled(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order = desk.enter()

    def row(client_id: str, status: str = "New") -> OrderUpdate:
        return OrderUpdate(
            client_id=client_id,
            order_id=f"v-{client_id}",
            instrument=0,
            status=status,
            px=1,
            qty=1,
            cum_qty=0,
            reject_reason="",
            updated_ms=1,
        )

    rows = [
        row(order.client_id),
        row("meanrev-P9_ffffff-1"),
        row("meanrev-P9_ffffff-2", "Cancelled"),
        row("by-hand"),
    ]
    assert desk.custody.strays(rows) == [CancelOrder(client_id="meanrev-P9_ffffff-1", instrument=0)]
    assert desk.custody.keeper.strays == 1


# --- denials ---


def test_denials_are_kept_with_rule_and_numbers_and_bounded(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(100):
        desk.world.books[0].recv_ns = desk.world.now
        desk.world.engine.gate.latches.account = "daily_loss_pct_max: lost 6 of 100"
        desk.world.wait(2000)
        desk.send(desk.world.tick())
    for record in desk.world.journal.drain():
        desk.custody.note_record(record)
    desk.timer()
    rows = desk.store.audited()
    denied = [row for row in rows if row[2] == "refused"]
    assert 1 <= len(denied) <= 20
    assert denied[0][3] in ("trading_state", "daily_loss_pct_max")
    assert any(kind == "omitted" for _, _, kind, _, _ in rows)


# --- the watchdog, seen from here ---


def test_a_required_watchdog(tmp_path: Path) -> None:
    guard = Guard(tmp_path, "b1", required=True, heartbeat_s=1.0)
    now_ns = 10 * SECOND
    with pytest.raises(StateError, match="the watchdog does not run: start `fastbook watchdog`"):
        guard.check_start(now_ns)
    dog = Heart(tmp_path, "b2", name="watchdog")
    dog.beat(now_ns)
    with pytest.raises(StateError, match="the watchdog is build b2, this is b1"):
        guard.check_start(now_ns)
    dog = Heart(tmp_path, "b1", name="watchdog")
    dog.beat(now_ns)
    guard.check_start(now_ns)
    assert guard.on_timer(now_ns + SECOND // 2, 0.0) == ""
    late = guard.on_timer(now_ns + 2 * SECOND, 0.0)
    assert late == "the watchdog has been silent for 2.0 s"
    dog.close(now_ns + 2 * SECOND, clean=True)
    assert guard.on_timer(now_ns + 3 * SECOND, 0.0) == "the watchdog does not run"


def test_halted_when_the_watchdog_dies(tmp_path: Path) -> None:
    dog = Heart(tmp_path, "b1", name="watchdog")
    desk = Desk(tmp_path, guard=True)
    dog.beat(desk.world.clock.monotonic_ns())
    desk.timer()
    assert desk.trading() is TradingState.ACTIVE
    desk.world.wait(1_500)
    desk.timer()
    assert desk.trading() is TradingState.HALTED
    assert "watchdog has been silent" in desk.custody.halted
