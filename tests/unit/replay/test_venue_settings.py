"""Leverage, position mode, margin mode: what may be set, when, and what it changes."""

from __future__ import annotations

from typing import Any

import pytest

from fastbook.errors import VenueError
from fastbook.types import Side

from .venue_kit import Desk

BTC = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
def desk() -> Desk:
    return Desk(balance="1000")


def lever(desk: Desk, buy: str, sell: str = "", **more: Any) -> int:
    """The code of a set-leverage request, 0 when it was taken."""
    params = BTC | {"buyLeverage": buy, "sellLeverage": sell or buy} | more
    try:
        desk.venue.set_leverage(desk.taker, params)
    except VenueError as e:
        return e.code
    return 0


def switch(desk: Desk, mode: object, **more: Any) -> int:
    try:
        desk.venue.switch_mode(desk.taker, BTC | {"mode": mode} | more)
    except VenueError as e:
        return e.code
    return 0


def test_leverage_changes_the_margin_and_the_rows(desk: Desk) -> None:
    desk.crowd(Side.SELL, 6_000_000, 10_000)
    desk.crowd(Side.BUY, 5_999_990, 10_000)
    assert desk.refusal(desk.taker, "Buy", "0.2", "60000.00") == 110007
    assert lever(desk, "25") == 0
    desk.order(desk.taker, "Buy", "0.2", "60000.00")
    (row,) = desk.venue.position_rows(desk.taker, **BTC)
    assert (row["leverage"], row["positionIM"]) == ("25", "479.9996")  # 0.2 * 59999.95 / 25
    assert desk.told(desk.taker, "position")[-1][1]["leverage"] == "25"
    assert desk.venue.leverage(desk.taker, desk.instruments[0]) == 25
    assert desk.venue.leverage(desk.taker, desk.instruments[1]) == 10
    assert desk.venue.leverage(desk.maker, desk.instruments[0]) == 10


def test_leverage_may_not_fall_below_what_is_covered(desk: Desk) -> None:
    lever(desk, "25")
    desk.order(desk.taker, "Buy", "0.2", "60000.00")
    assert lever(desk, "10") == 110012
    assert desk.venue.leverage(desk.taker, desk.instruments[0]) == 25
    assert lever(desk, "20") == 0


@pytest.mark.parametrize(
    ("buy", "sell", "more", "code"),
    [
        ("10", "", {}, 110043),
        ("100", "", {}, 0),
        ("100.01", "", {}, 110013),
        ("0.99", "", {}, 10001),
        ("5", "6", {}, 10001),
        ("5.001", "", {}, 10001),
        ("x", "", {}, 10001),
        ("5", "", {"symbol": "NOPE"}, 10001),
        ("5", "", {"category": "spot", "symbol": "ETHUSDT"}, 10001),
    ],
)
def test_leverage_codes(desk: Desk, buy: str, sell: str, more: dict[str, str], code: int) -> None:
    assert lever(desk, buy, sell, **more) == code


def test_position_index_must_match_the_mode(desk: Desk) -> None:
    for idx in (1, 2):
        assert desk.refusal(desk.taker, "Buy", "0.01", "60000.00", positionIdx=idx) == 10001
    assert switch(desk, 3) == 0
    assert desk.refusal(desk.taker, "Buy", "0.01", "60000.00") == 10001
    for odd in (3, "1", True):
        assert desk.refusal(desk.taker, "Buy", "0.01", "60000.00", positionIdx=odd) == 10001
    order = desk.order(desk.taker, "Buy", "0.01", "60000.00", positionIdx=1)
    assert desk.told(desk.taker, "order")[-1][1]["positionIdx"] == 1
    # Another symbol is still one-way.
    desk.order(desk.taker, "Buy", "100", "0.5000", symbol="XRPUSDT")
    assert order.open


def test_hedged_sides_are_two_positions(desk: Desk) -> None:
    switch(desk, 3)
    desk.crowd(Side.SELL, 6_000_000, 1000)
    desk.crowd(Side.BUY, 5_999_990, 1000)
    desk.order(desk.taker, "Buy", "0.05", positionIdx=1)
    desk.order(desk.taker, "Sell", "0.03", positionIdx=2)
    rows = desk.venue.position_rows(desk.taker, **BTC)
    assert [(r["positionIdx"], r["side"], r["size"]) for r in rows] == [
        (1, "Buy", "0.05"),
        (2, "Sell", "0.03"),
    ]
    told = [row for topic, row in desk.told(desk.taker) if topic == "position"]
    assert [row["positionIdx"] for row in told[-2:]] == [1, 2]
    # A sale for the long side closes it, no more than there is, and needs no margin.
    closing = desk.order(desk.taker, "Sell", "0.09", "59999.90", positionIdx=1)
    assert (closing.qty, closing.status) == (50, "Filled")
    assert desk.refusal(desk.taker, "Sell", "0.01", "59999.90", positionIdx=1) == 110017
    assert [r["side"] for r in desk.venue.position_rows(desk.taker, **BTC)] == ["", "Sell"]
    assert len(desk.venue.position_rows(desk.taker, "linear", settle="USDT")) == 1


def test_both_hedged_sides_need_margin(desk: Desk) -> None:
    switch(desk, 3)
    desk.order(desk.taker, "Buy", "0.1", "60000.00", positionIdx=1)
    assert desk.refusal(desk.taker, "Sell", "0.1", "60500.00", positionIdx=2) == 110007
    desk.order(desk.taker, "Sell", "0.05", "60500.00", positionIdx=2)


def test_mode_switch_codes(desk: Desk) -> None:
    assert switch(desk, 0) == 110025
    for odd in (1, "3", None, True):
        assert switch(desk, odd) == 10001
    assert switch(desk, 3, category="inverse") == 10001  # nothing listed
    assert switch(desk, 3, category="spot", symbol="ETHUSDT") == 110029
    assert switch(desk, 3, symbol="") == 10001
    assert switch(desk, 3, symbol="", coin="USDT") == 0
    assert switch(desk, 3) == 110025
    order = desk.order(desk.taker, "Buy", "0.01", "60000.00", positionIdx=1)
    assert switch(desk, 0) == 110028
    desk.crowd_takes(Side.SELL, 6_000_000, order.qty)
    assert switch(desk, 0) == 110024
    assert switch(desk, 0, symbol="XRPUSDT") == 0


def test_margin_mode(desk: Desk) -> None:
    account = desk.venue.account(desk.taker)
    desk.venue.set_margin_mode(desk.taker, {"setMarginMode": "ISOLATED_MARGIN"})
    assert account.margin_mode == "ISOLATED_MARGIN"
    desk.venue.set_margin_mode(desk.taker, {"setMarginMode": "ISOLATED_MARGIN"})
    desk.order(desk.taker, "Buy", "0.01", "60000.00")
    for mode, code in (("REGULAR_MARGIN", 3400045), ("PORTFOLIO_MARGIN", 10001)):
        with pytest.raises(VenueError) as refused:
            desk.venue.set_margin_mode(desk.taker, {"setMarginMode": mode})
        assert refused.value.code == code
    assert account.margin_mode == "ISOLATED_MARGIN"


def test_limit_price_action_is_per_account(desk: Desk) -> None:
    desk.crowd(Side.BUY, 5_999_990, 1)
    desk.crowd(Side.SELL, 6_000_010, 1)
    action = {"category": "linear", "modifyEnable": False}
    desk.venue.set_limit_px_action(desk.taker, action)
    assert desk.refusal(desk.taker, "Buy", "0.01", "70000.00") == 110003
    desk.venue.set_limit_px_action(desk.taker, action | {"modifyEnable": True})
    assert desk.order(desk.taker, "Buy", "0.01", "70000.00").px == 6_120_000
    with pytest.raises(VenueError):
        desk.venue.set_limit_px_action(desk.taker, {"category": "spot", "modifyEnable": True})


def test_positions_by_settle_coin_are_those_that_are_open(desk: Desk) -> None:
    assert desk.venue.position_rows(desk.taker, "linear", settle="USDT") == []
    (flat,) = desk.venue.position_rows(desk.taker, **BTC)
    assert (flat["side"], flat["size"], flat["avgPrice"]) == ("", "0", "0")
