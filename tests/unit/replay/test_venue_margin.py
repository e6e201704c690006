"""Risk tiers, liquidation and bankruptcy prices, deleveraging."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook.errors import VenueError
from fastbook.replay.clearing import VenueRules
from fastbook.replay.tiers import maintenance, tier_for_leverage, tier_of, tiers_of
from fastbook.types import Side

from .venue_kit import LINEAR, NOW_MS, Desk

BTC = {"category": "linear", "symbol": "BTCUSDT"}
INSTRUMENT = LINEAR[0]


def hold(desk: Desk, qty: str = "0.16") -> None:
    """The taker is long at 60000, the maker short; the mark is 60000."""
    desk.order(desk.maker, "Sell", qty, "60000.00")
    desk.order(desk.taker, "Buy", qty, "60000.00")
    desk.crowd(Side.BUY, 5_999_990, 1)
    desk.crowd(Side.SELL, 6_000_010, 1)
    desk.told(desk.taker)
    desk.told(desk.maker)


def crash(desk: Desk, px: int, qty: int = 1000) -> None:
    desk.crowd_takes(Side.SELL, px, 10**6)
    desk.crowd(Side.BUY, px, qty)
    desk.crowd(Side.SELL, px + 10, qty)


def row_of(desk: Desk, account: int) -> dict[str, Any]:
    return desk.venue.position_rows(account, **BTC)[0]


# Tiers.


def test_tiers_are_continuous_and_ever_stricter() -> None:
    tiers = tiers_of(Decimal(100))
    assert (tiers[0].rate, tiers[0].deduction, tiers[0].limit) == (
        Decimal("0.005"), Decimal(0), Decimal(2_000_000),
    )  # fmt: skip
    for low, high in pairwise(tiers):
        assert low.limit * low.rate - low.deduction == low.limit * high.rate - high.deduction
        assert low.leverage_max >= high.leverage_max > 1
        assert low.rate < high.rate
        assert low.rate * low.leverage_max <= Decimal("0.5") + Decimal("0.001")
    assert [t.leverage_max for t in tiers[:3]] == [100, 50, Decimal("33.33")]


@given(st.integers(1, 400_000))
@settings(max_examples=100, deadline=None)
def test_maintenance_is_the_sum_over_the_tiers(qty: int) -> None:
    mark = Decimal(60_000)
    left, floor, owed = Decimal(qty) / 1000 * mark, Decimal(0), Decimal(0)
    for tier in tiers_of(INSTRUMENT.leverage_max):
        last = tier.id == 10
        part = left if last else min(left, tier.limit - floor)
        owed += part * tier.rate
        left, floor = left - part, tier.limit
    assert maintenance(INSTRUMENT, qty, mark) == owed
    assert maintenance(INSTRUMENT, -qty, mark) == owed


def test_the_leverage_bounds_the_position() -> None:
    desk = Desk(balance="100000000")
    desk.crowd(Side.SELL, 6_000_000, 10**6)
    desk.crowd(Side.BUY, 5_999_990, 10**6)
    leverage = {"buyLeverage": "100", "sellLeverage": "100"}
    desk.venue.set_leverage(desk.taker, BTC | leverage)
    assert tier_for_leverage(INSTRUMENT, Decimal(100)).limit == 2_000_000
    assert desk.refusal(desk.taker, "Buy", "34", "60000.00") == 110090
    desk.order(desk.taker, "Buy", "33", "60000.00")
    assert desk.refusal(desk.taker, "Buy", "1", "60000.00") == 110090
    desk.order(desk.taker, "Sell", "1", "59999.90")  # leaving is always allowed
    desk.venue.set_leverage(desk.taker, BTC | {"buyLeverage": "40", "sellLeverage": "40"})
    desk.order(desk.taker, "Buy", "30", "60000.00")
    row = row_of(desk, desk.taker)
    assert (row["riskId"], row["riskLimitValue"]) == (2, "4000000")
    with pytest.raises(VenueError) as refused:
        desk.venue.set_leverage(desk.taker, BTC | leverage)
    assert refused.value.code == 110013


# Prices of ruin.


def test_cross_prices_are_those_at_which_it_happens() -> None:
    desk = Desk(balance="1000")
    hold(desk)
    row = row_of(desk, desk.taker)
    # Equity 994.72: 994.72 + 0.16 * (p - 60000) = 0.16 * p * 0.005.
    assert row["liqPrice"] == "54053.3"
    assert row["bustPrice"] == "53783"
    crash(desk, 5_405_330)
    desk.venue.tick(NOW_MS)
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 160
    crash(desk, 5_405_310)
    desk.venue.tick(NOW_MS)
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 0


def test_a_short_is_ruined_by_a_rise() -> None:
    desk = Desk(balance="1000")
    hold(desk)
    row = row_of(desk, desk.maker)
    assert Decimal(60_000) < Decimal(row["liqPrice"]) < Decimal(row["bustPrice"])
    equity = desk.venue.account(desk.maker).balances["USDT"]
    exact = (equity + Decimal("0.16") * 60_000) / (Decimal("0.16") * Decimal("1.005"))
    assert exact - Decimal("0.1") < Decimal(row["liqPrice"]) <= exact


def test_isolated_prices_know_only_their_own_margin() -> None:
    desk = Desk(balance="100000")
    for account in (desk.maker, desk.taker):
        desk.venue.set_margin_mode(account, {"setMarginMode": "ISOLATED_MARGIN"})
    hold(desk)
    row = row_of(desk, desk.taker)
    assert row["bustPrice"] == "54000"  # a tenth of the cost
    assert row["liqPrice"] == "54271.4"  # 54000 / 0.995, up


def test_what_is_well_covered_has_no_price() -> None:
    desk = Desk(balance="1000000")
    hold(desk, "0.1")
    row = row_of(desk, desk.taker)
    assert (row["liqPrice"], row["bustPrice"]) == ("", "")
    assert row_of(desk, desk.maker)["liqPrice"] != ""
    flat = desk.venue.position_rows(desk.taker, "linear", "XRPUSDT")[0]
    assert (flat["liqPrice"], flat["adlRankIndicator"], flat["riskId"]) == ("", 0, 1)


def test_break_even_counts_what_was_paid() -> None:
    desk = Desk()
    hold(desk, "0.1")
    # The taker paid 60000 * 0.1 * 0.00055 = 3.3: 33 on a whole coin.
    assert row_of(desk, desk.taker)["breakEvenPrice"] == "60033"
    assert row_of(desk, desk.maker)["breakEvenPrice"] == "59988"  # 1.2 of maker's fee


# Deleveraging.


def test_the_winner_pays_when_the_fund_is_empty() -> None:
    desk = Desk(VenueRules(insurance_fund=Decimal(0)), balance="1000")
    hold(desk)
    resting = desk.order(desk.maker, "Sell", "0.001", "60100.00")
    assert row_of(desk, desk.maker)["adlRankIndicator"] == 5
    desk.told(desk.maker)
    crash(desk, 5_400_000)
    desk.venue.tick(NOW_MS)
    loser, winner = (desk.venue.account(n).positions[0, 0] for n in (desk.taker, desk.maker))
    assert (loser.qty, winner.qty, loser.status, winner.status) == (0, 0, "Normal", "Normal")
    assert desk.venue.deleveraged == 1
    assert resting.cancel_type == "CancelAllBeforeAdl"
    told = desk.told(desk.maker)
    (fill,) = [row for topic, row in told if topic == "execution"]
    assert (fill["execType"], fill["createType"], fill["execPrice"], fill["orderLinkId"]) == (
        "AdlTrade", "CreateByAdl_PassThrough", "53783", "",
    )  # fmt: skip
    assert "Adl" in {row["positionStatus"] for topic, row in told if topic == "position"}
    (bust,) = [row for topic, row in desk.told(desk.taker) if topic == "execution"]
    assert (bust["execType"], bust["execPrice"]) == ("BustTrade", "53783")
    (public,) = desk.venue.take_liquidations()
    assert (public.px, public.qty) == (5_378_300, 160)


def test_half_a_position_by_order() -> None:
    desk = Desk()
    hold(desk, "0.1")
    assert desk.venue.deleverage(desk.taker, 0, 40, NOW_MS) == 1
    assert desk.venue.account(desk.taker).positions[0, 0].qty == 60
    (fill,) = [row for topic, row in desk.told(desk.taker) if topic == "execution"]
    assert (fill["execType"], fill["execQty"], fill["execPrice"]) == ("AdlTrade", "0.04", "60000")
    assert desk.venue.liquidate(desk.taker, 0, NOW_MS) == 1
    assert desk.venue.liquidate(desk.taker, 1, NOW_MS) == 0


def test_ranks_are_by_profit_and_leverage() -> None:
    desk = Desk()
    for n in range(3):
        buyer = desk.venue.open_account({"USDT": Decimal(100_000)})
        px = 60_000 - 100 * n
        desk.order(desk.maker, "Sell", "0.1", f"{px}.00")
        desk.order(buyer, "Buy", "0.1", f"{px}.00")
    ranks = [row_of(desk, buyer)["adlRankIndicator"] for buyer in (3, 4, 5)]
    assert ranks == [2, 4, 5]


def test_only_leaving() -> None:
    desk = Desk()
    hold(desk, "0.1")
    desk.venue.only_reduce(desk.taker, 0, True)
    assert desk.refusal(desk.taker, "Buy", "0.01", "59999.00") == 110023
    assert row_of(desk, desk.taker)["isReduceOnly"] is True
    desk.order(desk.taker, "Sell", "0.05", "60100.00")
    desk.venue.only_reduce(desk.taker, 0, False)
    desk.order(desk.taker, "Buy", "0.01", "59999.00")


def test_the_tier_of_a_size() -> None:
    assert tier_of(INSTRUMENT, Decimal(0)).id == 1
    assert tier_of(INSTRUMENT, Decimal(2_000_001)).id == 2
    assert tier_of(INSTRUMENT, Decimal(10**12)).id == 10
