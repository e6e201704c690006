"""The engine on whole stories: from a book to a fill, and through what goes wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.support_decide import SECOND, fill, row_of
from tests.support_engine import Scripted, World, scripted, want

from fastbook.core.states import BookState
from fastbook.errors import ConfigError
from fastbook.journal import Journal
from fastbook.types import (
    CancelAll,
    CancelOrder,
    Control,
    ControlKind,
    OrderAbsent,
    OrderRejected,
    OrderState,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    Side,
    TimeInForce,
    Trade,
    TradingState,
    WalletSnapshot,
)

# --- the way in and out ---------------------------------------------------------------------


def test_from_a_book_to_a_fill_to_the_exit() -> None:
    world = World()
    world.wait(10)

    entry = world.enter()
    assert (entry.side, entry.px, entry.reduce_only) == (Side.BUY, 50_030, False)
    assert world.engine.position(0).working == 1
    assert world.tick() == []  # one at a time

    world.filled(entry, fee=Decimal("0.2"))
    view = world.engine.position(0)
    assert (view.qty, view.working) == (entry.qty, 0)
    assert view.entry_px == pytest.approx(500.3)

    world.wait(10)
    (leave,) = world.tick(z=-0.1)
    assert (leave.side, leave.qty, leave.reduce_only) == (Side.SELL, entry.qty, True)
    world.filled(leave, "e2", fee=Decimal("0.2"))

    assert world.engine.position(0).qty == 0
    stats = world.engine.stats
    assert (stats.signals, stats.intents, stats.orders, stats.fills) == (2, 2, 2, 2)
    assert world.portfolio.record("meanrev").total == 1
    assert world.portfolio.equity == world.portfolio.balance
    assert world.kinds() == [
        "state",
        "intent",
        "command",
        "event",
        "intent",
        "command",
        "event",
    ]


@pytest.mark.parametrize(
    "state", [s for s in BookState if s is not BookState.SYNCED], ids=lambda s: s.name
)
def test_no_signal_from_a_book_that_is_not_synced(state: BookState) -> None:
    world = World()
    world.books[0].state = state
    assert world.tick() == []
    assert world.engine.stats.signals == 0
    assert world.engine.stats.books_unfit == 1


def test_no_signal_from_an_old_book() -> None:
    world = World()
    world.now += 2 * SECOND + 1
    assert world.tick() == []
    assert world.engine.stats.signals == 0
    world.books[0].recv_ns = 1
    assert len(world.tick()) == 1


def test_indexes_nobody_knows_are_ignored() -> None:
    world = World()
    assert world.engine.on_books([-1, 7], 0) == []


def test_nothing_risky_before_the_account_is_reconciled() -> None:
    world = World(reconciled=False)
    assert world.state() is TradingState.RECONCILING
    assert world.engine.needs_reconcile
    assert world.tick() == []
    assert world.engine.stats.denied == {"trading_state": 1}
    world.engine.reconciled(0)
    world.wait(2_000)
    assert len(world.tick()) == 1


def test_every_refusal_is_counted_and_journalled() -> None:
    world, _ = scripted(book=[[want(px=60_000), want(strategy="x"), want(instrument=9)]])
    assert world.tick() == []
    assert world.engine.stats.denied == {"price_collar_bps": 1, "strategy": 1, "instrument": 1}
    assert world.engine.stats.signals == 3
    assert world.kinds().count("refused") == 3


def test_worst_case_of_one_symbol_counts_for_the_other() -> None:
    strategy = Scripted()
    world = World([strategy], position_pct_max=100.0, exposure_pct_max=1.0)
    # One per cent of 100,000 is 1,000; the first takes 800 of it and its outcome is unknown.
    strategy.answers = {
        "book": [[want(qty=1_599)], [want(qty=450, instrument=1)], [want(qty=390, instrument=1)]]
    }
    assert len(world.tick()) == 1
    world.wait(2_000)
    world.engine.on_timer(world.now)
    assert world.engine.stats.unknown == 1

    assert world.tick(index=1) == []
    assert world.engine.stats.denied == {"exposure_pct_max": 1}
    assert len(world.tick(index=1)) == 1


def test_second_intent_sees_the_order_of_the_first() -> None:
    world, _ = scripted(book=[[want(), want(qty=50)]])
    assert len(world.tick()) == 1
    assert world.engine.stats.denied == {"entry_in_flight": 1}


# --- facts about orders -----------------------------------------------------------------------


def test_no_new_risk_while_rest_is_closed() -> None:
    world = World()
    states = []
    for is_open in (False, True):
        world.engine.on_link("rest", is_open, world.now)
        states.append(world.engine.state)
        world.wait(1_000)  # the strategy's own pause between two tries
        assert bool(world.tick()) is is_open
    assert states == [TradingState.REDUCE_ONLY, TradingState.ACTIVE]


def test_order_that_never_left_is_no_rejection_by_the_venue() -> None:
    world = World()
    entry = world.enter()
    world.tell(OrderRejected(client_id=entry.client_id, code=0, reason="no turn in time"))
    order = world.orders.get(entry.client_id)
    assert order is not None
    assert order.state is OrderState.REJECTED
    assert (world.engine.stats.rejected, world.engine.stats.unsent) == (0, 1)
    assert world.engine.position(0).working == 0


def test_unknown_outcome_is_asked_for_and_never_sent_again() -> None:
    world = World()
    entry = world.enter()
    query = QueryOrder(client_id=entry.client_id, instrument=0)

    world.wait(2_000)
    assert world.engine.on_timer(world.now) == [query]
    assert world.engine.stats.unknown == 1
    assert world.tick() == []  # still counts as under way

    for _ in range(60):
        world.wait(500)
        commands = world.engine.on_timer(world.now) + world.tick()
        if query in commands:
            world.tell(
                OrderAbsent(
                    client_id=entry.client_id, venue_time_ms=world.clock.now_ns() // 1_000_000
                )
            )
        if world.engine.stats.never_accepted:
            break

    # Request at 0, window 5 s and 2.5 s more, then two answers a second apart.
    assert 8 * SECOND <= world.now <= 12 * SECOND
    order = world.orders.get(entry.client_id)
    assert order is not None
    assert order.state is OrderState.NEVER_ACCEPTED
    assert world.engine.position(0).working == 0
    (again,) = world.tick()
    assert again.client_id != entry.client_id


def test_ghost_is_cancelled_and_the_account_compared() -> None:
    world = World()
    entry = world.enter()
    world.wait(2_000)
    world.engine.on_timer(world.now)
    for ms in (8_000, 10_000):
        world.wait(6_000)
        world.tell(OrderAbsent(client_id=entry.client_id, venue_time_ms=2 * 10**12 + ms))
    assert world.engine.stats.never_accepted == 1

    commands = world.tell(row_of(entry.client_id, "New", qty=entry.qty))

    assert commands == [CancelOrder(client_id=entry.client_id, instrument=0)]
    assert world.state() is TradingState.RECONCILING
    assert world.engine.stats.ghosts == 1


def test_fill_before_its_order_is_in_the_position_at_once() -> None:
    world, strategy = scripted(book=[[want()]])
    entry = world.enter()
    world.tell(fill("e1", "", order_id="v9"))
    assert world.engine.position(0).qty == 100
    assert strategy.fills == []

    world.tell(row_of(entry.client_id, "Filled", order_id="v9", cum_qty=100))

    assert strategy.fills == [("e1", 100)]
    assert world.engine.position(0).qty == 100
    assert world.engine.position(0).working == 0
    assert world.engine.stats.external_fills == 0


def test_an_execution_counts_once_through_every_door() -> None:
    world, strategy = scripted(book=[[want()]])
    entry = world.enter()
    for _ in range(3):
        world.filled(entry)
    world.tell(row_of(entry.client_id, "Filled", cum_qty=100), fill("e1", entry.client_id))
    assert world.engine.position(0).qty == 100
    assert strategy.fills == [("e1", 100)]
    assert world.engine.stats.fills == 1
    assert world.engine.stats.duplicate_fills == 3
    assert world.portfolio.fees == Decimal("0.01")


def test_a_trade_by_hand_is_booked_and_said() -> None:
    world = World()
    world.tell(fill("x1", "", order_id="hand", qty=30))
    assert world.engine.position(0).qty == 30
    assert world.portfolio.records == {}
    world.wait(1_999)
    world.engine.on_timer(world.now)
    assert world.engine.stats.external_fills == 0
    world.wait(1)
    world.engine.on_timer(world.now)
    assert world.engine.stats.external_fills == 1


def test_rejections_are_counted_and_latch() -> None:
    world = World(rejections_in_a_row_max=2)
    for n in range(2):
        entry = world.enter()
        world.tell(OrderRejected(client_id=entry.client_id, code=110007, reason="funds"))
        assert world.engine.stats.rejected == n + 1
        world.wait(1_000)
    assert world.state() is TradingState.REDUCE_ONLY
    assert world.tick() == []


def test_more_filled_than_ordered_puts_the_account_in_doubt() -> None:
    world = World()
    entry = world.enter()
    world.filled(entry, qty=entry.qty + 1)
    assert world.state() is TradingState.RECONCILING


def test_unknown_execution_kinds_and_instruments_put_the_account_in_doubt() -> None:
    for odd in (fill("e1", exec_type="Teleport"), fill("e2", instrument=9)):
        world = World()
        world.tell(odd)
        assert world.state() is TradingState.RECONCILING
        assert world.engine.position(0).qty == 0


def test_funding_is_cash() -> None:
    world = World()
    world.tell(*[fill("f1", "", exec_type="Funding", fee=Decimal(2))] * 2)
    assert world.portfolio.balance == Decimal(99_998)
    assert world.engine.position(0).qty == 0
    assert world.engine.stats.fills == 0


# --- account, day, links ----------------------------------------------------------------------


def test_private_gap_stops_entries_until_reconciled() -> None:
    world = World()
    world.engine.on_link("private", False, 0)
    assert not world.engine.needs_reconcile
    world.engine.reconciled(0)  # too early: ignored
    assert world.state() is TradingState.RECONCILING
    world.engine.on_link("private", True, 0)
    assert world.engine.needs_reconcile
    assert world.state() is TradingState.RECONCILING
    assert world.tick() == []
    world.engine.reconciled(0)
    assert world.state() is TradingState.ACTIVE
    world.engine.on_link("public", False, 0)
    assert world.state() is TradingState.ACTIVE


def test_lasting_difference_with_the_venue_reconciles_and_is_adopted() -> None:
    world = World()
    theirs = PositionSnapshot(
        instrument=0, qty=40, entry_px=Decimal(500), realized_pnl=Decimal(0), seq=1, updated_ms=1
    )
    world.tell(theirs)
    world.engine.on_timer(world.now)
    assert world.state() is TradingState.ACTIVE
    world.wait(2_000)
    world.engine.on_timer(world.now)
    assert world.state() is TradingState.RECONCILING
    assert world.engine.needs_reconcile

    world.tell(theirs, WalletSnapshot(coin="USDT", balance=Decimal(1), equity=Decimal(1)))
    world.engine.reconciled(world.now)
    assert world.state() is TradingState.RECONCILING  # perhaps the answer was old
    assert world.engine.needs_reconcile
    world.wait(2_000)
    world.engine.reconciled(world.now)

    assert world.engine.position(0).qty == 40
    assert world.portfolio.balance == 1
    assert world.state() is TradingState.ACTIVE


def test_what_is_there_at_the_start_is_adopted_at_once() -> None:
    world = World(reconciled=False, balance=None)
    world.tell(
        PositionSnapshot(
            instrument=1,
            qty=-40,
            entry_px=Decimal(500),
            realized_pnl=Decimal(0),
            seq=1,
            updated_ms=1,
        ),
        WalletSnapshot(coin="USDT", balance=Decimal(7), equity=Decimal(7)),
    )
    world.engine.reconciled(0)
    assert world.state() is TradingState.ACTIVE
    assert world.engine.position(1).qty == -40
    assert world.portfolio.balance == 7


def test_daily_loss_is_seen_by_the_timer_and_resume_rearms() -> None:
    world = World([], daily_loss_pct_max=1.0)
    world.tell(fill("x", "", qty=100_000, fee=Decimal(0)))  # 100 at 500.10
    world.engine.on_timer(world.now)
    world.books[0].best_bid_px, world.books[0].best_ask_px = 49_000, 49_010
    world.engine.on_timer(world.now)
    assert world.state() is TradingState.REDUCE_ONLY
    assert "latched" in world.kinds()

    world.books[0].best_bid_px, world.books[0].best_ask_px = 60_000, 60_010
    world.engine.on_timer(world.now)
    assert world.state() is TradingState.REDUCE_ONLY
    world.engine.on_control(Control(ControlKind.RESUME), world.now)
    assert world.state() is TradingState.ACTIVE


def test_mark_stays_at_the_last_good_book() -> None:
    world = World([])
    world.tell(fill("x", "", qty=1_000, fee=Decimal(0)))
    world.engine.on_timer(world.now)
    equity = world.portfolio.equity
    world.books[0].state = BookState.UNSYNCED
    world.books[0].best_bid_px = world.books[0].best_ask_px = 1
    world.engine.on_timer(world.now)
    assert world.portfolio.equity == equity is not None


def test_equity_nobody_can_tell_means_no_entry() -> None:
    world = World(balance=None)
    assert world.tick() == []
    assert world.engine.stats.denied == {"equity": 1}


# --- operator -----------------------------------------------------------------------------


def test_kill_halts_and_withdraws_everything() -> None:
    world, _ = scripted(book=[[want(tif=TimeInForce.GTC)], [want(qty=60)]])
    entry = world.enter()
    world.tell(row_of(entry.client_id, "New"))

    commands = world.engine.on_control(Control(ControlKind.KILL), world.now)

    assert commands == [CancelAll(), CancelOrder(client_id=entry.client_id, instrument=0)]
    assert world.state() is TradingState.HALTED
    assert world.tick() == []
    world.engine.on_control(Control(ControlKind.RESUME), world.now)
    assert world.state() is TradingState.RECONCILING


def test_pause_lets_exits_through() -> None:
    world = World()
    world.filled(world.enter())
    world.engine.on_control(Control(ControlKind.PAUSE), world.now)
    world.wait(2_000)
    (leave,) = world.tick(z=0.0)
    assert leave.reduce_only
    assert world.tick(index=1) == []


def test_flatten_leaves_every_position_and_stays_paused() -> None:
    world = World([])
    world.tell(fill("x", "", qty=80), fill("y", "", instrument=1, side=Side.SELL, qty=50))
    (sweep,) = world.engine.on_control(Control(ControlKind.FLATTEN), world.now)
    assert sweep == CancelAll()

    commands = world.engine.on_timer(world.now)

    assert [(c.instrument, c.side, c.qty, c.reduce_only) for c in commands] == [  # type: ignore[union-attr]  # orders, as the next line shows
        (0, Side.SELL, 80, True),
        (1, Side.BUY, 50, True),
    ]
    assert world.engine.on_timer(world.now) == []  # under way
    for n, command in enumerate(commands):
        assert isinstance(command, PlaceOrder)
        world.filled(command, f"z{n}")
    world.wait(1_000)
    assert world.engine.on_timer(world.now) == []
    assert not world.portfolio.open_instruments
    assert world.state() is TradingState.REDUCE_ONLY


# --- strategies ---------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["book", "trade", "fill", "timer"])
def test_a_strategy_that_raises_is_disabled_and_everything_else_goes_on(door: str) -> None:
    bad, good = Scripted("bad", ["BTCUSDT"]), Scripted("good", ["ETHUSDT"])
    world = World([bad, good])
    bad.answers = {"book": [[want("bad", tif=TimeInForce.GTC)]]}
    entry = world.enter()
    world.tell(row_of(entry.client_id, "New"))
    bad.answers = {door: [RuntimeError("boom")]}

    if door == "book":
        commands = world.tick()
    elif door == "trade":
        trade = Trade(0, Side.BUY, 50_000, 1, 0, "t", 1)
        commands = world.engine.on_trades([trade], world.now)
    elif door == "fill":
        commands = world.filled(entry, qty=40)
    else:
        commands = world.engine.on_timer(world.now)

    assert commands == [CancelOrder(client_id=entry.client_id, instrument=0)]
    assert world.engine.disabled == {"bad": "RuntimeError: boom"}
    assert world.engine.stats.strategy_errors == 1
    bad.answers = {d: [[want("bad")]] for d in ("book", "trade", "fill", "timer")}
    good.answers = {"book": [[want("good", instrument=1)]]}
    assert world.tick() == []
    assert world.engine.on_timer(world.now) == []
    world.filled(entry, "later", qty=1)
    world.engine.on_trades([Trade(0, Side.BUY, 50_000, 1, 0, "t", 1)], world.now)
    assert all(len(waiting) == 1 for waiting in bad.answers.values()), "was asked again"
    assert len(world.tick(index=1)) == 1
    assert "strategy_error" in world.kinds()


@pytest.mark.parametrize("answer", [["buy"], [want(px=500.1)], [want(qty=1.0)], 7])
def test_an_answer_that_is_no_intent_counts_as_raising(answer: Any) -> None:
    world, _ = scripted(timer=[answer])
    assert world.engine.on_timer(world.now) == []
    assert world.engine.stats.strategy_errors == 1


def test_a_symbol_has_one_strategy() -> None:
    with pytest.raises(ConfigError, match="ETHUSDT is wanted by 'a' and by 'b'"):
        World([Scripted("a", ["ETHUSDT"]), Scripted("b")])
    with pytest.raises(ConfigError, match="taken"):
        World([Scripted("a", ["ETHUSDT"]), Scripted("a", ["BTCUSDT"])])
    apart = [Scripted("a", ["ETHUSDT"]), Scripted("b", ["BTCUSDT"])]
    World(apart)
    assert [s.started for s in apart] == [["ETHUSDT"], ["BTCUSDT"]]


# --- the journal's limits -------------------------------------------------------------------


def test_a_full_journal_stops_entries_and_a_broken_one_everything() -> None:
    world = World(journal=Journal(capacity=4, reserve=3))
    world.filled(world.enter())
    assert world.journal.full
    assert world.state() is TradingState.REDUCE_ONLY
    world.wait(2_000)
    (leave,) = world.tick(z=0.0)
    world.filled(leave, "e2")
    world.tell(row_of(leave.client_id, "Filled", cum_qty=leave.qty))
    assert world.journal.broken
    world.journal.drain()
    assert world.state() is TradingState.HALTED


# --- determinism ----------------------------------------------------------------------------


def test_same_events_same_commands_and_records() -> None:
    def run() -> tuple[list[Any], list[Any]]:
        world = World()
        commands: list[Any] = []
        for n in range(40):
            world.wait(500)
            step = world.tick(z=(-3.0, 0.2, 3.0, -0.2)[n % 4], imbalance=(0.4, 0, -0.4, 0)[n % 4])
            for command in step:
                if isinstance(command, PlaceOrder):
                    world.filled(command, f"e{n}")
            commands += step + world.engine.on_timer(world.now)
        return commands, world.journal.drain()

    first, second = run(), run()
    assert first == second
    assert len(first[0]) >= 10


def test_a_backlog_is_not_traded_on_however_fresh_it_looks() -> None:
    world = World()
    world.tick(z=0.0)
    world.now += 10 * SECOND  # a stall; then everything that had queued comes at once
    for ts_ms in range(0, 10_000, 100):
        world.now += 1_000_000
        for book in world.books:
            book.recv_ns = world.now
            book.ts_ms += 100
        late = 10_000 - ts_ms > 2_100
        commands = world.tick()
        assert not (late and commands)
    assert world.engine.stats.books_late > 0
    world.wait(1_000)  # the strategy's own pause between two tries
    world.enter()
