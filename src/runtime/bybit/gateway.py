"""Commands out, events back: what each answer proves, and no more than that.

The rule that money hangs on: a create whose answer does not prove that it was refused is
`OrderUnknown`, never rejected, and it is never sent a second time. A cancel may be repeated.
What proves what stands in `fastbook.bybit.verdicts`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from fastbook.bybit import requests, verdicts
from fastbook.bybit.codes import Outcome, classify
from fastbook.bybit.verdicts import LOCAL
from fastbook.clock import Clock
from fastbook.errors import (
    CredentialsError,
    FastbookError,
    RequestError,
    TransportError,
)
from fastbook.types import (
    AmendOrder,
    AmendRejected,
    CancelAll,
    CancelOrder,
    CancelRejected,
    Category,
    Command,
    Instrument,
    OrderEvent,
    OrderRejected,
    OrderUnknown,
    PlaceOrder,
    QueryOrder,
    SetStops,
)

from .enquiries import Enquiries
from .entry import OrderEntry
from .lane import Job, Lane
from .repeats import REPEATS_MAX, Repeater
from .rest import RestClient
from .rest_call import path_of
from .stop_setter import StopSetter
from .trade_stream import TradeStream

log = logging.getLogger("fastbook.gateway")

T = TypeVar("T")

QUEUE_FULL = "gateway queue full"
NO_NEW_RISK = "REST is closed after an HTTP 403: no new risk"

BATCH_MAX = 10
"""Orders of one batch: two pages of the venue differ, 10 is right by both."""
ORDER_AGE_S_MAX = 1.5
"""A create that could not leave by then never does: the market is another one. It also bounds
the stamp that the venue judges it by, which `Orders` relies on to prove an order absent."""

QUERIES_IN_FLIGHT_MAX = 4
CANCEL_QUEUE_MAX = 1_000
QUERY_QUEUE_MAX = 1_000
STOPS_IN_FLIGHT_MAX = 4
STOPS_QUEUE_MAX = 1_000

OnEvents = Callable[[list[OrderEvent], int], None]


@dataclass(slots=True)
class GatewayStats:
    """Counts since the start."""

    placed: int = 0
    unknown: int = 0
    rejected: int = 0
    duplicates: int = 0
    batches: int = 0
    cancel_all_failed: int = 0


class RestGateway:
    """Executes commands as tasks; every create ends in exactly one verdict.

    Parameters
    ----------
    rest : RestClient
        With its clock synchronised.
    instruments : sequence of Instrument
        The engine's table; commands name its indexes.
    on_events : callable(list[OrderEvent], int)
        From the event loop, with the receive time in ns (wall clock).
    on_fatal : callable(Exception), optional
        Key or permission refused, or an error of our own. The gateway goes on; the application
        has to stop trading.
    trade : TradeStream, optional
        Orders go by it while it is up, and by REST otherwise. Whoever made it runs it.
    requests_in_flight_max, queue_max : int
        Creates and amends at once, and waiting; a batch counts as one. A full queue refuses:
        `OrderRejected` with code 0. Cancels, stops and queries have lanes of their own and do
        not wait behind these.
    batch_max : int
        Creates, or cancels, of one `send` that leave in one request; 1 = each by itself.
    """

    def __init__(
        self,
        rest: RestClient,
        instruments: Sequence[Instrument],
        category: Category,
        on_events: OnEvents,
        clock: Clock,
        *,
        on_fatal: Callable[[BaseException], None] | None = None,
        trade: TradeStream | None = None,
        requests_in_flight_max: int = 8,
        cancels_in_flight_max: int = 8,
        queue_max: int = 64,
        batch_max: int = BATCH_MAX,
    ) -> None:
        self._rest = rest
        self._instruments = instruments
        self._category = category
        self._settles = sorted({i.settle for i in instruments})
        self._on_events = on_events
        self._on_fatal = on_fatal
        self._clock = clock
        self._batch_max = batch_max
        self.entry = OrderEntry(rest, trade)
        self.stats = GatewayStats()
        lane = partial(Lane, on_error=self._fatal)
        self.orders = lane("orders", in_flight_max=requests_in_flight_max, queue_max=queue_max)
        self.cancels = lane(
            "cancels", in_flight_max=cancels_in_flight_max, queue_max=CANCEL_QUEUE_MAX
        )
        self.queries = lane(
            "queries", in_flight_max=QUERIES_IN_FLIGHT_MAX, queue_max=QUERY_QUEUE_MAX
        )
        self.stops = lane("stops", in_flight_max=STOPS_IN_FLIGHT_MAX, queue_max=STOPS_QUEUE_MAX)
        self.repeater = Repeater(lambda: self.entry.open)
        self._enquiries = Enquiries(rest, instruments, category)
        self._stop_setter = StopSetter(
            rest, instruments, self.stops, self.repeater, self._tell, self._alarm
        )
        self._cancel_all_runs = False

    def send(self, commands: Iterable[Command]) -> None:
        """Take `commands`; returns at once. Their outcomes come by `on_events`."""
        creates: list[PlaceOrder] = []
        cancels: list[CancelOrder] = []
        for command in commands:
            match command:
                case PlaceOrder():
                    creates.append(command)
                case CancelOrder():
                    cancels.append(command)
                case AmendOrder():
                    self._take(
                        self.orders,
                        partial(self._amend, command),
                        [AmendRejected(client_id=command.client_id, code=LOCAL, reason=QUEUE_FULL)],
                    )
                case CancelAll():
                    if not self._cancel_all_runs:  # one that runs already does all that is asked
                        self._cancel_all_runs = self.cancels.offer(self._cancel_all)
                case QueryOrder():
                    self._take(
                        self.queries,
                        partial(self._query, command.client_id, command.instrument),
                        [OrderUnknown(client_id=command.client_id, reason=QUEUE_FULL)],
                    )
                case SetStops():
                    self._stop_setter.offer(command)
        for some in self._groups(cancels, "order.cancel-batch"):
            self._take(
                self.cancels, partial(self._cancel, some), [_no_cancel(c.client_id) for c in some]
            )
        not_after_ns = self._clock.monotonic_ns() + int(ORDER_AGE_S_MAX * 1e9)
        for group in self._groups(creates, "order.create-batch"):
            self._take(
                self.orders,
                partial(self._place, group, not_after_ns),
                [
                    OrderRejected(client_id=o.client_id, code=LOCAL, reason=QUEUE_FULL)
                    for o in group
                ],
            )

    async def close(self, grace_s: float = 3.0) -> None:
        """Take nothing more; what is under way gets `grace_s`, then its outcome is unknown."""
        lanes = (self.orders, self.cancels, self.stops, self.queries)
        await asyncio.gather(*(lane.close(grace_s) for lane in lanes))

    async def reconcile(self, since_ms: int = 0) -> list[OrderEvent]:
        """The venue's whole view; see `Enquiries.account`."""
        return await self._enquiries.account(since_ms)

    def _groups(self, items: list[T], op: str) -> Iterable[list[T]]:
        """As many as may go in one request; never more than the venue lets through at once."""
        most = max(1, min(self._batch_max, self._rest.pacer.limits.limit(path_of(op))))
        left = iter(items)
        while some := list(islice(left, most)):
            yield some

    def _take(
        self, lane: Lane, job: Callable[[], Coroutine[None, None, None]], refusal: list[OrderEvent]
    ) -> None:
        run: Job = job
        if not lane.offer(run):
            self._tell(refusal)

    def _tell(self, events: list[OrderEvent]) -> None:
        self._on_events(events, self._clock.now_ns())

    def _fatal(self, error: BaseException) -> None:
        log.error("%s: %s", type(error).__name__, error)
        if self._on_fatal is not None:
            self._on_fatal(error)

    def _alarm(self, error: FastbookError) -> None:
        if isinstance(error, CredentialsError):
            self._fatal(error)

    # Creates.

    async def _place(self, orders: list[PlaceOrder], not_after_ns: int) -> None:
        found: list[OrderEvent] = [
            OrderUnknown(client_id=o.client_id, reason="cancelled task") for o in orders
        ]
        try:
            found = await self._create(orders, not_after_ns)
        finally:
            # Whatever happened: an order without a verdict would be forgotten.
            self.stats.placed += len(orders)
            self.stats.unknown += sum(isinstance(e, OrderUnknown) for e in found)
            self.stats.rejected += sum(isinstance(e, OrderRejected) for e in found)
            self._tell(found)
        for order, verdict in zip(orders, found, strict=True):
            if verdicts.is_duplicate(verdict):
                self.stats.duplicates += 1
                await self._query(order.client_id, order.instrument)

    async def _create(self, orders: list[PlaceOrder], not_after_ns: int) -> list[OrderEvent]:
        """One verdict an order, in their order."""
        found: dict[str, OrderEvent] = {}
        rows: dict[str, dict[str, object]] = {}
        for order in orders:
            try:
                self._check_risk(order)
                rows[order.client_id] = requests.create_row(
                    self._instruments[order.instrument], order
                )
            except (RequestError, TransportError) as e:
                found[order.client_id] = verdicts.create_failed(order.client_id, e)
        left = [order for order in orders if order.client_id in rows]
        if len(left) == 1:
            found[left[0].client_id] = await self._create_one(left[0], not_after_ns)
        elif left:
            found |= await self._create_many(rows, not_after_ns)
        return [found[order.client_id] for order in orders]

    def _check_risk(self, order: PlaceOrder) -> None:
        if self._rest.blocked_s and not order.reduce_only:
            # What became of it could not be asked for, and its stops could not be set.
            raise TransportError(NO_NEW_RISK, sent=False, status=403)

    async def _create_one(self, order: PlaceOrder, not_after_ns: int) -> OrderEvent:
        body = requests.create_body(self._instruments[order.instrument], order)
        try:
            answer = await self.entry.order("order.create", body, not_after_ns=not_after_ns)
        except FastbookError as e:
            self._alarm(e)
            return verdicts.create_failed(order.client_id, e)
        return verdicts.created(order.client_id, answer.result)

    async def _create_many(
        self, rows: dict[str, dict[str, object]], not_after_ns: int
    ) -> dict[str, OrderEvent]:
        self.stats.batches += 1
        body = requests.batch_body(self._category, list(rows.values()))
        try:
            answer = await self.entry.order(
                "order.create-batch", body, units=len(rows), not_after_ns=not_after_ns
            )
        except FastbookError as e:
            self._alarm(e)
            return {client_id: verdicts.batch_failed(client_id, e) for client_id in rows}
        said = verdicts.batch_rows(list(rows), answer.result, answer.ext)
        for row in said:
            if row is not None and classify(row.code) is Outcome.AUTH:
                self._fatal(CredentialsError(f"order.create-batch: {row.code}", code=row.code))
        return {
            client_id: verdicts.created_in_batch(client_id, row)
            for client_id, row in zip(rows, said, strict=True)
        }

    # Amends and cancels.

    async def _amend(self, order: AmendOrder) -> None:
        not_after_ns = self._clock.monotonic_ns() + int(ORDER_AGE_S_MAX * 1e9)
        try:
            body = requests.amend_body(self._instruments[order.instrument], order)
            await self.entry.order("order.amend", body, not_after_ns=not_after_ns)
        except FastbookError as e:
            self._alarm(e)
            if (told := verdicts.amend_failed(order.client_id, e)) is not None:
                self._tell([told])
            else:
                await self._query(order.client_id, order.instrument)

    async def _cancel(self, cancels: list[CancelOrder]) -> None:
        """Cancel them all; what stays unknown is asked for again, and in the end told."""
        left = cancels
        for attempt in range(1, REPEATS_MAX + 1):
            unclear = []
            for order, error in await self._cancel_once(left):
                if error is None:
                    continue
                again = verdicts.worth_repeating(error) and self.entry.open
                if attempt < REPEATS_MAX and again:
                    unclear.append(order)
                else:
                    self._cancel_failed(order.client_id, error)
            if not unclear:
                return
            left = unclear
            await self.repeater.wait(attempt)

    async def _cancel_once(
        self, cancels: list[CancelOrder]
    ) -> list[tuple[CancelOrder, FastbookError | None]]:
        """What each cancel ended in; None = taken."""
        try:
            rows = [
                requests.cancel_row(self._instruments[c.instrument], c.client_id) for c in cancels
            ]
            if len(rows) == 1:
                body = requests.cancel_body(
                    self._instruments[cancels[0].instrument], cancels[0].client_id
                )
                await self.entry.order("order.cancel", body, urgent=True)
                return [(cancels[0], None)]
            body = requests.batch_body(self._category, rows)
            answer = await self.entry.order(
                "order.cancel-batch", body, units=len(rows), urgent=True
            )
        except FastbookError as e:
            return [(c, e) for c in cancels]
        said = verdicts.batch_rows([c.client_id for c in cancels], answer.result, answer.ext)
        return [
            (c, verdicts.cancelled_in_batch(c.client_id, row))
            for c, row in zip(cancels, said, strict=True)
        ]

    async def _cancel_all(self) -> None:
        try:
            await self.repeater.until_known(
                lambda: self._rest.cancel_all(self._category, self._settles)
            )
        except FastbookError as e:
            self._cancel_all_failed(e)
        finally:
            self._cancel_all_runs = False

    def _cancel_all_failed(self, error: FastbookError) -> None:
        self.stats.cancel_all_failed += 1
        if self._rest.blocked_s and self.entry.open:
            # The engine's own orders are cancelled one by one beside this, by the trade stream.
            log.error("cancel-all: REST is closed; only the orders we know are cancelled")
            return
        if not isinstance(error, CredentialsError):  # whose exit code is its own
            error = TransportError(f"orders may be open, as they could not be cancelled: {error}")
        self._fatal(error)  # somebody has to know

    def _cancel_failed(self, client_id: str, error: FastbookError) -> None:
        self._alarm(error)
        if (told := verdicts.cancel_failed(client_id, error)) is not None:
            self._tell([told])

    # Queries.

    async def _query(self, client_id: str, instrument: int) -> None:
        self._tell(await self._enquiries.order(client_id, instrument, self._alarm))


def _no_cancel(client_id: str) -> CancelRejected:
    return CancelRejected(client_id=client_id, code=LOCAL, reason=QUEUE_FULL)
