"""From an approved intent to a command, and what has to be asked or withdrawn as time passes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fastbook.clock import TokenBucket
from fastbook.errors import ConfigError
from fastbook.execution.order import Order
from fastbook.execution.orders import Orders
from fastbook.types import (
    AmendIntent,
    AmendOrder,
    Approved,
    CancelOrder,
    Command,
    OrderIntent,
    OrderState,
    PlaceOrder,
    QueryOrder,
    Refused,
    Side,
    TimeInForce,
)

_UNSURE = frozenset({OrderState.SENT, OrderState.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorParams:
    """Times and rates of the way to the venue."""

    ack_timeout_ms: int = 2_000
    """Without a word for this long, the outcome of a create is unknown and is asked for."""
    order_ttl_ms: int = 30_000
    """A resting order is cancelled at this age."""
    retry_first_ms: int = 250
    """Wait before the second query or cancel; doubles from there ..."""
    retry_max_ms: int = 2_000
    """... up to this."""
    commands_per_second_max: float = 20.0
    """Of all commands; a fifth of the burst is kept for cancels, which never wait."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"execution.{field.name} must be above 0, was {value!r}")


class Executor:
    """Makes commands; sends nothing. Takes `Approved` and nothing else."""

    def __init__(self, orders: Orders, params: ExecutorParams | None = None) -> None:
        self.orders = orders
        self.params = params or ExecutorParams()
        self.counters = {"timeouts": 0, "queries": 0, "cancels": 0, "put_off": 0, "amends": 0}
        burst = max(5, int(self.params.commands_per_second_max))
        self._bucket = TokenBucket(self.params.commands_per_second_max, burst)
        self._cancel_reserve = burst // 5

    def plan(
        self,
        approved: Approved[OrderIntent],
        *,
        now_ns: int,
        wall_ms: int,
        position_idx: int = 0,
    ) -> PlaceOrder | Refused[OrderIntent]:
        """The command that carries out `approved`. The order exists, and counts, from here on.

        Raises TypeError for anything but `Approved`: an order that did not pass the gate is a
        bug, not a decision.
        """
        if type(approved) is not Approved:
            raise TypeError(
                f"only what the gate approved can be sent, not {type(approved).__name__}"
            )
        intent = approved.item
        # A quote may rest beside the one on the other side; anything else waits for its turn.
        side = intent.side if intent.tif is TimeInForce.POST_ONLY else None
        if not intent.reduce_only and self.in_flight(intent.instrument, intent.strategy, side):
            return Refused(intent, "entry_in_flight", "an order of this strategy is under way")
        if not self._bucket.take(now_ns, leave=self._cancel_reserve):
            limit = self.params.commands_per_second_max
            return Refused(intent, "commands_per_second_max", f"more than {limit} a second")
        order = self.orders.create(intent, now_ns=now_ns, wall_ms=wall_ms)
        return PlaceOrder(
            client_id=order.client_id,
            instrument=order.instrument,
            side=order.side,
            px=order.px,
            qty=order.qty,
            order_type=order.order_type,
            tif=order.tif,
            reduce_only=order.reduce_only,
            position_idx=position_idx,
            stop_loss_px=intent.stop_loss_px,
            take_profit_px=intent.take_profit_px,
        )

    def amend(
        self, approved: Approved[AmendIntent], *, now_ns: int
    ) -> AmendOrder | Refused[AmendIntent]:
        """The command that gives a resting order another price and total quantity.

        The order counts at the worse of old and new from here on, until the venue tells; see
        `Orders.amend`. One at a time: two under way could arrive in any order. Raises TypeError
        as `plan`.
        """
        if type(approved) is not Approved:
            raise TypeError(
                f"only what the gate approved can be sent, not {type(approved).__name__}"
            )
        intent = approved.item
        order = self.orders.get(intent.client_id)
        if order is None or not order.may_rest or order.cancel_due_ns is not None:
            return Refused(intent, "not_resting", "closed, unknown here, or being cancelled")
        if order.state in _UNSURE or order.amending:
            return Refused(intent, "amend_in_flight", "what stands at the venue is not known yet")
        if intent.qty <= max(order.cum_qty, order.booked_qty):
            return Refused(intent, "already_filled", f"{order.cum_qty} have traded")
        if (intent.px, intent.qty) == (order.px, order.qty):
            return Refused(intent, "no_change", "it stands as wanted")
        if not self._bucket.take(now_ns, leave=self._cancel_reserve):
            limit = self.params.commands_per_second_max
            return Refused(intent, "commands_per_second_max", f"more than {limit} a second")
        self.orders.amend(order, intent.px, intent.qty, now_ns)
        self.counters["amends"] += 1
        return AmendOrder(
            client_id=order.client_id, instrument=order.instrument, px=intent.px, qty=intent.qty
        )

    def in_flight(self, instrument: int, strategy: str, side: Side | None = None) -> bool:
        """Whether the story of an order of this strategy in this instrument is not over."""
        return any(
            order.strategy == strategy and side in (None, order.side)
            for order in self.orders.working(instrument)
        )

    def cancel(self, order: Order, now_ns: int) -> list[Command]:
        """Withdraw `order`, now and again until it is closed. Nothing if that is under way."""
        if order.state.terminal or order.cancel_due_ns is not None:
            return []
        return [self._cancel_command(order, now_ns)]

    def cancel_working(self, now_ns: int, strategy: str | None = None) -> list[Command]:
        """Withdraw every open order, or those of one strategy."""
        return [
            command
            for order in self.orders.all_working()
            if strategy is None or order.strategy == strategy
            for command in self.cancel(order, now_ns)
        ]

    def ask(self, order: Order, now_ns: int) -> None:
        """Have the venue asked about one order, unless that is under way."""
        if order.query_due_ns is None:
            order.query_due_ns = now_ns

    def ask_all(self, now_ns: int) -> None:
        """Have the venue asked about every order whose story is not over, from the next timer on.

        Young ones excepted: an answer may be on its way, and the timeouts look after them.
        """
        for order in self.orders.all_working():
            if order.state is not OrderState.SENT:
                order.query_due_ns = now_ns

    def on_timer(self, now_ns: int) -> list[Command]:
        """Everything that has fallen due: unknown outcomes, queries, old orders, cancels again.

        O(working orders). Queries that the budget does not allow now are put off, cancels never.
        """
        commands: list[Command] = []
        for order in self.orders.all_working():
            self._check_age(order, now_ns)
            if order.cancel_due_ns is not None and now_ns >= order.cancel_due_ns:
                commands.append(self._cancel_command(order, now_ns))
            if order.query_due_ns is not None and now_ns >= order.query_due_ns:
                commands += self._query(order, now_ns)
        return commands

    def _check_age(self, order: Order, now_ns: int) -> None:
        age_ms = (now_ns - order.sent_ns) // 1_000_000
        if order.state is OrderState.SENT:
            if age_ms >= self.params.ack_timeout_ms:
                self.counters["timeouts"] += 1
                self.orders.to_unknown(order, now_ns, f"no word for {age_ms} ms")
        elif order.state is OrderState.UNKNOWN:
            if order.query_due_ns is None:
                order.query_due_ns = now_ns
        elif order.may_rest:
            if age_ms >= self.params.order_ttl_ms and order.cancel_due_ns is None:
                order.cancel_due_ns = now_ns
            elif order.amending:
                self._check_amend(order, now_ns)
        elif (
            not order.state.terminal
            and age_ms >= self.params.ack_timeout_ms
            and order.query_due_ns is None
        ):
            # Immediate orders do not rest: the closing row must have been lost.
            order.query_due_ns = now_ns + self.params.retry_max_ms * 1_000_000

    def _check_amend(self, order: Order, now_ns: int) -> None:
        """Without a word on it, ask what stands; again and again, until it can come no more."""
        due_ns = order.amend_ns + self.params.ack_timeout_ms * 1_000_000
        if now_ns >= due_ns and order.query_due_ns is None:
            order.query_due_ns = max(due_ns, now_ns + self._backoff_ns(0))

    def _cancel_command(self, order: Order, now_ns: int) -> CancelOrder:
        self._bucket.force(now_ns)
        order.cancel_due_ns = now_ns + self._backoff_ns(order.cancels)
        order.cancels += 1
        self.counters["cancels"] += 1
        return CancelOrder(client_id=order.client_id, instrument=order.instrument)

    def _query(self, order: Order, now_ns: int) -> list[Command]:
        if not self._bucket.take(now_ns, leave=self._cancel_reserve):
            self.counters["put_off"] += 1
            return []
        order.query_due_ns = now_ns + self._backoff_ns(order.queries)
        order.queries += 1
        self.counters["queries"] += 1
        return [QueryOrder(client_id=order.client_id, instrument=order.instrument)]

    def _backoff_ns(self, attempts: int) -> int:
        first, most = self.params.retry_first_ms, self.params.retry_max_ms
        return int(min(first * 2 ** min(attempts, 20), most) * 1_000_000)
