"""Every code with which the venue refuses: each is reached, and is the reference's for the case."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from fastbook.errors import VenueError
from fastbook.replay import intake, stops
from fastbook.replay import settings as account_settings
from fastbook.replay.clearing import VenueRules
from fastbook.types import Side

from .venue_kit import NOW_MS, Desk

BTC = {"category": "linear", "symbol": "BTCUSDT"}
ETH = {"category": "spot", "symbol": "ETHUSDT"}
RULES = VenueRules(active_orders_max=3, conditional_orders_max=2, spot_conditional_orders_max=2)


@pytest.fixture
def desk() -> Desk:
    """60000 bid and offered on linear, 2000 on spot; the taker is long 0.1."""
    desk = Desk(RULES, balance="100000")
    desk.crowd(Side.BUY, 5_999_990, 10_000)
    desk.crowd(Side.SELL, 6_000_010, 10_000)
    desk.crowd(Side.BUY, 199_990, 10**8, index=2)
    desk.crowd(Side.SELL, 200_010, 10**8, index=2)
    desk.order(desk.taker, "Buy", "0.1")
    return desk


def stop(desk: Desk, **more: Any) -> None:
    desk.order(desk.taker, "Buy", "0.01", triggerPrice="61000.00", triggerDirection=1, **more)


def spot(desk: Desk, side: str, qty: str, px: str = "", **more: Any) -> Any:
    return desk.order(desk.taker, side, qty, px, **ETH, **more)


def thrice(call: Callable[[], object]) -> None:
    for _ in range(4):
        call()


def set_leverage(desk: Desk, text: str) -> None:
    both = {"buyLeverage": text, "sellLeverage": text}
    desk.venue.set_leverage(desk.taker, BTC | both)


def amend(desk: Desk, params: dict[str, Any]) -> None:
    desk.venue.amend(desk.taker, params, NOW_MS)


def half_filled(desk: Desk, which: dict[str, str], qty: str, px: str, taken: int) -> None:
    """A bid above the market's, partly taken, then amended to less than that."""
    params = desk.params("Buy", qty, px, **which, orderLinkId="half")
    desk.venue.place(desk.taker, params, NOW_MS)
    index = 0 if which is BTC else 2
    limit = round(float(px) * 100)
    desk.crowd_takes(Side.SELL, limit, taken, index=index)
    small = "0.001" if which is BTC else "0.01"
    amend(desk, {**which, "orderLinkId": "half", "qty": small})


def closed(desk: Desk, index: int, which: dict[str, str]) -> None:
    desk.venue.set_trading(index, False, NOW_MS)
    desk.order(desk.taker, "Buy", "1", "2000.00", **which)


def no_market(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "10", symbol="XRPUSDT")


def without_clamping(desk: Desk) -> None:
    desk.venue.set_limit_px_action(desk.taker, {"category": "linear", "modifyEnable": False})
    desk.order(desk.taker, "Buy", "0.01", "70000.00")


def shallow_tier(desk: Desk) -> None:
    set_leverage(desk, "100")
    desk.order(desk.taker, "Buy", "40", "59000.00")


def only_leaving(desk: Desk) -> None:
    desk.venue.only_reduce(desk.taker, 0, True)
    desk.order(desk.taker, "Buy", "0.01")


def mode(desk: Desk, number: int, **which: Any) -> None:
    desk.venue.switch_mode(desk.taker, {"category": "linear", "mode": number, **which})


def with_orders(desk: Desk) -> None:
    desk.order(desk.taker, "Buy", "10", "0.5000", symbol="XRPUSDT")
    mode(desk, 3, symbol="XRPUSDT")


def same_link(desk: Desk, which: dict[str, str], qty: str, px: str) -> None:
    thrice(lambda: desk.order(desk.taker, "Buy", qty, px, **which, orderLinkId="a"))


def beyond_cover(desk: Desk) -> None:
    """Much is open at a high leverage; a low one needs more than there is."""
    set_leverage(desk, "20")
    desk.order(desk.taker, "Buy", "20", "59990.00")
    set_leverage(desk, "1")


CASES: dict[int, Callable[[Desk], object]] = {
    10001: lambda d: d.order(d.taker, "Up", "1"),
    110001: lambda d: amend(d, BTC | {"orderId": "none"}),
    110003: without_clamping,
    110007: lambda d: d.order(d.taker, "Buy", "30", "59000.00"),
    110009: lambda d: thrice(lambda: stop(d)),
    110012: beyond_cover,
    110013: lambda d: set_leverage(d, "101"),
    110017: lambda d: d.order(d.maker, "Buy", "0.1", reduceOnly=True),
    110020: lambda d: thrice(lambda: d.order(d.taker, "Buy", "0.01", "59000.00")),
    110023: only_leaving,
    110024: lambda d: mode(d, 3, symbol="BTCUSDT"),
    110025: lambda d: mode(d, 0, symbol="BTCUSDT"),
    110028: with_orders,
    110029: lambda d: d.venue.switch_mode(d.taker, {**ETH, "mode": 3}),
    110043: lambda d: thrice(lambda: set_leverage(d, "10")),
    110061: lambda d: d.order(d.taker, "Sell", "0.1", reduceOnly=True, takeProfit="50000.00"),
    110064: lambda d: half_filled(d, BTC, "0.01", "60000.00", 5),
    110072: lambda d: same_link(d, BTC, "0.01", "59000.00"),
    110074: lambda d: closed(d, 0, BTC),
    110090: shallow_tier,
    110092: lambda d: d.order(d.taker, "Buy", "1", triggerPrice="50000.00", triggerDirection=1),
    110093: lambda d: d.order(d.taker, "Buy", "1", triggerPrice="70000.00", triggerDirection=2),
    110094: lambda d: d.order(d.taker, "Buy", "1", "0.5000", symbol="XRPUSDT"),
    110118: no_market,
    170124: lambda d: spot(d, "Buy", "2000", "2000.00"),
    170131: lambda d: spot(d, "Buy", "900", "2000.00"),
    170134: lambda d: spot(d, "Buy", "1", "2000.001"),
    170136: lambda d: spot(d, "Buy", "0", "2000.00"),
    170137: lambda d: spot(d, "Buy", "0.000001", "2000.00"),
    170140: lambda d: spot(d, "Buy", "0.001", "2000.00"),
    170141: lambda d: same_link(d, ETH, "0.1", "1999.00"),
    170151: lambda d: closed(d, 2, ETH),
    170193: lambda d: spot(d, "Buy", "0.1", "2500.00"),
    170194: lambda d: spot(d, "Sell", "0.1", "1500.00"),
    170213: lambda d: d.venue.cancel(d.taker, ETH | {"orderLinkId": "none"}, NOW_MS),
    170313: lambda d: half_filled(d, ETH, "1", "2000.00", 50_000),
    170810: lambda d: thrice(lambda: spot(d, "Buy", "0.1", "1990.00")),
    34040: lambda d: d.venue.trading_stop(d.taker, BTC, NOW_MS),
    3400045: lambda d: d.venue.set_margin_mode(d.taker, {"setMarginMode": "ISOLATED_MARGIN"}),
}


def codes_of(module: ModuleType) -> set[int]:
    return {
        value
        for name, value in vars(module).items()
        if name.isupper() and type(value) is int and 10_000 <= value < 10_000_000
        and name != "PX_TICKS_MAX"
    }  # fmt: skip


@pytest.mark.parametrize("code", CASES)
def test_refusals(desk: Desk, code: int) -> None:
    with pytest.raises(VenueError) as refused:
        CASES[code](desk)
    assert refused.value.code == code, refused.value.message


def test_no_code_is_left_out() -> None:
    known = codes_of(intake) | codes_of(account_settings) | codes_of(stops)
    assert known <= CASES.keys()
    assert len(CASES) > 35


def test_spot_has_a_limit_of_waiting_orders_of_its_own(desk: Desk) -> None:
    def wait() -> None:
        spot(desk, "Buy", "0.1", triggerPrice="2100.00", marketUnit="baseCoin")

    wait()
    wait()
    with pytest.raises(VenueError) as refused:
        wait()
    assert refused.value.code == 170810
