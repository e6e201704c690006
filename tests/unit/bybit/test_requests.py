"""The bytes we send, key by key."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support_bybit import KEY, LINEAR, SECRET, SPOT

from fastbook.bybit import requests
from fastbook.errors import RequestError
from fastbook.types import (
    AmendOrder,
    Category,
    Instrument,
    OrderType,
    PlaceOrder,
    SetStops,
    Side,
    TimeInForce,
)


def place(**changes: object) -> PlaceOrder:
    values: dict[str, object] = {
        "client_id": "mm-0001",
        "instrument": 0,
        "side": Side.BUY,
        "px": 3_000_050,
        "qty": 1,
        "order_type": OrderType.LIMIT,
        "tif": TimeInForce.POST_ONLY,
        "reduce_only": False,
    }
    return PlaceOrder(**{**values, **changes})  # type: ignore[arg-type]  # names checked by call


def test_control_messages() -> None:
    assert requests.subscribe(["order", "wallet"], "s-1") == (
        b'{"req_id":"s-1","op":"subscribe","args":["order","wallet"]}'
    )
    assert requests.unsubscribe(["a.B"], "u-1") == (
        b'{"req_id":"u-1","op":"unsubscribe","args":["a.B"]}'
    )
    assert requests.ping() == b'{"op":"ping"}'
    assert requests.ping("p-1") == b'{"req_id":"p-1","op":"ping"}'


def test_auth_carries_the_signature_of_its_own_expiry() -> None:
    assert requests.auth(KEY, SECRET.encode(), 1700000010000, "auth-1") == (
        b'{"req_id":"auth-1","op":"auth","args":["DEMOKEY0000000001",1700000010000,'
        b'"92e108ad227c8dbeee4b080cda6e6512fb06c80e30d40401e911ba711950d12f"]}'
    )


def test_linear_create_says_everything() -> None:
    assert requests.create_body(LINEAR, place()) == (
        b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001",'
        b'"price":"30000.5","timeInForce":"PostOnly","positionIdx":0,"orderLinkId":"mm-0001",'
        b'"reduceOnly":false}'
    )


def test_linear_market_create_has_no_price() -> None:
    order = place(order_type=OrderType.MARKET, tif=TimeInForce.IOC, reduce_only=True)
    body = orjson.loads(requests.create_body(LINEAR, order))
    assert "price" not in body
    assert body["reduceOnly"] is True


def test_spot_market_create_counts_base_coins() -> None:
    order = place(order_type=OrderType.MARKET, tif=TimeInForce.IOC, qty=10_000)
    body = orjson.loads(requests.create_body(SPOT, order))
    assert body["marketUnit"] == "baseCoin"
    assert body["qty"] == "0.01"
    assert body["isLeverage"] == 0
    assert not body.keys() & {"positionIdx", "reduceOnly", "price"}


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        (place(px=3_000_051), "multiple of the tick"),
        (place(px=0), "multiple of the tick"),
        (place(qty=0), "multiple of the lot"),
        (place(qty=-1), "multiple of the lot"),
        (place(client_id="a" * 37), "not a client order id"),
        (place(client_id="a b"), "not a client order id"),
        (place(client_id=""), "not a client order id"),
        (place(order_type=OrderType.MARKET, tif=TimeInForce.GTC), "market order cannot be GTC"),
    ],
)
def test_create_refuses(order: PlaceOrder, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        requests.create_body(LINEAR, order)


def test_spot_create_refuses_reduce_only() -> None:
    with pytest.raises(RequestError, match="reduce-only"):
        requests.create_body(SPOT, place(reduce_only=True))


def test_cancel_and_amend() -> None:
    assert requests.cancel_body(LINEAR, "mm-1") == (
        b'{"category":"linear","symbol":"BTCUSDT","orderLinkId":"mm-1"}'
    )
    only_px = AmendOrder(client_id="mm-1", instrument=0, px=3_000_010)
    assert requests.amend_body(LINEAR, only_px) == (
        b'{"category":"linear","symbol":"BTCUSDT","orderLinkId":"mm-1","price":"30000.1"}'
    )
    only_qty = AmendOrder(client_id="mm-1", instrument=0, qty=2_000)
    assert requests.amend_body(LINEAR, only_qty) == (
        b'{"category":"linear","symbol":"BTCUSDT","orderLinkId":"mm-1","qty":"2"}'
    )
    with pytest.raises(RequestError, match="must change"):
        requests.amend_body(LINEAR, AmendOrder(client_id="mm-1", instrument=0))


def test_cancel_all_needs_a_scope_on_derivatives() -> None:
    assert requests.cancel_all_body(Category.LINEAR, settle="USDT") == (
        b'{"category":"linear","settleCoin":"USDT"}'
    )
    assert requests.cancel_all_body(Category.INVERSE, symbol="BTCUSD") == (
        b'{"category":"inverse","symbol":"BTCUSD"}'
    )
    assert requests.cancel_all_body(Category.SPOT) == b'{"category":"spot"}'
    with pytest.raises(RequestError):
        requests.cancel_all_body(Category.LINEAR)


def test_query_encodes_once_and_leaves_the_cursor_alone() -> None:
    params: dict[str, str | int] = {
        "symbol": "A B&C=ü",
        "limit": 50,
        "empty": "",
        "cursor": "a%3Ab%2Cc",
    }
    text = requests.query(params)
    assert text == "symbol=A%20B%26C%3D%C3%BC&limit=50&cursor=a%3Ab%2Cc"


@given(ticks=st.integers(1, 10**12), lots=st.integers(1, 10**12))
def test_numbers_leave_exactly(ticks: int, lots: int) -> None:
    px, qty = ticks * LINEAR.tick, lots * LINEAR.lot
    px_text, qty_text = requests.px_text(LINEAR, px), requests.qty_text(LINEAR, qty)
    assert LINEAR.px_decimal(px) == LINEAR.px_decimal(1) * px
    assert Decimal(px_text) == LINEAR.px_decimal(px)
    assert Decimal(qty_text) == LINEAR.qty_decimal(qty)
    assert "e" not in (px_text + qty_text).lower()


def test_create_with_stops_names_mode_and_trigger() -> None:
    order = place(stop_loss_px=2_900_000, take_profit_px=3_100_000, position_idx=1)
    body = orjson.loads(requests.create_body(LINEAR, order))
    assert body["positionIdx"] == 1
    assert {k: body[k] for k in body if k.startswith(("stop", "take", "tp", "sl"))} == {
        "tpslMode": "Full",
        "takeProfit": "31000",
        "tpTriggerBy": "MarkPrice",
        "stopLoss": "29000",
        "slTriggerBy": "MarkPrice",
    }
    only_stop = orjson.loads(requests.create_body(LINEAR, place(stop_loss_px=2_900_000)))
    assert "takeProfit" not in only_stop
    only_target = orjson.loads(requests.create_body(LINEAR, place(take_profit_px=2_900_000)))
    assert "stopLoss" not in only_target


@pytest.mark.parametrize(
    ("where", "order", "complaint"),
    [
        (LINEAR, place(stop_loss_px=2_900_000, reduce_only=True), "reduce-only order carries no"),
        (LINEAR, place(stop_loss_px=2_900_001), "multiple of the tick"),
        (LINEAR, place(position_idx=3), "positionIdx is 0, 1 or 2"),
        (SPOT, place(stop_loss_px=2_900_000), "spot order carries no stops"),
        (SPOT, place(reduce_only=True), "no reduce-only purchases"),
    ],
)
def test_create_refuses_what_the_venue_cannot_take(
    where: Instrument, order: PlaceOrder, complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        requests.create_body(where, order)


def test_sale_of_spot_holdings_needs_no_flag() -> None:
    body = orjson.loads(requests.create_body(SPOT, place(side=Side.SELL, reduce_only=True)))
    assert "reduceOnly" not in body


def test_stops_of_a_position() -> None:
    stops = SetStops(instrument=0, stop_loss_px=2_900_000, position_idx=2)
    assert orjson.loads(requests.trading_stop_body(LINEAR, stops)) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "positionIdx": 2,
        "tpslMode": "Full",
        "takeProfit": "0",
        "stopLoss": "29000",
        "tpTriggerBy": "MarkPrice",
        "slTriggerBy": "MarkPrice",
    }
    with pytest.raises(RequestError, match="spot has no positions"):
        requests.trading_stop_body(SPOT, stops)


def test_batches_are_rows_without_category() -> None:
    rows = [requests.create_row(LINEAR, place(client_id=f"c-{i}")) for i in (1, 2)]
    body = orjson.loads(requests.batch_body(Category.LINEAR, rows))
    assert body["category"] == "linear"
    assert [row["orderLinkId"] for row in body["request"]] == ["c-1", "c-2"]
    assert all("category" not in row for row in body["request"])
    cancels = requests.batch_body(Category.LINEAR, [requests.cancel_row(LINEAR, "c-1")])
    assert cancels == (
        b'{"category":"linear","request":[{"symbol":"BTCUSDT","orderLinkId":"c-1"}]}'
    )
    with pytest.raises(RequestError, match="at least one row"):
        requests.batch_body(Category.LINEAR, [])


def test_cancel_all_by_filter() -> None:
    assert requests.cancel_all_body(
        Category.LINEAR, settle="USDT", order_filter="StopOrder", stop_order_type="Stop"
    ) == (
        b'{"category":"linear","settleCoin":"USDT","orderFilter":"StopOrder",'
        b'"stopOrderType":"Stop"}'
    )


def test_trade_connection_requests() -> None:
    body = requests.cancel_body(LINEAR, "c-1")
    assert requests.trade_request("order.cancel", body, "r-1", 1_700_000_000_000, 5_000) == (
        b'{"reqId":"r-1","header":{"X-BAPI-TIMESTAMP":"1700000000000",'
        b'"X-BAPI-RECV-WINDOW":"5000"},"op":"order.cancel","args":[{"category":"linear",'
        b'"symbol":"BTCUSDT","orderLinkId":"c-1"}]}'
    )
    assert requests.trade_ping("p-1") == b'{"reqId":"p-1","op":"ping"}'
    assert requests.trade_auth(KEY, SECRET.encode(), 1700000010000, "auth-1") == (
        b'{"reqId":"auth-1","op":"auth","args":["DEMOKEY0000000001",1700000010000,'
        b'"92e108ad227c8dbeee4b080cda6e6512fb06c80e30d40401e911ba711950d12f"]}'
    )
