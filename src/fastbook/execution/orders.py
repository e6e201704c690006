"""Every order we ever named: where it is, as far as can be proved.

Facts arrive late, twice, in any order and through several doors. So each order is a merge that
only moves forward: the venue's cumulative quantity never falls, a terminal state is final, an
execution counts once by its id. "We could not ask" is never taken for "it does not exist".
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator

from fastbook.errors import ConfigError
from fastbook.execution.order import Booking, Change, Order
from fastbook.execution.parking import Parking
from fastbook.types import (
    AmendRejected,
    CancelRejected,
    Execution,
    OrderAbsent,
    OrderAccepted,
    OrderIntent,
    OrderRejected,
    OrderState,
    OrderType,
    OrderUnknown,
    OrderUpdate,
)

CLIENT_ID_CHARS_MAX = 36
_OURS = re.compile(r"[A-Za-z0-9_]{1,8}-[A-Za-z0-9_]{1,16}-[0-9a-z]{1,11}\Z")
_NONCE = re.compile(r"[A-Za-z0-9_]{1,16}\Z")
_TAG_DROPS = re.compile(r"[^A-Za-z0-9_]")
_TAG_CHARS = 8
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

_ABSENCE_GRACE_MS = 2_500
"""A request is stamped up to 1.5 s after its order was named: it may have waited for its turn, or
been stamped again. One second more is the venue's own tolerance."""
_ABSENCE_APART_NS = 1_000_000_000

_TERMINAL_WORDS = {
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELLED,
    "PartiallyFilledCanceled": OrderState.CANCELLED,
    "Deactivated": OrderState.CANCELLED,
    "Rejected": OrderState.REJECTED,
    "Expired": OrderState.EXPIRED,
}
_OPEN_WORDS = frozenset(
    {
        "New",
        "PartiallyFilled",
        "Untriggered",
        "Triggered",
        "Created",
        "Active",
        "PendingCancel",
    }
)

_UNSURE = frozenset({OrderState.SENT, OrderState.UNKNOWN})

OrderFact = (
    OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderAbsent
    | CancelRejected
    | AmendRejected
    | OrderUpdate
)


def is_our_id(client_id: str) -> bool:
    """Whether it has the form of the ids that `Orders` makes, of this session or another."""
    return _OURS.match(client_id) is not None


class Orders:
    """All orders by client id.

    Parameters
    ----------
    nonce : str
        1 to 16 of [A-Za-z0-9_], different in every session for ever: with the counter it makes
        client ids that never repeat. Given from outside, so that replay can give the same.
    recv_window_ms : int
        The venue refuses requests older than this; see `OrderAbsent` in `apply`.
    closed_max, exec_ids_max, parked_max : int
        Memory. The oldest closed order, execution id or parked execution is forgotten first;
        `counters` tells how often. A parked execution is in the position already, only its order
        would not be told. Forgetting an execution id matters if the venue repeats an execution
        that many later.
    """

    def __init__(
        self,
        nonce: str,
        *,
        recv_window_ms: int = 5_000,
        closed_max: int = 4_096,
        exec_ids_max: int = 65_536,
        parked_max: int = 256,
    ) -> None:
        if not _NONCE.match(nonce):
            raise ConfigError(f"session nonce must be 1 to 16 of A-Z a-z 0-9 _, was {nonce!r}")
        if min(recv_window_ms, closed_max, exec_ids_max, parked_max) < 1:
            raise ConfigError("recv_window_ms and the bounds of Orders must be 1 or more")
        self.nonce = nonce
        self.recv_window_ms = recv_window_ms
        self.closed_max = closed_max
        self.exec_ids_max = exec_ids_max
        self.parked_max = parked_max
        self.counters = {
            "duplicate_fills": 0,
            "overfills": 0,
            "late_fills": 0,
            "parked_dropped": 0,
            "contradictions": 0,
            "ghosts": 0,
            "strange_status": 0,
            "vanished": 0,
            "foreign": 0,
        }
        self._count = 0
        self._orders: dict[str, Order] = {}
        self._ids: dict[str, str] = {}  # venue order id -> client id
        self._working: dict[int, dict[str, Order]] = {}
        self._working_count = 0
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._exec_ids: OrderedDict[str, None] = OrderedDict()
        self._parking = Parking(parked_max)

    # --- reading ---------------------------------------------------------------------------

    def get(self, client_id: str) -> Order | None:
        return self._orders.get(client_id)

    def find(self, client_id: str, order_id: str) -> Order | None:
        """By our id, else by the venue's."""
        order = self._orders.get(client_id)
        return order or self._orders.get(self._ids.get(order_id, ""))

    def working(self, instrument: int) -> list[Order]:
        """Orders of `instrument` whose story is not over; a copy."""
        return list(self._working.get(instrument, {}).values())

    def all_working(self) -> list[Order]:
        return [order for orders in self._working.values() for order in orders.values()]

    def working_instruments(self) -> Iterator[int]:
        return iter(self._working)

    @property
    def working_count(self) -> int:
        return self._working_count

    @property
    def parked_count(self) -> int:
        return len(self._parking)

    def __len__(self) -> int:
        return len(self._orders)

    # --- writing ---------------------------------------------------------------------------

    def create(self, intent: OrderIntent, *, now_ns: int, wall_ms: int) -> Order:
        """Name a new order, state SENT. It counts from here on, before anything is sent."""
        order = Order(
            client_id=self._next_id(intent.strategy),
            strategy=intent.strategy,
            instrument=intent.instrument,
            side=intent.side,
            px=intent.px,
            qty=intent.qty,
            order_type=intent.order_type,
            tif=intent.tif,
            reduce_only=intent.reduce_only,
            sent_ns=now_ns,
            sent_ms=wall_ms,
            reason=intent.reason,
        )
        self._orders[order.client_id] = order
        self._file(order, now_ns)
        return order

    def restore(self, order: Order, now_ns: int) -> None:
        """Take in an order of an earlier process, state UNKNOWN; it falls due to be asked for.

        It counts at its worst until the venue has told. Raises ValueError for an id that is known.
        """
        if order.client_id in self._orders or order.state is not OrderState.UNKNOWN:
            raise ValueError(f"{order.client_id} cannot be restored")
        order.restored = True
        order.query_due_ns = now_ns
        self._orders[order.client_id] = order
        if order.order_id:
            self._ids[order.order_id] = order.client_id
        self._file(order, now_ns)

    def amend(self, order: Order, px: int, qty: int, now_ns: int) -> None:
        """Note an amend to `px` and the total `qty` before it is sent.

        From here on the order counts at the worse of old and new, until a row shows the new
        values, the venue refuses the amend, or a row comes when a late amend would be refused as
        too old. Raises ValueError unless the order rests and no other amend is under way.
        """
        if not order.may_rest or order.amending or order.state in _UNSURE:
            raise ValueError(f"{order.client_id} cannot be amended now: {order.state.value}")
        if px <= 0 or qty <= 0:
            raise ValueError(f"an amend needs a price and a quantity: {px}, {qty}")
        order.amend_px, order.amend_qty = px, qty
        order.amend_ns = now_ns
        order.amends += 1

    def _next_id(self, strategy: str) -> str:
        self._count += 1
        tag = _TAG_DROPS.sub("", strategy)[:_TAG_CHARS] or "x"
        client_id = f"{tag}-{self.nonce}-{_base36(self._count)}"
        if len(client_id) > CLIENT_ID_CHARS_MAX:
            raise ConfigError(f"client ids of session {self.nonce} are used up")
        return client_id

    def apply(self, fact: OrderFact, now_ns: int) -> Change | None:
        """Merge one fact. None when it is about an order that is not ours, or not any more.

        `OrderAbsent` closes an UNKNOWN order as NEVER_ACCEPTED only after two such answers, a
        second or more apart, each given when the venue must already refuse the request as too
        old: its time is past the request's by the receive window and 2.5 s more, and so is
        ours. An order that the gateway took, or that the venue has named, is never closed by it,
        unless an earlier process sent it: then it is CANCELLED, because the venue forgets.
        """
        order_id = fact.order_id if isinstance(fact, (OrderAccepted, OrderUpdate)) else ""
        order = self.find(fact.client_id, order_id)
        if order is None:
            self.counters["foreign"] += 1
            return None
        before = order.state
        ghost = False
        if order_id:
            self._learn_id(order, order_id)

        if isinstance(fact, OrderUpdate):
            ghost = self._merge_row(order, fact, now_ns)
        elif isinstance(fact, OrderAccepted):
            self._merge_accepted(order, now_ns)
        elif isinstance(fact, OrderRejected):
            self._merge_rejected(order, fact, now_ns)
        elif isinstance(fact, OrderUnknown):
            if order.state is OrderState.SENT and not order.acked:
                order.state = OrderState.UNKNOWN
                order.query_due_ns = now_ns
                order.reason = fact.reason
        elif isinstance(fact, OrderAbsent):
            self._merge_absent(order, fact, now_ns)
        elif isinstance(fact, AmendRejected):
            self._end_amend(order)
            order.query_due_ns = now_ns  # perhaps it is gone, or has just traded
        elif order.state is not OrderState.SENT and order.working:
            # A refused cancel says nothing about the order; perhaps it has just traded. Ask.
            order.query_due_ns = now_ns

        fills = self._unpark(order) if order_id else ()
        self._settle(order, now_ns)
        return Change(order, before, fills, ghost)

    def book(self, execution: Execution, now_ns: int) -> tuple[Booking, Order | None]:
        """Count a quantity-changing execution on its order, once by its id.

        Call it in the same step as the portfolio's booking, after that has succeeded: an id is
        marked only when its effect is there.
        """
        if self.seen(execution.exec_id):
            self.counters["duplicate_fills"] += 1
            return Booking.DUPLICATE, self.find(execution.client_id, execution.order_id)
        self.mark(execution.exec_id)
        order = self.find(execution.client_id, execution.order_id)
        if order is None:
            self.counters["parked_dropped"] += self._parking.add(execution, now_ns)
            return Booking.PARKED, None
        if execution.order_id:
            self._learn_id(order, execution.order_id)
        return self._book_on(order, execution, now_ns), order

    def seen(self, exec_id: str) -> bool:
        return exec_id in self._exec_ids

    def mark(self, exec_id: str) -> None:
        """Remember an execution id as applied."""
        self._exec_ids[exec_id] = None
        if len(self._exec_ids) > self.exec_ids_max:
            self._exec_ids.popitem(last=False)

    def exec_ids(self) -> list[str]:
        """What `mark` was told of and has not been forgotten, oldest first."""
        return list(self._exec_ids)

    def to_unknown(self, order: Order, now_ns: int, reason: str) -> None:
        """No word in time: the outcome is unknown and has to be asked for."""
        if order.state is OrderState.SENT:
            order.state = OrderState.UNKNOWN
            order.reason = reason
            order.query_due_ns = now_ns

    def take_strangers(self, older_than_ns: int) -> list[Execution]:
        """Parked executions of no order of this session: trades from outside. Each is told once.

        They stay parked: should an order turn up that they belong to, they are booked on it.
        """
        found = []
        for execution in self._parking.overdue(older_than_ns):
            if not self._claimable(execution) and self._parking.tell_stranger(execution):
                found.append(execution)
        return found

    def take_overdue(self, older_than_ns: int) -> list[Execution]:
        """Parked executions that an order whose venue id we lack may claim yet. Each once."""
        found = []
        for execution in self._parking.overdue(older_than_ns):
            if self._claimable(execution) and self._parking.tell_overdue(execution):
                found.append(execution)
        return found

    def _claimable(self, execution: Execution) -> bool:
        return any(
            not order.order_id and order.side is execution.side and not order.state.terminal
            for order in self._working.get(execution.instrument, {}).values()
        )

    # --- merges ----------------------------------------------------------------------------

    def _merge_row(self, order: Order, row: OrderUpdate, now_ns: int) -> bool:
        order.seen = order.acked = True
        order.cum_qty = max(order.cum_qty, row.cum_qty)
        if row.updated_ms >= order.updated_ms and not order.state.terminal:
            order.updated_ms = row.updated_ms
            if row.qty > 0:
                order.qty = row.qty  # an amend by us or by hand
            if row.px > 0 and order.order_type is OrderType.LIMIT:
                order.px = row.px
            self._settle_amend(order, row, now_ns)
        ghost = order.state is OrderState.NEVER_ACCEPTED
        if ghost:
            # Our own inference, and the venue knows better. It alone can be taken back.
            self.counters["ghosts"] += 1
        elif order.state.terminal:
            return False
        state = _TERMINAL_WORDS.get(row.status)
        if state is None:
            if row.status not in _OPEN_WORDS:
                self.counters["strange_status"] += 1
            state = OrderState.PARTIAL if order.cum_qty > 0 else OrderState.NEW
            if order.cum_qty >= order.qty:
                state = OrderState.FILLED
        elif row.reject_reason:
            order.reason = row.reject_reason
        order.state = state
        order.query_due_ns = None  # this is the answer
        order.queries = 0
        return ghost

    def _settle_amend(self, order: Order, row: OrderUpdate, now_ns: int) -> None:
        """The amend is done, or can be no more: the venue refuses a request that old."""
        if not order.amending:
            return
        done = (row.px, row.qty) == (order.amend_px, order.amend_qty)
        bound_ns = (self.recv_window_ms + _ABSENCE_GRACE_MS) * 1_000_000
        if done or now_ns - order.amend_ns > bound_ns:
            self._end_amend(order)

    def _end_amend(self, order: Order) -> None:
        order.amend_px = order.amend_qty = order.amend_ns = 0

    def _merge_accepted(self, order: Order, now_ns: int) -> None:
        order.acked = True
        if order.state is OrderState.UNKNOWN:
            # It exists or existed; what became of it is still to be asked.
            order.query_due_ns = now_ns

    def _merge_rejected(self, order: Order, fact: OrderRejected, now_ns: int) -> None:
        if order.state.terminal:
            return
        if order.seen or order.booked_qty or order.cum_qty:
            # "No" to an order that the venue shows: one of the two is about something else.
            self.counters["contradictions"] += 1
            order.query_due_ns = now_ns
            return
        order.state = OrderState.REJECTED
        order.reason = f"{fact.code} {fact.reason}"

    def _merge_absent(self, order: Order, fact: OrderAbsent, now_ns: int) -> None:
        if order.state is not OrderState.UNKNOWN:
            return
        if (order.acked or order.seen) and not order.restored:
            return
        bound_ms = self.recv_window_ms + _ABSENCE_GRACE_MS
        if fact.venue_time_ms <= order.sent_ms + bound_ms:
            return
        if now_ns - order.sent_ns <= bound_ms * 1_000_000:
            return  # the venue's clock may be ahead of ours: then only ours shows the wait
        if order.absences and now_ns - order.absent_ns < _ABSENCE_APART_NS:
            return
        order.absences += 1
        order.absent_ns = now_ns
        if order.absences >= 2 and (order.acked or order.seen):
            # It did exist, in an earlier process' time: the venue forgets what ended long ago.
            self.counters["vanished"] += 1
            order.state = OrderState.CANCELLED
            order.reason = "the venue has no trace of it any more"
        elif order.absences >= 2:
            order.state = OrderState.NEVER_ACCEPTED

    def _book_on(self, order: Order, execution: Execution, now_ns: int) -> Booking:
        order.seen = order.acked = True
        if order.state.terminal and order.booked_qty >= order.cum_qty:
            self.counters["late_fills"] += 1
        order.booked_qty += execution.qty
        order.cum_qty = max(order.cum_qty, order.booked_qty)
        if order.state is OrderState.NEVER_ACCEPTED:
            self.counters["ghosts"] += 1
            order.state = OrderState.PARTIAL
            order.query_due_ns = now_ns
        if not order.state.terminal:
            # What has traded proves itself; the rest of the story comes by the order rows.
            done = order.booked_qty >= order.qty
            order.state = OrderState.FILLED if done else OrderState.PARTIAL
        booking = Booking.BOOKED
        if order.booked_qty > order.qty:
            self.counters["overfills"] += 1
            booking = Booking.OVERFILL
        self._settle(order, now_ns)
        return booking

    # --- housekeeping ----------------------------------------------------------------------

    def _learn_id(self, order: Order, order_id: str) -> None:
        if not order.order_id:
            order.order_id = order_id
            self._ids[order_id] = order.client_id

    def _unpark(self, order: Order) -> tuple[Execution, ...]:
        claimed = self._parking.claim(order.order_id)
        for execution, parked_ns in claimed:
            self._book_on(order, execution, parked_ns)
        return tuple(execution for execution, _ in claimed)

    def _settle(self, order: Order, now_ns: int) -> None:
        if order.state.terminal:
            self._end_amend(order)
            order.closed_ns = order.closed_ns or now_ns
            if order.booked_qty >= order.cum_qty:
                order.query_due_ns = None
            elif order.query_due_ns is None:
                order.query_due_ns = now_ns + _OWED_FILLS_NS  # the fills should be right behind
            order.cancel_due_ns = None
        self._file(order, now_ns)

    def _file(self, order: Order, now_ns: int) -> None:
        """Keep the index of working orders and the memory of closed ones."""
        held = self._working.get(order.instrument)
        inside = held is not None and order.client_id in held
        if order.working:
            self._closed.pop(order.client_id, None)
            if not inside:
                self._working.setdefault(order.instrument, {})[order.client_id] = order
                self._working_count += 1
            return
        if held is not None and inside:
            del held[order.client_id]
            self._working_count -= 1
            if not held:
                del self._working[order.instrument]
        self._closed[order.client_id] = None
        if len(self._closed) > self.closed_max:
            client_id, _ = self._closed.popitem(last=False)
            forgotten = self._orders.pop(client_id)
            self._ids.pop(forgotten.order_id, None)


_OWED_FILLS_NS = 2_000_000_000


def _base36(n: int) -> str:
    digits = ""
    while True:
        n, digit = divmod(n, 36)
        digits = _DIGITS[digit] + digits
        if n == 0:
            return digits
