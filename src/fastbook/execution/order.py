"""One order, and the words for what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fastbook.types import Execution, OrderState, OrderType, Side, TimeInForce


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """One order. Written by `Orders` and, for the timers, by `Executor`; others only read."""

    client_id: str
    strategy: str
    instrument: int
    side: Side
    px: int
    qty: int
    order_type: OrderType
    tif: TimeInForce
    reduce_only: bool
    sent_ns: int
    sent_ms: int
    state: OrderState = OrderState.SENT
    order_id: str = ""
    acked: bool = False
    seen: bool = False  # the venue itself has named it: a row or a fill, not just an answer
    cum_qty: int = 0  # what the venue says has traded
    booked_qty: int = 0  # what our ledger has booked
    updated_ms: int = 0
    reason: str = ""
    restored: bool = False  # of an earlier process: known from its notes, not from memory
    absences: int = 0
    absent_ns: int = 0
    closed_ns: int = 0
    # An amend under way: the values it may get at any moment, or has got already; 0 = none.
    amend_px: int = 0
    amend_qty: int = 0
    amend_ns: int = 0
    amends: int = 0
    # Timers of the executor:
    query_due_ns: int | None = None
    queries: int = 0
    cancel_due_ns: int | None = None
    cancels: int = 0

    @property
    def reserved(self) -> int:
        """What may still change the position because of this order."""
        if self.state.terminal:
            return max(0, self.cum_qty - self.booked_qty)
        return max(0, max(self.qty, self.amend_qty, self.cum_qty) - self.booked_qty)

    @property
    def amending(self) -> bool:
        """An amend is under way, or its outcome is not known."""
        return self.amend_px > 0

    @property
    def px_max(self) -> int:
        """The highest price it may have at the venue."""
        return max(self.px, self.amend_px)

    @property
    def px_min(self) -> int:
        """The lowest price it may have at the venue."""
        return min(self.px, self.amend_px) if self.amend_px else self.px

    @property
    def working(self) -> bool:
        """Its story is not over: open, or closed with fills that have not arrived."""
        return not self.state.terminal or self.cum_qty > self.booked_qty

    @property
    def may_rest(self) -> bool:
        return not self.state.terminal and self.tif not in (TimeInForce.IOC, TimeInForce.FOK)


class Booking(Enum):
    """What became of an execution."""

    BOOKED = "booked"
    PARKED = "parked"  # of no order we know yet; booked on it when its id turns up
    DUPLICATE = "duplicate"
    OVERFILL = "overfill"  # booked, but now more than was ordered: the ledger is in doubt


@dataclass(frozen=True, slots=True)
class Change:
    """What one fact did to one order."""

    order: Order
    before: OrderState
    fills: tuple[Execution, ...] = ()
    """Parked executions that found their order through this fact."""
    ghost: bool = False
    """An order that was given up for never accepted exists after all."""

    @property
    def closed(self) -> bool:
        return self.order.state.terminal and not self.before.terminal
