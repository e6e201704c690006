"""Whatever a request holds, the venue takes it or refuses it with a code; it never breaks."""

from __future__ import annotations

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
        "positionIdx": field(0),
        "marketUnit": field("baseCoin", "quoteCoin"),
        "orderId": JSON,
        "settleCoin": field("USDT"),
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=5))
def test_any_request_is_answered(requests: list[dict[str, object]]) -> None:
    desk = Desk(balance="5000")
    desk.crowd(Side.SELL, 6_000_010, 50)
    desk.crowd(Side.BUY, 5_999_990, 50)
    for request in requests:
        for call in (desk.venue.place, desk.venue.cancel, desk.venue.cancel_all):
            try:
                call(desk.taker, request, NOW_MS)
            except VenueError as e:
                if not (10001 <= e.code <= 170_999 and e.message):
                    pytest.fail(f"odd refusal {e!r}")
    for book in desk.books:
        book.check()
