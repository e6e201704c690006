"""The corners of the order states: bounds of memory, late and odd rows, what is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support_decide import fill, intent, row_of

from fastbook.errors import ConfigError
from fastbook.execution import Booking, Order, Orders
from fastbook.types import (
    CancelRejected,
    OrderAbsent,
    OrderAccepted,
    OrderRejected,
    OrderState,
    OrderType,
    OrderUnknown,
    TimeInForce,
)


def sent(orders: Orders, **changes: Any) -> Order:  # Any: fields of different types
    return orders.create(intent(**changes), now_ns=0, wall_ms=1_000)


@pytest.mark.parametrize("name", ["recv_window_ms", "closed_max", "exec_ids_max", "parked_max"])
def test_bounds_are_one_or_more(name: str) -> None:
    bounds: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match="must be 1 or more"):
        Orders("n1", **bounds)


def test_ids_end_before_they_are_too_long() -> None:
    orders = Orders("n" * 16)
    orders._count = 36**11
    with pytest.raises(ConfigError, match="used up"):
        sent(orders, strategy="a_long_name")


def test_only_unknown_orders_of_new_names_are_restored() -> None:
    orders = Orders("n1")
    known = sent(orders)
    with pytest.raises(ValueError, match="cannot be restored"):
        orders.restore(known, 1)
    other = sent(Orders("n2"))
    with pytest.raises(ValueError, match="cannot be restored"):
        orders.restore(other, 1)
    other.state, other.order_id = OrderState.UNKNOWN, "v7"
    orders.restore(other, 5)
    assert (orders.find("", "v7"), other.query_due_ns, len(orders)) == (other, 5, 2)


def test_memory_of_closed_orders_fills_and_parked_ones_ends() -> None:
    orders = Orders("n1", closed_max=1, exec_ids_max=1, parked_max=1)
    first, second = sent(orders), sent(orders)
    for order in (first, second):
        orders.apply(row_of(order.client_id, "Cancelled"), 1)
    assert orders.get(first.client_id) is None
    assert orders.find("", second.order_id) is second
    orders.book(fill("e1", "", order_id="x"), 2)
    orders.book(fill("e2", "", order_id="y"), 3)
    assert (orders.parked_count, orders.counters["parked_dropped"]) == (1, 1)
    assert (orders.seen("e1"), orders.exec_ids()) == (False, ["e2"])


def test_unknown_is_said_of_orders_without_an_answer_only() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(OrderAccepted(client_id=order.client_id, order_id="v1"), 1)
    orders.apply(OrderUnknown(client_id=order.client_id, reason="late"), 2)
    assert order.state is OrderState.SENT
    assert order.acked
    orders.to_unknown(order, 3, "no word")
    orders.to_unknown(order, 4, "again")
    assert (order.state, order.reason, order.query_due_ns) == (OrderState.UNKNOWN, "no word", 3)


def test_a_refused_cancel_of_a_young_or_a_closed_order_asks_nothing() -> None:
    orders = Orders("n1")
    young, closed = sent(orders), sent(orders)
    orders.apply(row_of(closed.client_id, "Cancelled"), 1)
    for order in (young, closed):
        orders.apply(CancelRejected(client_id=order.client_id, code=1, reason="no"), 2)
        assert order.query_due_ns is None


def test_a_row_without_numbers_or_of_a_market_order_changes_no_terms() -> None:
    orders = Orders("n1")
    limit = sent(orders, tif=TimeInForce.GTC)
    market = sent(orders, order_type=OrderType.MARKET)
    orders.apply(row_of(limit.client_id, "New", px=0, qty=0), 1)
    orders.apply(row_of(market.client_id, "New", px=77), 1)
    assert (limit.px, limit.qty, market.px) == (50_010, 100, 50_010)


def test_an_open_word_with_everything_traded_is_filled() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(row_of(order.client_id, "PartiallyFilled", cum_qty=100), 1)
    assert (order.state, order.reserved) == (OrderState.FILLED, 100)


def test_the_venues_reason_is_kept_and_a_second_end_changes_nothing() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(row_of(order.client_id, "Cancelled", reject_reason="EC_PostOnly"), 1)
    change = orders.apply(row_of(order.client_id, "Filled", updated_ms=9), 2)
    assert change is not None
    assert (order.state, order.reason, change.closed) == (
        OrderState.CANCELLED,
        *("EC_PostOnly", False),
    )
    orders.apply(OrderRejected(client_id=order.client_id, code=1, reason="late"), 3)
    assert order.state is OrderState.CANCELLED


def test_a_fill_brings_back_what_was_given_up() -> None:
    orders = Orders("n1")
    order = sent(orders)
    order.state = OrderState.NEVER_ACCEPTED
    orders._file(order, 0)
    assert orders.book(fill("e1", order.client_id, qty=30), 5) == (Booking.BOOKED, order)
    assert (order.state, order.query_due_ns) == (OrderState.PARTIAL, 5)
    assert orders.counters["ghosts"] == 1
    assert orders.working(0) == [order]


def test_a_fill_without_the_venues_id_and_one_after_the_end() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.book(fill("e1", order.client_id, order_id="", qty=40), 1)
    assert (order.order_id, order.booked_qty) == ("", 40)
    orders.apply(row_of(order.client_id, "Cancelled", cum_qty=40), 2)
    orders.book(fill("e2", order.client_id, qty=10), 3)
    assert (orders.counters["late_fills"], order.state) == (1, OrderState.CANCELLED)


def test_a_restored_order_that_left_no_trace_is_over() -> None:
    orders = Orders("n1")
    old = sent(Orders("n2"))
    old.state, old.acked = OrderState.UNKNOWN, True
    orders.restore(old, 0)
    for second in (10, 12):
        orders.apply(OrderAbsent(client_id=old.client_id, venue_time_ms=1_000_000), second * 10**9)
    assert (old.state, orders.counters["vanished"]) == (OrderState.CANCELLED, 1)
    assert orders.working_count == 0
