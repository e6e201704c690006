"""Spot on the venue: coins instead of positions, fees in the coin that is received."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fastbook.errors import VenueError
from fastbook.replay.accounts import Order
from fastbook.replay.clearing import FeeRates, VenueRules
from fastbook.types import Side

from .venue_kit import NOW_MS, Desk

SPOT = {"category": "spot", "symbol": "ETHUSDT"}
INDEX = 2


@pytest.fixture
def desk() -> Desk:
    desk = Desk(balance="10000")
    desk.venue.prices.set_last(INDEX, 200_000)
    return desk


def buy(desk: Desk, qty: str, px: str = "", **more: object) -> Order:
    return desk.order(desk.taker, "Buy", qty, px, **SPOT, **more)


def balances(desk: Desk, account: int) -> dict[str, Decimal]:
    return desk.venue.account(account).balances


def test_buyer_pays_the_fee_in_base_and_seller_in_quote(desk: Desk) -> None:
    desk.order(desk.maker, "Sell", "1.5", "2000.00", **SPOT)
    buy(desk, "1", "2000.00")
    assert balances(desk, desk.taker) == {"USDT": Decimal(8000), "ETH": Decimal("1000.999")}
    assert balances(desk, desk.maker) == {"USDT": Decimal(11998), "ETH": Decimal(999)}
    row = desk.told(desk.taker, "execution")[0][1]
    assert (row["feeCurrency"], row["execFee"], row["execQty"]) == ("ETH", "0.001", "1.00000")
    assert [t for t, _ in desk.told(desk.maker)].count("position") == 0


def test_maker_rebate_is_paid_in_the_other_coin() -> None:
    rebate = FeeRates(maker=Decimal("-0.0001"), taker=Decimal("0.001"))
    desk = Desk(VenueRules(spot_fees=rebate), balance="10000")
    desk.venue.prices.set_last(INDEX, 200_000)
    desk.order(desk.maker, "Sell", "1", "2000.00", **SPOT)
    buy(desk, "1", "2000.00")
    row = desk.told(desk.maker, "execution")[0][1]
    assert (row["feeCurrency"], row["execFee"]) == ("ETH", "-0.0001")
    assert balances(desk, desk.maker)["ETH"] == Decimal("999.0001")


def test_rows_are_padded_and_say_no_create_type(desk: Desk) -> None:
    buy(desk, "0.5", "2000.00")
    row = desk.told(desk.taker, "order")[0][1]
    assert (row["price"], row["qty"], row["cumExecQty"]) == ("2000.00", "0.50000", "0.00000")
    assert "createType" not in row
    assert row["orderId"].isdigit()
    assert int(row["orderId"]) > 2**53


def test_orders_lock_what_they_would_spend(desk: Desk) -> None:
    order = buy(desk, "3", "2000.00")
    coins = {c["coin"]: c for c in desk.told(desk.taker, "wallet")[-1][1]["coin"]}
    assert coins["USDT"]["locked"] == "6000"
    desk.venue.prices.set_last(INDEX, 200_000)
    assert desk.refusal(desk.taker, "Buy", "2.1", "2000.00", **SPOT) == 170131
    desk.venue.cancel(desk.taker, SPOT | {"orderId": order.order_id}, NOW_MS)
    buy(desk, "2.1", "2000.00")
    desk.order(desk.taker, "Sell", "600", "2001.00", **SPOT)
    assert desk.refusal(desk.taker, "Sell", "401", "2001.00", **SPOT) == 170131


def test_market_buy_is_sized_in_quote_and_leaves_dust(desk: Desk) -> None:
    desk.crowd(Side.SELL, 200_003, 10_000, INDEX)  # 0.1 at 2000.03
    desk.crowd(Side.SELL, 200_100, 90_000, INDEX)
    order = buy(desk, "500")
    value = Decimal("2000.03") * Decimal("0.1") + Decimal(2001) * Decimal("0.14992")
    assert (order.cum_qty, order.cum_value) == (24_992, value)
    row = desk.told(desk.taker)
    assert row[0][1]["orderStatus"] == "PartiallyFilledCanceled"
    assert row[0][1]["rejectReason"] == "EC_CancelForNoFullFill"
    assert (row[0][1]["price"], row[0][1]["qty"]) == ("0", "500")
    assert Decimal(row[0][1]["leavesValue"]) == 500 - value
    assert {r["orderQty"] for t, r in row if t == "execution"} == {"0.00000"}
    assert balances(desk, desk.taker)["USDT"] == 10_000 - value


def test_market_buy_that_comes_out_even_is_filled(desk: Desk) -> None:
    desk.crowd(Side.SELL, 200_000, 90_000, INDEX)
    assert buy(desk, "500").status == "Filled"


def test_market_buy_by_base_and_market_sell(desk: Desk) -> None:
    desk.crowd(Side.SELL, 200_000, 50_000, INDEX)
    desk.crowd(Side.BUY, 199_900, 20_000, INDEX)
    assert buy(desk, "0.5", marketUnit="baseCoin").cum_qty == 50_000
    sale = desk.order(desk.taker, "Sell", "0.3", **SPOT)
    assert (sale.cum_qty, sale.status) == (20_000, "PartiallyFilledCanceled")


def test_market_buy_of_an_empty_book_is_cancelled(desk: Desk) -> None:
    order = buy(desk, "500")
    assert (order.status, order.cum_qty) == ("Cancelled", 0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": "2000.001"}, 170134),
        ({"qty": "0.000001"}, 170137),
        ({"qty": "0"}, 170136),
        ({"qty": "1000.00001"}, 170124),
        ({"qty": "0.002"}, 170140),  # 4 USDT
        ({"price": "2100.00"}, 170193),
        ({"side": "Sell", "price": "1900.00"}, 170194),
        ({"reduceOnly": True}, 10001),
        ({"orderType": "Market", "qty": "4"}, 170140),
        ({"orderType": "Market", "marketUnit": "coins"}, 10001),
    ],
)
def test_refusals(desk: Desk, change: dict[str, object], code: int) -> None:
    params = {"side": "Buy", "qty": "1", "px": "2000.00"} | SPOT
    given = desk.params(**params) | change
    with pytest.raises(VenueError) as refused:
        desk.venue.place(desk.taker, given, NOW_MS)
    assert refused.value.code == code


def test_duplicate_client_id_and_unknown_order_have_spot_codes(desk: Desk) -> None:
    buy(desk, "1", "2000.00", orderLinkId="one")
    assert desk.refusal(desk.taker, "Buy", "1", "2000.00", orderLinkId="one", **SPOT) == 170141
    with pytest.raises(VenueError) as refused:
        desk.venue.cancel(desk.taker, SPOT | {"orderLinkId": "two"}, NOW_MS)
    assert refused.value.code == 170213


def test_coins_are_conserved(desk: Desk) -> None:
    for px in ("2000.00", "2001.00", "2002.00"):
        desk.order(desk.maker, "Sell", "0.777", px, **SPOT)
    buy(desk, "1.23456", "2001.50")
    buy(desk, "1000")
    for coin in ("USDT", "ETH"):
        total = sum(balances(desk, n)[coin] for n in (desk.maker, desk.taker))
        fees = sum(
            desk.venue.account(n).fees.get(coin, Decimal(0)) for n in (desk.maker, desk.taker)
        )
        started = sum(desk.venue.account(n).start[coin] for n in (desk.maker, desk.taker))
        assert total + fees == started
        assert fees > 0
