"""Facts about one order, in any order and any number of times: one end, each fill once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support_decide import fill, intent, row_of

from fastbook.execution import Orders
from fastbook.types import (
    Execution,
    OrderAccepted,
    OrderRejected,
    OrderState,
    OrderUnknown,
    OrderUpdate,
)

ID = "meanrev-n1-1"
Fact = OrderAccepted | OrderRejected | OrderUnknown | OrderUpdate | Execution

ACK = OrderAccepted(client_id=ID, order_id=f"v-{ID}")
LOST = OrderUnknown(client_id=ID, reason="cut")

STORIES: dict[str, tuple[list[Fact], OrderState, int]] = {
    "rests, trades in two parts": (
        [
            ACK,
            row_of(ID, "New"),
            fill("e1", ID, qty=40),
            row_of(ID, "PartiallyFilled", cum_qty=40, updated_ms=2),
            fill("e2", ID, qty=60),
            row_of(ID, "Filled", cum_qty=100, updated_ms=3),
        ],
        OrderState.FILLED,
        100,
    ),
    "trades at once, the answer is lost": (
        [LOST, fill("e1", ID), row_of(ID, "Filled", cum_qty=100)],
        OrderState.FILLED,
        100,
    ),
    "partly filled, then cancelled": (
        [
            ACK,
            row_of(ID, "New"),
            row_of(ID, "PartiallyFilled", cum_qty=30, updated_ms=2),
            fill("e1", ID, qty=30),
            row_of(ID, "Cancelled", cum_qty=30, updated_ms=3, reject_reason="EC_PerCancelRequest"),
        ],
        OrderState.CANCELLED,
        30,
    ),
    "maker fills without our id": (
        [
            ACK,
            row_of(ID, "New"),
            fill("e1", "", order_id=f"v-{ID}", qty=50),
            fill("e2", "", order_id=f"v-{ID}", qty=50),
            row_of(ID, "Filled", cum_qty=100, updated_ms=3),
        ],
        OrderState.FILLED,
        100,
    ),
    "filled twice, as after a cancel that lost": (
        [
            ACK,
            fill("e1", ID),
            row_of(ID, "Filled", cum_qty=100),
            row_of(
                ID,
                "Filled",
                cum_qty=100,
                updated_ms=2,
                reject_reason="EC_OrigClOrdIDDoesNotExist",
            ),
        ],
        OrderState.FILLED,
        100,
    ),
    "refused by the stream after a good answer": (
        [ACK, LOST, row_of(ID, "Rejected", reject_reason="EC_PostOnlyWillTakeLiquidity")],
        OrderState.REJECTED,
        0,
    ),
    "refused by the answer": (
        [OrderRejected(client_id=ID, code=110007, reason="no funds")],
        OrderState.REJECTED,
        0,
    ),
}


def tell(orders: Orders, fact: Fact, now_ns: int) -> list[Execution]:
    """Feed one fact; the executions that were attributed to the order by it."""
    if not isinstance(fact, Execution):
        change = orders.apply(fact, now_ns)
        return [] if change is None else list(change.fills)
    if orders.seen(fact.exec_id):
        return []
    _, order = orders.book(fact, now_ns)
    return [] if order is None else [fact]


@pytest.mark.parametrize("story", STORIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_and_repetition_has_one_end(story: str, data: st.DataObject) -> None:
    facts, end, traded = STORIES[story]
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=4))
    told = data.draw(st.permutations(repeated))
    orders = Orders("n1")
    order = orders.create(intent(), now_ns=0, wall_ms=0)
    assert order.client_id == ID
    booked: list[Execution] = []
    cum_before, ended = 0, None

    for n, fact in enumerate(told):
        booked += tell(orders, fact, n)

        assert order.cum_qty >= cum_before
        assert order.booked_qty <= order.qty
        cum_before = order.cum_qty
        if ended is not None:
            assert order.state is ended, "left a terminal state"
        if order.state.terminal:
            ended = order.state

    assert order.state is end
    assert order.booked_qty == order.cum_qty == traded
    assert sorted(e.exec_id for e in booked) == sorted(
        {f.exec_id for f in facts if isinstance(f, Execution)}
    )
    assert order.reserved == 0
    assert orders.working_count == 0
    assert orders.parked_count == 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(list(STORIES))), max_size=30),
    st.integers(1, 4),
)
def test_memory_is_bounded_and_the_index_is_true(
    steps: list[tuple[int, str]], closed_max: int
) -> None:
    orders = Orders("n1", closed_max=closed_max, exec_ids_max=8, parked_max=2)
    made = []
    for n, (instrument, _) in enumerate(steps):
        order = orders.create(intent(instrument=instrument), now_ns=n, wall_ms=n)
        made.append(order)
        if n % 3 == 0:
            orders.apply(row_of(order.client_id, "Cancelled"), n)
        if n % 3 == 1:
            orders.book(fill(f"x{n}", "nobody", order_id=f"?{n}"), n)

        working = [o for o in made if o.working]
        assert orders.working_count == len(working)
        assert {o.client_id for o in orders.all_working()} == {o.client_id for o in working}
        assert len(orders) <= len(working) + closed_max
        assert orders.parked_count <= 2
    assert len({o.client_id for o in made}) == len(made)
