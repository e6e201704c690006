"""The engine's memory on disk: what it sends is written down first, and found again after a crash.

What must not be lost goes to the store before an order leaves: the order itself and the gate's
counters and latches. What the venue can be asked for again (how an order stands) follows within a
tick of the timer.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import orjson

from fastbook.engine import Engine
from fastbook.errors import StateError
from fastbook.execution import Order, Orders
from fastbook.types import (
    AmendOrder,
    Command,
    Execution,
    Instrument,
    OrderEvent,
    OrderState,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    Record,
    Refused,
    Side,
    TimeInForce,
)

from .state import Mark, Store, StoredFill, StoredOrder
from .state.store import Document

log = logging.getLogger("fastbook.state")

AUDIT_ROWS_A_FLUSH = 20
"""Of the audit; what is more is counted by rule and written as one row."""
AUDITED = frozenset(
    {"refused", "latched", "control", "adopted", "external", "strategy_error", "state"}
)
SWEEP_TICKS = 20
"""Ticks of the timer between two comparisons of store and orders."""
_DETAIL_MAX = 300
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_OUR_ID = re.compile(r"[A-Za-z0-9_]{1,8}-[LP][0-9a-z]{1,6}_[0-9a-z]{4,8}-[0-9a-z]+")
_STILL_OPEN = frozenset({"New", "PartiallyFilled", "Untriggered"})


def session_nonce(epoch: int, chance: str, *, live: bool) -> str:
    """What the client ids of one start carry: mode, epoch, and six digits against cloned hosts."""
    digits = ""
    while epoch or not digits:
        epoch, digit = divmod(epoch, 36)
        digits = _DIGITS[digit] + digits
    return f"{'L' if live else 'P'}{digits}_{chance[:6]}"


def is_ours(client_id: str) -> bool:
    """Whether some start of fastbook made this id; not necessarily this one."""
    return _OUR_ID.fullmatch(client_id) is not None


class Keeper:
    """Between one engine and one store.

    Parameters
    ----------
    store : Store
        With its epoch begun.
    nonce : str
        Of this start, see `session_nonce`.
    kill, resume : Mark
        The operator's, in the same folder.
    """

    def __init__(self, store: Store, nonce: str, *, kill: Mark, resume: Mark) -> None:
        self.store = store
        self.nonce = nonce
        self.kill = kill
        self.resume = resume
        self.restored: list[Order] = []
        self.strays = 0
        """Open orders of earlier starts that the store did not know."""
        self._engine: Engine | None = None
        self._instruments: Sequence[Instrument] = ()
        self._dirty: dict[str, None] = {}
        self._fills: list[StoredFill] = []
        self._kept: set[str] = set()
        self._gate = -1  # revision of the gate that is in the store
        self._strategies: dict[str, bytes] = {}
        self._trips = -1  # round trips in the records that are in the store
        self._audit: list[tuple[str, str, str]] = []
        self._omitted: Counter[str] = Counter()
        self._ticks = 0

    @property
    def killed(self) -> bool:
        """Whether the kill mark is there now: one system call, about a microsecond."""
        return self.kill.there

    # --- start -----------------------------------------------------------------------------

    def begin(self, engine: Engine, instruments: Sequence[Instrument], *, at_venue: bool) -> None:
        """Give `engine` back what it had: latches, throttles, strategies' state, open orders.

        Orders come back as UNKNOWN and fall due to be asked for. With `at_venue` False (paper
        fills in our own process) they ended with the process that held them.
        """
        self._engine, self._instruments = engine, instruments
        self._restore("gate", engine.gate.restore)
        self._restore("records", engine.portfolio.restore_records)
        for name, strategy in engine.strategies.items():
            self._restore(f"strategy {name}", strategy.restore)
        rows = self.store.open_orders()
        self._kept = {row.client_id for row in rows}
        if not at_venue:
            self.store.facts([], [row.client_id for row in rows])
            self._kept.clear()
            return
        by_symbol = {i.symbol: i for i in instruments}
        if lost := sorted({row.symbol for row in rows} - set(by_symbol)):
            raise StateError(
                f"{self.store.path}: orders in {', '.join(lost[:5])} may be open, and"
                " market_data.symbols does not name it: add it, or run `fastbook kill` first"
            )
        fills = self.store.fills()
        for row in sorted(rows, key=lambda r: (r.sent_ms, r.client_id)):
            self.restored.append(_as_order(row, by_symbol[row.symbol]))
        for fill in fills:
            engine.orders.mark(fill.exec_id)

    def _restore(self, name: str, restore: Callable[[Document], None]) -> None:
        saved = self.store.load(name)
        if saved is None:
            return
        try:
            restore(saved)
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as e:
            # Whole, but not what this build writes: better no start than forgotten latches.
            raise StateError(
                f"{self.store.path}: the saved {name} does not fit this build ({e!r}): go back to"
                " the build that wrote it, or `fastbook resume --forget` and look at the limits"
            ) from e

    def give_back(self, orders: Orders, now_ns: int) -> None:
        """Put the restored orders among the engine's: they count from here on, at their worst."""
        for order in self.restored:
            order.sent_ns = now_ns  # nothing is known of the time between: the wait starts anew
            orders.restore(order, now_ns)

    def since_ms(self, now_ms: int) -> int:
        """From when on the venue is to tell fills at the first reconciliation."""
        sent = [order.sent_ms for order in self.restored]
        return max(min([now_ms, *sent]) - 60_000, now_ms - 7 * 86_400_000 + 60_000) if sent else 0

    # --- before anything leaves --------------------------------------------------------------

    def record(self, commands: Iterable[Command]) -> None:
        """Write down orders and amends that are about to leave, with the gate's counters.

        Raises `StateError` when that fails: then they must not leave.
        """
        engine = self.engine
        rows = []
        for command in commands:
            if isinstance(command, (PlaceOrder, AmendOrder)):
                order = engine.orders.get(command.client_id)
                if order is not None:
                    rows.append(self._as_row(order))
                    self._kept.add(order.client_id)
        revision = engine.gate.revision
        documents = {} if revision == self._gate else {"gate": orjson.dumps(engine.gate.state())}
        self.store.intents(rows, documents)
        self._gate = revision

    # --- afterwards --------------------------------------------------------------------------

    def note(self, event: OrderEvent) -> None:
        """Something came about orders; the engine has taken it in already."""
        client_id = getattr(event, "client_id", None)
        if client_id is None:
            return
        order = self.engine.orders.find(client_id, getattr(event, "order_id", ""))
        if order is None:
            return
        self._dirty[order.client_id] = None
        if isinstance(event, Execution) and order.client_id in self._kept:
            self._fills.append(StoredFill(event.exec_id, order.client_id))

    def note_record(self, record: Record) -> None:
        """One line of the journal: denials with rule and numbers, latches, the operator's word."""
        if record.kind not in AUDITED:
            return
        rule, detail = _told(record)
        if len(self._audit) >= AUDIT_ROWS_A_FLUSH:
            self._omitted[f"{record.kind} {rule}".strip()] += 1
            return
        self._audit.append((record.kind, rule, detail))

    def tick(self, wall_ms: int, *, last: bool = False) -> None:
        """From the timer: write what has changed. Raises `StateError` when the disk refuses.

        `last`: at the end of the run, whatever else would wait for its turn.
        """
        engine = self.engine
        self._ticks += 1
        sweep = last or self._ticks % SWEEP_TICKS == 0
        if sweep:
            for client_id in self._kept:
                order = engine.orders.get(client_id)
                if order is None or not order.working:
                    self._dirty[client_id] = None
        if self._dirty or self._fills:
            self._write_facts(engine)
        revision = engine.gate.revision
        if revision != self._gate:
            self.store.save_raw("gate", orjson.dumps(engine.gate.state()))
            self._gate = revision
        self._save_records(engine)
        if sweep:
            self._save_strategies(engine)
        self._write_audit(wall_ms)
        self.store.maintain()

    def _write_facts(self, engine: Engine) -> None:
        changed, closed = [], []
        for client_id in self._dirty:
            order = engine.orders.get(client_id)
            if order is None or not order.working:
                if client_id in self._kept:
                    closed.append(client_id)
            elif client_id in self._kept:
                changed.append(self._as_row(order))
        self.store.facts(changed, closed, self._fills)
        self._kept.difference_update(closed)
        self._dirty.clear()
        self._fills.clear()

    def _save_records(self, engine: Engine) -> None:
        """The round trips that the stakes depend on."""
        trips = sum(record.total for record in engine.portfolio.records.values())
        if trips != self._trips:
            self.store.save_raw("records", orjson.dumps(engine.portfolio.records_state()))
            self._trips = trips

    def _save_strategies(self, engine: Engine) -> None:
        for name, strategy in engine.strategies.items():
            if (said := strategy.state()) is None:
                continue
            body = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
            if body != self._strategies.get(name):
                self.store.save_raw(f"strategy {name}", body)
                self._strategies[name] = body

    def _write_audit(self, wall_ms: int) -> None:
        if not self._audit:
            return
        rows = [*self._audit]
        rows += [("omitted", rule, f"{n} more") for rule, n in self._omitted.items()]
        self._audit.clear()
        self._omitted.clear()
        self.store.audit(wall_ms, rows)

    def _as_row(self, order: Order) -> StoredOrder:
        return _as_row(order, self._instruments[order.instrument])

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "begin was not called"
        return self._engine

    # --- what the venue shows ------------------------------------------------------------------

    def stray_orders(self, events: Iterable[OrderEvent]) -> list[OrderUpdate]:
        """Open orders of an earlier start of ours that nobody remembers: they are to be cancelled."""
        orders = self.engine.orders
        found = [
            event
            for event in events
            if isinstance(event, OrderUpdate)
            and event.status in _STILL_OPEN
            and is_ours(event.client_id)
            and orders.find(event.client_id, event.order_id) is None
        ]
        self.strays += len(found)
        return found


def _told(record: Record) -> tuple[str, str]:
    value = record.value
    if isinstance(value, Refused):
        return value.rule, f"{value.detail}; {value.item}"[:_DETAIL_MAX]
    return "", str(value)[:_DETAIL_MAX]


def _as_row(order: Order, instrument: Instrument) -> StoredOrder:
    return StoredOrder(
        client_id=order.client_id,
        strategy=order.strategy,
        symbol=instrument.symbol,
        side=int(order.side),
        px=order.px,
        qty=max(order.qty, order.amend_qty),
        price_scale=instrument.price_scale,
        qty_scale=instrument.qty_scale,
        order_type=order.order_type.value,
        tif=order.tif.value,
        reduce_only=order.reduce_only,
        sent_ms=order.sent_ms,
        state=order.state.value,
        order_id=order.order_id,
        acked=order.acked,
        seen=order.seen,
        cum_qty=order.cum_qty,
        booked_qty=order.booked_qty,
        updated_ms=order.updated_ms,
    )


def _as_order(row: StoredOrder, instrument: Instrument) -> Order:
    """Worst case where the instrument's grid has become coarser: more quantity, not less."""

    def qty(value: int) -> int:
        return _rescaled(value, row.qty_scale, instrument.qty_scale)

    return Order(
        client_id=row.client_id,
        strategy=row.strategy,
        instrument=instrument.index,
        side=Side(row.side),
        px=_rescaled(row.px, row.price_scale, instrument.price_scale),
        qty=qty(row.qty),
        order_type=OrderType(row.order_type),
        tif=TimeInForce(row.tif),
        reduce_only=row.reduce_only,
        sent_ns=0,
        sent_ms=row.sent_ms,
        state=OrderState.UNKNOWN,
        order_id=row.order_id,
        acked=row.acked,
        seen=row.seen,
        cum_qty=qty(row.cum_qty),
        booked_qty=qty(row.booked_qty),
        updated_ms=row.updated_ms,
        reason="restored",
    )


def _rescaled(value: int, old: int, new: int) -> int:
    if new >= old:
        return value * int(10 ** (new - old))
    return -(-value // int(10 ** (old - new)))
