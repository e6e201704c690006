"""What the gate refuses, by name, and what it lets through."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support_decide import INSTRUMENT, SECOND, FakeBook, instrument, intent, limits

from fastbook.core.states import BookState
from fastbook.risk import AccountView, Budget, Health, RiskGate, SymbolLimits
from fastbook.types import (
    Approved,
    Category,
    Instrument,
    OrderIntent,
    OrderType,
    Refused,
    Side,
    TradingState,
)

NOW = 50 * SECOND
DAY = 86_400 * SECOND
FLAT = AccountView(equity=Decimal(100_000))


def ask(
    gate: RiskGate,
    wanted: OrderIntent,
    *,
    account: AccountView = FLAT,
    unit: Instrument = INSTRUMENT,
    state: TradingState = TradingState.ACTIVE,
    now_ns: int = NOW,
    wall_ns: int = NOW,
    **book: Any,  # Any: fields of different types
) -> Approved[OrderIntent] | Refused[OrderIntent]:
    return gate.check(
        wanted,
        instrument=unit,
        book=FakeBook(**({"recv_ns": now_ns} | book)),
        account=account,
        state=state,
        now_ns=now_ns,
        wall_ns=wall_ns,
    )


def rule(decision: Approved[OrderIntent] | Refused[OrderIntent]) -> str:
    return decision.rule if isinstance(decision, Refused) else "approved"


def held(position: int, **more: Any) -> AccountView:  # Any: fields of different types
    values: dict[str, Any] = {"equity": Decimal(100_000), "position": position}
    return AccountView(**(values | more))


EXIT = intent(side=Side.SELL, px=50_000, qty=100, reduce_only=True)

SHORT = intent(side=Side.SELL, px=50_000, qty=10_000)

REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("book_not_synced", {"state": BookState.STALE}),
    ("book_not_synced", {"state": BookState.UNSYNCED}),
    ("book_stale", {"recv_ns": NOW - 2 * SECOND - 1}),
    ("no_reference", {"best_ask_px": 0}),
    ("no_reference", {"best_bid_px": 0}),
    ("instrument", {"symbol": "ETHUSDT"}),
]


@pytest.mark.parametrize("reduce_only", [False, True])
@pytest.mark.parametrize(("expected", "book"), REFUSALS)
def test_no_order_without_a_book_to_trust(
    expected: str, book: dict[str, Any], reduce_only: bool
) -> None:
    gate = RiskGate(limits())
    wanted = EXIT if reduce_only else intent()
    account = held(100) if reduce_only else FLAT
    fresh: dict[str, Any] = {"recv_ns": NOW - 2 * SECOND}

    # `state` is the book's here, not the account's.
    decision = gate.check(
        wanted,
        instrument=INSTRUMENT,
        book=FakeBook(**(fresh | book)),
        account=account,
        state=TradingState.ACTIVE,
        now_ns=NOW,
        wall_ns=NOW,
    )

    assert rule(decision) == expected
    assert rule(ask(gate, wanted, account=account, **fresh)) == "approved"


@pytest.mark.parametrize(
    ("expected", "wanted", "account", "more"),
    [
        # 10 % of 100,000 at 500.10 is 19.996.
        ("position_pct_max", intent(qty=19_997), FLAT, {}),
        ("approved", intent(qty=19_996), FLAT, {}),
        ("position_pct_max", intent(qty=10_000), held(0, working_buy=9_997), {}),
        ("position_pct_max", intent(qty=10), held(0, working_sell=30_000), {}),
        ("position_pct_max", intent(qty=10_000), held(9_997), {}),
        # What is held, and what is on its way, counts for the side that adds to it ...
        ("position_pct_max", SHORT, held(-9_997), {}),
        ("approved", SHORT, held(-9_996), {}),
        ("approved", SHORT, held(9_996), {}),
        ("position_pct_max", SHORT, held(0, working_sell=9_997), {}),
        ("approved", SHORT, held(0, working_sell=9_996), {}),
        ("position_pct_max", SHORT, held(-4_997, working_sell=5_000), {}),
        ("approved", SHORT, held(-4_996, working_sell=5_000), {}),
        ("approved", intent(qty=10_000), held(-19_000), {}),
        ("approved", intent(qty=10_000), held(5_000, working_buy=4_996), {}),
        ("position_pct_max", intent(qty=10_000), held(5_000, working_buy=4_997), {}),
        # ... and beyond the limit on the other side nothing is added at all.
        ("position_pct_max", SHORT, held(19_997), {}),
        ("approved", SHORT, held(19_996), {}),
        ("position_pct_max", SHORT, held(10_000, working_buy=9_997), {}),
        ("position_pct_max", intent(), held(-10_000, working_sell=9_997), {}),
        ("approved", intent(), held(-10_000, working_sell=9_996), {}),
        ("exposure_pct_max", intent(qty=101), held(0, others_notional=Decimal(49_950)), {}),
        ("leverage_max", intent(qty=101), held(0), {"leverage_max": 0.0005}),
        # Valued at the dearest order that is under way: 10,000 at 600.00 is 16.666.
        ("position_pct_max", intent(qty=16_667), held(0, working_px_max=60_000), {}),
        ("approved", intent(qty=16_666), held(0, working_px_max=60_000), {}),
        ("order_notional_max", intent(qty=101), FLAT, {"order_notional_max": 50.5}),
        ("approved", intent(qty=100), FLAT, {"order_notional_max": 50.01}),
        ("price_collar_bps", intent(px=50_510), FLAT, {}),
        ("approved", intent(px=50_500), FLAT, {}),
        ("price_collar_bps", intent(side=Side.SELL, px=49_500), FLAT, {}),
        ("price_collar_bps", intent(px=49_000), FLAT, {}),
        ("tick", intent(px=9), FLAT, {}),
        ("tick", intent(px=-50_010), FLAT, {}),
        ("qty_max", intent(qty=-1), FLAT, {}),
        ("qty_min", intent(qty=0, confidence=1e-9), FLAT, {}),
        ("notional_min", intent(qty=9), FLAT, {}),
        ("self_trade", intent(), held(0, own_ask_min=50_010), {}),
        ("self_trade", intent(side=Side.SELL, px=50_000), held(0, own_bid_max=50_000), {}),
        ("orders_open_max", intent(), held(0, orders_open=100), {}),
        ("equity", intent(), AccountView(equity=None), {}),
        ("equity", intent(), AccountView(equity=Decimal(0)), {}),
        ("sizing", intent(qty=0, confidence=0.0), FLAT, {}),
        ("sizing", intent(qty=0, confidence=float("nan")), FLAT, {}),
        ("reduce_only", EXIT, FLAT, {}),
        ("reduce_only", EXIT, held(-100), {}),
        ("reduce_only", EXIT, held(100, working_sell=100), {}),
        # A tick is 10: the mid of 50,005 may be missed by 50.
        ("price_collar_ticks", intent(px=50_060), FLAT, {"price_collar_ticks": 5}),
        ("approved", intent(px=50_050), FLAT, {"price_collar_ticks": 5}),
        ("mark_collar_bps", intent(), held(0, mark_px=49_000), {}),
        ("approved", intent(), held(0, mark_px=49_030), {}),
        ("mark_collar_bps", intent(), held(0, mark_px=51_040), {}),
        # 90 % of 100,000 at a leverage of 0.1 is 9,000: 17.996 at 500.10.
        ("margin", intent(qty=17_997), held(0, leverage=Decimal("0.1")), {}),
        ("approved", intent(qty=17_996), held(0, leverage=Decimal("0.1")), {}),
        ("margin", intent(), held(0, leverage=Decimal(9), others_margin=Decimal(90_000)), {}),
    ],
)
def test_refusal_names_the_rule(
    expected: str, wanted: OrderIntent, account: AccountView, more: dict[str, Any]
) -> None:
    gate = RiskGate(limits(**more))

    decision = ask(gate, wanted, account=account)

    assert rule(decision) == expected
    if isinstance(decision, Refused):
        assert re.search(r"\d|None", decision.detail), "no numbers"


@pytest.mark.parametrize(
    ("state", "entry", "leave"),
    [
        (TradingState.ACTIVE, "approved", "approved"),
        (TradingState.RECONCILING, "trading_state", "approved"),
        (TradingState.REDUCE_ONLY, "trading_state", "approved"),
        (TradingState.HALTED, "trading_state", "trading_state"),
    ],
)
def test_trading_states(state: TradingState, entry: str, leave: str) -> None:
    gate = RiskGate(limits())

    assert rule(ask(gate, intent(), state=state)) == entry
    assert rule(ask(gate, EXIT, account=held(100), state=state)) == leave


def test_prices_and_quantities_are_rounded_to_the_careful_side() -> None:
    unit = instrument(lot=7, qty_min=7)

    buy = ask(RiskGate(limits()), intent(px=50_019, qty=104), unit=unit)
    sell = ask(RiskGate(limits()), intent(side=Side.SELL, px=49_991, qty=104), unit=unit)

    assert isinstance(buy, Approved)
    assert isinstance(sell, Approved)
    assert (buy.item.px, buy.item.qty) == (50_010, 98)
    assert (sell.item.px, sell.item.qty) == (50_000, 98)


def test_exit_passes_exposure_limits_and_is_cut_to_the_position() -> None:
    gate = RiskGate(limits(position_pct_max=0.001))
    huge = held(900, working_sell=100, others_notional=Decimal(10**9))

    decision = ask(
        gate, intent(side=Side.SELL, px=50_000, qty=5_000, reduce_only=True), account=huge
    )

    assert isinstance(decision, Approved)
    assert decision.item.qty == 800


def test_sized_entry_is_cut_to_the_room_that_is_left() -> None:
    free = ask(RiskGate(limits()), intent(qty=0))
    # Half of the 1 % probe, as no volatility is known: 500 of 100,000.
    assert isinstance(free, Approved)
    assert free.item.qty == 999

    tight = ask(RiskGate(limits()), intent(qty=0), account=held(19_800))
    assert isinstance(tight, Approved)
    assert tight.item.qty == 196

    assert rule(ask(RiskGate(limits()), intent(qty=0), account=held(19_996))) == "position_pct_max"


def test_spot_sells_only_what_is_held() -> None:
    spot = instrument(category=Category.SPOT)
    sell = intent(side=Side.SELL, px=50_000, qty=101)

    refused = ask(RiskGate(limits()), sell, unit=spot, account=held(100))

    assert rule(refused) == "spot_long_only"
    assert rule(ask(RiskGate(limits()), sell, unit=spot, account=held(101))) == "approved"
    working = held(101, working_sell=1)
    assert rule(ask(RiskGate(limits()), sell, unit=spot, account=working)) == "spot_long_only"


def test_daily_loss_latches_over_midnight_until_rearmed() -> None:
    gate = RiskGate(limits())
    assert rule(ask(gate, intent())) == "approved"

    lost = held(100, equity=Decimal(95_000))
    assert rule(ask(gate, intent(qty=50), account=lost)) == "daily_loss_pct_max"
    assert rule(ask(gate, EXIT, account=lost)) == "approved"
    recovered = held(0, equity=Decimal(200_000))
    tomorrow = NOW + DAY
    assert rule(ask(gate, intent(qty=51), account=recovered, wall_ns=tomorrow)) == (
        "daily_loss_pct_max"
    )

    restarted = RiskGate(limits())
    restarted.restore(gate.state())
    assert rule(ask(restarted, intent(qty=51), wall_ns=tomorrow)) == "daily_loss_pct_max"
    restarted.rearm(Decimal(95_000))
    assert rule(ask(restarted, intent(qty=52), account=lost, wall_ns=tomorrow)) == "approved"


def test_day_starts_once_whatever_the_wall_clock_does() -> None:
    gate = RiskGate(limits())
    gate.on_equity(Decimal(1000), 10 * DAY)
    gate.on_equity(Decimal(990), 11 * DAY)
    assert gate.day_equity == 990

    gate.on_equity(Decimal(980), 10 * DAY)  # an hour back over midnight

    assert gate.day_equity == 990
    assert not gate.on_equity(Decimal("940.51"), 11 * DAY)
    assert gate.on_equity(Decimal("940.5"), 11 * DAY)


def test_the_same_order_again_is_refused_for_a_moment() -> None:
    gate = RiskGate(limits())
    assert rule(ask(gate, intent())) == "approved"

    assert rule(ask(gate, intent(), now_ns=NOW + 99_000_000)) == "duplicate_window_ms"
    assert rule(ask(gate, intent(qty=101), now_ns=NOW + 99_000_000)) == "approved"
    assert rule(ask(gate, intent(qty=101), now_ns=NOW + 200_000_000)) == "approved"


def test_entries_leave_a_reserve_of_the_rate_for_exits() -> None:
    gate = RiskGate(limits(orders_per_second_max=10))
    sent = [rule(ask(gate, intent(qty=100 + n))) for n in range(9)]

    assert sent == ["approved"] * 8 + ["orders_per_second_max"]
    assert rule(ask(gate, EXIT, account=held(100))) == "approved"
    assert rule(ask(gate, intent(qty=200), now_ns=NOW + SECOND)) == "approved"


def test_a_runaway_stops_its_symbol_until_rearmed() -> None:
    gate = RiskGate(limits(entries_per_minute_max=3))
    for n in range(3):
        assert rule(ask(gate, intent(qty=100 + n), now_ns=NOW + n * SECOND)) == "approved"

    late = NOW + 59 * SECOND
    assert rule(ask(gate, intent(), now_ns=late)) == "entries_per_minute_max"
    hour = NOW + 3600 * SECOND
    assert rule(ask(gate, intent(), now_ns=hour)) == "entries_per_minute_max"
    assert rule(ask(gate, EXIT, account=held(100), now_ns=hour)) == "approved"
    gate.rearm()
    assert rule(ask(gate, intent(), now_ns=hour)) == "approved"


def test_rejections_in_a_row_latch() -> None:
    gate = RiskGate(limits(rejections_in_a_row_max=3))
    assert [gate.on_venue_answer(rejected=r) for r in (True, True, False, True, True, True)] == [
        False
    ] * 5 + [True]
    assert rule(ask(gate, intent())) == "rejections_in_a_row_max"


def test_day_order_count_stops_entries_only() -> None:
    gate = RiskGate(limits(orders_per_day_max=1))
    assert rule(ask(gate, intent())) == "approved"
    assert rule(ask(gate, intent(qty=50))) == "orders_per_day_max"
    assert rule(ask(gate, EXIT, account=held(100))) == "approved"
    assert rule(ask(gate, intent(qty=51), wall_ns=NOW + DAY)) == "approved"


def test_a_book_with_finer_prices_is_read_the_careful_way() -> None:
    # 500.0049 / 500.0951 at scale 4: bid 500.00, ask 500.10.
    finer: dict[str, Any] = {"price_scale": 4, "best_bid_px": 5_000_049, "best_ask_px": 5_000_951}

    decision = ask(RiskGate(limits()), intent(qty=19_996), **finer)

    assert rule(decision) == "approved"
    assert rule(ask(RiskGate(limits()), intent(qty=19_997), **finer)) == "position_pct_max"


def test_only_the_gate_makes_approved() -> None:
    source = Path(__file__).resolve().parents[3] / "src"
    makers = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py*")
        if path.suffix in {".py", ".pyx"}
        and re.search(r"(?<!class )\bApproved\((?!Generic)", path.read_text())
    }
    assert makers == {"fastbook/risk/gate.py"}


COIN = instrument(
    category=Category.INVERSE,
    symbol="BTCUSD",
    quote="USD",
    settle="BTC",
    qty_scale=0,
    qty_max=10**9,
    notional_min=Decimal(0),
)


def test_inverse_quantities_are_limited_by_their_value_in_coins() -> None:
    # One coin at 500 dollars, of which 10 % may be in one position: 50 dollars and not one more.
    account = AccountView(equity=Decimal(1))
    for qty, expected in ((50, "approved"), (51, "position_pct_max")):
        decision = ask(
            RiskGate(limits(position_pct_max=10.0, exposure_pct_max=500.0)),
            intent(qty=qty, px=50_010),
            account=account,
            unit=COIN,
            symbol="BTCUSD",
        )
        assert rule(decision) == expected, decision


def test_inverse_worst_case_is_at_the_lowest_price() -> None:
    # An order that works at half the price makes every contract worth twice the coins.
    account = AccountView(
        equity=Decimal(1), working_buy=5, working_px_max=25_000, working_px_min=25_000
    )
    for qty, expected in ((20, "approved"), (21, "position_pct_max")):
        decision = ask(
            RiskGate(limits(position_pct_max=10.0, exposure_pct_max=500.0)),
            intent(qty=qty, px=50_010),
            account=account,
            unit=COIN,
            symbol="BTCUSD",
        )
        assert rule(decision) == expected, decision


def test_a_share_of_equity_makes_smaller_stakes() -> None:
    sized = intent(qty=0)
    whole = ask(RiskGate(limits()), sized)
    half = ask(RiskGate(limits(), budgets={"meanrev": Budget(equity_pct=50)}), sized)
    assert isinstance(whole, Approved)
    assert isinstance(half, Approved)
    assert half.item.qty == whole.item.qty // 2


def test_exits_are_cut_to_what_one_order_may_be() -> None:
    symbols = {"BTCUSDT": SymbolLimits(order_qty_max=0.04)}
    decision = ask(RiskGate(limits(), symbols=symbols), EXIT, account=held(100))
    assert isinstance(decision, Approved)
    assert decision.item.qty == 40
    symbols = {"BTCUSDT": SymbolLimits(order_notional_max=25)}
    decision = ask(RiskGate(limits(), symbols=symbols), EXIT, account=held(100))
    assert isinstance(decision, Approved)
    assert decision.item.qty == 50
    decision = ask(RiskGate(limits(order_notional_max=20)), EXIT, account=held(100))
    assert isinstance(decision, Approved)
    assert decision.item.qty == 40


def test_a_symbols_quantity_is_in_base_units() -> None:
    gate = RiskGate(limits(), symbols={"BTCUSDT": SymbolLimits(order_qty_max=0.1)})
    assert rule(ask(gate, intent(qty=101))) == "symbol_order_qty_max"
    assert rule(ask(gate, intent(qty=100))) == "approved"


def test_health_stops_entries_and_no_exits() -> None:
    gate = RiskGate(limits())
    for bad, expected in (
        (Health(loop_lag_ms=250.5), "loop_lag_ms_max"),
        (Health(loop_lag_ms=float("nan")), "loop_lag_ms_max"),
        (Health(clock_uncertainty_ms=501), "clock_uncertainty_ms_max"),
    ):
        gate.health = bad
        assert rule(ask(gate, intent())) == expected
    assert rule(ask(gate, EXIT, account=held(100))) == "approved"
    gate.health = Health(loop_lag_ms=250, clock_uncertainty_ms=500)
    assert rule(ask(gate, intent())) == "approved"


def test_a_latch_names_its_rule_whatever_the_state() -> None:
    gate = RiskGate(limits())
    gate.latches.latch("egress", "something 1")
    assert rule(ask(gate, intent(), state=TradingState.REDUCE_ONLY)) == "egress"
    assert rule(ask(gate, EXIT, account=held(100), state=TradingState.REDUCE_ONLY)) == "approved"


def test_the_hours_of_one_day_share_its_counts() -> None:
    gate = RiskGate(limits(messages_per_day_max=10))
    for n in range(8):
        assert rule(ask(gate, intent(qty=100 + n), now_ns=NOW + n * SECOND)) == "approved"
    assert rule(ask(gate, intent(), now_ns=NOW + 9 * SECOND)) == "messages_per_day_max"
    assert rule(ask(gate, EXIT, account=held(100), now_ns=NOW + 9 * SECOND)) == "approved"
    assert gate.pace.day_messages == gate.pace.day_orders == 9
    assert rule(ask(gate, intent(), now_ns=NOW + 9 * SECOND, wall_ns=NOW + DAY)) == "approved"


def test_a_minute_holds_no_more_than_allowed_and_keeps_a_fifth_for_exits() -> None:
    gate = RiskGate(limits(orders_per_minute_max=5))
    for n in range(4):
        assert rule(ask(gate, intent(qty=100 + n), now_ns=NOW + n * SECOND)) == "approved"
    late = NOW + 60 * SECOND - 1
    assert rule(ask(gate, intent(), now_ns=late)) == "orders_per_minute_max"
    assert rule(ask(gate, EXIT, account=held(100), now_ns=late)) == "approved"
    again = intent(side=Side.SELL, px=50_000, qty=50, reduce_only=True)
    assert rule(ask(gate, again, account=held(100), now_ns=late)) == "orders_per_minute_max"
    assert rule(ask(gate, intent(), now_ns=late + 1)) == "orders_per_minute_max"
    assert rule(ask(gate, intent(), now_ns=NOW + 61 * SECOND)) == "approved"


def test_an_order_in_between_does_not_hide_a_duplicate() -> None:
    gate = RiskGate(limits())
    assert rule(ask(gate, intent())) == "approved"
    assert rule(ask(gate, intent(qty=50), now_ns=NOW + SECOND // 100)) == "approved"
    assert rule(ask(gate, intent(), now_ns=NOW + SECOND // 50)) == "duplicate_window_ms"
    assert rule(ask(gate, intent(), now_ns=NOW + SECOND // 10)) == "approved"


def test_not_even_one_unit_is_added_where_the_other_side_is_beyond() -> None:
    tiny = instrument(notional_min=Decimal(0))
    short = intent(side=Side.SELL, px=50_000, qty=1)
    assert rule(ask(RiskGate(limits()), short, unit=tiny, account=held(19_997))) == (
        "position_pct_max"
    )
    assert rule(ask(RiskGate(limits()), short, unit=tiny, account=held(19_996))) == "approved"


def test_market_orders_have_a_size_of_their_own() -> None:
    unit = instrument(qty_max_market=99)
    market = intent(order_type=OrderType.MARKET)
    assert rule(ask(RiskGate(limits()), market, unit=unit)) == "qty_max"
    assert rule(ask(RiskGate(limits()), intent(), unit=unit)) == "approved"


def test_duplicates_are_remembered_within_bounds() -> None:
    gate = RiskGate(limits(orders_per_second_max=10_000, entries_per_minute_max=None))
    for n in range(4_097):
        gate.pace.note_order("BTCUSDT", Side.BUY, 50_010, 100 + n, NOW, exits=False)
    assert rule(ask(gate, intent(qty=100))) == "approved", "the oldest of 4,097 is forgotten"
    assert rule(ask(gate, intent(qty=102))) == "duplicate_window_ms"


def test_a_runaway_is_counted_over_a_restart() -> None:
    gate = RiskGate(limits(entries_per_minute_max=2))
    for n in range(2):
        assert rule(ask(gate, intent(qty=100 + n), now_ns=NOW + n)) == "approved"
    again = RiskGate(gate.limits)
    again.restore(gate.state())
    assert rule(ask(again, intent(), now_ns=NOW + SECOND)) == "entries_per_minute_max"
    assert again.pace.day_orders == again.pace.day_messages == 2


def test_exits_may_use_ten_orders_more() -> None:
    gate = RiskGate(limits(orders_open_max=5))
    assert rule(ask(gate, EXIT, account=held(100, orders_open=15))) == "orders_open_max"
    assert rule(ask(gate, EXIT, account=held(100, orders_open=14))) == "approved"
    assert rule(ask(gate, intent(), account=held(0, orders_open=5))) == "orders_open_max"
    assert rule(ask(gate, intent(), account=held(0, orders_open=4))) == "approved"


def test_the_collar_in_ticks_is_inclusive() -> None:
    gate = RiskGate(limits(price_collar_ticks=5))
    wide: dict[str, Any] = {"best_bid_px": 50_000, "best_ask_px": 50_020}
    assert rule(ask(gate, intent(px=50_060), **wide)) == "approved"
    assert rule(ask(gate, intent(px=50_070), **wide)) == "price_collar_ticks"


def test_the_collar_of_the_mark_is_inclusive() -> None:
    gate = RiskGate(limits(mark_collar_bps=100))
    assert rule(ask(gate, intent(px=50_500), account=held(0, mark_px=50_000))) == "approved"
    assert rule(ask(gate, intent(px=50_490), account=held(0, mark_px=49_980))) == "mark_collar_bps"
