"""Orders on books: matching, resting, ending, and booking what was matched.

Owns what every other part of the venue shares: the books, the accounts, the resting orders and
the sequence number. Checks nothing: an order that comes here has been admitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from fastbook.replay.accounts import Account, Order
from fastbook.replay.clearing import Clearing, Told, VenueRules
from fastbook.replay.margin import Prices
from fastbook.replay.money import minus, notional, times
from fastbook.replay.order import SmpType
from fastbook.types import Category, Instrument, Side, TimeInForce

Fill = tuple[int, int, int, int]
"""(maker order number, maker owner, px, qty), as a matching book reports it."""
MarketFill = tuple[int, int, int, int, int]
"""(maker order number, maker owner, taker side, px, qty): the market took from an account."""


class MatchingBookLike(Protocol):
    """A price-time priority book of whole orders. Owner 0 is the anonymous market."""

    def match(self, side: int, px: int, qty: int) -> list[Fill]: ...
    def rest(self, order_id: int, side: int, px: int, qty: int, owner: int = 0) -> None: ...
    def cancel(self, order_id: int) -> int: ...
    def reduce(self, order_id: int, remaining: int) -> int: ...
    def ahead(self, order_id: int) -> int: ...
    def best_bid(self) -> int: ...
    def best_ask(self) -> int: ...
    def crosses(self, side: int, px: int) -> bool: ...
    def available(self, side: int, px: int) -> int: ...
    def levels(self, side: int, n: int | None = None) -> list[tuple[int, int]]: ...


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade that an account made as taker; all trades of one order share `seq`."""

    index: int
    side: Side
    px: int
    qty: int
    ts_ms: int
    trade_id: str
    seq: int


AfterFills = Callable[[Account, Instrument, Told, int], None]
"""(account, instrument, what happened, now): what positions need after their fills."""


class Matcher:
    """Matches admitted orders and keeps accounts and books in step."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[MatchingBookLike],
        rules: VenueRules,
        accounts: dict[int, Account],
        prices: Prices,
        clearing: Clearing,
    ) -> None:
        self.instruments = instruments
        self.books = books
        self.rules = rules
        self.accounts = accounts
        self.prices = prices
        self.clearing = clearing
        self.resting: dict[int, Order] = {}  # by number, orders of accounts on the books
        self.after_fills: AfterFills | None = None
        self.reduce_only_overruns = 0  # reduce-only fills beyond the position, see _trim
        self._numbers = 0
        self._seq = 9_000_000_000
        self._trades: list[PublicTrade] = []

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def take_trades(self) -> list[PublicTrade]:
        trades, self._trades = self._trades, []
        return trades

    # Orders in.

    def enter(self, order: Order, now_ms: int, *, exec_type: str = "Trade") -> None:
        """Match an order and rest or end what is left of it; tell everybody."""
        account = self.accounts[order.account]
        seq = self.next_seq()
        told: dict[int, Told] = {account.number: Told(account.silent)}
        if order.quote_budget:
            self._size_by_quote(order)
        book = self.books[order.instrument.index]
        wanted = order.leaves
        if order.tif is TimeInForce.POST_ONLY and book.crosses(order.side, order.px):
            self.end(order, "UNKNOWN", "EC_PostOnlyWillTakeLiquidity")
        elif order.tif is TimeInForce.FOK and self._fillable(account, order) < wanted:
            self.end(order, "UNKNOWN", "EC_CancelForNoFullFill")
        elif wanted and order.smp_type is not SmpType.NONE:
            self._match_sparing_own(account, order, told, now_ms, seq, exec_type)
        elif wanted:
            fills = book.match(order.side, order.px, wanted)
            self._sweep(order, fills, told, now_ms, seq, exec_type)
        if order.open:
            self._settle_rest(account, order)
        told[account.number].note(order)
        self.tell_all(order.instrument, told, now_ms, seq)

    def _settle_rest(self, account: Account, order: Order) -> None:
        """Decide what becomes of an order after it took all that it could."""
        if order.quote_budget:
            dust = order.cum_value < order.quote_budget
            if order.cum_qty and not dust:
                self.end(order, "UNKNOWN", "EC_NoError", "Filled")
            else:
                self.end(order, "UNKNOWN", "EC_CancelForNoFullFill")
        elif order.cum_qty == order.qty:
            self.end(order, "UNKNOWN", "EC_NoError", "Filled")
        elif order.tif in (TimeInForce.GTC, TimeInForce.POST_ONLY):
            if order.cum_qty:
                order.status = "PartiallyFilled"
            book = self.books[order.instrument.index]
            book.rest(order.number, order.side, order.px, order.leaves, order.account)
            self.resting[order.number] = order
            order.rested = True
            account.set_resting(order, add=True)
        else:
            self.end(order, "UNKNOWN", "EC_NoImmediateQtyToFill")

    def _size_by_quote(self, order: Order) -> None:
        """Turn the quote budget of a spot market buy into what it buys on the present book."""
        lot, left = order.instrument.lot, order.quote_budget
        one = notional(order.instrument, 1, 1)  # value of the smallest price times quantity
        order.qty = 0
        for px, offered in self.books[order.instrument.index].levels(-order.side):
            if px > order.px:
                break
            affordable = int(left // times(Decimal(px), one))
            qty = min(offered, affordable - affordable % lot)
            order.qty += qty
            left = minus(left, notional(order.instrument, px, qty))
            if qty < offered:
                break

    # Self-match prevention: the flag of the incoming order decides.

    def _own_in_reach(self, account: Account, taker: Order) -> list[Order]:
        """Resting orders of the account that `taker` could meet, first in line first."""
        mine = [
            order
            for order in account.open_orders.values()
            if order.number in self.resting
            and order.instrument is taker.instrument
            and order.side is not taker.side
            and (taker.px - order.px) * taker.side >= 0
        ]
        book = self.books[taker.instrument.index]
        return sorted(mine, key=lambda o: (o.px * taker.side, book.ahead(o.number)))

    def _ahead(self, taker: Order, own: Order) -> int:
        """Quantity that `taker` would trade before it meets `own`."""
        book = self.books[taker.instrument.index]
        better = sum(qty for px, qty in book.levels(own.side) if (own.px - px) * taker.side > 0)
        return better + book.ahead(own.number)

    def _fillable(self, account: Account, taker: Order) -> int:
        """What a FOK order could fill, self-match prevention considered."""
        there = self.books[taker.instrument.index].available(taker.side, taker.px)
        if taker.smp_type is SmpType.NONE:
            return there
        own = self._own_in_reach(account, taker)
        if taker.smp_type is SmpType.CANCEL_MAKER:
            return there - sum(order.leaves for order in own)
        return self._ahead(taker, own[0]) if own else there

    def _match_sparing_own(
        self, account: Account, taker: Order, told: dict[int, Told], now_ms: int, seq: int,
        exec_type: str,
    ) -> None:  # fmt: skip
        book = self.books[taker.instrument.index]
        for own in self._own_in_reach(account, taker):
            before = self._ahead(taker, own)
            if before >= taker.leaves:
                break
            if before:
                fills = book.match(taker.side, taker.px, before)
                self._sweep(taker, fills, told, now_ms, seq, exec_type)
            if taker.smp_type is not SmpType.CANCEL_TAKER:
                own.smp_order_id, own.updated_ms = taker.order_id, now_ms
                self.take_off(own)
                self.end(own, "CancelBySmp", "EC_BySelfMatch")
                told[account.number].note(own)
            if taker.smp_type is not SmpType.CANCEL_MAKER:
                taker.smp_order_id = own.order_id
                self.end(taker, "CancelBySmp", "EC_BySelfMatch")
                return
        if taker.leaves:
            fills = book.match(taker.side, taker.px, taker.leaves)
            self._sweep(taker, fills, told, now_ms, seq, exec_type)

    # Fills.

    def _sweep(
        self,
        taker: Order,
        fills: Sequence[Fill],
        told: dict[int, Told],
        now_ms: int,
        seq: int,
        exec_type: str,
    ) -> None:
        """Book the fills of one taker on both sides, in their order."""
        instrument = taker.instrument
        for maker_number, owner, px, qty in fills:
            self.prices.set_last(instrument.index, px)
            trade_id = self.clearing.new_id(instrument.category)
            row = self.clearing.book_fill(
                taker, px, qty, is_maker=False, now_ms=now_ms, seq=seq, exec_id=trade_id,
                exec_type=exec_type,
            )  # fmt: skip
            mine = told.setdefault(taker.account, Told(self.accounts[taker.account].silent))
            mine.executions.append(row)
            mine.fills.append((taker, qty))
            if taker.rested:  # a maker that an amend has made a taker
                mine.nameless.add(trade_id)
            self._trades.append(
                PublicTrade(instrument.index, taker.side, px, qty, now_ms, trade_id, seq)
            )
            if owner:
                self._fill_maker(told, self.resting[maker_number], px, qty, now_ms, seq)

    def _fill_maker(
        self, told: dict[int, Told], maker: Order, px: int, qty: int, now_ms: int, seq: int
    ) -> None:
        account = self.accounts[maker.account]
        account.change_resting(maker, -qty)
        exec_id = self.clearing.new_id(maker.instrument.category)
        position = account.positions.get(maker.key)
        if maker.reduce_only and (position is None or position.qty * maker.side >= 0):
            self.reduce_only_overruns += 1
        row = self.clearing.book_fill(
            maker, px, qty, is_maker=True, now_ms=now_ms, seq=seq, exec_id=exec_id
        )
        if maker.cum_qty == maker.qty:
            account.working[maker.key].orders -= 1
            del self.resting[maker.number]
            self.end(maker, "UNKNOWN", "EC_NoError", "Filled")
        else:
            maker.status = "PartiallyFilled"
        mine = told.setdefault(maker.account, Told(account.silent))
        mine.note(maker)
        mine.executions.append(row)
        mine.fills.append((maker, qty))

    def on_market_fills(
        self, index: int, fills: Sequence[MarketFill], now_ms: int, seq: int
    ) -> None:
        """The anonymous market took from account orders: book it. Fills in their order."""
        told: dict[int, Told] = {}
        for number, _owner, _side, px, qty in fills:
            self.prices.set_last(index, px)
            self._fill_maker(told, self.resting[number], px, qty, now_ms, seq)
        self.tell_all(self.instruments[index], told, now_ms, seq)

    def tell_all(
        self, instrument: Instrument, told: dict[int, Told], now_ms: int, seq: int
    ) -> None:
        for number, rows in told.items():
            account = self.accounts[number]
            if instrument.category is not Category.SPOT:
                for idx in account.indexes(instrument):
                    self._trim(account, instrument, idx, rows, now_ms)
                if self.after_fills is not None and rows.fills:
                    self.after_fills(account, instrument, rows, now_ms)
            self.clearing.tell(account, instrument, rows, now_ms, seq)

    def _trim(
        self, account: Account, instrument: Instrument, idx: int, told: Told, now_ms: int
    ) -> None:
        """Keep the sum of resting reduce-only orders within the position; the newest give way.

        One sweep of the market can still hit a plain and a reduce-only order before this
        runs; such a fill is booked as it happened and counted in `reduce_only_overruns`.
        """
        held = account.position(instrument, idx).qty
        room = abs(held)
        book = self.books[instrument.index]
        for order in list(account.open_orders.values()):
            if not order.reduce_only or order.key != (instrument.index, idx):
                continue
            if order.number not in self.resting:
                continue
            allowed = room if order.side * held < 0 else 0
            if order.leaves <= allowed:
                room -= order.leaves
                continue
            order.updated_ms = now_ms
            if allowed == 0:
                self.take_off(order)
                self.end(order, "CancelByReduceOnly", "EC_NoError")
            else:
                book.reduce(order.number, allowed)
                order.qty = order.cum_qty + allowed
                room = 0
            told.note(order)

    # Orders out.

    def take_off(self, order: Order) -> None:
        """Remove an order from its book and from the working sums, if it is there."""
        if order.number in self.resting:
            self.books[order.instrument.index].cancel(order.number)
            del self.resting[order.number]
            self.accounts[order.account].set_resting(order, add=False)

    def end(self, order: Order, cancel_type: str, reason: str, status: str = "Cancelled") -> None:
        """Close an order that is on no book (any more)."""
        if status == "Cancelled" and order.instrument.category is Category.SPOT:
            if order.cum_qty:
                status = "PartiallyFilledCanceled"
            elif order.waiting:
                status = "Deactivated"
        order.status, order.cancel_type, order.reject_reason = status, cancel_type, reason
        self.accounts[order.account].close_order(order)

    def cancel(self, order: Order, now_ms: int, cancel_type: str = "CancelByUser") -> None:
        """End an open order, resting or waiting, and tell its owner."""
        by_user = cancel_type == "CancelByUser"
        self.take_off(order)
        self.end(order, cancel_type, "EC_PerCancelRequest" if by_user else "EC_NoError")
        self.clearing.tell_order(order, now_ms, self.next_seq())
