"""What the venue knows: of one order whose outcome is unknown, and of the whole account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

from fastbook.bybit.private import PrivateDecoder
from fastbook.errors import CredentialsError, FastbookError, WireError
from fastbook.types import (
    Category,
    Instrument,
    OrderAbsent,
    OrderEvent,
    OrderUnknown,
    OrderUpdate,
    PositionSnapshot,
)

from .rest import Page, RestClient, Rows

MODES_ASKED_MAX = 50
"""Symbols whose position mode is asked for at the start: a request each."""

LONG, SHORT = 1, 2


class Enquiries:
    """Asks by REST. Three answers are possible of an order: there, absent, or we cannot tell."""

    def __init__(
        self, rest: RestClient, instruments: Sequence[Instrument], category: Category
    ) -> None:
        self._rest = rest
        self._instruments = instruments
        self._category = category
        self._settles = sorted({i.settle for i in instruments})
        self._by_symbol = {i.symbol: i.index for i in instruments}
        self._modes_known = category is Category.SPOT or len(instruments) > MODES_ASKED_MAX
        self.hedged: set[int] = set()
        """Instruments in hedge mode: they have a long and a short leg."""

    async def order(
        self, client_id: str, instrument: int, alarm: Callable[[FastbookError], None]
    ) -> list[OrderEvent]:
        """Look in every place where the order can be. All silent = absent; any failed = unknown.

        `alarm` is told of refused credentials.
        """
        symbol = self._instruments[instrument].symbol
        rest, category = self._rest, self._category
        answers = await asyncio.gather(
            rest.open_orders(category, symbol=symbol, client_id=client_id),
            rest.open_orders(category, symbol=symbol, client_id=client_id, closed=True),
            rest.order_history(category, symbol=symbol, client_id=client_id),
            rest.executions(category, symbol=symbol, client_id=client_id),
            return_exceptions=True,
        )
        failed = [e for e in answers if isinstance(e, BaseException)]
        for error in failed:
            if isinstance(error, CredentialsError):
                alarm(error)
            elif not isinstance(error, FastbookError):
                raise error
        pages = [a for a in answers if isinstance(a, Page)]
        decoder = PrivateDecoder(self._instruments, category)
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
            times = [p.time_ms or rest.venue_time.now_ms() for p in pages]
            events.append(OrderAbsent(client_id=client_id, venue_time_ms=min(times)))
        return events

    async def account(self, since_ms: int) -> list[OrderEvent]:
        """The venue's whole view: fills since then, open orders, positions, wallet.

        `since_ms` by the venue's clock; 0 = its default, the last 7 days. Instruments without a
        position come as flat ones. Raises what `RestClient` raises, and `WireError` for rows
        that cannot be read: half a view is none.
        """
        decoder = PrivateDecoder(self._instruments, self._category)
        events: list[OrderEvent] = []
        executions = await self._rest.executions(self._category, since_ms=since_ms)
        events += decoder.executions(executions.rows)
        events += decoder.orders(await self.open_orders())
        asked_ms = self._rest.venue_time.now_ms()
        positions = await self._positions()
        events += self._with_flat(decoder.positions(positions), asked_ms)
        events += decoder.wallet(await self._rest.wallet())
        if decoder.bad_rows:
            raise WireError(f"{decoder.bad_rows} rows cannot be read: {decoder.last_problem}")
        return events

    async def _positions(self) -> Rows:
        """Rows of what is held; the first time of every symbol, which tells its mode."""
        if self._modes_known:
            rows = await self._rest.positions(self._category, self._settles)
        else:
            answers = await asyncio.gather(
                *(self._rest.position_rows(self._category, i.symbol) for i in self._instruments)
            )
            asked = zip(self._instruments, answers, strict=True)
            rows = [row for i, answer in asked for row in answer if row.get("symbol") == i.symbol]
            self._modes_known = True
        for row in rows:
            index = self._by_symbol.get(str(row.get("symbol")), -1)
            if row.get("positionIdx") in (LONG, SHORT):
                self.hedged.add(index)
            elif row.get("positionIdx") == 0:
                self.hedged.discard(index)
        return rows

    async def open_orders(self) -> Rows:
        """Every open order of the category, whatever its kind, each once."""
        return await self._rest.all_open_orders(self._category, self._settles)

    def _with_flat(self, events: list[OrderEvent], asked_ms: int) -> list[OrderEvent]:
        if self._category is Category.SPOT:
            return events
        held = {(e.instrument, e.position_idx) for e in events if isinstance(e, PositionSnapshot)}
        return events + [
            PositionSnapshot(
                instrument=i.index,
                qty=0,
                entry_px=Decimal(0),
                realized_pnl=Decimal(0),
                seq=-1,  # as the venue says of a symbol without a story
                updated_ms=asked_ms,
                position_idx=idx,
            )
            for i in self._instruments
            for idx in ((LONG, SHORT) if i.index in self.hedged else (0,))
            if (i.index, idx) not in held
        ]


def _own_rows(answer: Page | BaseException, client_id: str) -> Rows:
    """A venue that ignored the filter would show us somebody else's order as ours."""
    if isinstance(answer, BaseException):
        return []
    return [row for row in answer.rows if row.get("orderLinkId") == client_id]


def _updated_ms(event: OrderEvent) -> int:
    return event.updated_ms if isinstance(event, OrderUpdate) else 0
