"""Paper fills against the books we hold: for market data of a real venue and no order to it.

What it assumes, and gets wrong: an order sees the book as it is when it arrives; it takes what
is displayed up to its price and moves nobody; what it has taken at a price is gone until the
book's next update, then everything shown is there again. A resting order fills, as maker and
at its own price, only when the other side of the book comes to it, and at most for what is shown
there; its place in the queue is not modelled. A position's stops are looked at when its book
changes, by the side that would close it, and close it at once by what is displayed; what is not
displayed stays open, and stays stopped. The exchange in the wheel does all of this properly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

from fastbook.core.book import Book
from fastbook.core.states import BookState
from fastbook.execution import Portfolio
from fastbook.types import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    CancelRejected,
    Category,
    Command,
    Execution,
    Instrument,
    OrderAbsent,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    SetStops,
    Side,
    StopsRejected,
    StopsSet,
    TimeInForce,
    WalletSnapshot,
)

_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_QUANTUM = Decimal("1e-12")
_ANY_PX = 10**18 - 1
RESTING_MAX = 500
"""Resting orders; one more is refused, as the venue does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFees:
    """Shares of the value. Defaults are the venue's for perpetuals without a VIP level."""

    taker: Decimal = Decimal("0.00055")
    maker: Decimal = Decimal("0.0002")


SPOT_FEES = PaperFees(taker=Decimal("0.001"), maker=Decimal("0.001"))


@dataclass(slots=True)
class _Resting:
    order: PlaceOrder
    order_id: str
    cum_qty: int = 0

    @property
    def left(self) -> int:
        return self.order.qty - self.cum_qty


@dataclass(slots=True)
class _Taken:
    """What was taken from one book since its last update."""

    u: int = -1
    at: dict[tuple[Side, int], int] = field(default_factory=dict)


class PaperVenue:
    """One paper account. Synchronous; time comes in, events come out."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[Book],
        *,
        balance: Decimal,
        fees: PaperFees | None = None,
    ) -> None:
        self._instruments = instruments
        self._books = books
        spot = instruments[0].category is Category.SPOT
        self._fees = fees or (SPOT_FEES if spot else PaperFees())
        self._ledger = Portfolio(instruments, balance=balance)
        self._resting: dict[str, _Resting] = {}
        self._taken = [_Taken() for _ in instruments]
        self._stops: dict[int, SetStops] = {}  # by instrument; only while a position is open
        self._ids = 0

    def execute(self, command: Command, now_ms: int) -> list[OrderEvent]:
        """What the venue would answer, and do."""
        match command:
            case PlaceOrder():
                return self._place(command, now_ms)
            case CancelOrder():
                return self._cancel(command.client_id, now_ms)
            case AmendOrder():
                return self._amend(command, now_ms)
            case CancelAll():
                return [e for cid in list(self._resting) for e in self._cancel(cid, now_ms)]
            case QueryOrder():
                return self._query(command.client_id, now_ms)
            case SetStops():
                return self._set_stops(command, now_ms)

    def on_books(self, touched: Sequence[int], now_ms: int) -> list[OrderEvent]:
        """Books have changed: resting orders and stops may trade. O(resting orders and stops)."""
        events: list[OrderEvent] = []
        if not self._resting and not self._stops:
            return events
        changed = set(touched)
        for resting in list(self._resting.values()):
            if resting.order.instrument in changed:
                events += self._fill(resting, now_ms, maker=True)
        for index in changed & self._stops.keys():
            events += self._try_stops(index, now_ms)
        return events

    def snapshot(self, now_ms: int) -> list[OrderEvent]:
        """Everything the account is, as a reconciliation would find it."""
        events: list[OrderEvent] = [
            self._row(r, "PartiallyFilled" if r.cum_qty else "New", now_ms)
            for r in self._resting.values()
        ]
        return [*events, *(self._position(i.index, now_ms) for i in self._instruments),
                self._wallet()]  # fmt: skip

    # --- orders -------------------------------------------------------------------------------

    def _place(self, order: PlaceOrder, now_ms: int) -> list[OrderEvent]:
        refusal = self._refusal(order)
        if refusal:
            return [OrderRejected(client_id=order.client_id, code=10001, reason=refusal)]
        self._ids += 1
        resting = _Resting(order, f"paper-{self._ids}")
        events: list[OrderEvent] = [
            OrderAccepted(client_id=order.client_id, order_id=resting.order_id)
        ]
        crosses = bool(self._matches(order))
        if order.tif is TimeInForce.POST_ONLY and crosses:
            return [
                *events,
                self._row(resting, "Cancelled", now_ms, "EC_PostOnlyWillTakeLiquidity"),
            ]
        shown = sum(qty for _, qty in self._matches(order))
        if order.tif is not TimeInForce.FOK or shown >= order.qty:
            events += self._fill(resting, now_ms, maker=False)
        if not resting.left:
            return events
        immediate = order.tif in (TimeInForce.IOC, TimeInForce.FOK)
        if immediate or order.order_type is OrderType.MARKET:
            return [*events, self._row(resting, "Cancelled", now_ms, "EC_NoImmediateQtyToFill")]
        self._resting[order.client_id] = resting
        return [*events, self._row(resting, "New", now_ms)] if not resting.cum_qty else events

    def _refusal(self, order: PlaceOrder) -> str:
        instrument, book = self._instruments[order.instrument], self._books[order.instrument]
        if book.state is not BookState.SYNCED:
            return f"the book is {book.state.name}: paper cannot say what this would trade at"
        scales = (instrument.price_scale, instrument.qty_scale)
        if (book.price_scale, book.qty_scale) != scales:
            return "the venue shows more decimals than the instrument has"
        if len(self._resting) >= RESTING_MAX:
            return f"more than {RESTING_MAX} resting orders"
        if order.reduce_only and order.qty > -order.side * self._ledger.qty(order.instrument):
            return "reduce-only, and more than the position"
        return ""

    def _matches(self, order: PlaceOrder) -> list[tuple[int, int]]:
        """Displayed (px, qty) that the order may take, best first."""
        book, taken = self._books[order.instrument], self._taken[order.instrument]
        if taken.u != book.u:
            taken.u = book.u
            taken.at.clear()
        bids, asks = book.levels()
        levels = asks if order.side is Side.BUY else bids
        found = []
        for px, qty in levels:
            if (px - order.px) * order.side > 0:
                break
            left = qty - taken.at.get((order.side, px), 0)
            if left > 0:
                found.append((px, left))
        return found

    def _fill(self, resting: _Resting, now_ms: int, *, maker: bool) -> list[OrderEvent]:
        order = resting.order
        events: list[OrderEvent] = []
        for shown_px, shown_qty in self._matches(order):
            qty = min(resting.left, shown_qty)
            if not qty:
                break
            taken = self._taken[order.instrument].at
            taken[order.side, shown_px] = taken.get((order.side, shown_px), 0) + qty
            resting.cum_qty += qty
            px = order.px if maker else shown_px
            events.append(self._execution(resting, px, qty, maker, now_ms))
        if not events:
            return []
        status = "PartiallyFilled" if resting.left else "Filled"
        if not resting.left:
            self._resting.pop(order.client_id, None)
        return [*events, self._row(resting, status, now_ms),
                self._position(order.instrument, now_ms), self._wallet()]  # fmt: skip

    def _execution(
        self, resting: _Resting, px: int, qty: int, maker: bool, now_ms: int
    ) -> Execution:
        order = resting.order
        instrument = self._instruments[order.instrument]
        rate = self._fees.maker if maker else self._fees.taker
        base_fee = instrument.category is Category.SPOT and order.side is Side.BUY
        amount = instrument.qty_decimal(qty) if base_fee else instrument.notional(px, qty)
        self._ids += 1
        execution = Execution(
            exec_id=f"paper-{self._ids}",
            client_id=order.client_id,
            order_id=resting.order_id,
            instrument=order.instrument,
            side=order.side,
            px=px,
            qty=qty,
            fee=_EXACT.quantize(_EXACT.multiply(amount, rate), _QUANTUM),
            fee_coin=instrument.base if base_fee else instrument.settle or instrument.quote,
            is_maker=maker,
            exec_type="Trade",
            ts_ms=now_ms,
        )
        self._ledger.apply(execution)
        self._keep_stops(order)
        return execution

    def _cancel(self, client_id: str, now_ms: int) -> list[OrderEvent]:
        resting = self._resting.pop(client_id, None)
        if resting is None:
            return [
                CancelRejected(
                    client_id=client_id, code=110001, reason="order not exists or too late"
                )
            ]
        return [self._row(resting, "Cancelled", now_ms, "EC_PerCancelRequest")]

    def _amend(self, amend: AmendOrder, now_ms: int) -> list[OrderEvent]:
        resting = self._resting.get(amend.client_id)
        qty = resting.order.qty if resting and amend.qty is None else amend.qty
        if resting is None or qty is None or qty <= resting.cum_qty:
            code, reason = (110001, "order not exists or too late") if resting is None else (
                110064, "quantity is not above what has traded")  # fmt: skip
            return [CancelRejected(client_id=amend.client_id, code=code, reason=reason)]
        px = resting.order.px if amend.px is None else amend.px
        resting.order = replace(resting.order, px=px, qty=qty)
        status = "PartiallyFilled" if resting.cum_qty else "New"
        return [self._row(resting, status, now_ms), *self._fill(resting, now_ms, maker=False)]

    # --- stops --------------------------------------------------------------------------------

    def _set_stops(self, wanted: SetStops, now_ms: int) -> list[OrderEvent]:
        index = wanted.instrument
        if not self._ledger.qty(index):
            reason = "can not set tp/sl/ts for zero position"
            return [StopsRejected(instrument=index, code=10001, reason=reason)]
        if wanted.stop_loss_px or wanted.take_profit_px:
            self._stops[index] = wanted
        else:
            self._stops.pop(index, None)
        taken = StopsSet(
            instrument=index,
            stop_loss_px=wanted.stop_loss_px,
            take_profit_px=wanted.take_profit_px,
        )
        return [taken, self._position(index, now_ms), *self._try_stops(index, now_ms)]

    def _keep_stops(self, order: PlaceOrder) -> None:
        """After a fill: an entry brings its stops, a position that is gone takes them along."""
        if not self._ledger.qty(order.instrument):
            self._stops.pop(order.instrument, None)
        elif order.stop_loss_px or order.take_profit_px:
            self._stops[order.instrument] = SetStops(
                instrument=order.instrument,
                stop_loss_px=order.stop_loss_px,
                take_profit_px=order.take_profit_px,
            )

    def _try_stops(self, index: int, now_ms: int) -> list[OrderEvent]:
        stops, book, held = self._stops.get(index), self._books[index], self._ledger.qty(index)
        if stops is None or book.state is not BookState.SYNCED:
            return []
        sign = 1 if held > 0 else -1
        px = book.best_bid_px if held > 0 else book.best_ask_px
        lost = 0 < px and stops.stop_loss_px and (px - stops.stop_loss_px) * sign <= 0
        won = 0 < px and stops.take_profit_px and (px - stops.take_profit_px) * sign >= 0
        if not lost and not won:
            return []
        self._ids += 1
        closing = PlaceOrder(
            client_id="",  # the venue's own order, as there
            instrument=index,
            side=Side.SELL if held > 0 else Side.BUY,
            px=1 if held > 0 else _ANY_PX,
            qty=abs(held),
            order_type=OrderType.MARKET,
            tif=TimeInForce.IOC,
            reduce_only=True,
        )
        return self._fill(_Resting(closing, f"paper-stop-{self._ids}"), now_ms, maker=False)

    def _query(self, client_id: str, now_ms: int) -> list[OrderEvent]:
        resting = self._resting.get(client_id)
        if resting is None:
            return [OrderAbsent(client_id=client_id, venue_time_ms=now_ms)]
        return [self._row(resting, "PartiallyFilled" if resting.cum_qty else "New", now_ms)]

    # --- rows ---------------------------------------------------------------------------------

    def _row(
        self, resting: _Resting, status: str, now_ms: int, reason: str = "EC_NoError"
    ) -> OrderUpdate:
        order = resting.order
        return OrderUpdate(
            client_id=order.client_id,
            order_id=resting.order_id,
            instrument=order.instrument,
            status=status,
            px=order.px,
            qty=order.qty,
            cum_qty=resting.cum_qty,
            reject_reason=reason,
            updated_ms=now_ms,
        )

    def _position(self, index: int, now_ms: int) -> PositionSnapshot:
        ledger, qty = self._ledger, self._ledger.qty(index)
        size, stops = self._instruments[index].qty_decimal(abs(qty)), self._stops.get(index)
        return PositionSnapshot(
            instrument=index,
            qty=qty,
            entry_px=_EXACT.divide(ledger.cost(index), size) if qty else Decimal(0),
            realized_pnl=ledger.realized_of(index),
            seq=self._ids,
            updated_ms=now_ms,
            stop_loss_px=stops.stop_loss_px if stops else 0,
            take_profit_px=stops.take_profit_px if stops else 0,
        )

    def _wallet(self) -> WalletSnapshot:
        balance = self._ledger.balance
        assert balance is not None  # given at the start
        return WalletSnapshot(coin=self._ledger.coin, balance=balance, equity=balance)
