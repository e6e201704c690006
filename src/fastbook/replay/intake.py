"""What a v5 order request must be like, checked as the venue checks it.

Every refusal is a `VenueError` with the venue's code. Nothing here knows accounts or books.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from fastbook.errors import VenueError
from fastbook.replay.money import EXACT
from fastbook.replay.order import NO_PROTECTION, PriceKind, Protection, SmpType, Trigger
from fastbook.types import Category, Instrument, OrderType, Side, TimeInForce

PARAMETER_ERROR = 10001
ORDER_NOT_FOUND = 110001
PRICE_OUT_OF_RANGE = 110003
INSUFFICIENT_BALANCE = 110007
TOO_MANY_STOPS = 110009
REDUCE_ONLY_NO_POSITION = 110017
TOO_MANY_ORDERS = 110020
ONLY_REDUCING = 110023
PROTECTION_CONFLICT = 110061
AMENDED_BELOW_FILLED = 110064
DUPLICATE_LINK_ID = 110072
NOT_LIVE = 110074
RISK_LIMIT_EXCEEDED = 110090
EXPECTS_RISING = 110092
EXPECTS_FALLING = 110093
NOTIONAL_TOO_SMALL = 110094
NO_MARKET_PRICE = 110118
SPOT_PRICE_TOO_HIGH = 170193
SPOT_PRICE_TOO_LOW = 170194
SPOT_INSUFFICIENT_BALANCE = 170131
SPOT_PRICE_DECIMALS = 170134
SPOT_QTY_DECIMALS = 170137
SPOT_QTY_TOO_SMALL = 170136
SPOT_QTY_TOO_LARGE = 170124
SPOT_VALUE_TOO_SMALL = 170140
SPOT_DUPLICATE_LINK_ID = 170141
SPOT_ORDER_NOT_FOUND = 170213
SPOT_AMENDED_BELOW_FILLED = 170313
SPOT_NOT_OPEN = 170151
SPOT_TOO_MANY_ORDERS = 170810

PX_TICKS_MAX = 19_999_998
"""Highest price of a derivative, in ticks: what instruments-info calls `maxPrice`."""

_DECIMAL = re.compile(r"[0-9]{1,24}(\.[0-9]{1,18})?")
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
# Known to the venue, not to this one: better refused than quietly ignored.
_UNSUPPORTED = ("orderIv", "bboSideType", "slippageTolerance", "trailingStop")

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """A create request that passed every check that needs no account and no market."""

    side: Side
    order_type: OrderType
    tif: TimeInForce
    px: int  # 0 for a market order
    qty: int  # 0: close the whole position, or a spot market buy sized by `quote_budget`
    quote_budget: Decimal
    link_id: str
    reduce_only: bool
    close_on_trigger: bool
    market_unit: str
    position_idx: int = 0
    smp_type: SmpType = SmpType.NONE
    trigger: Trigger | None = None
    protection: Protection = NO_PROTECTION
    tpsl_mode: str = "UNKNOWN"


def text_of(params: Mapping[str, object], key: str, default: str = "") -> str:
    """A text parameter; refuses any other JSON type, because the venue wants decimals as text."""
    value = params.get(key, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise VenueError(PARAMETER_ERROR, f"params error: {key} must be a string")
    return value


def flag_of(params: Mapping[str, object], key: str) -> bool:
    value = params.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise VenueError(PARAMETER_ERROR, f"params error: {key} must be a boolean")
    return value


def decimal_of(params: Mapping[str, object], key: str) -> Decimal:
    text = text_of(params, key)
    if not _DECIMAL.fullmatch(text):
        raise VenueError(PARAMETER_ERROR, f"params error: {key} invalid")
    return Decimal(text)


def choice(enum: type[E], text: str, key: str) -> E:
    try:
        return enum(text)
    except ValueError:
        raise VenueError(PARAMETER_ERROR, f"params error: {key} invalid") from None


def _fixed(value: Decimal, scale: int, step: int, code: int, message: str) -> int:
    """Fixed-point value on its grid, or the refusal."""
    scaled = EXACT.scaleb(value, scale)
    if scaled != scaled.to_integral_value() or int(scaled) % step:
        raise VenueError(code, message)
    return int(scaled)


def parse_new_order(params: Mapping[str, object], instrument: Instrument) -> NewOrder:
    """Check a create request against the grid and the limits of `instrument`."""
    spot = instrument.category is Category.SPOT
    for key in _UNSUPPORTED:
        if params.get(key) not in (None, "", "0", 0):
            raise VenueError(PARAMETER_ERROR, f"params error: {key} is not supported here")
    side = _SIDES.get(text_of(params, "side"))
    if side is None:
        raise VenueError(PARAMETER_ERROR, "params error: Side invalid")
    order_type = choice(OrderType, text_of(params, "orderType"), "OrderType")
    if order_type is OrderType.MARKET:
        tif = TimeInForce.IOC
    else:
        tif = choice(TimeInForce, text_of(params, "timeInForce") or "GTC", "TimeInForce")
    reduce_only = flag_of(params, "reduceOnly")
    close_on_trigger = flag_of(params, "closeOnTrigger")
    if spot and reduce_only:
        raise VenueError(PARAMETER_ERROR, "params error: reduceOnly is for derivatives")
    trigger = trigger_of(params, instrument)
    protection = protection_of(params, instrument)
    if protection and (spot or reduce_only):
        raise VenueError(
            PARAMETER_ERROR if spot else PROTECTION_CONFLICT,
            "takeProfit and stopLoss need a derivative order that is not reduce-only",
        )

    qty, budget, unit = _quantity(params, instrument, side, order_type)
    if qty == 0 and not spot and not (reduce_only and close_on_trigger):
        raise VenueError(PARAMETER_ERROR, "params error: Qty invalid")
    px = price_of(params, instrument) if order_type is OrderType.LIMIT else 0
    return NewOrder(
        side=side,
        order_type=order_type,
        tif=tif,
        px=px,
        qty=qty,
        quote_budget=budget,
        link_id=_link_id(params),
        reduce_only=reduce_only or close_on_trigger,
        close_on_trigger=close_on_trigger,
        market_unit=unit,
        position_idx=position_idx_of(params),
        smp_type=choice(SmpType, text_of(params, "smpType") or "None", "smpType"),
        trigger=trigger,
        protection=protection,
        tpsl_mode="UNKNOWN" if not protection else "Partial" if protection.partial else "Full",
    )


def position_idx_of(params: Mapping[str, object]) -> int:
    idx = params.get("positionIdx")
    if idx is None:
        return 0
    if type(idx) is not int or idx not in (0, 1, 2):
        raise VenueError(PARAMETER_ERROR, "params error: positionIdx invalid")
    return idx


def trigger_of(params: Mapping[str, object], instrument: Instrument) -> Trigger | None:
    """What the order waits for, None for an order that is active at once.

    On spot the venue finds the direction itself: 0 here.
    """
    px = optional_px(params, "triggerPrice", instrument)
    if not px:
        return None
    by = price_kind_of(params, "triggerBy")
    if instrument.category is Category.SPOT:
        return Trigger(px, 0, by)
    direction = params.get("triggerDirection")
    if type(direction) is not int or direction not in (1, 2):
        raise VenueError(PARAMETER_ERROR, "params error: TriggerDirection invalid")
    return Trigger(px, direction, by)


def price_kind_of(params: Mapping[str, object], key: str) -> PriceKind:
    return choice(PriceKind, text_of(params, key) or "LastPrice", key)


def protection_of(params: Mapping[str, object], instrument: Instrument) -> Protection:
    """Take profit and stop loss of a create, amend or trading-stop request."""
    mode = text_of(params, "tpslMode")
    if mode not in ("", "Full", "Partial"):
        raise VenueError(PARAMETER_ERROR, "params error: tpslMode invalid")
    limits = {}
    for which in ("tp", "sl"):
        kind = choice(OrderType, text_of(params, f"{which}OrderType") or "Market", "tpslOrderType")
        limits[which] = 0
        if kind is OrderType.LIMIT:
            if mode != "Partial":
                raise VenueError(
                    PARAMETER_ERROR, "params error: limit TP/SL needs tpslMode Partial"
                )
            limits[which] = price_of(params, instrument, f"{which}LimitPrice")
    return Protection(
        take_profit=optional_px(params, "takeProfit", instrument),
        stop_loss=optional_px(params, "stopLoss", instrument),
        tp_by=price_kind_of(params, "tpTriggerBy"),
        sl_by=price_kind_of(params, "slTriggerBy"),
        partial=mode == "Partial",
        tp_limit_px=limits["tp"],
        sl_limit_px=limits["sl"],
    )


def _link_id(params: Mapping[str, object]) -> str:
    link_id = text_of(params, "orderLinkId")
    if link_id and not _LINK_ID.fullmatch(link_id):
        raise VenueError(PARAMETER_ERROR, "params error: OrderLinkId invalid")
    return link_id


def optional_px(params: Mapping[str, object], key: str, instrument: Instrument) -> int:
    """A price that may be missing, "" or "0", which all mean none: 0."""
    if text_of(params, key) in ("", "0"):
        return 0
    return price_of(params, instrument, key)


def price_of(params: Mapping[str, object], instrument: Instrument, key: str = "price") -> int:
    """A price on the tick and within the instrument's range."""
    spot = instrument.category is Category.SPOT
    code = SPOT_PRICE_DECIMALS if spot else PARAMETER_ERROR
    message = "Order price has too many decimals." if spot else "params error: Price invalid"
    px = _fixed(decimal_of(params, key), instrument.price_scale, instrument.tick, code, message)
    if not 0 < px <= instrument.tick * PX_TICKS_MAX:
        raise VenueError(PARAMETER_ERROR, "params error: Price invalid")
    return px


def _quantity(
    params: Mapping[str, object], instrument: Instrument, side: Side, order_type: OrderType
) -> tuple[int, Decimal, str]:
    """(quantity, quote budget, market unit) of a create request."""
    spot = instrument.category is Category.SPOT
    value = decimal_of(params, "qty")
    unit = text_of(params, "marketUnit") if spot and order_type is OrderType.MARKET else ""
    if unit not in ("", "baseCoin", "quoteCoin"):
        raise VenueError(PARAMETER_ERROR, "params error: marketUnit invalid")
    if spot and order_type is OrderType.MARKET:
        unit = unit or ("quoteCoin" if side is Side.BUY else "baseCoin")
        if unit == "quoteCoin":
            if value < instrument.notional_min:
                raise VenueError(SPOT_VALUE_TOO_SMALL, "Order value exceeded lower limit.")
            return 0, value, unit
    qty = _fixed(
        value,
        instrument.qty_scale,
        instrument.lot,
        SPOT_QTY_DECIMALS if spot else PARAMETER_ERROR,
        "Order quantity has too many decimals." if spot else "params error: Qty invalid",
    )
    if qty == 0 and not spot:
        return 0, value, unit  # whether that may be is decided where the flags are known
    most = instrument.qty_max_market if order_type is OrderType.MARKET else instrument.qty_max
    if qty < instrument.qty_min:
        raise VenueError(
            SPOT_QTY_TOO_SMALL if spot else PARAMETER_ERROR,
            "The number of contracts exceeds minimum limit allowed",
        )
    if qty > most:
        raise VenueError(
            SPOT_QTY_TOO_LARGE if spot else PARAMETER_ERROR,
            "The number of contracts exceeds maximum limit allowed",
        )
    return qty, Decimal(0), unit


def amended_qty(params: Mapping[str, object], instrument: Instrument, side: Side) -> int:
    """The new total quantity of a limit order, 0 when the request does not change it."""
    if text_of(params, "qty") in ("", "0"):
        return 0
    return _quantity(params, instrument, side, OrderType.LIMIT)[0]
