"""The venue of a backtest: the paper account, with queues, shares, rejects and funding.

What it gets wrong is written down in docs/backtesting.md, assumption by assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from fastbook.core.book import Book
from fastbook.core.states import BookState
from fastbook.errors import ConfigError
from fastbook.replay.backtest.queues import Place, Queue
from fastbook.replay.paper import PaperFees, PaperVenue
from fastbook.types import (
    AmendOrder,
    Execution,
    Instrument,
    OrderEvent,
    OrderRejected,
    PlaceOrder,
    Side,
    Trade,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What one scenario believes of the venue."""

    name: str
    queue: Queue = Queue.PROPORTIONAL
    take_share: float = 1.0
    """Of what is displayed, the part that is still there for us."""
    latency_factor: float = 1.0
    """On the order latency."""
    reject_share: float = 0.0
    """Of creates, the part that the venue refuses for reasons of its own."""
    fees: PaperFees = field(default_factory=PaperFees)
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.take_share <= 1.0 or not 0.0 <= self.reject_share < 1.0:
            raise ConfigError("take_share is above 0 and at most 1, reject_share 0 to below 1")


class SimVenue(PaperVenue):
    """One account of one scenario. Synchronous; time comes in, events come out."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[Book],
        assumptions: Assumptions,
        *,
        balance: Decimal,
    ) -> None:
        super().__init__(instruments, books, balance=balance, fees=assumptions.fees)
        self.assumptions = assumptions
        self.refused = 0
        """Creates refused by `reject_share`."""
        self._places: dict[str, Place] = {}
        self._rng = Random(assumptions.seed)

    @property
    def watching(self) -> bool:
        """Whether books and trades matter now: something rests, or a stop is set."""
        return bool(self._resting or self._stops)

    # --- what the market does ---

    def on_books(self, touched: Sequence[int], now_ms: int) -> list[OrderEvent]:
        """Books have changed: places move, crossed orders trade."""
        changed = set(touched)
        for client_id, resting in self._resting.items():
            order = resting.order
            if order.instrument in changed:
                shown = self._shown(order)
                if shown is not None:
                    self._places[client_id].on_shown(self.assumptions.queue, shown)
        events = super().on_books(touched, now_ms)
        self._forget_places()
        return events

    def on_trades(self, trades: Sequence[Trade], now_ms: int) -> list[OrderEvent]:
        """Public trades reach resting orders at their price, or go through them."""
        events: list[OrderEvent] = []
        for trade in trades:
            left = trade.qty
            for client_id, resting in list(self._resting.items()):
                order = resting.order
                if order.instrument != trade.instrument or order.side is trade.side:
                    continue
                beyond = (order.px - trade.px) * order.side  # above 0: worse than our price
                if beyond < 0:
                    continue
                place = self._places[client_id]
                reached = place.on_trade(left) if beyond == 0 else left
                if beyond > 0:
                    place.ahead = 0
                qty = min(resting.left, reached)
                if qty <= 0:
                    continue
                left -= qty
                resting.cum_qty += qty
                events.append(self._execution(resting, order.px, qty, True, now_ms))
                status = "PartiallyFilled" if resting.left else "Filled"
                if not resting.left:
                    del self._resting[client_id]
                events += [
                    self._row(resting, status, now_ms),
                    self._position(order.instrument, now_ms),
                    self._wallet(),
                ]
        self._forget_places()
        return events

    def fund(self, instrument: int, rate: Decimal, mark: Decimal, now_ms: int) -> list[OrderEvent]:
        """Funding is exchanged: longs pay a positive rate on the value at the mark price."""
        held = self._ledger.qty(instrument)
        if not held:
            return []
        self._ids += 1
        one = self._instruments[instrument]
        paid = (mark * one.qty_decimal(held) * rate).quantize(Decimal("1e-8"))
        funding = Execution(
            exec_id=f"paper-{self._ids}",
            client_id="",
            order_id="",
            instrument=instrument,
            side=Side.SELL if held > 0 else Side.BUY,
            px=int(mark.scaleb(one.price_scale)),
            qty=abs(held),
            fee=paid,
            fee_coin=one.settle or one.quote,
            is_maker=False,
            exec_type="Funding",
            ts_ms=now_ms,
        )
        self._ledger.apply(funding)
        return [funding, self._wallet()]

    # --- orders ---

    def _place(self, order: PlaceOrder, now_ms: int) -> list[OrderEvent]:
        share = self.assumptions.reject_share
        if share and self._rng.random() < share:
            self.refused += 1
            reason = "server busy (an assumed refusal)"
            return [OrderRejected(client_id=order.client_id, code=10016, reason=reason)]
        events = super()._place(order, now_ms)
        if order.client_id in self._resting:
            self._places[order.client_id] = Place(self.assumptions.queue, self._shown(order) or 0)
        return events

    def _amend(self, amend: AmendOrder, now_ms: int) -> list[OrderEvent]:
        before = self._resting.get(amend.client_id)
        old = None if before is None else before.order
        events = super()._amend(amend, now_ms)
        after = self._resting.get(amend.client_id)
        if after is not None and old is not None:
            order = after.order
            if order.px != old.px or order.qty > old.qty:  # to the end of the queue
                shown = self._shown(order) or 0
                self._places[amend.client_id] = Place(self.assumptions.queue, shown)
        self._forget_places()
        return events

    def _matches(self, order: PlaceOrder) -> list[tuple[int, int]]:
        found = super()._matches(order)
        share = self.assumptions.take_share
        if share == 1.0:
            return found
        lot = self._instruments[order.instrument].lot
        cut = [(px, int(qty * share) // lot * lot) for px, qty in found]
        return [(px, qty) for px, qty in cut if qty > 0]

    def _shown(self, order: PlaceOrder) -> int | None:
        """Displayed at the order's price; None where the book does not reach that far."""
        book = self._books[order.instrument]
        if book.state is not BookState.SYNCED:
            return None
        bids, asks = book.levels()
        levels = bids if order.side is Side.BUY else asks
        for px, qty in levels:
            if px == order.px:
                return qty
            if (order.px - px) * order.side > 0:
                return 0
        return None

    def _forget_places(self) -> None:
        if len(self._places) > len(self._resting):
            self._places = {k: p for k, p in self._places.items() if k in self._resting}
