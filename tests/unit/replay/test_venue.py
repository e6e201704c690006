"""Orders on the venue: what they do, and what their owner is told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fastbook.errors import VenueError
from fastbook.replay.clearing import VenueRules
from fastbook.types import Side

from .venue_kit import NOW_MS, Desk

NO_ERROR = ("UNKNOWN", "EC_NoError")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_resting_order_is_new_and_then_position_and_wallet_follow(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00", orderLinkId="m-1")
    told = desk.told(desk.maker)
    assert [topic for topic, _ in told] == ["order", "position", "wallet"]
    row = told[0][1]
    assert (row["orderStatus"], row["leavesQty"], row["cumExecQty"]) == ("New", "0.5", "0")
    assert (row["price"], row["qty"], row["leavesValue"]) == ("60000", "0.5", "30000")
    assert (row["orderId"], row["orderLinkId"]) == (order.order_id, "m-1")
    assert (row["avgPrice"], row["timeInForce"], row["category"]) == ("", "GTC", "linear")
    assert told[2][1]["coin"][0]["totalOrderIM"] != "0"
    assert desk.books[0].best_bid() == 6_000_000


def test_maker_filled_in_two_parts_by_the_crowd(desk: Desk) -> None:
    desk.order(desk.maker, "Buy", "0.5", "60000.00")
    desk.told(desk.maker)
    desk.crowd_takes(Side.SELL, 6_000_000, 200)
    desk.crowd_takes(Side.SELL, 6_000_000, 300)
    told = desk.told(desk.maker)
    assert [topic for topic, _ in told] == ["order", "execution", "position", "wallet"] * 2
    assert [row["orderStatus"] for topic, row in told if topic == "order"] == [
        "PartiallyFilled",
        "Filled",
    ]
    fills = [row for topic, row in told if topic == "execution"]
    assert [(f["execQty"], f["leavesQty"], f["isMaker"]) for f in fills] == [
        ("0.2", "0.3", True),
        ("0.3", "0", True),
    ]
    assert fills[0]["execFee"] == "2.4"  # 60000 * 0.2 * 0.0002
    position = [row for topic, row in told if topic == "position"][-1]
    assert (position["side"], position["size"], position["entryPrice"]) == ("Buy", "0.5", "60000")
    assert desk.venue.account(desk.maker).open_orders == {}


def test_taker_filled_at_once_is_only_filled(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.crowd(Side.SELL, 6_000_010, 300)
    order = desk.order(desk.taker, "Buy", "0.5", "60000.50", timeInForce="IOC")
    told = desk.told(desk.taker)
    assert [topic for topic, _ in told] == [
        "order",
        "execution",
        "execution",
        "position",
        "wallet",
    ]
    assert told[0][1]["orderStatus"] == "Filled"
    assert told[0][1]["avgPrice"] == "60000.04"
    assert {row["seq"] for topic, row in told if topic == "execution"} == {told[1][1]["seq"]}
    assert order.cum_qty == 500
    trades = desk.venue.take_trades()
    assert [(t.px, t.qty, t.side) for t in trades] == [
        (6_000_000, 300, Side.BUY),
        (6_000_010, 200, Side.BUY),
    ]
    assert [t.trade_id for t in trades] == [
        row["execId"] for topic, row in told if topic == "execution"
    ]


def test_taker_whose_rest_rests(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.taker, "Buy", "0.5", "60000.00")
    assert desk.order_states(desk.taker) == [("PartiallyFilled", *NO_ERROR)]
    assert desk.books[0].levels(Side.BUY) == [(6_000_000, 200)]


def test_ioc_partly_filled_is_cancelled_with_fills(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.taker, "Buy", "0.5", "60000.00", timeInForce="IOC")
    row = desk.told(desk.taker, "order")[0][1]
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("Cancelled", "0.3", "0")
    assert row["rejectReason"] == "EC_NoImmediateQtyToFill"
    assert desk.books[0].best_bid() == 0


@pytest.mark.parametrize(
    ("tif", "reason"), [("IOC", "EC_NoImmediateQtyToFill"), ("FOK", "EC_CancelForNoFullFill")]
)
def test_nothing_to_take_cancels(desk: Desk, tif: str, reason: str) -> None:
    desk.crowd(Side.SELL, 6_000_010, 300)
    desk.order(desk.taker, "Buy", "0.5", "60000.00", timeInForce=tif)
    assert desk.order_states(desk.taker) == [("Cancelled", "UNKNOWN", reason)]


def test_fok_takes_all_or_leaves_the_book_alone(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.taker, "Buy", "0.301", "60000.00", timeInForce="FOK")
    assert desk.books[0].levels(Side.SELL) == [(6_000_000, 300)]
    assert desk.order_states(desk.taker)[0][0] == "Cancelled"
    desk.order(desk.taker, "Buy", "0.3", "60000.00", timeInForce="FOK")
    assert desk.order_states(desk.taker)[0][0] == "Filled"


def test_post_only_that_would_cross_is_taken_and_cancelled(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    order = desk.order(desk.taker, "Buy", "0.5", "60000.00", timeInForce="PostOnly")
    assert order.order_id
    assert desk.order_states(desk.taker) == [
        ("Cancelled", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity")
    ]
    assert desk.books[0].levels(Side.SELL) == [(6_000_000, 300)]


def test_market_order_stops_at_its_protection_price(desk: Desk) -> None:
    desk.venue.prices.set_last(0, 6_000_010)
    desk.crowd(Side.SELL, 6_060_010, 100)  # 60000.10 * 1.01 = 60600.101, on the tick 60600.10
    desk.crowd(Side.SELL, 6_060_020, 100)
    desk.order(desk.taker, "Buy", "0.2")
    row = desk.told(desk.taker, "order")[0][1]
    assert (row["price"], row["lastPriceOnCreated"]) == ("60600.1", "60000.1")
    assert (row["orderStatus"], row["cumExecQty"], row["timeInForce"]) == (
        "Cancelled",
        "0.1",
        "IOC",
    )


def test_market_sell_protection_is_rounded_up(desk: Desk) -> None:
    desk.venue.prices.set_last(0, 6_000_010)
    desk.order(desk.taker, "Sell", "0.2")
    row = desk.told(desk.taker, "order")[0][1]
    assert row["price"] == "59400.1"  # 59400.099, up to the tick
    assert row["rejectReason"] == "EC_NoImmediateQtyToFill"


def test_market_order_without_any_price_is_refused(desk: Desk) -> None:
    assert desk.refusal(desk.taker, "Buy", "0.2") == 110118


def test_limit_price_is_clamped_to_the_band(desk: Desk) -> None:
    desk.crowd(Side.BUY, 5_999_990, 1)
    desk.crowd(Side.SELL, 6_000_010, 1)
    desk.order(desk.maker, "Sell", "0.5", "50000.00", timeInForce="IOC")
    assert desk.told(desk.maker, "order")[0][1]["price"] == "58800"
    strict = Desk(VenueRules(clamp_limit_px=False))
    strict.crowd(Side.BUY, 5_999_990, 1)
    strict.crowd(Side.SELL, 6_000_010, 1)
    assert strict.refusal(strict.maker, "Sell", "0.5", "50000.00") == 110003


def test_user_cancel(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00", orderLinkId="m-1")
    before = desk.venue.figures(desk.maker).account["available"]
    desk.told(desk.maker)
    which = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "m-1"}
    assert desk.venue.cancel(desk.maker, which, NOW_MS + 5) is order
    told = desk.told(desk.maker)
    assert [topic for topic, _ in told] == ["order", "position", "wallet"]
    row = told[0][1]
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByUser")
    assert (row["rejectReason"], row["leavesQty"]) == ("EC_PerCancelRequest", "0")
    assert row["updatedTime"] == str(NOW_MS + 5)
    assert desk.books[0].best_bid() == 0
    assert desk.venue.figures(desk.maker).account["available"] > before
    with pytest.raises(VenueError) as again:
        desk.venue.cancel(desk.maker, which, NOW_MS)
    assert again.value.code == 110001


def test_cancel_of_a_partly_filled_order_keeps_its_fills(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    desk.crowd_takes(Side.SELL, 6_000_000, 200)
    desk.told(desk.maker)
    which = {"category": "linear", "symbol": "BTCUSDT", "orderId": order.order_id}
    desk.venue.cancel(desk.maker, which, NOW_MS)
    row = desk.told(desk.maker, "order")[0][1]
    assert (row["orderStatus"], row["cumExecQty"]) == ("Cancelled", "0.2")


def test_cancel_of_somebody_elses_order_is_refused(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    which = {"category": "linear", "symbol": "BTCUSDT", "orderId": order.order_id}
    with pytest.raises(VenueError) as refused:
        desk.venue.cancel(desk.taker, which, NOW_MS)
    assert refused.value.code == 110001
    assert desk.books[0].best_bid() == 6_000_000


def test_cancel_needs_an_id(desk: Desk) -> None:
    with pytest.raises(VenueError) as refused:
        desk.venue.cancel(desk.maker, {"category": "linear", "symbol": "BTCUSDT"}, NOW_MS)
    assert refused.value.code == 10001


def test_cancel_all_by_symbol_and_by_settle_coin(desk: Desk) -> None:
    for px in ("60000.00", "59999.90"):
        desk.order(desk.maker, "Buy", "0.1", px)
    desk.order(desk.maker, "Buy", "100", "0.5000", symbol="XRPUSDT")
    only = {"category": "linear", "symbol": "BTCUSDT"}
    assert len(desk.venue.cancel_all(desk.maker, only, NOW_MS)) == 2
    assert desk.books[1].best_bid() == 5000
    everything = {"category": "linear", "settleCoin": "USDT"}
    assert len(desk.venue.cancel_all(desk.maker, everything, NOW_MS)) == 1
    assert desk.venue.cancel_all(desk.maker, everything, NOW_MS) == []
    with pytest.raises(VenueError) as refused:
        desk.venue.cancel_all(desk.maker, {"category": "linear"}, NOW_MS)
    assert refused.value.code == 10001


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"category": "option"}, 10001),
        ({"category": 5}, 10001),
        ({"side": "buy"}, 10001),
        ({"side": None}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"timeInForce": "DAY"}, 10001),
        ({"price": "60000.05"}, 10001),  # off the tick
        ({"price": "60000.001"}, 10001),
        ({"price": "0"}, 10001),
        ({"price": "1999999.90"}, 10001),  # above the maximum
        ({"price": "9" * 24}, 10001),
        ({"price": "-1"}, 10001),
        ({"price": "6e4"}, 10001),
        ({"price": 60000}, 10001),
        ({"price": ""}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "0.0001"}, 10001),  # off the step
        ({"qty": "100.001"}, 10001),  # above the maximum
        ({"qty": 1}, 10001),
        ({"qty": "9" * 40}, 10001),
        ({"qty": "NaN"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"reduceOnly": "true"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "not allowed"}, 10001),
        ({"takeProfit": "50000.00"}, 10001),
        ({"qty": "0.001", "price": "4000.00"}, 110094),  # 4 USDT
        ({"reduceOnly": True}, 110017),
        ({"qty": "100", "price": "200000.00"}, 110007),
    ],
)
def test_refusals(desk: Desk, change: dict[str, object], code: int) -> None:
    params = desk.params("Buy", "0.5", "60000.00") | change
    with pytest.raises(VenueError) as refused:
        desk.venue.place(desk.taker, params, NOW_MS)
    assert refused.value.code == code
    assert desk.venue.take_events(desk.taker) == []
    assert desk.books[0].best_bid() == 0


def test_market_quantity_has_its_own_maximum(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 100)
    assert desk.refusal(desk.taker, "Buy", "50.001") == 10001


def test_a_client_id_is_used_once_even_after_its_order_ended(desk: Desk) -> None:
    desk.order(desk.maker, "Buy", "0.5", "60000.00", orderLinkId="once")
    assert desk.refusal(desk.maker, "Buy", "0.5", "60000.00", orderLinkId="once") == 110072
    which = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "once"}
    desk.venue.cancel(desk.maker, which, NOW_MS)
    assert desk.refusal(desk.maker, "Buy", "0.5", "60000.00", orderLinkId="once") == 110072
    desk.order(desk.taker, "Buy", "0.5", "60000.00", orderLinkId="once")  # another account's


def test_no_more_than_500_active_orders_a_symbol(desk: Desk) -> None:
    for _ in range(500):
        desk.order(desk.maker, "Buy", "0.001", "60000.00")
    assert desk.refusal(desk.maker, "Buy", "0.001", "60000.00") == 110020
    desk.order(desk.maker, "Buy", "100", "0.5000", symbol="XRPUSDT")


def test_reduce_only_is_cut_to_the_position(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.taker, "Buy", "0.3", "60000.00")
    assert desk.refusal(desk.taker, "Buy", "0.1", "60000.00", reduceOnly=True) == 110017
    desk.crowd(Side.BUY, 5_999_990, 1000)
    order = desk.order(desk.taker, "Sell", "0.9", "59999.90", reduceOnly=True)
    assert (order.qty, order.status) == (300, "Filled")
    assert desk.venue.account(desk.taker).position(desk.instruments[0]).qty == 0


def test_close_whole_position_with_quantity_zero(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.taker, "Buy", "0.3", "60000.00")
    desk.crowd(Side.BUY, 5_999_990, 1000)
    order = desk.order(desk.taker, "Sell", "0", "59999.90", reduceOnly=True, closeOnTrigger=True)
    assert (order.qty, order.status) == (300, "Filled")


def test_resting_reduce_only_orders_shrink_with_the_position(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 500)
    desk.order(desk.taker, "Buy", "0.5", "60000.00")
    desk.order(desk.taker, "Sell", "0.4", "60100.00", reduceOnly=True, orderLinkId="first")
    desk.order(desk.taker, "Sell", "0.4", "60200.00", reduceOnly=True, orderLinkId="second")
    assert desk.told(desk.taker, "order")[-1][1]["qty"] == "0.1"  # no more than the position
    desk.crowd(Side.BUY, 5_999_990, 1000)
    desk.order(desk.taker, "Sell", "0.3", "59999.90")  # leaves 0.2
    rows = {row["orderLinkId"]: row for _, row in desk.told(desk.taker, "order")}
    assert (rows["first"]["qty"], rows["first"]["orderStatus"]) == ("0.2", "New")
    assert rows["second"]["orderStatus"] == "Cancelled"
    assert rows["second"]["cancelType"] == "CancelByReduceOnly"
    assert desk.books[0].levels(Side.SELL) == [(6_010_000, 200)]


def test_margin_is_needed_to_open_and_not_to_close() -> None:
    desk = Desk(balance="1000")  # 10x: no more than 10,000 of notional
    desk.crowd(Side.SELL, 6_000_000, 10_000)
    desk.crowd(Side.BUY, 5_999_990, 10_000)
    assert desk.refusal(desk.taker, "Buy", "0.17", "60000.00") == 110007
    desk.order(desk.taker, "Buy", "0.16", "60000.00")
    assert desk.refusal(desk.taker, "Buy", "0.01", "60000.00") == 110007
    assert desk.order(desk.taker, "Sell", "0.16", "59999.90").status == "Filled"


def test_working_orders_use_margin_until_they_are_cancelled() -> None:
    desk = Desk(balance="1000")
    desk.order(desk.maker, "Buy", "0.16", "60000.00", orderLinkId="a")
    assert desk.refusal(desk.maker, "Buy", "0.01", "60000.00") == 110007
    # The other side costs nothing more: only one of the two can come true.
    desk.order(desk.maker, "Sell", "0.15", "60500.00")
    desk.venue.cancel(
        desk.maker, {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}, NOW_MS
    )
    desk.order(desk.maker, "Buy", "0.15", "60000.00")


def test_trading_with_oneself_books_both_sides(desk: Desk) -> None:
    desk.order(desk.maker, "Sell", "0.5", "60000.00")
    desk.told(desk.maker)
    desk.order(desk.maker, "Buy", "0.5", "60000.00")
    rows = desk.told(desk.maker)
    assert [row["orderStatus"] for topic, row in rows if topic == "order"] == ["Filled", "Filled"]
    fills = [row for topic, row in rows if topic == "execution"]
    assert len({fill["execId"] for fill in fills}) == 2
    account = desk.venue.account(desk.maker)
    assert account.position(desk.instruments[0]).qty == 0
    fees = Decimal(30000) * (Decimal("0.0002") + Decimal("0.00055"))
    assert account.balances["USDT"] == Decimal(1_000_000) - fees


def test_undelivered_events_are_bounded_and_counted() -> None:
    desk = Desk(VenueRules(events_max=10))
    for _ in range(10):
        desk.order(desk.maker, "Buy", "0.001", "60000.00")
    account = desk.venue.account(desk.maker)
    assert (len(account.events), account.events_dropped) == (10, 20)


def test_closed_orders_are_bounded_and_forgotten_with_their_client_ids() -> None:
    desk = Desk(VenueRules(closed_orders_max=2))
    for number in range(3):
        desk.order(
            desk.maker, "Buy", "0.001", "60000.00", timeInForce="IOC", orderLinkId=f"n{number}"
        )
    account = desk.venue.account(desk.maker)
    assert [order.link_id for order in account.closed] == ["n1", "n2"]
    assert set(account.links) == {"n1", "n2"}
    assert len(account.closed_by_id) == 2
