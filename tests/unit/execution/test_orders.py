"""One order's life where the order of events matters, and the ids."""

from __future__ import annotations

import re

import pytest
from tests.support_decide import SECOND, fill, intent, row_of

from fastbook.errors import ConfigError
from fastbook.execution import Booking, Order, Orders
from fastbook.types import (
    AmendRejected,
    CancelRejected,
    OrderAbsent,
    OrderAccepted,
    OrderRejected,
    OrderState,
    OrderUnknown,
    TimeInForce,
)

SENT_MS = 1_700_000_000_000


def sent(orders: Orders) -> Order:
    return orders.create(intent(), now_ns=0, wall_ms=SENT_MS)


def lost(orders: Orders) -> Order:
    order = sent(orders)
    orders.apply(OrderUnknown(client_id=order.client_id, reason="cut"), SECOND)
    return order


def state(order: Order) -> OrderState:
    return order.state


def absent(order: Order, after_ms: int) -> OrderAbsent:
    return OrderAbsent(client_id=order.client_id, venue_time_ms=SENT_MS + after_ms)


def test_client_ids_fit_the_venue_and_never_repeat() -> None:
    orders = Orders("Session_0123abcd", closed_max=1)
    ids = [
        orders.create(intent(strategy="späte/rückkehr v2"), now_ns=0, wall_ms=0).client_id
        for _ in range(2_000)
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,36}", one) for one in ids)
    assert ids[0] == "spterckk-Session_0123abcd-1"
    other = Orders("n2").create(intent(strategy="späte/rückkehr v2"), now_ns=0, wall_ms=0)
    assert other.client_id not in ids


@pytest.mark.parametrize("nonce", ["", "a-b", "a" * 17, "ä", "a\n"])
def test_bad_nonce_is_refused(nonce: str) -> None:
    with pytest.raises(ConfigError, match="nonce"):
        Orders(nonce)


def test_absent_is_believed_only_after_the_rule() -> None:
    orders = Orders("n1", recv_window_ms=5_000)
    order = lost(orders)
    late = 8 * SECOND

    orders.apply(absent(order, 7_500), late)  # not past the window and its grace yet
    orders.apply(absent(order, 60_000), 5 * SECOND)  # only the venue's clock says so
    assert order.absences == 0
    orders.apply(absent(order, 7_501), late)
    orders.apply(absent(order, 8_400), late + SECOND - 1)  # too soon after the first
    assert state(order) is OrderState.UNKNOWN
    assert order.reserved == 100

    change = orders.apply(absent(order, 8_600), late + SECOND)

    assert change is not None
    assert change.closed
    assert state(order) is OrderState.NEVER_ACCEPTED
    assert order.reserved == 0


@pytest.mark.parametrize("proof", ["answer", "row", "fill"])
def test_absent_means_nothing_against_proof(proof: str) -> None:
    orders = Orders("n1")
    order = lost(orders)
    if proof == "answer":
        orders.apply(OrderAccepted(client_id=order.client_id, order_id="v1"), SECOND)
    elif proof == "row":
        orders.apply(row_of(order.client_id, "New"), SECOND)
    else:
        orders.book(fill("e1", order.client_id, qty=10), SECOND)

    for n in range(10, 20):
        orders.apply(absent(order, n * 1_000), n * SECOND)

    assert not order.state.terminal
    assert order.working


def test_a_ghost_is_taken_back() -> None:
    orders = Orders("n1")
    order = lost(orders)
    orders.apply(absent(order, 8_000), 8 * SECOND)
    orders.apply(absent(order, 9_000), 9 * SECOND)
    assert state(order) is OrderState.NEVER_ACCEPTED

    change = orders.apply(row_of(order.client_id, "New"), 10 * SECOND)

    assert change is not None
    assert change.ghost
    assert state(order) is OrderState.NEW
    assert order.reserved == 100
    assert orders.working(0) == [order]


def test_a_timeout_or_a_loss_is_not_a_no() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.to_unknown(order, SECOND, "no word")
    assert state(order) is OrderState.UNKNOWN
    assert order.reserved == 100

    orders.apply(row_of(order.client_id, "New"), 2 * SECOND)
    orders.apply(OrderUnknown(client_id=order.client_id, reason="late"), 3 * SECOND)

    assert state(order) is OrderState.NEW
    assert order.query_due_ns is None


def test_fills_owed_by_a_closed_order_still_count() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(row_of(order.client_id, "Cancelled", cum_qty=60), 1)
    assert state(order) is OrderState.CANCELLED
    assert order.reserved == 60
    assert order.working
    assert order.query_due_ns is not None

    orders.book(fill("e1", order.client_id, qty=60), 2)

    assert state(order) is OrderState.CANCELLED
    assert not order.working
    assert order.query_due_ns is None


def test_a_fill_beyond_the_order_is_booked_and_said() -> None:
    orders = Orders("n1")
    order = sent(orders)
    assert orders.book(fill("e1", order.client_id), 1) == (Booking.BOOKED, order)
    assert orders.book(fill("e1", order.client_id), 2) == (Booking.DUPLICATE, order)
    assert orders.book(fill("e2", order.client_id, qty=1), 3) == (Booking.OVERFILL, order)
    assert order.booked_qty == 101
    assert orders.counters["duplicate_fills"] == orders.counters["overfills"] == 1


def test_an_early_fill_waits_for_its_order() -> None:
    orders = Orders("n1")
    order = sent(orders)
    early = fill("e1", "", order_id="v9", qty=30)
    assert orders.book(early, 1) == (Booking.PARKED, None)

    change = orders.apply(OrderAccepted(client_id=order.client_id, order_id="v9"), 2)

    assert change is not None
    assert change.fills == (early,)
    assert order.booked_qty == 30
    assert orders.take_strangers(10**12) == []
    assert orders.take_overdue(10**12) == []
    assert orders.parked_count == 0


def test_a_fill_that_waits_for_an_answer_is_overdue_and_no_stranger() -> None:
    orders = Orders("n1")
    order = sent(orders)
    early = fill("e1", "", order_id="v9", qty=30)
    orders.book(early, 5)
    assert orders.take_overdue(4) == []
    assert orders.take_overdue(5) == [early]
    assert orders.take_overdue(5) == []
    assert orders.take_strangers(5) == []

    # However late the answer comes, the fill finds its order.
    orders.apply(OrderAccepted(client_id=order.client_id, order_id="v9"), 10**10)
    assert order.booked_qty == 30


def test_a_stranger_that_is_claimed_after_all_is_booked() -> None:
    orders = Orders("n1")
    sent_order = sent(orders)
    orders.apply(OrderAccepted(client_id=sent_order.client_id, order_id="v1"), 1)
    alien = fill("e1", "", order_id="v2", qty=30)
    orders.book(alien, 5)
    assert orders.take_strangers(5) == [alien]
    late = sent(orders)
    orders.apply(OrderAccepted(client_id=late.client_id, order_id="v2"), 9)
    assert late.booked_qty == 30


def resting(orders: Orders) -> Order:
    order = orders.create(intent(tif=TimeInForce.GTC), now_ns=0, wall_ms=1_000)
    orders.apply(row_of(order.client_id, "New"), 1)
    return order


def test_an_amend_under_way_counts_at_the_worse_of_both() -> None:
    orders = Orders("n1")
    order = resting(orders)
    orders.amend(order, 50_020, 150, 10)
    assert (order.amending, order.reserved, order.px_max, order.px_min) == (
        True,
        150,
        50_020,
        50_010,
    )
    orders.apply(row_of(order.client_id, "New", updated_ms=2), 11)  # of before the amend
    assert order.amending
    orders.apply(row_of(order.client_id, "New", px=50_020, qty=150, updated_ms=3), 12)
    assert (order.amending, order.px, order.qty, order.reserved) == (False, 50_020, 150, 150)
    assert (order.px_max, order.px_min) == (50_020, 50_020)


def test_a_smaller_amend_frees_nothing_before_it_is_done() -> None:
    orders = Orders("n1")
    order = resting(orders)
    orders.amend(order, 50_000, 40, 10)
    assert (order.reserved, order.px_max, order.px_min) == (100, 50_010, 50_000)
    orders.apply(row_of(order.client_id, "New", px=50_000, qty=40, updated_ms=3), 12)
    assert order.reserved == 40


def test_a_lost_amend_ends_when_it_can_come_no_more() -> None:
    orders = Orders("n1")
    order = resting(orders)
    orders.amend(order, 50_020, 150, 10)
    orders.apply(row_of(order.client_id, "New", updated_ms=2), 10 + 15 * SECOND // 2)
    assert order.amending
    orders.apply(row_of(order.client_id, "New", updated_ms=3), 11 + 15 * SECOND // 2)
    assert (order.amending, order.reserved) == (False, 100)


def test_a_refused_amend_leaves_the_order_and_asks() -> None:
    orders = Orders("n1")
    order = resting(orders)
    orders.amend(order, 50_020, 150, 10)
    orders.apply(CancelRejected(client_id=order.client_id, code=1, reason="of a cancel"), 11)
    assert order.amending
    orders.apply(AmendRejected(client_id=order.client_id, code=110001, reason="gone"), 12)
    assert (order.amending, order.px, order.query_due_ns) == (False, 50_010, 12)


def test_an_amend_ends_with_its_order() -> None:
    orders = Orders("n1")
    order = resting(orders)
    orders.amend(order, 50_020, 150, 10)
    orders.apply(row_of(order.client_id, "Cancelled", updated_ms=3, cum_qty=30), 12)
    assert (order.amending, order.reserved) == (False, 30)


def test_only_a_resting_order_is_amended_and_once_at_a_time() -> None:
    orders = Orders("n1")
    with pytest.raises(ValueError, match="cannot be amended"):
        orders.amend(sent(orders), 50_020, 150, 10)  # immediate
    unheard = orders.create(intent(tif=TimeInForce.GTC), now_ns=0, wall_ms=1_000)
    with pytest.raises(ValueError, match="cannot be amended"):
        orders.amend(unheard, 50_020, 150, 10)
    order = resting(orders)
    for px, qty in ((0, 10), (10, 0), (-1, 1)):
        with pytest.raises(ValueError, match="needs a price"):
            orders.amend(order, px, qty, 10)
    orders.amend(order, 50_020, 150, 10)
    with pytest.raises(ValueError, match="cannot be amended"):
        orders.amend(order, 50_030, 150, 11)


def test_strangers_are_handed_out_once() -> None:
    orders = Orders("n1")
    alien = fill("e1", "", order_id="hand")
    orders.book(alien, 5)
    assert orders.take_strangers(4) == []
    assert orders.take_strangers(5) == [alien]
    assert orders.take_strangers(5) == []


def test_a_no_to_an_order_that_exists_is_a_contradiction() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(row_of(order.client_id, "New"), 1)
    orders.apply(OrderRejected(client_id=order.client_id, code=110007, reason="funds"), 2)
    assert state(order) is OrderState.NEW
    assert orders.counters["contradictions"] == 1
    assert order.query_due_ns == 2


def test_a_refused_cancel_asks_instead_of_believing() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(row_of(order.client_id, "New"), 1)
    orders.apply(CancelRejected(client_id=order.client_id, code=110001, reason="gone"), 2)
    assert state(order) is OrderState.NEW
    assert order.query_due_ns == 2


def test_an_unknown_word_is_open_and_counted() -> None:
    orders = Orders("n1")
    order = sent(orders)
    orders.apply(row_of(order.client_id, "Levitating"), 1)
    assert state(order) is OrderState.NEW
    assert orders.counters["strange_status"] == 1
