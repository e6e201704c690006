"""One order of the bundled venue, with what may trigger it and what protects its position."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from fastbook.replay.money import ZERO
from fastbook.types import Instrument, OrderType, Side, TimeInForce


class PriceKind(StrEnum):
    """Which price a trigger watches."""

    LAST = "LastPrice"
    MARK = "MarkPrice"
    INDEX = "IndexPrice"


class SmpType(StrEnum):
    """What an incoming order asks for when it would trade with its own account."""

    NONE = "None"
    CANCEL_MAKER = "CancelMaker"
    CANCEL_TAKER = "CancelTaker"
    CANCEL_BOTH = "CancelBoth"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Waits for a price: `direction` 1 until it rises to `px`, 2 until it falls to it."""

    px: int
    direction: int
    by: PriceKind = PriceKind.LAST

    def reached(self, low: Decimal, high: Decimal) -> bool:
        """Whether a price that moved between `low` and `high` (fixed-point) has been there."""
        return high >= self.px if self.direction == 1 else 0 < low <= self.px


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Take profit and stop loss that come with an order; prices fixed-point, 0 = none."""

    take_profit: int = 0
    stop_loss: int = 0
    tp_by: PriceKind = PriceKind.LAST
    sl_by: PriceKind = PriceKind.LAST
    partial: bool = False
    tp_limit_px: int = 0  # 0: a market order
    sl_limit_px: int = 0

    def __bool__(self) -> bool:
        return bool(self.take_profit or self.stop_loss)


NO_PROTECTION = Protection()


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """One order as the venue knows it. Quantities and prices are fixed-point."""

    number: int  # of the matching book, and the order of creation
    order_id: str
    link_id: str
    account: int
    instrument: Instrument
    side: Side
    order_type: OrderType
    tif: TimeInForce
    px: int  # of a market order: its protection price
    qty: int
    reduce_only: bool
    close_on_trigger: bool
    created_ms: int
    updated_ms: int
    last_px: int  # last trade of the symbol when the order came
    position_idx: int = 0  # 0 one-way, 1 long side, 2 short side
    market_unit: str = ""
    quote_budget: Decimal = ZERO  # of a spot market buy sized in quote coin
    status: str = "New"
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    create_type: str = "CreateByUser"
    smp_type: SmpType = SmpType.NONE
    smp_order_id: str = ""
    stop_type: str = ""  # stopOrderType
    trigger: Trigger | None = None
    trail: int = 0  # distance of a trailing stop
    active_px: int = 0  # where it starts to follow; 0: at once
    rested: bool = False  # it has been on the book
    fresh: bool = False  # its trigger is new: prices of the past do not count
    protection: Protection = NO_PROTECTION
    tpsl_mode: str = "UNKNOWN"
    pair: list[Order] = field(default_factory=list)  # ends when this order triggers
    cum_qty: int = 0
    cum_value: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)  # coin -> paid
    closed_pnl: Decimal = ZERO

    @property
    def open(self) -> bool:
        return self.status in ("New", "PartiallyFilled", "Untriggered")

    @property
    def waiting(self) -> bool:
        """Whether its trigger has not come yet: it is on no book."""
        return self.status == "Untriggered"

    @property
    def leaves(self) -> int:
        """What can still trade: 0 once the order is closed."""
        return self.qty - self.cum_qty if self.open else 0

    @property
    def key(self) -> tuple[int, int]:
        """(instrument index, position index): which position it trades."""
        return self.instrument.index, self.position_idx
