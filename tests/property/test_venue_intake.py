"""Whatever a request holds, the venue takes it or refuses it with a code; it never breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.replay.venue_kit import NOW_MS, Desk

from fastbook.errors import VenueError
from fastbook.types import Side

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NUMBERS = st.from_regex(r"[0-9]{0,30}(\.[0-9]{0,20})?", fullmatch=True)


def field(*usual: object) -> st.SearchStrategy[object]:
    """Mostly what belongs there."""
    return st.sampled_from([*usual, *usual, *usual]) | JSON


REQUEST = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["linear", "linear", "spot"]) | JSON,
        "symbol": st.sampled_from(["BTCUSDT", "BTCUSDT", "ETHUSDT"]) | JSON,
        "side": field("Buy", "Sell"),
        "orderType": field("Limit", "Market"),
        "qty": st.sampled_from(["0.5", "1", "20", "0"]) | NUMBERS | JSON,
    },
    optional={
        "price": st.sampled_from(["60000", "2000.00"]) | NUMBERS | JSON,
        "timeInForce": field("GTC", "IOC", "FOK", "PostOnly"),
        "orderLinkId": st.text(alphabet="ab-_ .é", max_size=40) | JSON,
        "reduceOnly": field(True, False),
        "closeOnTrigger": field(True, False),
        "positionIdx": field(0, 1),
        "smpType": field("None", "CancelMaker", "CancelTaker", "CancelBoth"),
        "triggerPrice": field("61000", "59000"),
        "triggerDirection": field(1, 2),
        "triggerBy": field("LastPrice", "MarkPrice"),
        "takeProfit": field("61000", "59000", "0"),
        "stopLoss": field("61000", "59000", "0"),
        "tpslMode": field("Full", "Partial"),
        "tpSize": field("0.05"),
        "trailingStop": field("100", "0"),
        "activePrice": field("61000"),
        "tpOrderType": field("Market", "Limit"),
        "tpLimitPrice": field("61000"),
        "buyLeverage": field("5", "10"),
        "sellLeverage": field("5", "10"),
        "mode": field(0, 3),
        "setMarginMode": field("ISOLATED_MARGIN", "REGULAR_MARGIN"),
        "modifyEnable": field(True),
        "orderFilter": field("Order", "StopOrder"),
        "marketUnit": field("baseCoin", "quoteCoin"),
        "orderId": JSON,
        "settleCoin": field("USDT"),
    },
)


def answered(call: Callable[..., object], *args: object) -> None:
    """Taken, or refused with a code of the venue and words."""
    try:
        call(*args)
    except VenueError as e:
        if not (10001 <= e.code <= 170_999 or e.code == 3_400_045) or not e.message:
            pytest.fail(f"odd refusal {e!r}")


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=5))
def test_any_request_is_answered(requests: list[dict[str, object]]) -> None:
    desk = Desk(balance="5000")
    desk.crowd(Side.SELL, 6_000_010, 50)
    desk.crowd(Side.BUY, 5_999_990, 50)
    venue, taker = desk.venue, desk.taker
    desk.order(taker, "Buy", "0.01", "60000.10")  # something to protect
    timed = (venue.place, venue.trading_stop, venue.cancel, venue.cancel_all)
    settings_calls = (
        *(venue.set_leverage, venue.switch_mode),
        *(venue.set_margin_mode, venue.set_limit_px_action),
    )
    for request in requests:
        resting = next(iter(venue.account(taker).open_orders), "")
        answered(venue.amend, taker, {"orderId": resting, **request}, NOW_MS)
        for call in timed:
            answered(call, taker, request, NOW_MS)
        for setting in settings_calls:
            answered(setting, taker, request)
        venue.prices.set_last(0, 6_100_000)
        venue.tick(NOW_MS)
    for book in desk.books:
        book.check()
