"""Trailing stops: a stop loss that follows the price at a distance, never back.

It starts at once, or when an activation price has been reached. Between two looks only the best
price of the way is known and not what came after it, so the stop follows the best and is set off
by the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from fastbook.errors import VenueError
from fastbook.replay.accounts import Order
from fastbook.replay.intake import PARAMETER_ERROR, optional_px
from fastbook.replay.order import Trigger
from fastbook.types import Instrument, Side


def trailing_of(
    params: Mapping[str, object], instrument: Instrument, position_side: Side, last: Decimal
) -> tuple[int, int]:
    """(distance, activation price) of a trading-stop request, 0 = none; 10001 when senseless."""
    distance = optional_px(params, "trailingStop", instrument)
    active_px = optional_px(params, "activePrice", instrument)
    if distance and distance >= last:
        raise VenueError(PARAMETER_ERROR, "params error: trailingStop must be below the price")
    if active_px and (active_px - last) * position_side <= 0:
        raise VenueError(PARAMETER_ERROR, "params error: activePrice must be better than the price")
    return distance, active_px


def follow(order: Order, best: Decimal, last: Decimal) -> None:
    """Move the trigger of a trailing stop towards `best`, the best price since the last look."""
    sign = 1 if order.side is Side.SELL else -1  # of the position that it closes
    if order.trigger is None:
        if (best - order.active_px) * sign < 0:
            return
        best = last  # what came before it was active does not count
    px = int(best) - sign * order.trail
    if order.trigger is None or (px - order.trigger.px) * sign > 0:
        order.trigger = Trigger(px, 2 if sign > 0 else 1)
