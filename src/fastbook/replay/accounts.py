"""Accounts of the bundled venue: wallet, one-way linear positions, orders. Arithmetic only.

The profit rule: a position is a signed quantity and the exact cost of what is open. Reducing
q of Q releases cost * q / Q, rounded half to even at 1e-12, or all of it when q is Q; what was
paid or received minus what was released is realized. A fill that flips a position closes it
first and opens the rest. Whatever was rounded stays in the cost, so nothing is ever lost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fastbook.replay.money import ZERO, minus, notional, over, plus, times
from fastbook.types import Category, Instrument, OrderType, Side, TimeInForce

Row = dict[str, Any]
"""One v5 row. Any: rows are JSON objects of text, numbers, flags and nested objects."""


@dataclass(slots=True, kw_only=True)
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
    market_unit: str = ""
    quote_budget: Decimal = ZERO  # of a spot market buy sized in quote coin
    status: str = "New"
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    cum_qty: int = 0
    cum_value: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)  # coin -> paid
    closed_pnl: Decimal = ZERO

    @property
    def open(self) -> bool:
        return self.status in ("New", "PartiallyFilled")

    @property
    def leaves(self) -> int:
        """What can still trade: 0 once the order is closed."""
        return self.qty - self.cum_qty if self.open else 0


@dataclass(slots=True)
class Position:
    """One-way linear position. `cost` is the exact sum of px * qty of what is open."""

    instrument: Instrument
    qty: int = 0
    cost: Decimal = ZERO
    realized: Decimal = ZERO  # price profit since ever, before fees
    fees: Decimal = ZERO  # paid since ever
    realized_before: Decimal = ZERO  # net profit up to the moment the open position was opened
    created_ms: int = 0
    updated_ms: int = 0
    seq: int = -1

    def fill(self, side: Side, px: int, qty: int) -> tuple[Decimal, int]:
        """Book one execution; returns (realized profit, quantity closed)."""
        realized, closed = ZERO, 0
        if self.qty * side < 0:
            held = abs(self.qty)
            closed = min(qty, held)
            released = (
                self.cost
                if closed == held
                else over(times(self.cost, Decimal(closed)), Decimal(held))
            )
            self.cost = minus(self.cost, released)
            self.qty += side * closed
            traded = notional(self.instrument, px, closed)
            # The position was long when it is a sale that reduces it.
            realized = minus(traded, released) if side is Side.SELL else minus(released, traded)
            self.realized = plus(self.realized, realized)
        opened = qty - closed
        if opened:
            if self.qty == 0:
                self.realized_before = minus(self.realized, self.fees)
            self.cost = plus(self.cost, notional(self.instrument, px, opened))
            self.qty += side * opened
        return realized, closed

    @property
    def entry_px(self) -> Decimal:
        """Average entry price, 0 when flat; rounded at 1e-12."""
        if self.qty == 0:
            return ZERO
        return over(self.cost, self.instrument.qty_decimal(abs(self.qty)))

    def value(self, mark: Decimal) -> Decimal:
        """Notional of the position at `mark`, never negative."""
        return times(self.instrument.qty_decimal(abs(self.qty)), mark)

    def unrealized(self, mark: Decimal) -> Decimal:
        """Open profit at `mark`, exact."""
        value = self.value(mark)
        return minus(value, self.cost) if self.qty >= 0 else minus(self.cost, value)

    @property
    def net_realized(self) -> Decimal:
        """Realized profit after fees, since ever."""
        return minus(self.realized, self.fees)

    @property
    def session_realized(self) -> Decimal:
        """Realized profit after fees of the position that is open now."""
        return minus(self.net_realized, self.realized_before) if self.qty else ZERO


@dataclass(slots=True)
class Working:
    """Working orders of one symbol: sums of px * leaves, in integers of both scales.

    Spot sells lock coins, not money: there `sell` is the sum of leaves.
    """

    buy: int = 0
    sell: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Rows of one private topic that left the venue together."""

    topic: str  # order | execution | position | wallet
    category: str  # "" for wallet
    id: str
    created_ms: int
    rows: tuple[Row, ...]


class Account:
    """One unified account: coins, positions, orders and what is still to be told to its owner.

    Bounded: `closed` orders, `executions` and undelivered `events` each drop their oldest when
    full; dropped events are counted.
    """

    def __init__(
        self,
        number: int,
        balances: dict[str, Decimal],
        *,
        closed_orders_max: int,
        executions_max: int,
        events_max: int,
    ) -> None:
        self.number = number
        self.uid = 1_000_000 + number
        self.start = dict(balances)
        self.balances = dict(balances)
        self.realized: dict[str, Decimal] = {}  # coin -> price profit since ever
        self.fees: dict[str, Decimal] = {}  # coin -> paid since ever
        self.positions: dict[int, Position] = {}
        self.working: dict[int, Working] = {}
        self.open_orders: dict[str, Order] = {}  # by order id, oldest first
        self.links: dict[str, Order] = {}  # by client id, open and remembered closed ones
        self.closed: deque[Order] = deque()
        self.closed_by_id: dict[str, Order] = {}
        self.executions: deque[Row] = deque(maxlen=executions_max)
        self.events: deque[Event] = deque()
        self.events_dropped = 0
        self._closed_orders_max = closed_orders_max
        self._events_max = events_max

    def position(self, instrument: Instrument) -> Position:
        """The position in `instrument`; a flat one is made on first use."""
        held = self.positions.get(instrument.index)
        if held is None:
            held = self.positions[instrument.index] = Position(instrument)
        return held

    def find(self, order_id: str, link_id: str) -> Order | None:
        """An open or remembered order; the order id wins when both are given."""
        if order_id:
            return self.open_orders.get(order_id) or self.closed_by_id.get(order_id)
        return self.links.get(link_id) if link_id else None

    def add_order(self, order: Order) -> None:
        self.open_orders[order.order_id] = order
        if order.link_id:
            self.links[order.link_id] = order

    def close_order(self, order: Order) -> None:
        """Move an order that has just ended to the remembered ones."""
        self.open_orders.pop(order.order_id, None)
        self.closed.append(order)
        self.closed_by_id[order.order_id] = order
        if len(self.closed) > self._closed_orders_max:
            forgotten = self.closed.popleft()
            del self.closed_by_id[forgotten.order_id]
            if self.links.get(forgotten.link_id) is forgotten:
                del self.links[forgotten.link_id]

    def set_resting(self, order: Order, *, add: bool) -> None:
        """Count a resting order in, or out, of the working sums at its present `leaves`."""
        working = self.working.setdefault(order.instrument.index, Working())
        sign = 1 if add else -1
        working.orders += sign
        self.change_resting(order, sign * order.leaves)

    def change_resting(self, order: Order, qty: int) -> None:
        """Change the working sums by `qty` at the price of `order`."""
        if order.reduce_only:
            return  # never needs margin: it can only give some back
        working = self.working[order.instrument.index]
        if order.side is Side.BUY:
            working.buy += order.px * qty
        elif order.instrument.category is Category.SPOT:
            working.sell += qty
        else:
            working.sell += order.px * qty

    def pay(self, coin: str, amount: Decimal) -> None:
        """Change the balance of `coin` by `amount`, which may be negative."""
        self.balances[coin] = plus(self.balances.get(coin, ZERO), amount)

    def pay_fee(self, coin: str, fee: Decimal) -> None:
        self.pay(coin, fee.copy_negate())
        self.fees[coin] = plus(self.fees.get(coin, ZERO), fee)

    def tell(self, event: Event) -> None:
        if len(self.events) >= self._events_max:
            self.events.popleft()
            self.events_dropped += 1
        self.events.append(event)

    def take_events(self) -> list[Event]:
        """What happened since the last call, oldest first."""
        events = list(self.events)
        self.events.clear()
        return events
