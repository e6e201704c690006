"""Self-match prevention: the incoming order's flag says who gives way."""

from __future__ import annotations

import pytest

from fastbook.types import Side

from .venue_kit import Desk


@pytest.fixture
def desk() -> Desk:
    """Asks: crowd 0.1, own 0.2, crowd 0.3 at one price; own 0.4 and crowd 0.5 one tick above."""
    desk = Desk()
    desk.crowd(Side.SELL, 6_000_000, 100)
    desk.order(desk.maker, "Sell", "0.2", "60000.00", orderLinkId="near")
    desk.crowd(Side.SELL, 6_000_000, 300)
    desk.order(desk.maker, "Sell", "0.4", "60000.10", orderLinkId="far")
    desk.crowd(Side.SELL, 6_000_010, 500)
    desk.told(desk.maker)
    return desk


def buy(desk: Desk, qty: str, smp: str, **more: object) -> list[tuple[str, str, str, str]]:
    """(link, status, cancel type, filled) of the order rows of one crossing buy order."""
    desk.order(desk.maker, "Buy", qty, "60000.10", orderLinkId="taker", smpType=smp, **more)
    told = desk.told(desk.maker)
    assert not any(row["isMaker"] for topic, row in told if topic == "execution")
    return [
        (row["orderLinkId"], row["orderStatus"], row["cancelType"], row["cumExecQty"])
        for topic, row in told
        if topic == "order"
    ]


def test_cancel_maker_takes_around_its_own_orders(desk: Desk) -> None:
    assert buy(desk, "0.6", "CancelMaker") == [
        ("near", "Cancelled", "CancelBySmp", "0"),
        ("far", "Cancelled", "CancelBySmp", "0"),
        ("taker", "Filled", "UNKNOWN", "0.6"),
    ]
    assert desk.books[0].levels(Side.SELL) == [(6_000_010, 300)]


def test_cancel_maker_spares_what_the_taker_does_not_reach(desk: Desk) -> None:
    assert buy(desk, "0.4", "CancelMaker") == [
        ("near", "Cancelled", "CancelBySmp", "0"),
        ("taker", "Filled", "UNKNOWN", "0.4"),
    ]
    assert desk.books[0].levels(Side.SELL) == [(6_000_010, 900)]


def test_cancel_taker_stops_at_its_own_order(desk: Desk) -> None:
    assert buy(desk, "0.6", "CancelTaker") == [("taker", "Cancelled", "CancelBySmp", "0.1")]
    assert desk.books[0].levels(Side.SELL) == [(6_000_000, 500), (6_000_010, 900)]
    assert desk.books[0].best_bid() == 0


def test_cancel_both(desk: Desk) -> None:
    assert buy(desk, "0.6", "CancelBoth") == [
        ("near", "Cancelled", "CancelBySmp", "0"),
        ("taker", "Cancelled", "CancelBySmp", "0.1"),
    ]
    assert desk.books[0].levels(Side.SELL) == [(6_000_000, 300), (6_000_010, 900)]
    working = desk.venue.account(desk.maker).working[0, 0]
    assert (working.buy, working.sell, working.orders) == (0, 6_000_010 * 400, 1)


def test_rows_name_the_other_order(desk: Desk) -> None:
    taker = desk.order(desk.maker, "Buy", "0.6", "60000.10", smpType="CancelMaker")
    rows = [row for _, row in desk.told(desk.maker, "order")]
    assert {row["smpOrderId"] for row in rows[:2]} == {taker.order_id}
    assert [row["smpType"] for row in rows] == ["None", "None", "CancelMaker"]
    assert {row["rejectReason"] for row in rows[:2]} == {"EC_BySelfMatch"}


def test_none_trades_with_itself(desk: Desk) -> None:
    desk.order(desk.maker, "Buy", "0.3", "60000.10")
    fills = [row["isMaker"] for topic, row in desk.told(desk.maker) if topic == "execution"]
    assert sorted(fills) == [False, False, True]


def test_a_flag_on_the_resting_order_means_nothing(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.3", "59000.00", smpType="CancelBoth")
    desk.order(desk.taker, "Sell", "0.3", "59000.00")
    assert desk.order_states(desk.taker)[-1][0] == "Filled"


def test_another_accounts_orders_are_traded_with(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "0.6", "60000.00", smpType="CancelBoth")
    assert desk.order_states(desk.taker) == [("Filled", "UNKNOWN", "EC_NoError")]


@pytest.mark.parametrize(
    ("smp", "qty", "status"),
    [
        ("CancelMaker", "0.9", "Filled"),  # 0.1 + 0.3 + 0.5 of the crowd
        ("CancelMaker", "0.901", "Cancelled"),
        ("CancelTaker", "0.1", "Filled"),
        ("CancelTaker", "0.101", "Cancelled"),
        ("CancelBoth", "0.101", "Cancelled"),
    ],
)
def test_fill_or_kill_counts_only_what_others_offer(
    desk: Desk, smp: str, qty: str, status: str
) -> None:
    rows = buy(desk, qty, smp, timeInForce="FOK")
    assert rows[-1][:2] == ("taker", status)
    if status == "Cancelled":
        assert rows[-1][3] == "0"
        assert len(rows) == 1


def test_unknown_flag_is_refused(desk: Desk) -> None:
    assert desk.refusal(desk.maker, "Buy", "0.1", "60000.00", smpType="CancelNobody") == 10001
