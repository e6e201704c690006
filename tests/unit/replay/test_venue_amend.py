"""Amending: what changes, what keeps its place in the queue, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fastbook.errors import VenueError
from fastbook.replay.accounts import Order
from fastbook.replay.clearing import VenueRules
from fastbook.types import Side

from .venue_kit import NOW_MS, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def amend(desk: Desk, order: Order, by: int = 0, **changes: object) -> Order:
    which = {"category": str(order.instrument.category), "symbol": order.instrument.symbol}
    return desk.venue.amend(
        by or order.account, which | {"orderId": order.order_id} | changes, NOW_MS + 1
    )


def refusal(desk: Desk, order: Order, by: int = 0, **changes: Any) -> int:
    before = desk.books[0].levels(Side.BUY), desk.books[0].levels(Side.SELL)
    with pytest.raises(VenueError) as refused:
        amend(desk, order, by, **changes)
    assert (desk.books[0].levels(Side.BUY), desk.books[0].levels(Side.SELL)) == before
    return refused.value.code


def queue(desk: Desk, px: int) -> list[int]:
    return [number for number, _, _ in desk.books[0].orders(Side.BUY, px)]


def test_smaller_quantity_keeps_the_place_in_the_queue(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    other = desk.crowd(Side.BUY, 6_000_000, 100)
    assert amend(desk, order, qty="0.3") is order
    assert queue(desk, 6_000_000) == [order.number, other]
    assert desk.books[0].order(order.number) == (1, 6_000_000, 300, desk.maker)
    row = desk.told(desk.maker, "order")[-1][1]
    assert (row["orderStatus"], row["qty"], row["updatedTime"]) == ("New", "0.3", str(NOW_MS + 1))
    assert desk.venue.account(desk.maker).working[0, 0].buy == 6_000_000 * 300


def test_larger_quantity_goes_to_the_back(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    other = desk.crowd(Side.BUY, 6_000_000, 100)
    amend(desk, order, qty="0.6")
    assert queue(desk, 6_000_000) == [other, order.number]
    assert desk.books[0].levels(Side.BUY) == [(6_000_000, 700)]


def test_price_there_and_back_goes_to_the_back(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    other = desk.crowd(Side.BUY, 6_000_000, 100)
    amend(desk, order, price="59999.90")
    assert desk.books[0].levels(Side.BUY) == [(6_000_000, 100), (5_999_990, 500)]
    amend(desk, order, price="60000.00")
    assert queue(desk, 6_000_000) == [other, order.number]
    assert desk.venue.account(desk.maker).working[0, 0].buy == 6_000_000 * 500


def test_quantity_is_the_total_not_the_rest(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    desk.crowd_takes(Side.SELL, 6_000_000, 200)
    for qty in ("0.1", "0.2"):
        assert refusal(desk, order, qty=qty) == 110064
    amend(desk, order, qty="0.4")
    assert desk.books[0].levels(Side.BUY) == [(6_000_000, 200)]
    row = desk.told(desk.maker, "order")[-1][1]
    assert (row["orderStatus"], row["qty"], row["leavesQty"], row["cumExecQty"]) == (
        "PartiallyFilled",
        "0.4",
        "0.2",
        "0.2",
    )


def test_crossing_price_makes_a_taker(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    desk.crowd(Side.SELL, 6_000_010, 200)
    desk.told(desk.maker)
    amend(desk, order, price="60000.10")
    told = desk.told(desk.maker)
    assert [row["isMaker"] for topic, row in told if topic == "execution"] == [False]
    assert told[0][1]["orderStatus"] == "PartiallyFilled"
    assert desk.books[0].levels(Side.BUY) == [(6_000_010, 300)]
    assert desk.books[0].best_ask() == 0


def test_post_only_amended_to_cross_ends(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00", timeInForce="PostOnly")
    desk.crowd(Side.SELL, 6_000_010, 200)
    desk.told(desk.maker)
    amend(desk, order, price="60000.10")
    assert desk.order_states(desk.maker) == [
        ("Cancelled", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity")
    ]
    assert desk.books[0].best_bid() == 0
    working = desk.venue.account(desk.maker).working[0, 0]
    assert (working.buy, working.orders) == (0, 0)


def test_price_outside_the_band_is_clamped_or_refused(desk: Desk) -> None:
    for venue in (desk, Desk(VenueRules(clamp_limit_px=False))):
        venue.crowd(Side.BUY, 5_999_990, 1)
        venue.crowd(Side.SELL, 6_000_010, 1)
        order = venue.order(venue.maker, "Sell", "0.5", "60010.00")
        if venue is desk:
            amend(venue, order, price="70000.00")
            assert order.px == 7_000_000  # a sale far above the market is inside the band
            amend(venue, order, price="50000.00", qty="0.5")
            assert order.cum_qty == 1  # a sale at the clamp still meets the bid
            assert order.px == 5_880_000
        else:
            assert refusal(venue, order, price="50000.00") == 110003


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 10001),
        ({"qty": "0.5"}, 10001),
        ({"price": "60000.00", "qty": "0.5"}, 10001),
        ({"price": "60000.05"}, 10001),
        ({"price": 60000}, 10001),
        ({"qty": "0.0005"}, 10001),
        ({"qty": "100.001"}, 10001),
        ({"orderId": "nope"}, 110001),
        ({"orderId": "", "orderLinkId": "nope"}, 110001),
        ({"orderId": ""}, 10001),
        ({"symbol": "XRPUSDT"}, 110001),
        ({"symbol": "NOPE"}, 10001),
        ({"triggerPrice": "61000.00"}, 10001),
        ({"qty": "100", "price": "61000.00"}, 110007),
        ({"qty": "0.001", "price": "4000.00"}, 110094),
    ],
)
def test_refusals(changes: dict[str, Any], code: int) -> None:
    desk = Desk(balance="3100")
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    desk.told(desk.maker)
    assert refusal(desk, order, **changes) == code
    assert desk.venue.take_events(desk.maker) == []
    assert (order.px, order.qty) == (6_000_000, 500)


def test_an_order_that_is_over_or_another_accounts_is_not_found(desk: Desk) -> None:
    order = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    assert refusal(desk, order, desk.taker, qty="0.3") == 110001
    desk.crowd_takes(Side.SELL, 6_000_000, 500)
    assert refusal(desk, order, qty="0.6") == 110001


def test_margin_is_only_needed_for_what_is_added() -> None:
    desk = Desk(balance="1000")
    order = desk.order(desk.maker, "Buy", "0.16", "60000.00")
    amend(desk, order, price="60100.00")
    assert refusal(desk, order, qty="0.17") == 110007
    amend(desk, order, qty="0.1")
    desk.order(desk.maker, "Buy", "0.06", "60000.00")


def test_reduce_only_stays_within_the_position(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.taker, "Buy", "0.3", "60000.00")
    order = desk.order(desk.taker, "Sell", "0.2", "60100.00", reduceOnly=True)
    amend(desk, order, qty="0.9")
    assert order.qty == 300


def test_spot_amend_moves_the_lock_and_has_its_own_codes(desk: Desk) -> None:
    spot = {"category": "spot", "symbol": "ETHUSDT"}
    order = desk.order(desk.maker, "Buy", "2", "2000.00", **spot)
    amend(desk, order, price="2010.00")
    assert desk.venue.figures(desk.maker).coins["USDT"]["locked"] == 4020
    desk.crowd_takes(Side.SELL, 201_000, 100_000, index=2)
    assert refusal(desk, order, qty="0.5") == 170313
    assert refusal(desk, order, qty="600") == 170131
    desk.venue.cancel(desk.maker, spot | {"orderId": order.order_id}, NOW_MS)
    assert refusal(desk, order, qty="1.5") == 170213


def test_a_batch_answers_each_request(desk: Desk) -> None:
    first = desk.order(desk.maker, "Buy", "0.5", "60000.00")
    answers = desk.venue.batch(
        desk.maker,
        "amend",
        "linear",
        [
            {"symbol": "BTCUSDT", "orderId": first.order_id, "qty": "0.4"},
            {"symbol": "BTCUSDT", "orderId": "nope", "qty": "0.4"},
        ],
        NOW_MS,
    )
    assert [(a.order, a.code) for a in answers] == [(first, 0), (None, 110001)]
    new = {"side": "Buy", "orderType": "Limit", "symbol": "BTCUSDT", "price": "59000.00"}
    answers = desk.venue.batch(
        desk.maker, "place", "linear", [new | {"qty": "0.1"}, new | {"qty": "x"}], NOW_MS
    )
    assert [a.code for a in answers] == [0, 10001]
    ids = [{"symbol": "BTCUSDT", "orderId": o.order_id} for o in (first, first)]
    assert [a.code for a in desk.venue.batch(desk.maker, "cancel", "linear", ids, NOW_MS)] == [
        0,
        110001,
    ]
