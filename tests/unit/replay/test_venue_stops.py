"""Conditional orders, take profit and stop loss: when they start and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from fastbook.errors import VenueError
from fastbook.replay.accounts import Row
from fastbook.types import Side

from .venue_kit import NOW_MS, Desk

BTC = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
def desk() -> Desk:
    """Last trade 60000.00, a deep crowd one tick off on both sides."""
    desk = Desk()
    desk.venue.prices.set_last(0, 6_000_000)
    desk.crowd(Side.BUY, 5_999_990, 20_000)
    desk.crowd(Side.SELL, 6_000_010, 20_000)
    return desk


def last(desk: Desk, px: int) -> None:
    """Somebody trades at `px`, and time goes on."""
    desk.venue.prices.set_last(0, px)
    desk.venue.tick(NOW_MS + 10)


def rise(desk: Desk, qty: str = "0.1", px: str = "61000.00", **more: Any) -> Any:
    return desk.order(
        desk.taker, "Buy", qty, more.pop("price", ""), triggerPrice=px, triggerDirection=1, **more
    )


def rows(desk: Desk) -> list[tuple[str, str, str]]:
    return [
        (row["stopOrderType"], row["orderStatus"], row["cancelType"])
        for _, row in desk.told(desk.taker, "order")
    ]


def stop(desk: Desk, **params: Any) -> int:
    try:
        desk.venue.trading_stop(
            desk.taker, BTC | {"positionIdx": 0, "tpslMode": "Full"} | params, NOW_MS
        )
    except VenueError as e:
        return e.code
    return 0


def position(desk: Desk) -> Row:
    return desk.venue.position_rows(desk.taker, **BTC)[0]


# Conditional orders.


def test_a_conditional_order_waits_and_then_runs_through_triggered(desk: Desk) -> None:
    order = rise(desk)
    row = desk.told(desk.taker, "order")[0][1]
    assert (row["orderStatus"], row["triggerPrice"], row["triggerDirection"]) == (
        "Untriggered",
        "61000",
        1,
    )
    assert (row["triggerBy"], row["stopOrderType"], row["createType"], row["price"]) == (
        "LastPrice",
        "Stop",
        "CreateByStopOrder",
        "0",
    )
    assert desk.venue.figures(desk.taker).account["order_im"] == 0
    last(desk, 6_099_990)
    assert order.waiting
    last(desk, 6_100_000)
    assert [status for _, status, _ in rows(desk)] == ["Triggered", "Filled"]
    assert desk.venue.account(desk.taker).position(desk.instruments[0]).qty == 100


def test_a_conditional_limit_order_rests_when_triggered(desk: Desk) -> None:
    order = rise(desk, price="59000.00")
    last(desk, 6_100_000)
    assert [status for _, status, _ in rows(desk)] == ["Untriggered", "Triggered", "New"]
    assert desk.books[0].order(order.number) == (1, 5_900_000, 100, desk.taker)


def test_a_price_between_two_ticks_counts(desk: Desk) -> None:
    order = rise(desk)
    desk.venue.tick(NOW_MS)
    desk.venue.prices.set_last(0, 6_100_000)
    last(desk, 6_000_000)
    assert not order.open


def test_a_price_before_the_order_does_not_count(desk: Desk) -> None:
    desk.venue.prices.set_last(0, 6_200_000)
    desk.venue.prices.set_last(0, 6_000_000)
    order = rise(desk)
    desk.venue.tick(NOW_MS)
    assert order.waiting


def test_falling_and_by_mark(desk: Desk) -> None:
    order = desk.order(
        desk.taker, "Sell", "0.1", triggerPrice="59999.00", triggerDirection=2,
        triggerBy="MarkPrice",
    )  # fmt: skip
    last(desk, 5_900_000)
    assert order.waiting  # the mark is the mid: 60000
    desk.crowd_takes(Side.SELL, 5_999_990, 20_000)
    desk.crowd(Side.BUY, 5_990_000, 500)
    last(desk, 5_990_000)
    assert order.status == "Filled"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"triggerPrice": "61000.00"}, 10001),
        ({"triggerPrice": "61000.00", "triggerDirection": 3}, 10001),
        ({"triggerPrice": "61000.00", "triggerDirection": "1"}, 10001),
        ({"triggerPrice": "61000.00", "triggerDirection": 1, "triggerBy": "Mid"}, 10001),
        ({"triggerPrice": "61000.05", "triggerDirection": 1}, 10001),
        ({"triggerPrice": "60000.00", "triggerDirection": 1}, 110092),
        ({"triggerPrice": "60000.00", "triggerDirection": 2}, 110093),
    ],
)
def test_trigger_refusals(desk: Desk, params: dict[str, Any], code: int) -> None:
    assert desk.refusal(desk.taker, "Buy", "0.1", **params) == code


def test_ten_conditional_orders_a_symbol(desk: Desk) -> None:
    for _ in range(10):
        order = rise(desk)
    assert (
        desk.refusal(desk.taker, "Buy", "0.1", triggerPrice="61000.00", triggerDirection=1)
        == 110009
    )
    desk.venue.cancel(desk.taker, BTC | {"orderId": order.order_id}, NOW_MS)
    rise(desk)
    desk.order(desk.taker, "Buy", "0.1", "59000.00")


def test_cancel_and_cancel_all_by_filter(desk: Desk) -> None:
    waiting, resting = rise(desk), desk.order(desk.taker, "Buy", "0.1", "59000.00")
    only = BTC | {"orderFilter": "StopOrder"}
    assert desk.venue.cancel_all(desk.taker, only, NOW_MS) == [waiting]
    assert rows(desk)[-1] == ("Stop", "Cancelled", "CancelByUser")
    waiting = rise(desk)
    assert desk.venue.cancel_all(desk.taker, BTC | {"orderFilter": "Order"}, NOW_MS) == [resting]
    assert desk.venue.cancel_all(desk.taker, BTC, NOW_MS) == [waiting]
    last(desk, 6_200_000)
    assert rows(desk)[-1][1] == "Cancelled"


def test_amend_the_trigger(desk: Desk) -> None:
    order = rise(desk)
    desk.venue.amend(
        desk.taker,
        BTC | {"orderId": order.order_id, "triggerPrice": "62000.00", "qty": "0.2"},
        NOW_MS,
    )
    last(desk, 6_100_000)
    assert order.waiting
    last(desk, 6_200_000)
    assert (order.status, order.cum_qty) == ("Filled", 200)


def test_unaffordable_when_triggered_is_rejected() -> None:
    desk = Desk(balance="100")
    desk.venue.prices.set_last(0, 6_000_000)
    desk.crowd(Side.SELL, 6_000_010, 20_000)
    rise(desk)
    last(desk, 6_100_000)
    assert [status for _, status, _ in rows(desk)][-1] == "Rejected"
    assert desk.venue.account(desk.taker).open_orders == {}


def test_reduce_only_without_a_position_ends_when_triggered(desk: Desk) -> None:
    rise(desk, reduceOnly=True)
    last(desk, 6_100_000)
    assert rows(desk)[-1] == ("Stop", "Cancelled", "CancelByReduceOnly")


def test_one_trigger_may_set_off_the_next(desk: Desk) -> None:
    first = rise(desk)
    desk.crowd(Side.SELL, 6_110_000, 10_000)  # where it will trade
    second = rise(desk, px="61050.00", qty="0.1")
    third = rise(desk, px="61200.00", qty="0.1")
    desk.order(desk.maker, "Buy", "20", "60000.10")
    last(desk, 6_100_000)
    assert (first.status, second.status) == ("Filled", "Filled")
    assert third.waiting


def test_spot_conditional_finds_its_direction_and_is_deactivated(desk: Desk) -> None:
    spot = {"category": "spot", "symbol": "ETHUSDT"}
    desk.venue.prices.set_last(2, 200_000)
    order = desk.order(desk.taker, "Buy", "1", "2100.00", triggerPrice="2050.00", **spot)
    assert order.trigger is not None
    assert order.trigger.direction == 1
    desk.venue.cancel(desk.taker, spot | {"orderId": order.order_id}, NOW_MS)
    assert rows(desk)[-1][1] == "Deactivated"


# Take profit and stop loss of a position.


def test_no_position_no_stop(desk: Desk) -> None:
    assert stop(desk, takeProfit="61000.00") == 10001


def test_full_stops_show_on_the_position_and_end_together(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    desk.told(desk.taker)
    assert stop(desk, takeProfit="61000.00", stopLoss="59000.00") == 0
    told = desk.told(desk.taker)
    assert [
        (r["stopOrderType"], r["side"], r["qty"], r["triggerDirection"], r["reduceOnly"])
        for topic, r in told
        if topic == "order"
    ] == [("TakeProfit", "Sell", "0.3", 1, True), ("StopLoss", "Sell", "0.3", 2, True)]
    assert (position(desk)["takeProfit"], position(desk)["stopLoss"]) == ("61000", "59000")
    last(desk, 5_900_000)
    assert (
        rows(desk)
        == [
            ("StopLoss", "Triggered", "UNKNOWN"),
            ("TakeProfit", "Cancelled", "CancelByTpSlTsClear"),
            ("StopLoss", "Filled", "UNKNOWN"),
        ]
        or rows(desk) == []
    )
    assert (position(desk)["size"], position(desk)["stopLoss"]) == ("0", "0")
    assert desk.venue.account(desk.taker).open_orders == {}
    assert desk.venue.account(desk.taker).executions[-1]["createType"] == "CreateByStopLoss"


def test_stops_change_and_are_removed(desk: Desk) -> None:
    desk.order(desk.taker, "Sell", "0.3")
    assert stop(desk, takeProfit="59000.00") == 0
    assert stop(desk, takeProfit="59000.00") == 34040
    assert stop(desk) == 34040
    assert stop(desk, takeProfit="58000.00", stopLoss="61000.00") == 0
    assert (position(desk)["takeProfit"], position(desk)["stopLoss"]) == ("58000", "61000")
    assert len(desk.venue.account(desk.taker).open_orders) == 2
    assert stop(desk, takeProfit="0", stopLoss="0") == 0
    assert (position(desk)["takeProfit"], position(desk)["stopLoss"]) == ("0", "0")
    assert desk.venue.account(desk.taker).open_orders == {}
    last(desk, 5_700_000)
    assert position(desk)["size"] == "0.3"


def test_the_stop_follows_the_size_of_the_position(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    stop(desk, stopLoss="59000.00")
    desk.order(desk.taker, "Buy", "0.2")
    last(desk, 5_900_000)
    assert position(desk)["size"] == "0"


def test_a_flip_ends_the_stops(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    stop(desk, stopLoss="59000.00")
    desk.order(desk.taker, "Sell", "0.5")
    assert position(desk)["stopLoss"] == "0"
    assert desk.venue.account(desk.taker).open_orders == {}


@pytest.mark.parametrize(
    "params",
    [
        {"takeProfit": "59000.00"},
        {"stopLoss": "61000.00"},
        {"takeProfit": "61000.05"},
        {"takeProfit": "61000.00", "positionIdx": 1},
        {"takeProfit": "61000.00", "tpslMode": "Half"},
        {"takeProfit": "61000.00", "tpOrderType": "Limit", "tpLimitPrice": "61000.00"},
        {"trailingStop": "60000.10"},
        {"trailingStop": "0.05"},
        {"trailingStop": "50", "activePrice": "59000.00"},
        {"tpslMode": "Partial", "takeProfit": "61000.00", "tpSize": "0.4"},
        {"tpslMode": "Partial", "takeProfit": "61000.00", "tpSize": "0.1", "slSize": "0.2"},
        {"category": "spot", "symbol": "ETHUSDT"},
    ],
)
def test_stop_refusals(desk: Desk, params: dict[str, Any]) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    desk.told(desk.taker)
    assert stop(desk, **params) == 10001
    assert desk.told(desk.taker) == []


def test_partial_stops_come_in_pairs_of_which_one_ends_the_other(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    pair = {
        "tpslMode": "Partial",
        "takeProfit": "61000.00",
        "stopLoss": "59000.00",
        "tpSize": "0.1",
        "slSize": "0.1",
        "tpOrderType": "Limit",
        "tpLimitPrice": "61000.00",
    }
    assert stop(desk, **pair) == 0
    desk.told(desk.taker)
    last(desk, 6_100_000)
    assert sorted(rows(desk)) == [
        ("PartialStopLoss", "Cancelled", "CancelByTpSlTsClear"),
        ("PartialTakeProfit", "New", "UNKNOWN"),
        ("PartialTakeProfit", "Triggered", "UNKNOWN"),
    ]
    assert desk.books[0].levels(Side.SELL)[-1] == (6_100_000, 100)
    assert position(desk)["takeProfit"] == "0"  # partial ones do not show


def test_partial_stops_are_bounded(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    for _ in range(20):
        assert stop(desk, tpslMode="Partial", takeProfit="61000.00", tpSize="0.1") == 0
    assert stop(desk, tpslMode="Partial", takeProfit="61000.00", tpSize="0.1") == 110009


def test_a_trailing_stop_follows_and_never_goes_back(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    desk.told(desk.taker)
    assert stop(desk, trailingStop="100.00") == 0
    assert stop(desk, trailingStop="100.00") == 34040
    row = desk.told(desk.taker, "order")[0][1]
    assert (row["stopOrderType"], row["createType"], row["triggerPrice"]) == (
        "TrailingStop",
        "CreateByTrailingStop",
        "59900.1",  # the position was bought at 60000.10, which was the last trade
    )
    assert position(desk)["trailingStop"] == "100"
    order = next(iter(desk.venue.account(desk.taker).open_orders.values()))
    for px, trigger in ((6_005_000, 5_995_000), (6_000_000, 5_995_000), (6_010_000, 6_000_000)):
        last(desk, px)
        assert order.trigger is not None
        assert order.trigger.px == trigger
        assert order.waiting
    last(desk, 6_000_000)
    assert rows(desk)[-2:] == [
        ("TrailingStop", "Triggered", "UNKNOWN"),
        ("TrailingStop", "Filled", "UNKNOWN"),
    ]
    assert (position(desk)["size"], position(desk)["trailingStop"]) == ("0", "0")


def test_a_trailing_stop_of_a_short_waits_for_its_activation(desk: Desk) -> None:
    desk.order(desk.taker, "Sell", "0.3")
    assert stop(desk, trailingStop="100.00", activePrice="59500.00") == 0
    order = next(iter(desk.venue.account(desk.taker).open_orders.values()))
    last(desk, 5_960_000)
    assert order.trigger is None
    desk.venue.prices.set_last(0, 5_940_000)  # it may have been there before it was active
    last(desk, 5_949_000)
    assert order.trigger is not None
    assert (order.trigger.px, order.trigger.direction) == (5_959_000, 1)
    last(desk, 5_940_000)
    last(desk, 5_949_990)
    assert order.waiting
    last(desk, 5_950_000)
    assert order.open is False
    assert position(desk)["trailingStop"] == "0"


def test_a_trailing_stop_is_removed_and_ends_with_its_position(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    stop(desk, trailingStop="100.00")
    assert stop(desk, trailingStop="200.00") == 0
    assert len(desk.venue.account(desk.taker).open_orders) == 1
    assert stop(desk, trailingStop="0") == 0
    assert desk.venue.account(desk.taker).open_orders == {}
    stop(desk, trailingStop="100.00")
    desk.order(desk.taker, "Sell", "0.3")
    assert desk.venue.account(desk.taker).open_orders == {}
    assert position(desk)["trailingStop"] == "0"


# Attached to an order.


def test_attached_full_stops_arrive_with_the_fill(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3", "59000.00", takeProfit="61000.00", stopLoss="58000.00")
    row = desk.told(desk.taker, "order")[0][1]
    assert (row["takeProfit"], row["stopLoss"], row["tpslMode"]) == ("61000", "58000", "Full")
    assert position(desk)["takeProfit"] == "0"
    desk.crowd_takes(Side.SELL, 5_900_000, 20_100)  # the crowd's bid and a part of ours
    assert position(desk)["size"] == "0.1"
    assert (position(desk)["takeProfit"], position(desk)["stopLoss"]) == ("61000", "58000")
    desk.crowd_takes(Side.SELL, 5_900_000, 200)
    desk.crowd(Side.BUY, 5_800_000, 1000)
    last(desk, 5_800_000)
    assert position(desk)["size"] == "0"


def test_attached_partial_stops_grow_with_the_fills(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.1")
    desk.order(
        desk.taker, "Buy", "0.3", "59000.00", takeProfit="61000.00", stopLoss="58000.00",
        tpslMode="Partial",
    )  # fmt: skip
    desk.crowd_takes(Side.SELL, 5_900_000, 19_950 + 150)
    desk.crowd_takes(Side.SELL, 5_900_000, 100)
    stops = [o for o in desk.venue.account(desk.taker).open_orders.values() if o.waiting]
    filled = desk.venue.account(desk.taker).position(desk.instruments[0]).qty - 100
    assert [(o.stop_type, o.qty) for o in stops] == [
        ("PartialTakeProfit", filled),
        ("PartialStopLoss", filled),
    ]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"takeProfit": "58000.00"}, 10001),
        ({"stopLoss": "59500.00"}, 10001),
        ({"takeProfit": "61000.00", "category": "spot", "symbol": "ETHUSDT"}, 10001),
    ],
)
def test_attached_refusals(desk: Desk, params: dict[str, Any], code: int) -> None:
    assert desk.refusal(desk.taker, "Buy", "0.3", "59000.00", **params) == code


def test_reduce_only_takes_no_stops(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3")
    assert (
        desk.refusal(desk.taker, "Sell", "0.3", "61000.00", reduceOnly=True, stopLoss="62000.00")
        == 110061
    )
