"""Private frames and query rows -> events: exact, tolerant, and never quietly wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support_bybit import LINEAR, SPOT, instrument

from fastbook.bybit.private import ControlReply, PrivateDecoder, parse_control, parse_frame
from fastbook.errors import WireError
from fastbook.types import (
    Category,
    Execution,
    OrderUpdate,
    PositionSnapshot,
    Side,
    WalletSnapshot,
)

ORDER: dict[str, Any] = {  # Any: JSON
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "0f6f7a2e-1111-4222-8333-944455556666",
    "orderLinkId": "mm-a1-000001",
    "side": "Buy",
    "orderStatus": "New",
    "rejectReason": "EC_NoError",
    "price": "69000.1",
    "qty": "0.010",
    "avgPrice": "",
    "cumExecQty": "0",
    "updatedTime": "1772694600127",
}
EXECUTION: dict[str, Any] = {  # Any: JSON
    "category": "linear",
    "symbol": "BTCUSDT",
    "execFee": "0.01380002",
    "execId": "e-1",
    "execPrice": "69000.10",
    "execQty": "0.001",
    "execType": "Trade",
    "orderId": "o-1",
    "orderLinkId": "mm-1",
    "side": "Sell",
    "execTime": "1772694601353",
    "isMaker": True,
    "feeCurrency": "USDT",
    "seq": 9000000002,
}
POSITION: dict[str, Any] = {  # Any: JSON
    "category": "linear",
    "symbol": "BTCUSDT",
    "positionIdx": 0,
    "side": "Sell",
    "size": "0.001",
    "entryPrice": "69000.123456789",
    "cumRealisedPnl": "-0.0138",
    "liqPrice": "",
    "updatedTime": "1772694601353",
    "seq": 9000000002,
}


def frame(topic: str, *rows: object) -> bytes:
    return orjson.dumps({"id": "x", "topic": topic, "creationTime": 1, "data": rows})


@pytest.fixture
def decoder() -> PrivateDecoder:
    eth = instrument("ETHUSDT", index=1, tick=1)
    return PrivateDecoder([LINEAR, eth], Category.LINEAR)


@pytest.mark.parametrize("topic", ["order", "order.linear"])
def test_order(decoder: PrivateDecoder, topic: str) -> None:
    assert decoder.decode(frame(topic, ORDER)) == [
        OrderUpdate(
            client_id="mm-a1-000001",
            order_id="0f6f7a2e-1111-4222-8333-944455556666",
            instrument=0,
            status="New",
            px=6_900_010,
            qty=10,
            cum_qty=0,
            reject_reason="EC_NoError",
            updated_ms=1772694600127,
        )
    ]


def test_order_with_empty_and_missing_values(decoder: PrivateDecoder) -> None:
    row = {**ORDER, "price": "", "cumExecQty": "", "rejectReason": "", "orderLinkId": None}
    del row["updatedTime"]
    (update,) = decoder.decode(frame("order", row))
    assert isinstance(update, OrderUpdate)
    assert (update.px, update.cum_qty, update.updated_ms) == (0, 0, 0)
    assert (update.reject_reason, update.client_id) == ("", "")


def test_unknown_status_passes_as_it_is(decoder: PrivateDecoder) -> None:
    (update,) = decoder.decode(frame("order", {**ORDER, "orderStatus": "Levitating"}))
    assert isinstance(update, OrderUpdate)
    assert update.status == "Levitating"


def test_price_label_finer_than_the_grid_does_not_lose_the_row(decoder: PrivateDecoder) -> None:
    (update,) = decoder.decode(frame("order", {**ORDER, "price": "69000.12345"}))
    assert isinstance(update, OrderUpdate)
    assert update.px == 0


def test_spot_order_by_quote_amount() -> None:
    row = {
        **ORDER,
        "category": "spot",
        "price": "0",
        "marketUnit": "quoteCoin",
        "qty": "12.345678901",
        "cumExecQty": "0.010000",
        "updatedTime": 1772694600127,
    }
    (update,) = PrivateDecoder([SPOT], Category.SPOT).decode(frame("order.spot", row))
    assert isinstance(update, OrderUpdate)
    assert (update.qty, update.cum_qty, update.updated_ms) == (10_000, 10_000, 1772694600127)


def test_execution(decoder: PrivateDecoder) -> None:
    assert decoder.decode(frame("execution", EXECUTION)) == [
        Execution(
            exec_id="e-1",
            client_id="mm-1",
            order_id="o-1",
            instrument=0,
            side=Side.SELL,
            px=6_900_010,
            qty=1,
            fee=Decimal("0.01380002"),
            fee_coin="USDT",
            is_maker=True,
            exec_type="Trade",
            ts_ms=1772694601353,
        )
    ]


def test_rebate_and_funding(decoder: PrivateDecoder) -> None:
    rebate = {**EXECUTION, "execFee": "-0.5"}
    funding = {**EXECUTION, "execType": "Funding", "orderLinkId": "", "feeCurrency": ""}
    first, second = decoder.decode(frame("execution.linear", rebate, funding))
    assert isinstance(first, Execution)
    assert isinstance(second, Execution)
    assert first.fee == Decimal("-0.5")
    assert (second.exec_type, second.fee_coin) == ("Funding", "USDT")


def test_funding_is_paid_at_a_mark_price_between_ticks(decoder: PrivateDecoder) -> None:
    funding = {**EXECUTION, "execType": "Funding", "execPrice": "69000.123456"}
    (event,) = decoder.decode(frame("execution.linear", funding))
    assert isinstance(event, Execution)
    assert event.px == 6_900_012
    assert decoder.bad_rows == 0


def test_spot_fee_coin_is_what_was_received() -> None:
    row = {**EXECUTION, "category": "spot", "execPrice": "69000.1", "feeCurrency": ""}
    spot = PrivateDecoder([SPOT], Category.SPOT)
    sell, buy = spot.decode(frame("execution.spot", row, {**row, "side": "Buy"}))
    assert isinstance(sell, Execution)
    assert isinstance(buy, Execution)
    assert (sell.fee_coin, buy.fee_coin) == ("USDT", "BTC")


@pytest.mark.parametrize(
    "wrong",
    [
        {"execPrice": "69000.12345"},
        {"execQty": "1e3"},
        {"execQty": "-1"},
        {"execFee": "NaN"},
        {"execFee": "Infinity"},
        {"execFee": 0.1},
        {"side": ""},
        {"execId": ""},
        {"execTime": "soon"},
    ],
)
def test_fill_that_cannot_be_read_is_counted_and_its_neighbour_kept(
    decoder: PrivateDecoder, wrong: dict[str, object]
) -> None:
    events = decoder.decode(frame("execution", {**EXECUTION, **wrong}, EXECUTION, "row"))
    assert len(events) == 1
    assert decoder.bad_rows == 2
    assert decoder.last_problem.startswith("execution: ")


@pytest.mark.parametrize("topic", ["execution.fast", "execution.fast.linear"])
def test_fast_fill_has_no_fee(decoder: PrivateDecoder, topic: str) -> None:
    row = {k: v for k, v in EXECUTION.items() if k not in ("execFee", "execType", "feeCurrency")}
    assert decoder.decode(frame(topic, row)) == []
    assert decoder.fast_ignored == 1
    (fill,) = PrivateDecoder([LINEAR], Category.LINEAR, fast=True).decode(frame(topic, row))
    assert isinstance(fill, Execution)
    assert fill.fee.is_nan()
    assert fill.px == 6_900_010


def test_position(decoder: PrivateDecoder) -> None:
    assert decoder.decode(frame("position", POSITION)) == [
        PositionSnapshot(
            instrument=0,
            qty=-1,
            entry_px=Decimal("69000.123456789"),
            realized_pnl=Decimal("-0.0138"),
            seq=9000000002,
            updated_ms=1772694601353,
        )
    ]


def test_position_of_a_query_names_its_price_otherwise(decoder: PrivateDecoder) -> None:
    row = {**POSITION, "avgPrice": "70000", "side": "Buy"}
    del row["entryPrice"], row["category"]
    (position,) = decoder.positions([row])
    assert isinstance(position, PositionSnapshot)
    assert (position.qty, position.entry_px) == (1, Decimal(70000))


def test_flat_position(decoder: PrivateDecoder) -> None:
    row = {**POSITION, "side": "", "size": "0", "entryPrice": "0", "seq": -1}
    (position,) = decoder.decode(frame("position.linear", row))
    assert isinstance(position, PositionSnapshot)
    assert (position.qty, position.seq) == (0, -1)


def test_hedge_mode_is_noticed(decoder: PrivateDecoder) -> None:
    (position,) = decoder.positions([{**POSITION, "positionIdx": 2, "side": ""}])
    assert isinstance(position, PositionSnapshot)
    assert position.qty == -1
    assert decoder.hedge_rows == 1
    assert decoder.positions([{**POSITION, "side": ""}]) == []
    assert decoder.bad_rows == 1


def test_wallet(decoder: PrivateDecoder) -> None:
    usdt = {"coin": "USDT", "equity": "10000.0893", "walletBalance": "10000.0862", "free": ""}
    btc = {"coin": "BTC", "equity": "", "walletBalance": "-1"}
    row = {"accountType": "UNIFIED", "totalEquity": "", "coin": [usdt, btc]}
    assert decoder.decode(frame("wallet", row)) == [
        WalletSnapshot(coin="USDT", balance=Decimal("10000.0862"), equity=Decimal("10000.0893")),
        WalletSnapshot(coin="BTC", balance=Decimal(-1), equity=Decimal(0)),
    ]
    assert decoder.decode(frame("wallet", {"accountType": "UNIFIED"})) == []
    assert decoder.bad_rows == 1


def test_other_symbols_and_categories_are_somebody_elses(decoder: PrivateDecoder) -> None:
    rows = [{**ORDER, "symbol": "DOGEUSDT"}, {**ORDER, "category": "spot"}]
    assert decoder.decode(frame("order", *rows)) == []
    assert (decoder.foreign, decoder.bad_rows) == (2, 0)


def test_topics_that_are_nothing_of_ours(decoder: PrivateDecoder) -> None:
    assert decoder.decode(frame("orderbook.50.BTCUSDT", ORDER)) == []
    assert decoder.decode(frame("greeks", {})) == []
    assert decoder.unknown_topics == 2
    assert decoder.decode(frame("order")) == []


@pytest.mark.parametrize(
    "bad", [b"", b"{", b"[]", b"\xff", b"null", b'{"topic":"order","data":{}}']
)
def test_frame_that_is_no_message(decoder: PrivateDecoder, bad: bytes) -> None:
    with pytest.raises(WireError):
        decoder.decode(bad)


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (
            b'{"req_id":"a","success":true,"ret_msg":"","op":"auth","conn_id":"c"}',
            ControlReply("auth", True, "a", 0, ""),
        ),
        (
            b'{"success":false,"ret_msg":"Params Error","op":"auth","conn_id":"c"}',
            ControlReply("auth", False, "", 0, "Params Error"),
        ),
        (
            b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey"}',
            ControlReply("auth", False, "", 10003, "Invalid apikey"),
        ),
        (
            b'{"reqId":"a","retCode":10004,"retMsg":"bad sign","op":"auth","connId":"c"}',
            ControlReply("auth", False, "a", 10004, "bad sign"),
        ),
        (
            b'{"req_id":"p-1","op":"pong","args":["1772694600633"],"conn_id":"c"}',
            ControlReply("pong", True, "p-1", 0, ""),
        ),
        (
            b'{"success":true,"ret_msg":"pong","conn_id":"c","op":"ping"}',
            ControlReply("pong", True, "", 0, "pong"),
        ),
        (
            b'{"success":true,"ret_msg":"","op":"subscribe","conn_id":"c","req_id":"s"}',
            ControlReply("subscribe", True, "s", 0, ""),
        ),
        (b'{"topic":"order","data":[]}', None),
        (b"{}", None),
    ],
)
def test_answers(message: bytes, reply: ControlReply | None) -> None:
    assert parse_control(parse_frame(message)) == reply


DOCUMENTED = [
    ("ws_account_order.json", OrderUpdate),
    ("ws_account_order_filled.json", OrderUpdate),
    ("ws_account_order_partially_filled_rejected.json", OrderUpdate),
    ("ws_account_order_stop_limit.json", OrderUpdate),
    ("ws_account_execution.json", Execution),
    ("ws_account_execution_adl.json", Execution),
    ("ws_account_execution_fast.json", Execution),
    ("ws_account_position.json", PositionSnapshot),
    ("ws_account_position_short.json", PositionSnapshot),
    ("ws_account_wallet.json", WalletSnapshot),
    ("http_get_orders_realtime.json", OrderUpdate),
    ("http_get_orders_history.json", OrderUpdate),
    ("http_get_executions.json", Execution),
    ("http_get_positions.json", PositionSnapshot),
    ("http_get_wallet_balance.json", WalletSnapshot),
]


@pytest.mark.parametrize(("name", "kind"), DOCUMENTED)
def test_documented_message(data_dir: Path, name: str, kind: type) -> None:
    folder = data_dir / "bybit" / "messages" / "documented" / "nautilus"
    message = orjson.loads((folder / name).read_bytes())
    rows = message["data"] if "data" in message else message["result"]["list"]
    spot = rows[0].get("category") == "spot"
    symbols = {row["symbol"] for row in rows if "symbol" in row}
    category = Category.SPOT if spot else Category.LINEAR
    wide = [instrument(s, category=category, price_scale=8, qty_scale=8, tick=1) for s in symbols]
    decoder = PrivateDecoder(wide, category, fast=True)
    if "data" in message:
        events = decoder.events(message)
    else:
        by_kind = {
            OrderUpdate: decoder.orders,
            Execution: decoder.executions,
            PositionSnapshot: decoder.positions,
            WalletSnapshot: decoder.wallet,
        }
        events = by_kind[kind](rows)
    assert events
    assert all(type(e) is kind for e in events)
    assert (decoder.bad_rows, decoder.foreign) == (0, 0), decoder.last_problem


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    topic=st.sampled_from(["order", "execution", "position", "wallet"]),
    base=st.sampled_from([ORDER, EXECUTION, POSITION]),
    changes=st.dictionaries(st.sampled_from(sorted(ORDER | EXECUTION | POSITION)), JSON),
    row=JSON,
)
def test_whatever_comes_is_an_event_or_counted(
    topic: str, base: dict[str, Any], changes: dict[str, Any], row: object
) -> None:
    decoder = PrivateDecoder([LINEAR], Category.LINEAR)
    events = decoder.decode(frame(topic, {**base, **changes}, row))
    seen = len(events) + decoder.bad_rows + decoder.foreign
    assert seen >= 2 or topic == "wallet"


def test_position_shows_what_protects_it(decoder: PrivateDecoder) -> None:
    row = {
        **POSITION,
        "takeProfit": "70000",
        "stopLoss": "68000.10",
        "positionIdx": 2,
        "leverage": "10",
    }
    (seen,) = decoder.decode(frame("position", row))
    assert isinstance(seen, PositionSnapshot)
    assert (seen.take_profit_px, seen.stop_loss_px) == (7_000_000, 6_800_010)
    assert (seen.position_idx, seen.leverage) == (2, Decimal(10))


@pytest.mark.parametrize("nothing", ["", "0", "0.00", None])
def test_position_without_stops(decoder: PrivateDecoder, nothing: object) -> None:
    row = {**POSITION, "takeProfit": nothing, "stopLoss": nothing, "leverage": nothing}
    (seen,) = decoder.decode(frame("position", row))
    assert isinstance(seen, PositionSnapshot)
    assert (seen.take_profit_px, seen.stop_loss_px, seen.leverage) == (0, 0, None)
