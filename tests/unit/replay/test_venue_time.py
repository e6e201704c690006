"""What time brings: funding, liquidation, and the orders of those who are gone."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fastbook.errors import VenueError
from fastbook.replay.disconnect import DisconnectGuard
from fastbook.types import Side

from .venue_kit import NOW_MS, Desk

HOURS_8 = 8 * 3600 * 1000
BTC = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
def desk() -> Desk:
    return Desk(balance="1000")


def hold(desk: Desk, qty: str = "0.16") -> None:
    """The taker is long at 60000, the maker short; the mark is 60000."""
    desk.order(desk.maker, "Sell", qty, "60000.00")
    desk.order(desk.taker, "Buy", qty, "60000.00")
    desk.crowd(Side.BUY, 5_999_990, 1)
    desk.crowd(Side.SELL, 6_000_010, 1)
    desk.told(desk.taker)
    desk.told(desk.maker)


# Funding.


def test_longs_pay_shorts_at_the_end_of_the_interval(desk: Desk) -> None:
    hold(desk)
    desk.venue.tick(NOW_MS)
    due = desk.venue.next_funding_ms(NOW_MS)
    assert due % HOURS_8 == 0
    desk.venue.tick(due - 1)
    assert desk.told(desk.taker) == []
    before = desk.venue.account(desk.taker).balances["USDT"]
    desk.venue.tick(due)
    told = desk.told(desk.taker)
    assert [topic for topic, _ in told] == ["execution", "position", "wallet"]
    row = told[0][1]
    assert (row["execType"], row["orderType"], row["orderLinkId"]) == ("Funding", "UNKNOWN", "")
    assert (row["execQty"], row["side"], row["feeRate"]) == ("0.16", "Buy", "0.0001")
    assert row["execFee"] == "0.96"  # 0.16 * 60000 * 0.0001
    assert desk.venue.account(desk.taker).balances["USDT"] == before - Decimal("0.96")
    (paid,) = [row["execFee"] for topic, row in desk.told(desk.maker) if topic == "execution"]
    assert paid == "-0.96"
    assert desk.venue.funding.market == {"USDT": 0}
    desk.venue.tick(due + 1)
    assert desk.told(desk.taker) == []


def test_the_rate_is_by_symbol_and_may_be_negative(desk: Desk) -> None:
    hold(desk)
    desk.venue.tick(NOW_MS)
    desk.venue.set_funding_rate(0, Decimal("-0.00025"))
    desk.venue.tick(desk.venue.next_funding_ms(NOW_MS))
    rows = [row for topic, row in desk.told(desk.taker) if topic == "execution"]
    assert [row["execFee"] for row in rows] == ["-2.4"]
    assert desk.venue.funding_rate(1) == Decimal("0.0001")
    position = desk.venue.account(desk.taker).position(desk.instruments[0])
    assert position.net_realized == Decimal("2.4") - position.fees


def test_the_market_gets_what_accounts_pay_net(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 100)
    desk.order(desk.taker, "Buy", "0.1", "60000.00")
    desk.venue.tick(NOW_MS)
    desk.venue.tick(NOW_MS + 3 * HOURS_8)
    assert desk.venue.funding.payments == 1  # late is late: once
    assert desk.venue.funding.market["USDT"] == desk.venue.account(desk.taker).funding["USDT"] > 0


# Liquidation.


def crash(desk: Desk, px: int, qty: int = 1000) -> None:
    """The whole bid side moves to `px`."""
    desk.crowd_takes(Side.SELL, px, 10**6)
    desk.crowd(Side.BUY, px, qty)
    desk.crowd(Side.SELL, px + 10, qty)


def test_cross_liquidation(desk: Desk) -> None:
    hold(desk)
    resting = desk.order(desk.taker, "Sell", "0.01", "61000.00")
    desk.told(desk.taker)
    desk.venue.tick(NOW_MS)
    assert resting.open
    # Equity 1000 - 0.16 * 6000 = 40 less fees, maintenance 0.16 * 54000 * 0.005 = 43.2.
    crash(desk, 5_400_000)
    desk.venue.tick(NOW_MS)
    told = desk.told(desk.taker)
    orders = [row for topic, row in told if topic == "order"]
    assert [(o["orderStatus"], o["cancelType"], o["createType"]) for o in orders] == [
        ("Cancelled", "CancelAllBeforeLiq", "CreateByUser"),
        ("Filled", "UNKNOWN", "CreateByLiq"),
    ]
    (fill,) = [row for topic, row in told if topic == "execution"]
    assert (fill["execType"], fill["execPrice"], fill["closedSize"]) == (
        "BustTrade",
        "54000",
        "0.16",
    )
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 0
    (done,) = desk.venue.take_liquidations()
    assert (done.index, done.side, done.qty, done.px) == (
        0,
        Side.BUY,
        160,
        5_378_300,
    )  # bankrupt: 60000 - 994.72 / 0.16
    assert desk.venue.take_liquidations() == []
    assert desk.venue.insurance == {}
    # The short is fine.
    assert desk.venue.account(desk.maker).positions[0, 0].qty == -160


def test_healthy_accounts_are_left_alone(desk: Desk) -> None:
    hold(desk)
    crash(desk, 5_500_000)
    desk.venue.tick(NOW_MS)
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 160


def test_the_fund_pays_what_is_owed(desk: Desk) -> None:
    hold(desk)
    crash(desk, 5_000_000)
    desk.venue.tick(NOW_MS)
    account = desk.venue.account(desk.taker)
    assert account.balances["USDT"] == 0
    fees = account.fees["USDT"]
    assert desk.venue.insurance == {"USDT": Decimal(1600) + fees - 1000}
    assert desk.told(desk.taker, "wallet")[-1][1]["totalEquity"] == "0"


def test_an_empty_book_delays_it(desk: Desk) -> None:
    hold(desk)
    crash(desk, 5_380_000, 60)
    desk.venue.tick(NOW_MS)
    position = desk.venue.account(desk.taker).positions[0, 0]
    assert (position.qty, position.status) == (100, "Liq")
    row = [row for topic, row in desk.told(desk.taker) if topic == "position"][-1]
    assert (row["positionStatus"], row["size"]) == ("Liq", "0.1")
    desk.crowd(Side.BUY, 5_370_000, 1000)
    desk.venue.tick(NOW_MS)
    assert (position.qty, position.status) == (0, "Normal")


def test_what_is_left_may_be_carried_again(desk: Desk) -> None:
    hold(desk)
    crash(desk, 5_400_000, 60)
    desk.venue.tick(NOW_MS)
    position = desk.venue.account(desk.taker).positions[0, 0]
    assert (position.qty, position.status) == (100, "Liq")
    desk.venue.tick(NOW_MS)  # 0.1 needs 27, and there are some 33
    assert (position.qty, position.status) == (100, "Normal")


def test_isolated_positions_go_by_their_own_margin() -> None:
    desk = Desk(balance="100000")
    for account in (desk.maker, desk.taker):
        desk.venue.set_margin_mode(account, {"setMarginMode": "ISOLATED_MARGIN"})
    hold(desk)
    other = desk.order(desk.taker, "Buy", "100", "0.5000", symbol="XRPUSDT")
    crash(desk, 5_430_000)  # lost 912 of the margin of 960; maintenance 43.44
    desk.venue.tick(NOW_MS)
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 160
    crash(desk, 5_420_000)  # lost 928
    desk.venue.tick(NOW_MS)
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 0
    assert other.open
    assert desk.venue.insurance == {}


def test_the_fund_pays_nothing_while_other_coins_cover_the_debt(desk: Desk) -> None:
    for number in (desk.maker, desk.taker):
        desk.venue.set_margin_mode(number, {"setMarginMode": "ISOLATED_MARGIN"})
    desk.venue.prices.set_last(2, 200_000)  # a thousand ETH of 2000
    hold(desk)
    crash(desk, 5_000_000)
    desk.venue.tick(NOW_MS)
    account = desk.venue.account(desk.taker)
    assert account.positions[0, 0].qty == 0
    assert account.balances["USDT"] == -600 - account.fees["USDT"]
    assert desk.venue.insurance == {}


# Disconnect cancel-all.


def test_orders_go_when_the_last_connection_has_been_gone_too_long(desk: Desk) -> None:
    dcp = desk.venue.dcp
    order = desk.order(desk.taker, "Buy", "0.01", "60000.00")
    spot = desk.order(desk.taker, "Buy", "0.1", "2000.00", category="spot", symbol="ETHUSDT")
    dcp.configure(desk.taker, "DERIVATIVES", 10)
    dcp.connected(desk.taker, "DERIVATIVES", "a")
    dcp.connected(desk.taker, "DERIVATIVES", "b")
    dcp.lost("a", NOW_MS)
    desk.venue.tick(NOW_MS + 60_000)
    assert order.open
    dcp.lost("b", NOW_MS)
    desk.venue.tick(NOW_MS + 9_999)
    assert order.open
    desk.told(desk.taker)
    desk.venue.tick(NOW_MS + 10_000)
    assert desk.order_states(desk.taker) == [("Cancelled", "CancelByDCP", "EC_NoError")]
    assert spot.open
    late = desk.order(desk.taker, "Buy", "0.01", "60000.00")
    desk.venue.tick(NOW_MS + 99_000)
    assert late.open


def test_a_connection_that_is_back_stops_the_timer() -> None:
    guard = DisconnectGuard()
    guard.configure(1, "SPOT", 3)
    guard.connected(1, "SPOT", "a")
    guard.lost("a", 0)
    guard.connected(1, "SPOT", "b")
    assert guard.take_due(10_000) == []
    guard.lost("b", 10_000)
    guard.lost("b", 11_000)
    assert guard.take_due(12_999) == []
    assert guard.take_due(13_000) == [(1, "SPOT")]
    assert guard.take_due(99_000) == []


def test_nothing_is_armed_by_itself() -> None:
    guard = DisconnectGuard()
    guard.connected(1, "DERIVATIVES", "a")
    guard.lost("a", 0)
    assert guard.take_due(10**9) == []
    assert guard.info(1) == []
    guard.configure(1, "DERIVATIVES", 40)
    assert guard.info(1) == [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "40"}]


@pytest.mark.parametrize(("product", "window"), [("FUTURES", 10), ("SPOT", 2), ("SPOT", 301)])
def test_bad_windows_are_refused(product: str, window: int) -> None:
    with pytest.raises(VenueError) as refused:
        DisconnectGuard().configure(1, product, window)
    assert refused.value.code == 10001
