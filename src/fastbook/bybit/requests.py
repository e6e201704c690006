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
from fastbook.types import AmendOrder, Category, Instrument, OrderType, PlaceOrder, TimeInForce

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


# REST bodies.


def create_body(instrument: Instrument, order: PlaceOrder) -> bytes:
    """Body of POST /v5/order/create. Raises `RequestError` for what the venue cannot take."""
    _check_client_id(order.client_id)
    market = order.order_type is OrderType.MARKET
    if market and order.tif not in (TimeInForce.IOC, TimeInForce.FOK):
        raise RequestError(f"{order.client_id}: a market order cannot be {order.tif}")
    spot = instrument.category is Category.SPOT
    if spot and order.reduce_only:
        raise RequestError(f"{order.client_id}: spot has no reduce-only orders")

    body: dict[str, object] = {
        "category": instrument.category.value,
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
        body["positionIdx"] = 0  # one-way mode
    body["orderLinkId"] = order.client_id
    if not spot:
        body["reduceOnly"] = order.reduce_only
    return _dumps(body)


def cancel_body(instrument: Instrument, client_id: str) -> bytes:
    """Body of POST /v5/order/cancel."""
    _check_client_id(client_id)
    return _dumps(
        {
            "category": instrument.category.value,
            "symbol": instrument.symbol,
            "orderLinkId": client_id,
        }
    )


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


def cancel_all_body(category: Category, *, symbol: str = "", settle: str = "") -> bytes:
    """Body of POST /v5/order/cancel-all; linear and inverse need a symbol or a settle coin."""
    if category is not Category.SPOT and not (symbol or settle):
        raise RequestError(f"cancel-all of {category} needs a symbol or a settle coin")
    body = {"category": category.value}
    if symbol:
        body["symbol"] = symbol
    elif settle:
        body["settleCoin"] = settle
    return _dumps(body)


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
