"""Commands out by REST, events back: what each answer proves, and no more than that.

The rule that money hangs on: a create whose answer does not prove that it was refused is
`OrderUnknown`, never rejected, and it is never sent a second time. A cancel may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from fastbook.bybit import requests, verdicts
from fastbook.bybit.private import PrivateDecoder
from fastbook.bybit.verdicts import LOCAL
from fastbook.clock import Clock
from fastbook.errors import (
    CredentialsError,
    FastbookError,
    TransportError,
    VenueError,
    WireError,
)
from fastbook.types import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    CancelRejected,
    Category,
    Command,
    Instrument,
    OrderAbsent,
    OrderEvent,
    OrderRejected,
    OrderUnknown,
    OrderUpdate,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    SetStops,
)

from .lane import Lane
from .rest import Page, RestClient

log = logging.getLogger("fastbook.gateway")

QUEUE_FULL = "gateway queue full"
REPEATS_MAX = 3
REPEAT_WAIT_S = 0.2
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
    cancel_repeats: int = 0
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
    requests_in_flight_max, queue_max : int
        Creates and amends at once, and waiting. A full queue refuses: `OrderRejected` with
        code 0. Cancels and queries have lanes of their own and do not wait behind these.
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
        requests_in_flight_max: int = 8,
        cancels_in_flight_max: int = 8,
        queue_max: int = 64,
    ) -> None:
        self._rest = rest
        self._instruments = instruments
        self._category = category
        self._settles = sorted({i.settle for i in instruments})
        self._on_events = on_events
        self._on_fatal = on_fatal
        self._clock = clock
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
        self._cancel_all_runs = False
        self._stops_wanted: dict[tuple[int, int], SetStops] = {}  # bounded by positions

    def send(self, commands: Iterable[Command]) -> None:
        """Take `commands`; returns at once. Their outcomes come by `on_events`."""
        for command in commands:
            match command:
                case PlaceOrder():
                    self._take(
                        self.orders,
                        partial(self._place, command),
                        OrderRejected(client_id=command.client_id, code=LOCAL, reason=QUEUE_FULL),
                    )
                case AmendOrder():
                    self._take(
                        self.orders, partial(self._amend, command), _no_cancel(command.client_id)
                    )
                case CancelOrder():
                    self._take(
                        self.cancels, partial(self._cancel, command), _no_cancel(command.client_id)
                    )
                case CancelAll():
                    if not self._cancel_all_runs:  # one that runs already does all that is asked
                        self._cancel_all_runs = self.cancels.offer(self._cancel_all)
                case QueryOrder():
                    self._take(
                        self.queries,
                        partial(self._query, command.client_id, command.instrument),
                        OrderUnknown(client_id=command.client_id, reason=QUEUE_FULL),
                    )
                case SetStops():
                    self._offer_stops(command)

    async def close(self, grace_s: float = 3.0) -> None:
        """Take nothing more; what is under way gets `grace_s`, then its outcome is unknown."""
        lanes = (self.orders, self.cancels, self.stops, self.queries)
        await asyncio.gather(*(lane.close(grace_s) for lane in lanes))

    async def reconcile(self, since_ms: int = 0) -> list[OrderEvent]:
        """The venue's whole view: fills since then, open orders, positions, wallet.

        `since_ms` by the venue's clock; 0 = its default, the last 7 days. Instruments without a
        position come as flat ones. Raises what `RestClient` raises, and `WireError` for rows
        that cannot be read: half a view is none.
        """
        decoder = self._decoder()
        events: list[OrderEvent] = []
        executions = await self._rest.executions(self._category, since_ms=since_ms)
        events += decoder.executions(executions.rows)
        for settle in self._settles if self._category is not Category.SPOT else [""]:
            page = await self._rest.open_orders(self._category, settle=settle)
            events += decoder.orders(page.rows)
        asked_ms = self._rest.venue_time.now_ms()
        positions = await self._rest.positions(self._category, self._settles)
        events += self._with_flat(decoder.positions(positions), asked_ms)
        events += decoder.wallet(await self._rest.wallet())
        if decoder.bad_rows:
            raise WireError(f"{decoder.bad_rows} rows cannot be read: {decoder.last_problem}")
        return events

    def _with_flat(self, events: list[OrderEvent], asked_ms: int) -> list[OrderEvent]:
        if self._category is Category.SPOT:
            return events
        held = {e.instrument for e in events if isinstance(e, PositionSnapshot)}
        return events + [
            PositionSnapshot(
                instrument=i.index,
                qty=0,
                entry_px=Decimal(0),
                realized_pnl=Decimal(0),
                seq=-1,  # as the venue says of a symbol without a story
                updated_ms=asked_ms,
            )
            for i in self._instruments
            if i.index not in held
        ]

    def _take(self, lane: Lane, job: Callable[[], Awaitable[None]], refusal: OrderEvent) -> None:
        if not lane.offer(job):  # type: ignore[arg-type]  # a partial of a coroutine function
            self._tell([refusal])

    def _tell(self, events: list[OrderEvent]) -> None:
        self._on_events(events, self._clock.now_ns())

    def _fatal(self, error: BaseException) -> None:
        log.error("%s: %s", type(error).__name__, error)
        if self._on_fatal is not None:
            self._on_fatal(error)

    def _decoder(self) -> PrivateDecoder:
        return PrivateDecoder(self._instruments, self._category)

    # Creates.

    async def _place(self, order: PlaceOrder) -> None:
        verdict: OrderEvent = OrderUnknown(client_id=order.client_id, reason="cancelled task")
        try:
            verdict = await self._create(order)
        finally:
            # Whatever happened: an order without a verdict would be forgotten.
            self.stats.placed += 1
            self.stats.unknown += isinstance(verdict, OrderUnknown)
            self.stats.rejected += isinstance(verdict, OrderRejected)
            self._tell([verdict])
        if verdicts.is_duplicate(verdict):
            self.stats.duplicates += 1
            await self._query(order.client_id, order.instrument)

    async def _create(self, order: PlaceOrder) -> OrderEvent:
        client_id = order.client_id
        try:
            body = requests.create_body(self._instruments[order.instrument], order)
            answer = await self._rest.order_create(body)
        except FastbookError as e:
            self._alarm(e)
            return verdicts.create_failed(client_id, e)
        return verdicts.created(client_id, answer.result)

    # Amends and cancels.

    async def _amend(self, order: AmendOrder) -> None:
        try:
            body = requests.amend_body(self._instruments[order.instrument], order)
            await self._rest.order_amend(body)
        except FastbookError as e:
            self._change_failed(order.client_id, e)

    async def _cancel(self, order: CancelOrder) -> None:
        try:
            body = requests.cancel_body(self._instruments[order.instrument], order.client_id)
            await self._repeated(lambda: self._rest.order_cancel(body))
        except FastbookError as e:
            self._change_failed(order.client_id, e)

    async def _cancel_all(self) -> None:
        try:
            await self._repeated(lambda: self._rest.cancel_all(self._category, self._settles))
        except FastbookError as e:
            self.stats.cancel_all_failed += 1
            if not isinstance(e, CredentialsError):  # whose exit code is its own
                e = TransportError(f"orders may be open, as they could not be cancelled: {e}")
            self._fatal(e)  # somebody has to know
        finally:
            self._cancel_all_runs = False

    async def _repeated(self, request: Callable[[], Awaitable[object]]) -> None:
        """What is unknown is sent again: twice cancelled is cancelled, and stops set twice stand."""
        for attempt in range(1, REPEATS_MAX + 1):
            try:
                await request()
                return
            except (TransportError, VenueError) as e:
                again = verdicts.worth_repeating(e)
                if attempt == REPEATS_MAX or self._rest.blocked_s or not again:
                    raise
            self.stats.cancel_repeats += 1
            await asyncio.sleep(REPEAT_WAIT_S * attempt)

    def _change_failed(self, client_id: str, error: FastbookError) -> None:
        self._alarm(error)
        if (told := verdicts.change_failed(client_id, error)) is not None:
            self._tell([told])

    def _alarm(self, error: FastbookError) -> None:
        if isinstance(error, CredentialsError):
            self._fatal(error)

    # Stops of positions.

    def _offer_stops(self, stops: SetStops) -> None:
        """One request a position at a time, and the last word wins: an older one that has not
        left yet is forgotten, as two under way could arrive in any order."""
        key = (stops.instrument, stops.position_idx)
        runs = key in self._stops_wanted
        self._stops_wanted[key] = stops
        if not runs and not self.stops.offer(partial(self._set_stops, key)):
            del self._stops_wanted[key]
            self._tell([verdicts.stops_failed(stops, TransportError(QUEUE_FULL, sent=False))])

    async def _set_stops(self, key: tuple[int, int]) -> None:
        stops = self._stops_wanted[key]
        done: OrderEvent | None = None
        try:
            while done is None or stops is not self._stops_wanted[key]:
                stops = self._stops_wanted[key]
                done = verdicts.stops_failed(stops, TransportError("cancelled task"))
                done = await self._stops_verdict(stops)
        finally:
            del self._stops_wanted[key]
            if done is not None:
                self._tell([done])

    async def _stops_verdict(self, stops: SetStops) -> OrderEvent:
        try:
            body = requests.trading_stop_body(self._instruments[stops.instrument], stops)
            await self._repeated(lambda: self._rest.trading_stop(body))
        except FastbookError as e:
            self._alarm(e)
            return verdicts.stops_failed(stops, e)
        return verdicts.stops_set(stops)

    # Queries.

    async def _query(self, client_id: str, instrument: int) -> None:
        """Look in every place where the order can be. All silent = absent; any failed = unknown."""
        symbol = self._instruments[instrument].symbol
        answers = await asyncio.gather(
            self._rest.open_orders(self._category, symbol=symbol, client_id=client_id),
            self._rest.open_orders(self._category, symbol=symbol, client_id=client_id, closed=True),
            self._rest.order_history(self._category, symbol=symbol, client_id=client_id),
            self._rest.executions(self._category, symbol=symbol, client_id=client_id),
            return_exceptions=True,
        )
        failed = [e for e in answers if isinstance(e, BaseException)]
        for error in failed:
            if isinstance(error, CredentialsError):
                self._fatal(error)
            elif not isinstance(error, FastbookError):
                raise error
        pages = [a for a in answers if isinstance(a, Page)]
        decoder = self._decoder()
        *orders, executions = [_own_rows(a, client_id) for a in answers]
        # Fills first: what closes an order then finds them booked.
        events = decoder.executions(executions)
        seen: list[OrderEvent] = []
        for rows in orders:
            seen += [e for e in decoder.orders(rows) if e not in seen]
        events += sorted(seen, key=_updated_ms)
        if decoder.bad_rows or (not seen and (failed or events)):
            reason = decoder.last_problem or (str(failed[0]) if failed else "fills without order")
            events.append(OrderUnknown(client_id=client_id, reason=f"query: {reason}"))
        elif not events:
            times = [p.time_ms or self._rest.venue_time.now_ms() for p in pages]
            events.append(OrderAbsent(client_id=client_id, venue_time_ms=min(times)))
        self._tell(events)


def _no_cancel(client_id: str) -> CancelRejected:
    return CancelRejected(client_id=client_id, code=LOCAL, reason=QUEUE_FULL)


def _own_rows(answer: Page | BaseException, client_id: str) -> list[dict[str, object]]:
    """A venue that ignored the filter would show us somebody else's order as ours."""
    if isinstance(answer, BaseException):
        return []
    return [row for row in answer.rows if row.get("orderLinkId") == client_id]


def _updated_ms(event: OrderEvent) -> int:
    return event.updated_ms if isinstance(event, OrderUpdate) else 0
