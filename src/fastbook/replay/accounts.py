"""Accounts of the bundled venue: wallet, positions, orders. Arithmetic only.

The profit rule: a position is a signed quantity and the exact cost of what is open. Reducing
q of Q releases cost * q / Q, rounded half to even at 1e-12, or all of it when q is Q; what was
paid or received minus what was released is realized. A fill that flips a position closes it
first and opens the rest. Whatever was rounded stays in the cost, so nothing is ever lost.
An inverse position keeps its cost in base coin, qty / px of every fill rounded at 1e-12; it gains
when less of the coin buys the same dollars, so its signs are the other way round.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastbook.replay.money import ZERO, contract_value, minus, over, plus, times
from fastbook.replay.order import Order
from fastbook.types import Category, Instrument, Side

__all__ = ["Account", "Event", "Order", "Position", "Row", "Working"]

Row = dict[str, Any]
"""One v5 row. Any: rows are JSON objects of text, numbers, flags and nested objects."""


@dataclass(slots=True)
class Position:
    """One position. `cost` is the sum of the values of what is open, in the settle coin."""

    instrument: Instrument
    idx: int = 0  # 0 one-way, 1 long side, 2 short side of a hedged symbol
    qty: int = 0
    cost: Decimal = ZERO
    realized: Decimal = ZERO  # price profit since ever, before fees
    fees: Decimal = ZERO  # paid since ever
    funding: Decimal = ZERO  # paid since ever
    realized_before: Decimal = ZERO  # net profit up to the moment the open position was opened
    created_ms: int = 0
    opened_ms: int = 0  # what is open now, or was last
    updated_ms: int = 0
    seq: int = -1
    status: str = "Normal"
    take_profit: Order | None = None  # of the whole position
    stop_loss: Order | None = None
    trailing: Order | None = None

    @property
    def inverse(self) -> bool:
        return self.instrument.category is Category.INVERSE

    def fill(self, side: Side, px: int, qty: int) -> tuple[Decimal, int]:
        """Book one execution; returns (realized profit, quantity closed)."""
        realized, closed = ZERO, 0
        whole = contract_value(self.instrument, px, qty)
        traded = ZERO
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
            traded = whole if closed == qty else contract_value(self.instrument, px, closed)
            # A long is reduced by a sale and gains when it sells for more than was paid;
            # counted in the coin that an inverse contract buys, it gains when that is less.
            gains_by_more = (side is Side.SELL) != self.inverse
            realized = minus(traded, released) if gains_by_more else minus(released, traded)
            self.realized = plus(self.realized, realized)
        if qty > closed:
            if self.qty == 0:
                self.realized_before = self.net_realized
            # The rest of the value, so that both parts of a fill are worth what the fill is.
            self.cost = plus(self.cost, minus(whole, traded))
            self.qty += side * (qty - closed)
        return realized, closed

    @property
    def entry_px(self) -> Decimal:
        """Average entry price, 0 when flat; rounded at 1e-12."""
        if self.qty == 0 or not self.cost:
            return ZERO
        size = self.instrument.qty_decimal(abs(self.qty))
        return over(size, self.cost) if self.inverse else over(self.cost, size)

    def value(self, mark: Decimal) -> Decimal:
        """Value of the position at `mark` in its settle coin, never negative."""
        return value_at(self.instrument, abs(self.qty), mark)

    def unrealized(self, mark: Decimal) -> Decimal:
        """Open profit at `mark`; exact but for the rounding of an inverse value."""
        return self.unrealized_at(self.value(mark)) if self.qty else ZERO

    def unrealized_at(self, value: Decimal) -> Decimal:
        """Open profit where the position is worth `value`."""
        gains_by_more = (self.qty > 0) != self.inverse
        return minus(value, self.cost) if gains_by_more else minus(self.cost, value)

    @property
    def net_realized(self) -> Decimal:
        """Realized profit after fees and funding, since ever."""
        return minus(minus(self.realized, self.fees), self.funding)

    @property
    def session_realized(self) -> Decimal:
        """Realized profit after fees of the position that is open now."""
        return minus(self.net_realized, self.realized_before) if self.qty else ZERO


def value_at(instrument: Instrument, qty: int, mark: Decimal) -> Decimal:
    """Value of a quantity at a mark price that need not be on the tick; 0 without a mark."""
    size = instrument.qty_decimal(qty)
    if instrument.category is Category.INVERSE:
        return over(size, mark) if mark else ZERO
    return times(size, mark)


@dataclass(slots=True)
class Working:
    """Resting orders of one position: sums of px * leaves, in integers of both scales.

    Spot sells lock coins, not money: there `sell` is the sum of leaves. So are both sums of an
    inverse symbol, whose quantities are money already.
    """

    buy: int = 0
    sell: int = 0
    orders: int = 0


def weight(instrument: Instrument, side: Side, px: int) -> int:
    """What one unit of quantity adds to a sum of `Working`."""
    spot_sale = instrument.category is Category.SPOT and side is Side.SELL
    return 1 if spot_sale or instrument.category is Category.INVERSE else px


@dataclass(frozen=True, slots=True)
class Event:
    """Rows of one private topic that left the venue together."""

    topic: str  # order | execution | position | wallet
    category: str  # "" for wallet
    id: str
    created_ms: int
    rows: tuple[Row, ...]
    nameless: frozenset[str] = frozenset()  # executions that the fast topic tells without link id


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
        leverage: Decimal = Decimal(10),
        silent: bool = False,
    ) -> None:
        """A `silent` account is told nothing: no events are made for it, its orders cost less."""
        self.silent = silent
        self.number = number
        self.uid = 1_000_000 + number
        self.start = dict(balances)
        self.balances = dict(balances)
        self.realized: dict[str, Decimal] = {}  # coin -> price profit since ever
        self.fees: dict[str, Decimal] = {}  # coin -> paid since ever
        self.funding: dict[str, Decimal] = {}  # coin -> paid since ever
        self.positions: dict[tuple[int, int], Position] = {}  # by (instrument, position index)
        self.working: dict[tuple[int, int], Working] = {}
        self.hedged_symbols: set[int] = set()
        self.reduce_only: set[int] = set()  # symbols that the venue lets it only leave
        self.margin_mode = "REGULAR_MARGIN"
        self.clamps_limit_px: bool | None = None  # None: as the venue's rules say
        self._leverage = leverage
        self._leverages: dict[int, Decimal] = {}
        self.open_orders: dict[str, Order] = {}  # by order id, oldest first
        self.links: dict[str, Order] = {}  # by client id, open and remembered closed ones
        self.closed: deque[Order] = deque()
        self.closed_by_id: dict[str, Order] = {}
        self.executions: deque[Row] = deque(maxlen=executions_max)
        self.events: deque[Event] = deque()
        self.events_dropped = 0
        self._closed_orders_max = closed_orders_max
        self._events_max = events_max

    def position(self, instrument: Instrument, idx: int = 0) -> Position:
        """The position in `instrument`; a flat one is made on first use."""
        held = self.positions.get((instrument.index, idx))
        if held is None:
            held = self.positions[instrument.index, idx] = Position(instrument, idx)
        return held

    def hedged(self, instrument: Instrument) -> bool:
        """Whether the symbol has a long and a short position instead of one net one."""
        return instrument.index in self.hedged_symbols

    def indexes(self, instrument: Instrument) -> tuple[int, ...]:
        """The position indexes that this symbol has in its present mode."""
        return (1, 2) if self.hedged(instrument) else (0,)

    def leverage(self, instrument: Instrument) -> Decimal:
        """What was set for the symbol, else the default; never above the symbol's maximum."""
        set_to = self._leverages.get(instrument.index, self._leverage)
        return min(set_to, instrument.leverage_max)

    def set_leverage(self, instrument: Instrument, leverage: Decimal) -> None:
        self._leverages[instrument.index] = leverage

    def resting_orders(self, instrument: Instrument) -> int:
        """Orders on the book of one symbol."""
        found = (self.working.get((instrument.index, idx)) for idx in (0, 1, 2))
        return sum(working.orders for working in found if working is not None)

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
        working = self.working.setdefault(order.key, Working())
        sign = 1 if add else -1
        working.orders += sign
        self.change_resting(order, sign * order.leaves)

    def change_resting(self, order: Order, qty: int) -> None:
        """Change the working sums by `qty` at the price of `order`."""
        if order.reduce_only:
            return  # never needs margin: it can only give some back
        working = self.working[order.key]
        if order.side is Side.BUY:
            working.buy += weight(order.instrument, order.side, order.px) * qty
        else:
            working.sell += weight(order.instrument, order.side, order.px) * qty

    def pay(self, coin: str, amount: Decimal) -> None:
        """Change the balance of `coin` by `amount`, which may be negative."""
        self.balances[coin] = plus(self.balances.get(coin, ZERO), amount)

    def pay_fee(self, coin: str, fee: Decimal) -> None:
        self.pay(coin, fee.copy_negate())
        self.fees[coin] = plus(self.fees.get(coin, ZERO), fee)

    def pay_funding(self, coin: str, amount: Decimal) -> None:
        self.pay(coin, amount.copy_negate())
        self.funding[coin] = plus(self.funding.get(coin, ZERO), amount)

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
