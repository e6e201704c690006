"""The bundled venue: accounts and orders on matching books. No sockets, no clock.

One `Venue` holds every symbol and every account. Time is handed in. What happened is queued
per account as v5 rows (`take_events`) and as public trades (`take_trades`); whoever owns the
sockets, or a backtest, collects them after each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from fastbook.errors import VenueError
from fastbook.replay import intake
from fastbook.replay.accounts import Account, Event, Order, Working
from fastbook.replay.clearing import Clearing, Told, VenueRules
from fastbook.replay.intake import NewOrder, parse_new_order, text_of
from fastbook.replay.margin import Figures, Prices, symbol_margin
from fastbook.replay.money import ZERO, minus, notional, plus, times
from fastbook.replay.rows import order_row
from fastbook.types import Category, Instrument, OrderType, Side, TimeInForce

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


class Venue:
    """Accounts, orders and matching for any number of symbols. Synchronous; not thread-safe."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[MatchingBookLike],
        rules: VenueRules | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """`books[i]` belongs to `instruments[i]`, whose `index` must be i.

        Order numbers given to the books are positive; other users of them take negative ones.
        """
        self.instruments = instruments
        self.rules = rules or VenueRules()
        self.prices = Prices(instruments, books)
        self._books = books
        self._by_key = {(str(i.category), i.symbol): i for i in instruments}
        self._accounts: dict[int, Account] = {}
        self._clearing = Clearing(instruments, self.prices, self.rules, self._accounts, seed)
        self._resting: dict[int, Order] = {}  # by number, orders of accounts on the books
        self._numbers = 0
        self._seq = 9_000_000_000
        self._trades: list[PublicTrade] = []
        self.reduce_only_overruns = 0  # reduce-only fills beyond the position, see _trim

    def next_seq(self) -> int:
        """The next cross sequence number: one counter for everything that matches."""
        self._seq += 1
        return self._seq

    # Accounts and what they may read.

    def open_account(self, balances: Mapping[str, Decimal]) -> int:
        """Open an account with these coins; returns its number, which is also its owner id."""
        number = len(self._accounts) + 1
        self._accounts[number] = Account(
            number,
            dict(balances),
            closed_orders_max=self.rules.closed_orders_max,
            executions_max=self.rules.executions_max,
            events_max=self.rules.events_max,
        )
        return number

    def account(self, number: int) -> Account:
        """KeyError when there is no such account."""
        return self._accounts[number]

    def figures(self, number: int) -> Figures:
        """What the account is worth at present marks. O(positions + symbols with orders)."""
        return self._clearing.figures(self._accounts[number])

    def take_events(self, number: int) -> list[Event]:
        """What the owner of the account has not been told yet, oldest first."""
        return self._accounts[number].take_events()

    def take_trades(self) -> list[PublicTrade]:
        """Trades made by accounts as takers since the last call."""
        trades, self._trades = self._trades, []
        return trades

    def instrument(self, category: str, symbol: str) -> Instrument:
        """VenueError 10001 when the venue does not list it."""
        found = self._by_key.get((category, symbol))
        if found is None:
            raise VenueError(intake.PARAMETER_ERROR, "params error: symbol invalid")
        return found

    # Orders in.

    def place(self, number: int, params: Mapping[str, object], now_ms: int) -> Order:
        """Take a v5 create request. The order that comes back may already have ended.

        Raises VenueError with the venue's code; nothing has changed then.
        """
        account = self._accounts[number]
        instrument = self.instrument(text_of(params, "category"), text_of(params, "symbol"))
        if not instrument.trading:
            raise VenueError(intake.PARAMETER_ERROR, "params error: symbol is not trading")
        new = parse_new_order(params, instrument)
        spot = instrument.category is Category.SPOT
        if new.link_id and new.link_id in account.links:
            code = intake.SPOT_DUPLICATE_LINK_ID if spot else intake.DUPLICATE_LINK_ID
            raise VenueError(code, "OrderLinkedID is duplicate")
        qty = self._reduced_qty(account, instrument, new) if new.reduce_only else new.qty
        px = self._entry_px(instrument, new)
        working = account.working.setdefault(instrument.index, Working())
        active = len(account.open_orders) if spot else working.orders
        if active >= self.rules.active_orders_max:
            code = intake.SPOT_TOO_MANY_ORDERS if spot else intake.TOO_MANY_ORDERS
            raise VenueError(code, "The number of active orders exceeds the limit")
        self._check_value(instrument, new, px, qty)
        if spot:
            self._check_coins(account, instrument, new, px, qty)
        elif not new.reduce_only:
            self._check_margin(account, instrument, new.side, px, qty)
        self._numbers += 1
        order = Order(
            number=self._numbers,
            order_id=self._clearing.new_id(instrument.category),
            link_id=new.link_id,
            account=number,
            instrument=instrument,
            side=new.side,
            order_type=new.order_type,
            tif=new.tif,
            px=px,
            qty=qty,
            reduce_only=new.reduce_only,
            close_on_trigger=new.close_on_trigger,
            created_ms=now_ms,
            updated_ms=now_ms,
            last_px=self.prices.last(instrument.index),
            market_unit=new.market_unit,
            quote_budget=new.quote_budget,
        )
        account.add_order(order)
        self._enter(account, order, now_ms)
        return order

    def _reduced_qty(self, account: Account, instrument: Instrument, new: NewOrder) -> int:
        """A reduce-only quantity: no more than the position, which must be on the other side."""
        position = account.positions.get(instrument.index)
        held = position.qty if position is not None else 0
        if held * new.side >= 0:
            raise VenueError(
                intake.REDUCE_ONLY_NO_POSITION,
                "current position is zero, cannot fix reduce-only order qty",
            )
        return min(new.qty, abs(held)) if new.qty else abs(held)

    def _entry_px(self, instrument: Instrument, new: NewOrder) -> int:
        """The limit price that the order gets on the book."""
        if new.order_type is OrderType.MARKET:
            px = self.prices.protection_px(instrument, new.side, self.rules.market_band)
            if px <= 0:
                raise VenueError(intake.NO_MARKET_PRICE, "no market price")
            return px
        worst = self.prices.worst_limit_px(instrument, new.side, self.rules.limit_band)
        if worst <= 0 or (worst - new.px) * new.side >= 0:
            return new.px
        if instrument.category is Category.SPOT:
            buy = new.side is Side.BUY
            code = intake.SPOT_PRICE_TOO_HIGH if buy else intake.SPOT_PRICE_TOO_LOW
            raise VenueError(code, "Order price is outside the allowed range")
        if not self.rules.clamp_limit_px:
            raise VenueError(intake.PRICE_OUT_OF_RANGE, "Order price exceeds the allowable range")
        return worst

    @staticmethod
    def _check_value(instrument: Instrument, new: NewOrder, px: int, qty: int) -> None:
        if new.reduce_only or new.quote_budget:
            return
        if notional(instrument, px, qty) < instrument.notional_min:
            spot = instrument.category is Category.SPOT
            raise VenueError(
                intake.SPOT_VALUE_TOO_SMALL if spot else intake.NOTIONAL_TOO_SMALL,
                f"Order does not meet minimum order value {instrument.notional_min}"
                f"{instrument.quote}",
            )

    def _check_coins(
        self, account: Account, instrument: Instrument, new: NewOrder, px: int, qty: int
    ) -> None:
        """A spot order must be covered by coins that are not locked."""
        if new.side is Side.SELL:
            coin, need = instrument.base, instrument.qty_decimal(qty)
        else:
            coin = instrument.quote
            need = new.quote_budget or notional(instrument, px, qty)
        if self._clearing.shortfall(account, coin, need):
            raise VenueError(intake.SPOT_INSUFFICIENT_BALANCE, "Insufficient balance.")

    def _check_margin(
        self, account: Account, instrument: Instrument, side: Side, px: int, qty: int
    ) -> None:
        """An order that raises the margin of its symbol must find that margin free."""
        index = instrument.index
        position, working = account.positions.get(index), account.working[index]
        after = Working(working.buy, working.sell)
        if side is Side.BUY:
            after.buy += px * qty
        else:
            after.sell += px * qty
        mark = self.prices.mark(index)
        leverage = min(self.rules.leverage, instrument.leverage_max)
        _, old = symbol_margin(instrument, position, working, mark, leverage)
        _, new = symbol_margin(instrument, position, after, mark, leverage)
        more = minus(new, old)
        if more <= 0:
            return
        fee = times(notional(instrument, px, qty), self.rules.linear_fees.taker)
        if self._clearing.shortfall(account, instrument.settle, plus(more, max(ZERO, fee))):
            raise VenueError(intake.INSUFFICIENT_BALANCE, "ab not enough for new order")

    # Matching.

    def _enter(self, account: Account, order: Order, now_ms: int) -> None:
        """Match a new order and rest or end what is left of it."""
        book = self._books[order.instrument.index]
        seq = self.next_seq()
        if order.quote_budget:
            self._size_by_quote(order)
        if order.tif is TimeInForce.POST_ONLY and book.crosses(order.side, order.px):
            self._end(order, "UNKNOWN", "EC_PostOnlyWillTakeLiquidity")
        elif order.tif is TimeInForce.FOK and book.available(order.side, order.px) < order.qty:
            self._end(order, "UNKNOWN", "EC_CancelForNoFullFill")
        fills = book.match(order.side, order.px, order.qty) if order.open and order.qty else []
        told = self._sweep(order, fills, now_ms, seq)
        if order.open:
            self._settle_rest(account, order)
        mine = told.setdefault(account.number, Told())
        mine.orders.append(order_row(order))
        self._tell_all(order.instrument, told, now_ms, seq)

    def _settle_rest(self, account: Account, order: Order) -> None:
        """Decide what becomes of an order after it took all that it could."""
        if order.quote_budget:
            dust = order.cum_value < order.quote_budget
            if order.cum_qty and not dust:
                self._end(order, "UNKNOWN", "EC_NoError", "Filled")
            else:
                self._end(order, "UNKNOWN", "EC_CancelForNoFullFill")
        elif order.cum_qty == order.qty:
            self._end(order, "UNKNOWN", "EC_NoError", "Filled")
        elif order.tif in (TimeInForce.GTC, TimeInForce.POST_ONLY):
            if order.cum_qty:
                order.status = "PartiallyFilled"
            book = self._books[order.instrument.index]
            book.rest(order.number, order.side, order.px, order.leaves, order.account)
            self._resting[order.number] = order
            account.set_resting(order, add=True)
        else:
            self._end(order, "UNKNOWN", "EC_NoImmediateQtyToFill")

    def _size_by_quote(self, order: Order) -> None:
        """Turn the quote budget of a spot market buy into what it buys on the present book."""
        lot, left = order.instrument.lot, order.quote_budget
        one = notional(order.instrument, 1, 1)  # value of the smallest price times quantity
        order.qty = 0
        for px, offered in self._books[order.instrument.index].levels(-order.side):
            if px > order.px:
                break
            affordable = int(left // times(Decimal(px), one))
            qty = min(offered, affordable - affordable % lot)
            order.qty += qty
            left = minus(left, notional(order.instrument, px, qty))
            if qty < offered:
                break

    def _sweep(
        self,
        taker: Order,
        fills: Sequence[Fill],
        now_ms: int,
        seq: int,
    ) -> dict[int, Told]:
        """Book the fills of one taker on both sides, in their order."""
        told: dict[int, Told] = {}
        instrument = taker.instrument
        for maker_number, owner, px, qty in fills:
            self.prices.set_last(instrument.index, px)
            trade_id = self._clearing.new_id(instrument.category)
            row = self._clearing.book_fill(
                taker, px, qty, is_maker=False, now_ms=now_ms, seq=seq, exec_id=trade_id
            )
            told.setdefault(taker.account, Told()).executions.append(row)
            self._trades.append(
                PublicTrade(instrument.index, taker.side, px, qty, now_ms, trade_id, seq)
            )
            if owner:
                self._fill_maker(told, self._resting[maker_number], px, qty, now_ms, seq)
        return told

    def _fill_maker(
        self, told: dict[int, Told], maker: Order, px: int, qty: int, now_ms: int, seq: int
    ) -> None:
        account = self._accounts[maker.account]
        account.change_resting(maker, -qty)
        exec_id = self._clearing.new_id(maker.instrument.category)
        position = account.positions.get(maker.instrument.index)
        if maker.reduce_only and (position is None or position.qty * maker.side >= 0):
            self.reduce_only_overruns += 1
        row = self._clearing.book_fill(
            maker, px, qty, is_maker=True, now_ms=now_ms, seq=seq, exec_id=exec_id
        )
        if maker.cum_qty == maker.qty:
            account.working[maker.instrument.index].orders -= 1
            del self._resting[maker.number]
            self._end(maker, "UNKNOWN", "EC_NoError", "Filled")
        else:
            maker.status = "PartiallyFilled"
        mine = told.setdefault(maker.account, Told())
        mine.orders.append(order_row(maker))
        mine.executions.append(row)

    def on_market_fills(
        self, index: int, fills: Sequence[MarketFill], now_ms: int, seq: int
    ) -> None:
        """The anonymous market took from account orders: book it. Fills in their order."""
        instrument = self.instruments[index]
        told: dict[int, Told] = {}
        for number, _owner, _side, px, qty in fills:
            self.prices.set_last(index, px)
            self._fill_maker(told, self._resting[number], px, qty, now_ms, seq)
        self._tell_all(instrument, told, now_ms, seq)

    def _tell_all(
        self, instrument: Instrument, told: dict[int, Told], now_ms: int, seq: int
    ) -> None:
        for number, rows in told.items():
            account = self._accounts[number]
            if instrument.category is not Category.SPOT:
                self._trim(account, instrument, rows, now_ms)
            self._clearing.tell(account, instrument, rows, now_ms, seq)

    def _trim(self, account: Account, instrument: Instrument, told: Told, now_ms: int) -> None:
        """Keep the sum of resting reduce-only orders within the position; the newest give way.

        One sweep of the market can still hit a plain and a reduce-only order before this
        runs; such a fill is booked as it happened and counted in `reduce_only_overruns`.
        """
        held = account.position(instrument).qty
        room = abs(held)
        book = self._books[instrument.index]
        for order in list(account.open_orders.values()):
            if not order.reduce_only or order.instrument is not instrument:
                continue
            if order.number not in self._resting:
                continue
            allowed = room if order.side * held < 0 else 0
            if order.leaves <= allowed:
                room -= order.leaves
                continue
            order.updated_ms = now_ms
            if allowed == 0:
                self._take_off(account, order)
                self._end(order, "CancelByReduceOnly", "EC_NoError")
            else:
                book.reduce(order.number, allowed)
                order.qty = order.cum_qty + allowed
                room = 0
            told.orders.append(order_row(order))

    def _take_off(self, account: Account, order: Order) -> None:
        """Remove a resting order from its book and from the working sums."""
        self._books[order.instrument.index].cancel(order.number)
        del self._resting[order.number]
        account.set_resting(order, add=False)

    def _end(self, order: Order, cancel_type: str, reason: str, status: str = "Cancelled") -> None:
        """Close an order that is on no book (any more)."""
        if status == "Cancelled" and order.cum_qty and order.instrument.category is Category.SPOT:
            status = "PartiallyFilledCanceled"
        order.status, order.cancel_type, order.reject_reason = status, cancel_type, reason
        self._accounts[order.account].close_order(order)

    # Orders out.

    def cancel(self, number: int, params: Mapping[str, object], now_ms: int) -> Order:
        """Take a v5 cancel request. VenueError 110001 (spot 170213) when nothing is open."""
        account = self._accounts[number]
        instrument = self.instrument(text_of(params, "category"), text_of(params, "symbol"))
        order_id, link_id = text_of(params, "orderId"), text_of(params, "orderLinkId")
        if not order_id and not link_id:
            raise VenueError(intake.PARAMETER_ERROR, "params error: orderId or orderLinkId needed")
        order = account.find(order_id, link_id)
        if order is None or not order.open or order.instrument is not instrument:
            spot = instrument.category is Category.SPOT
            raise VenueError(
                intake.SPOT_ORDER_NOT_FOUND if spot else intake.ORDER_NOT_FOUND,
                "order not exists or too late to cancel",
            )
        self._cancel(account, order, now_ms)
        return order

    def cancel_all(self, number: int, params: Mapping[str, object], now_ms: int) -> list[Order]:
        """Take a v5 cancel-all request; the orders that it cancelled, at most 500."""
        account = self._accounts[number]
        category = text_of(params, "category")
        if category not in {str(i.category) for i in self.instruments}:
            raise VenueError(intake.PARAMETER_ERROR, "params error: category invalid")
        symbol, base, settle = (
            text_of(params, key) for key in ("symbol", "baseCoin", "settleCoin")
        )
        if symbol:
            self.instrument(category, symbol)
        elif category != Category.SPOT and not (base or settle):
            raise VenueError(
                intake.PARAMETER_ERROR, "params error: symbol, baseCoin or settleCoin needed"
            )
        orders = [
            order
            for order in account.open_orders.values()
            if order.instrument.category == category
            and (order.instrument.symbol == symbol if symbol else True)
            and (symbol or not base or order.instrument.base == base)
            and (symbol or base or not settle or order.instrument.settle == settle)
        ][:500]
        for order in orders:
            self._cancel(account, order, now_ms)
        return orders

    def _cancel(self, account: Account, order: Order, now_ms: int) -> None:
        self._take_off(account, order)
        self._end(order, "CancelByUser", "EC_PerCancelRequest")
        self._clearing.tell_order(order, now_ms, self.next_seq())
