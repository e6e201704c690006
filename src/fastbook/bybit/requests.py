"""What we say to Bybit v5, as bytes. Each is serialised once: these bytes are signed and sent.

Prices and quantities come in as fixed-point integers and leave as plain decimal text; no
float is ever in between. What the venue would guess when left out is always said:
`positionIdx`, `reduceOnly` and, for a spot market order, that its quantity counts base coins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import orjson

from fastbook.bybit.signing import sign_ws
from fastbook.core.fixed import format_fixed
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

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
"""What the venue takes as `orderLinkId`."""

_SAFE_QUERY = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~,")


# Socket control messages.


def subscribe(args: Sequence[str], req_id: str) -> bytes:
    return _dumps({"req_id": req_id, "op": "subscribe", "args": list(args)})


def unsubscribe(args: Sequence[str], req_id: str) -> bytes:
    return _dumps({"req_id": req_id, "op": "unsubscribe", "args": list(args)})


def ping(req_id: str = "") -> bytes:
    """The application's own ping, a text message; not the ping frame of RFC 6455."""
    return _dumps({"req_id": req_id, "op": "ping"} if req_id else {"op": "ping"})


def auth(key: str, secret: bytes, expires_ms: int, req_id: str) -> bytes:
    """Authenticates a private connection. `expires_ms`: now + 10 s by the venue's clock."""
    args = [key, expires_ms, sign_ws(secret, expires_ms)]
    return _dumps({"req_id": req_id, "op": "auth", "args": args})


def trade_auth(key: str, secret: bytes, expires_ms: int, req_id: str) -> bytes:
    """Authenticates a trade connection, whose names are in camel case."""
    args = [key, expires_ms, sign_ws(secret, expires_ms)]
    return _dumps({"reqId": req_id, "op": "auth", "args": args})


def trade_ping(req_id: str) -> bytes:
    return _dumps({"reqId": req_id, "op": "ping"})


def trade_request(op: str, body: bytes, req_id: str, ts_ms: int, recv_window_ms: int) -> bytes:
    """One order request for a trade connection; `body` is that of the REST call.

    Not signed, but stamped: `ts_ms` by the venue's clock, taken as late as can be.
    """
    header = {"X-BAPI-TIMESTAMP": str(ts_ms), "X-BAPI-RECV-WINDOW": str(recv_window_ms)}
    return _dumps({"reqId": req_id, "header": header, "op": op, "args": [orjson.Fragment(body)]})


# Bodies, the same by REST and by socket.


def create_body(instrument: Instrument, order: PlaceOrder) -> bytes:
    """Body of POST /v5/order/create. Raises `RequestError` for what the venue cannot take."""
    return _dumps({"category": instrument.category.value, **create_row(instrument, order)})


def create_row(instrument: Instrument, order: PlaceOrder) -> dict[str, object]:
    """One order of a batch of creates. Raises as `create_body`."""
    _check_client_id(order.client_id)
    market = order.order_type is OrderType.MARKET
    if market and order.tif not in (TimeInForce.IOC, TimeInForce.FOK):
        raise RequestError(f"{order.client_id}: a market order cannot be {order.tif}")
    spot = instrument.category is Category.SPOT
    if spot and order.reduce_only and order.side is Side.BUY:
        # A sale of what is held needs no flag; there is nothing short that a purchase could reduce.
        raise RequestError(f"{order.client_id}: spot has no reduce-only purchases")

    body: dict[str, object] = {
        "symbol": instrument.symbol,
        "side": order.side.wire,
        "orderType": order.order_type.value,
        "qty": qty_text(instrument, order.qty),
    }
    if not market:
        body["price"] = px_text(instrument, order.px)
    body["timeInForce"] = order.tif.value
    if spot:
        body["isLeverage"] = 0
        if market:
            body["marketUnit"] = "baseCoin"  # a spot market buy counts quote coins by default
    else:
        body["positionIdx"] = _position_idx(order.position_idx)
    body["orderLinkId"] = order.client_id
    if not spot:
        body["reduceOnly"] = order.reduce_only
    if order.stop_loss_px or order.take_profit_px:
        body |= _attached_stops(instrument, order)
    return body


def cancel_body(instrument: Instrument, client_id: str) -> bytes:
    """Body of POST /v5/order/cancel."""
    return _dumps({"category": instrument.category.value, **cancel_row(instrument, client_id)})


def cancel_row(instrument: Instrument, client_id: str) -> dict[str, object]:
    """One order of a batch of cancels."""
    _check_client_id(client_id)
    return {"symbol": instrument.symbol, "orderLinkId": client_id}


def batch_body(category: Category, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Body of a batch call, of rows for the same operation."""
    if not rows:
        raise RequestError("a batch needs at least one row")
    return _dumps({"category": category.value, "request": list(rows)})


def amend_body(instrument: Instrument, order: AmendOrder) -> bytes:
    """Body of POST /v5/order/amend. `qty` is the new total; what does not change is left out."""
    _check_client_id(order.client_id)
    if order.px is None and order.qty is None:
        raise RequestError(f"{order.client_id}: an amend must change price or quantity")
    body = {
        "category": instrument.category.value,
        "symbol": instrument.symbol,
        "orderLinkId": order.client_id,
    }
    if order.qty is not None:
        body["qty"] = qty_text(instrument, order.qty)
    if order.px is not None:
        body["price"] = px_text(instrument, order.px)
    return _dumps(body)


def cancel_all_body(
    category: Category,
    *,
    symbol: str = "",
    settle: str = "",
    order_filter: str = "",
    stop_order_type: str = "",
) -> bytes:
    """Body of POST /v5/order/cancel-all; linear and inverse need a symbol or a settle coin.

    Without `order_filter` derivatives mean every kind of order, stops of positions too, and
    spot means plain orders only.
    """
    if category is not Category.SPOT and not (symbol or settle):
        raise RequestError(f"cancel-all of {category} needs a symbol or a settle coin")
    body = {"category": category.value}
    if symbol:
        body["symbol"] = symbol
    elif settle:
        body["settleCoin"] = settle
    if order_filter:
        body["orderFilter"] = order_filter
    if stop_order_type:
        body["stopOrderType"] = stop_order_type
    return _dumps(body)


def trading_stop_body(instrument: Instrument, stops: SetStops) -> bytes:
    """Body of POST /v5/position/trading-stop: stops of a whole position, whatever its size.

    A price of 0 takes that stop away. Stops are market orders, triggered by the mark price:
    one print of a thin book does not set them off.
    """
    if instrument.category is Category.SPOT:
        raise RequestError(f"{instrument.symbol}: spot has no positions, and so no stops of them")
    return _dumps(
        {
            "category": instrument.category.value,
            "symbol": instrument.symbol,
            "positionIdx": _position_idx(stops.position_idx),
            "tpslMode": "Full",
            "takeProfit": _stop_text(instrument, stops.take_profit_px),
            "stopLoss": _stop_text(instrument, stops.stop_loss_px),
            "tpTriggerBy": STOP_TRIGGER,
            "slTriggerBy": STOP_TRIGGER,
        }
    )


STOP_TRIGGER = "MarkPrice"


def _attached_stops(instrument: Instrument, order: PlaceOrder) -> dict[str, object]:
    if instrument.category is Category.SPOT:
        raise RequestError(f"{order.client_id}: a spot order carries no stops of a position")
    if order.reduce_only:
        raise RequestError(f"{order.client_id}: a reduce-only order carries no stops")
    found: dict[str, object] = {"tpslMode": "Full"}
    if order.take_profit_px:
        found["takeProfit"] = px_text(instrument, order.take_profit_px)
        found["tpTriggerBy"] = STOP_TRIGGER
    if order.stop_loss_px:
        found["stopLoss"] = px_text(instrument, order.stop_loss_px)
        found["slTriggerBy"] = STOP_TRIGGER
    return found


def _stop_text(instrument: Instrument, px: int) -> str:
    return px_text(instrument, px) if px else "0"


def _position_idx(idx: int) -> int:
    if idx not in (0, 1, 2):
        raise RequestError(f"positionIdx is 0, 1 or 2, not {idx!r:.20}")
    return idx


def px_text(instrument: Instrument, px: int) -> str:
    """`px` as the venue reads it; refused when not a positive multiple of the tick."""
    if px <= 0 or px % instrument.tick:
        raise RequestError(
            f"{instrument.symbol}: price {px} is not a positive multiple of the tick"
        )
    return format_fixed(px, instrument.price_scale, strip=True)


def qty_text(instrument: Instrument, qty: int) -> str:
    """`qty` as the venue reads it; refused when not a positive multiple of the lot."""
    if qty <= 0 or qty % instrument.lot:
        raise RequestError(
            f"{instrument.symbol}: quantity {qty} is not a positive multiple of the lot"
        )
    return format_fixed(qty, instrument.qty_scale, strip=True)


def query(params: Mapping[str, str | int] | Iterable[tuple[str, str | int]]) -> str:
    """The text after ``?``, in the order given, percent-encoded; empty values are left out.

    `cursor` goes in as it came: the venue hands it out already encoded.
    """
    pairs = params.items() if isinstance(params, Mapping) else params
    return "&".join(
        f"{name}={value if name == 'cursor' else _encode(str(value))}"
        for name, value in pairs
        if value != ""
    )


def _encode(text: str) -> str:
    return "".join(chr(b) if b in _SAFE_QUERY else f"%{b:02X}" for b in text.encode())


def _check_client_id(client_id: str) -> None:
    if not CLIENT_ID.fullmatch(client_id):
        raise RequestError(f"not a client order id: {client_id[:40]!r}")


def _dumps(value: object) -> bytes:
    return orjson.dumps(value)  # compact: no white space
