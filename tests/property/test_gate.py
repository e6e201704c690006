"""Random accounts, limits and intents: nothing approved is beyond a limit, recomputed apart."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.reference.gate_world import Breach, run
from tests.support_decide import INSTRUMENT, SECOND, FakeBook, instrument, intent, limits

from fastbook.risk import AccountView, RiskGate, RiskLimits, TrackRecord
from fastbook.types import Approved, Category, OrderType, Side, TradingState

NOW = 100 * SECOND
PERCENT = st.sampled_from([0.5, 1.0, 10.0, 33.3, 100.0, 900.0])


@st.composite
def some_limits(draw: st.DrawFn) -> RiskLimits:
    return limits(
        position_pct_max=draw(PERCENT),
        exposure_pct_max=draw(PERCENT),
        leverage_max=draw(st.sampled_from([0.1, 1.0, 3.5, 10.0])),
        order_notional_max=draw(st.sampled_from([None, 50, 999.99, 100_000])),
        price_collar_bps=draw(st.sampled_from([1, 20, 100])),
    )


@st.composite
def some_account(draw: st.DrawFn) -> AccountView:
    working = st.one_of(st.just(0), st.integers(0, 40_000))
    return AccountView(
        equity=draw(st.one_of(st.none(), st.decimals(-10, 200_000, places=6))),
        position=draw(st.one_of(st.just(0), st.integers(-40_000, 40_000))),
        working_buy=draw(working),
        working_sell=draw(working),
        own_bid_max=draw(st.sampled_from([0, 49_990, 50_010])),
        own_ask_min=draw(st.sampled_from([0, 50_000, 50_030])),
        working_px_max=draw(st.sampled_from([0, 50_000, 60_000])),
        others_notional=draw(st.decimals(0, 100_000, places=2)),
        record=draw(
            st.builds(
                TrackRecord,
                st.integers(0, 60),
                st.floats(0, 1),
                st.floats(0, 4),
            )
        ),
        volatility_bps=draw(st.floats(0, 200)),
    )


def money(px: int, qty: int) -> Fraction:
    return Fraction(px * qty, 10**5)


@settings(max_examples=400, deadline=None)
@given(
    some_limits(),
    some_account(),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(49_000, 51_000),
    st.one_of(st.just(0), st.integers(-5, 50_000)),
    st.booleans(),
    st.sampled_from([Category.LINEAR, Category.SPOT]),
    st.sampled_from([1, 7, 100]),
    st.sampled_from(list(TradingState)),
    st.sampled_from([OrderType.LIMIT, OrderType.MARKET]),
    st.floats(0, 1),
)
def test_nothing_approved_is_beyond_a_limit(
    limit: RiskLimits,
    account: AccountView,
    side: Side,
    px: int,
    qty: int,
    reduce_only: bool,
    category: Category,
    lot: int,
    state: TradingState,
    order_type: OrderType,
    confidence: float,
) -> None:
    unit = instrument(category=category, lot=lot, qty_min=lot, qty_max=30_000 // lot * lot)
    asked = intent(
        side=side,
        px=px,
        qty=qty,
        reduce_only=reduce_only,
        order_type=order_type,
        confidence=confidence,
    )

    decision = RiskGate(limit).check(
        asked,
        instrument=unit,
        book=FakeBook(recv_ns=NOW),
        account=account,
        state=state,
        now_ns=NOW,
        wall_ns=NOW,
    )

    if not isinstance(decision, Approved):
        event(decision.rule)
        assert decision.rule
        assert decision.detail
        assert decision.item is asked
        return
    event("approved")
    item = decision.item
    assert item.px % unit.tick == 0
    assert item.qty % unit.lot == 0
    assert unit.qty_min <= item.qty
    assert item.qty <= (unit.qty_max if order_type is OrderType.LIMIT else unit.qty_max_market)
    assert (item.px <= px) if side is Side.BUY else (item.px >= px)
    assert qty == 0 or item.qty <= qty
    mid = Fraction(50_000 + 50_010, 2)
    assert abs(item.px - mid) <= mid * Fraction(str(limit.price_collar_bps)) / 10_000
    if side is Side.BUY and account.own_ask_min:
        assert item.px < account.own_ask_min
    if side is Side.SELL:
        assert item.px > account.own_bid_max
    if limit.order_notional_max is not None:
        assert money(item.px, item.qty) <= Fraction(str(limit.order_notional_max))
    assert state is not TradingState.HALTED

    if reduce_only:
        after = account.position + side * item.qty
        assert after * account.position >= 0, "turned the position"
        assert abs(after) < abs(account.position)
        same_side = account.working_buy if side is Side.BUY else account.working_sell
        assert item.qty + same_side <= abs(account.position)
        return

    assert state is TradingState.ACTIVE
    assert money(item.px, item.qty) >= Fraction(unit.notional_min)
    # Every subset of what is open may trade, this order too: the worst of both ends.
    highest = account.position + account.working_buy + (item.qty if side is Side.BUY else 0)
    lowest = account.position - account.working_sell - (item.qty if side is Side.SELL else 0)
    if category is Category.SPOT and side is Side.SELL:
        assert lowest >= 0, "sold what is not held"
    worst = money(1, max(abs(highest), abs(lowest)))
    assert account.equity is not None
    equity = Fraction(account.equity)
    for reference in (Fraction(50_010), mid, Fraction(item.px), Fraction(account.working_px_max)):
        alone = worst * reference
        total = alone + Fraction(account.others_notional)
        assert alone <= equity * Fraction(str(limit.position_pct_max)) / 100
        assert alone <= equity * Fraction(unit.leverage_max)
        assert total <= equity * Fraction(str(limit.exposure_pct_max)) / 100
        assert total <= equity * Fraction(str(limit.leverage_max))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([1, 3, 10, 25]),
)
def test_no_window_of_a_second_holds_more_orders_than_allowed(
    steps: list[tuple[int, bool]], per_second: int
) -> None:
    gate = RiskGate(limits(orders_per_second_max=per_second, duplicate_window_ms=1))
    now, sent = NOW, []
    for n, (wait_ms, reduce_only) in enumerate(steps):
        now += wait_ms * 1_000_000
        decision = gate.check(
            # Never twice the same, or the guard against duplicates would answer instead.
            intent(qty=10 + n, side=Side.BUY, reduce_only=reduce_only),
            instrument=INSTRUMENT,
            book=FakeBook(recv_ns=now),
            account=AccountView(equity=Decimal(100_000), position=-500 if reduce_only else 0),
            state=TradingState.ACTIVE,
            now_ns=now,
            wall_ns=now,
        )
        if isinstance(decision, Approved):
            sent.append(now)
        else:
            assert decision.rule == "orders_per_second_max"

    # A bucket: its burst, and what flows in during the window.
    for start in sent:
        assert sum(start <= t < start + SECOND for t in sent) <= 2 * per_second


def test_streams_of_orders_never_pass_beyond_a_limit() -> None:
    """Thousands of a million: `make gate-million` runs them all."""
    seen = run(6_000, seed=7)
    assert seen["approved entry"] > 100
    assert seen["approved amend"] > 10
    assert seen["approved exit"] > 10
    assert len(seen) > 25, "hardly any rule was reached"


def test_the_ledger_beside_the_gate_sees_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate without the rule on exposure is found out within a few streams."""
    monkeypatch.setattr("fastbook.risk.gate.room", lambda *args: (10**9, "none"))
    with pytest.raises(Breach):
        run(3_000, seed=7)
