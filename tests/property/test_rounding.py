"""From a wish to the bytes: on the grid, exact, and never rounded towards more risk."""

from __future__ import annotations

import re
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support_decide import FakeBook, instrument, intent, limits

from fastbook.bybit import requests
from fastbook.execution import Executor, Orders
from fastbook.risk import AccountView, RiskGate
from fastbook.types import Approved, PlaceOrder, Side, TimeInForce, TradingState

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")


@settings(max_examples=300, deadline=None)
@given(
    side=st.sampled_from(Side),
    px=st.integers(49_800, 50_200),
    qty=st.integers(1, 9_000),
    tick=st.sampled_from([1, 2, 5, 10, 25, 100]),
    lot=st.sampled_from([1, 3, 10, 100, 1000]),
    least=st.integers(0, 600),
    scales=st.tuples(st.integers(2, 8), st.integers(0, 8)),
)
def test_what_leaves_is_on_the_grid_and_no_riskier_than_what_was_wanted(
    side: Side, px: int, qty: int, tick: int, lot: int, least: int, scales: tuple[int, int]
) -> None:
    price_scale, qty_scale = scales
    value = Decimal(1).scaleb(-price_scale - qty_scale)
    unit = instrument(
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick=tick,
        lot=lot,
        qty_min=lot,
        notional_min=least * 50_000 * value,
    )
    gate = RiskGate(limits(position_pct_max=100.0, exposure_pct_max=400.0, leverage_max=10.0))
    wish = intent(side=side, px=px, qty=qty, tif=TimeInForce.GTC)
    decision = gate.check(
        wish,
        instrument=unit,
        book=FakeBook(price_scale=price_scale, best_bid_px=49_990, best_ask_px=50_010),
        account=AccountView(equity=10_000 * 50_000 * value),
        state=TradingState.ACTIVE,
        now_ns=0,
        wall_ns=0,
    )
    if not isinstance(decision, Approved):
        return
    command = Executor(Orders("n1")).plan(decision, now_ns=0, wall_ms=0)
    assert isinstance(command, PlaceOrder)
    assert command.px % tick == 0
    assert (command.px - px) * side <= 0  # never a worse price
    assert abs(command.px - px) < tick
    assert 0 < command.qty <= qty
    assert command.qty % lot == 0
    assert qty - command.qty < lot
    assert unit.notional(command.px, command.qty) >= unit.notional_min
    row = requests.create_row(unit, command)
    assert Decimal(str(row["price"])) == unit.px_decimal(command.px)
    assert Decimal(str(row["qty"])) == unit.qty_decimal(command.qty)
    assert "e" not in f"{row['price']}{row['qty']}".lower()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(min_size=0, max_size=40), min_size=1, max_size=8),
    st.lists(
        st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=16),
        min_size=1,
        max_size=4,
        unique=True,
    ),
)
def test_client_ids_repeat_in_no_session(names: list[str], sessions: list[str]) -> None:
    given_out = [
        orders.create(intent(strategy=name), now_ns=0, wall_ms=0).client_id
        for orders in map(Orders, sessions)
        for name in names * 3
    ]
    assert len(set(given_out)) == len(given_out)
    assert all(CLIENT_ID.fullmatch(client_id) for client_id in given_out)
