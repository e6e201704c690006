"""Commands and when they fall due."""

from __future__ import annotations

import pytest
from tests.support_decide import SECOND, intent, row_of

from fastbook.errors import ConfigError
from fastbook.execution import Executor, ExecutorParams, Orders
from fastbook.types import (
    AmendIntent,
    AmendOrder,
    Approved,
    CancelOrder,
    OrderState,
    OrderUnknown,
    PlaceOrder,
    QueryOrder,
    Refused,
    Side,
    TimeInForce,
)

MS = 1_000_000


def executor(**params: float) -> Executor:
    values: dict[str, object] = dict(params)
    return Executor(Orders("n1"), ExecutorParams(**values))  # type: ignore[arg-type]  # by name


def place(desk: Executor, now_ns: int = 0, **changes: object) -> PlaceOrder:
    command = desk.plan(Approved(intent(**changes)), now_ns=now_ns, wall_ms=0)
    assert isinstance(command, PlaceOrder)
    return command


@pytest.mark.parametrize("item", [intent(), Refused(intent(), "x", "y"), None])
def test_what_was_not_approved_cannot_be_planned(item: object) -> None:
    desk = executor()
    with pytest.raises(TypeError, match="approved"):
        desk.plan(item, now_ns=0, wall_ms=0)  # type: ignore[arg-type]  # the point of the test
    assert desk.orders.working_count == 0


def test_command_says_what_was_approved() -> None:
    command = place(executor(), qty=42, tif=TimeInForce.GTC, reduce_only=True)
    assert (command.qty, command.px, command.tif) == (42, 50_010, TimeInForce.GTC)
    assert command.reduce_only
    assert command.client_id == "meanrev-n1-1"


def test_one_entry_in_flight_and_exits_go_ahead() -> None:
    desk = executor()
    first = place(desk)

    again = desk.plan(Approved(intent(qty=7)), now_ns=1, wall_ms=0)

    assert isinstance(again, Refused)
    assert again.rule == "entry_in_flight"
    place(desk, reduce_only=True)
    place(desk, instrument=1)
    place(desk, strategy="other")
    # Filled according to the venue, but the fills have not come: still under way.
    desk.orders.apply(row_of(first.client_id, "Filled", cum_qty=100), 2)
    assert desk.in_flight(0, "meanrev")


def test_silence_becomes_unknown_and_is_asked_for_with_growing_waits() -> None:
    desk = executor(ack_timeout_ms=2_000, retry_first_ms=250, retry_max_ms=1_000)
    command = place(desk)
    query = QueryOrder(client_id=command.client_id, instrument=0)
    assert desk.on_timer(1_999 * MS) == []

    asked = [ms for ms in range(2_000, 8_000, 50) if desk.on_timer(ms * MS) == [query]]

    order = desk.orders.get(command.client_id)
    assert order is not None
    assert order.state is OrderState.UNKNOWN
    assert asked == [2_000, 2_250, 2_750, 3_750, 4_750, 5_750, 6_750, 7_750]
    assert desk.counters["timeouts"] == 1
    desk.orders.apply(row_of(command.client_id, "New"), 8_000 * MS)
    assert desk.on_timer(8_100 * MS) == []


def test_a_known_loss_is_asked_for_at_once() -> None:
    desk = executor()
    command = place(desk)
    desk.orders.apply(OrderUnknown(client_id=command.client_id, reason="cut"), 5)
    assert desk.on_timer(6) == [QueryOrder(client_id=command.client_id, instrument=0)]


def test_an_old_resting_order_is_withdrawn_until_it_is_closed() -> None:
    desk = executor(order_ttl_ms=1_000, retry_first_ms=500, retry_max_ms=500)
    command = place(desk, tif=TimeInForce.GTC)
    cancel = CancelOrder(client_id=command.client_id, instrument=0)
    desk.orders.apply(row_of(command.client_id, "New"), 1)

    assert desk.on_timer(999 * MS) == []
    assert desk.on_timer(1_000 * MS) == [cancel]
    assert desk.on_timer(1_400 * MS) == []
    assert desk.on_timer(1_500 * MS) == [cancel]
    order = desk.orders.get(command.client_id)
    assert order is not None
    assert desk.cancel(order, 1_600 * MS) == []  # under way already
    desk.orders.apply(row_of(command.client_id, "Cancelled"), 1_700 * MS)
    assert desk.on_timer(9_000 * MS) == []


def test_fills_that_do_not_follow_their_row_are_asked_for() -> None:
    desk = executor()
    command = place(desk)
    desk.orders.apply(row_of(command.client_id, "Filled", cum_qty=100), 0)
    assert desk.on_timer(1_999 * MS) == []
    assert desk.on_timer(2_000 * MS) == [QueryOrder(client_id=command.client_id, instrument=0)]


def test_budget_stops_orders_and_queries_but_no_cancel() -> None:
    desk = executor(commands_per_second_max=5.0)
    placed = [place(desk, instrument=n, tif=TimeInForce.GTC) for n in range(4)]
    refused = desk.plan(Approved(intent(instrument=9)), now_ns=0, wall_ms=0)
    assert isinstance(refused, Refused)
    assert refused.rule == "commands_per_second_max"
    for command in placed:
        desk.orders.apply(OrderUnknown(client_id=command.client_id, reason="cut"), 0)

    assert desk.on_timer(0) == []
    assert desk.counters["put_off"] == 4
    cancels = desk.cancel_working(0)

    assert len(cancels) == 4
    later = desk.on_timer(10 * SECOND)
    assert sum(isinstance(c, QueryOrder) for c in later) >= 1


def test_cancel_of_one_strategy_leaves_the_others() -> None:
    desk = executor()
    place(desk, strategy="a", tif=TimeInForce.GTC)
    mine = place(desk, strategy="b", tif=TimeInForce.GTC)
    assert desk.cancel_working(0, "b") == [CancelOrder(client_id=mine.client_id, instrument=0)]


def test_times_and_rates_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="ack_timeout_ms"):
        executor(ack_timeout_ms=0)


def wanted(client_id: str, *, px: int = 50_020, qty: int = 100) -> AmendIntent:
    return AmendIntent(
        client_id=client_id,
        instrument=0,
        side=Side.BUY,
        px=px,
        qty=qty,
        strategy="meanrev",
        reason="follow",
    )


def rest_one(desk: Executor) -> str:
    command = place(desk, tif=TimeInForce.GTC)
    desk.orders.apply(row_of(command.client_id, "New"), 1)
    return command.client_id


def test_amend_says_price_and_total_quantity() -> None:
    desk = executor()
    client_id = rest_one(desk)
    assert desk.amend(Approved(wanted(client_id)), now_ns=5) == AmendOrder(
        client_id=client_id, instrument=0, px=50_020, qty=100
    )
    order = desk.orders.get(client_id)
    assert order is not None
    assert order.amending
    assert desk.counters["amends"] == 1
    with pytest.raises(TypeError, match="approved"):
        desk.amend(wanted(client_id), now_ns=6)  # type: ignore[arg-type]  # the point of the test


def refusal(desk: Executor, item: AmendIntent) -> str:
    answer = desk.amend(Approved(item), now_ns=9)
    assert isinstance(answer, Refused)
    return answer.rule


def test_amend_is_refused_where_it_can_do_harm_or_nothing() -> None:
    desk = executor()
    assert refusal(desk, wanted("nobody")) == "not_resting"
    immediate = place(desk, instrument=1)
    assert refusal(desk, wanted(immediate.client_id)) == "not_resting"
    unheard = place(desk, instrument=2, tif=TimeInForce.GTC)
    assert refusal(desk, wanted(unheard.client_id)) == "amend_in_flight"
    client_id = rest_one(desk)
    assert refusal(desk, wanted(client_id, px=50_010)) == "no_change"
    desk.orders.apply(row_of(client_id, "PartiallyFilled", cum_qty=40, updated_ms=2), 3)
    assert refusal(desk, wanted(client_id, qty=40)) == "already_filled"
    assert isinstance(desk.amend(Approved(wanted(client_id)), now_ns=9), AmendOrder)
    assert refusal(desk, wanted(client_id, px=50_030)) == "amend_in_flight"
    order = desk.orders.get(client_id)
    assert order is not None
    desk.cancel(order, 10)
    assert refusal(desk, wanted(client_id, px=50_030)) == "not_resting"


def test_amends_keep_to_the_rate() -> None:
    desk = executor(commands_per_second_max=1.0)
    client_id = rest_one(desk)
    while isinstance(
        desk.plan(Approved(intent(reduce_only=True)), now_ns=9, wall_ms=0), PlaceOrder
    ):
        pass
    assert refusal(desk, wanted(client_id)) == "commands_per_second_max"
    order = desk.orders.get(client_id)
    assert order is not None
    assert not order.amending


def test_amend_without_a_word_is_asked_about_until_it_can_come_no_more() -> None:
    desk = executor(ack_timeout_ms=2_000, retry_first_ms=500, retry_max_ms=500)
    client_id = rest_one(desk)
    desk.amend(Approved(wanted(client_id, qty=150)), now_ns=0)
    order = desk.orders.get(client_id)
    assert order is not None
    query = QueryOrder(client_id=client_id, instrument=0)
    asked = []
    for ms in range(100, 9_000, 100):
        if query in desk.on_timer(ms * MS):
            asked.append(ms)
            assert order.reserved == 150  # never assumed to be the smaller
            desk.orders.apply(row_of(client_id, "New", updated_ms=1), ms * MS)
    assert asked[:3] == [2_500, 3_100, 3_700]
    assert asked[-1] < 8_500
    assert (order.amending, order.reserved) == (False, 100)


def test_asking_about_all_leaves_young_orders_to_their_timeouts() -> None:
    desk = executor()
    young = place(desk, instrument=1)
    client_id = rest_one(desk)
    desk.ask_all(10)
    assert desk.on_timer(11) == [QueryOrder(client_id=client_id, instrument=0)]
    order = desk.orders.get(young.client_id)
    assert order is not None
    desk.ask(order, 12)
    desk.ask(order, 9_999)  # under way: not put off
    assert desk.on_timer(12) == [QueryOrder(client_id=young.client_id, instrument=1)]


def test_an_unknown_order_without_a_date_is_asked_about() -> None:
    desk = executor()
    command = place(desk)
    desk.orders.apply(OrderUnknown(client_id=command.client_id, reason="cut"), 5)
    order = desk.orders.get(command.client_id)
    assert order is not None
    order.query_due_ns = None
    assert desk.on_timer(6) == [QueryOrder(client_id=command.client_id, instrument=0)]
