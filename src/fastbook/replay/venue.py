"""The bundled venue: accounts and orders on matching books. No sockets, no clock.

One `Venue` holds every symbol and every account. Time is handed in. What happened is queued
per account as v5 rows (`take_events`) and as public trades (`take_trades`); whoever owns the
sockets, or a backtest, collects them after each call. `params` are the JSON bodies of the v5
requests of the same name, every refusal is a `VenueError` with the venue's code, and a call that
raised has changed nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fastbook.errors import VenueError
from fastbook.replay import intake
from fastbook.replay.accounts import Account, Event, Order, Row
from fastbook.replay.admission import Admission
from fastbook.replay.amending import Amending
from fastbook.replay.clearing import Clearing, VenueRules
from fastbook.replay.deleverage import mark_px
from fastbook.replay.disconnect import PRODUCTS, DisconnectGuard
from fastbook.replay.funding import Funding
from fastbook.replay.intake import NewOrder, parse_new_order, text_of
from fastbook.replay.liquidation import Liquidation, Liquidator
from fastbook.replay.margin import Figures, Prices
from fastbook.replay.matcher import (
    Fill,
    MarketFill,
    Matcher,
    MatchingBookLike,
    PublicTrade,
)
from fastbook.replay.rows import query_position_row
from fastbook.replay.settings import Settings
from fastbook.replay.stops import Stops
from fastbook.types import Category, Instrument, OrderType, Side

__all__ = ["Answer", "Fill", "MarketFill", "MatchingBookLike", "PublicTrade", "Venue"]


CANCEL_ALL_MAX = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request of a batch: an order and code 0, or a refusal."""

    order: Order | None
    code: int = 0
    message: str = "OK"


class Venue:
    """Accounts, orders and matching for any number of symbols. Synchronous; not thread-safe."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        books: Sequence[MatchingBookLike],
        rules: VenueRules | None = None,
        *,
        seed: int = 0,
        session: int = 0,
    ) -> None:
        """`books[i]` belongs to `instruments[i]`, whose `index` must be i.

        `session` makes ids of orders and fills differ from those of an earlier venue with the
        same seed. Order numbers given to the books are positive; other users of them take negative ones.
        """
        self.instruments = instruments
        self.rules = rules or VenueRules()
        self.prices = Prices(instruments, books)
        self._by_key = {(str(i.category), i.symbol): i for i in instruments}
        self._accounts: dict[int, Account] = {}
        self._clearing = Clearing(
            instruments, self.prices, self.rules, self._accounts, seed, session
        )
        self._matcher = Matcher(
            instruments, books, self.rules, self._accounts, self.prices, self._clearing
        )
        self._admission = Admission(instruments, self.prices, self.rules, self._clearing)
        self._amending = Amending(self._matcher, self._admission)
        self._stops = Stops(self._matcher, self._admission)
        self._settings = Settings(instruments, self._clearing)
        self._liquidator = Liquidator(self._matcher)
        self.funding = Funding(self._matcher)
        self._chance = random.Random(f"cancel-all-{seed}")
        self.dcp = DisconnectGuard()

    def next_seq(self) -> int:
        """The next cross sequence number: one counter for everything that matches."""
        return self._matcher.next_seq()

    @property
    def reduce_only_overruns(self) -> int:
        """Reduce-only fills that found no position left to reduce."""
        return self._matcher.reduce_only_overruns

    @property
    def triggered(self) -> int:
        """Waiting orders that were started."""
        return self._stops.triggered

    # Accounts and what they may read.

    def open_account(self, balances: Mapping[str, Decimal], *, silent: bool = False) -> int:
        """Open an account with these coins; returns its number, which is also its owner id.

        A `silent` account gets no events: for agents that read their state and no rows.
        """
        number = len(self._accounts) + 1
        self._accounts[number] = Account(
            number,
            dict(balances),
            closed_orders_max=self.rules.closed_orders_max,
            executions_max=self.rules.executions_max,
            events_max=self.rules.events_max,
            leverage=self.rules.leverage,
            silent=silent,
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
        return self._matcher.take_trades()

    def instrument(self, category: str, symbol: str) -> Instrument:
        """VenueError 10001 when the venue does not list it."""
        found = self._by_key.get((category, symbol))
        if found is None:
            raise VenueError(intake.PARAMETER_ERROR, "params error: symbol invalid")
        return found

    def _instrument_of(self, params: Mapping[str, object]) -> Instrument:
        return self.instrument(text_of(params, "category"), text_of(params, "symbol"))

    # Orders in.

    def place(
        self,
        number: int,
        params: Mapping[str, object],
        now_ms: int,
        *,
        exec_type: str = "Trade",
        reject: bool = False,
    ) -> Order:
        """Take a v5 create request. The order that comes back may already have ended.

        `exec_type`: what its fills are called. With `reject` the order is taken, and ends
        `Rejected` before it reaches a book.
        """
        account, instrument = self._accounts[number], self._instrument_of(params)
        if not instrument.trading:
            spot = instrument.category is Category.SPOT
            raise VenueError(
                intake.SPOT_NOT_OPEN if spot else intake.NOT_LIVE, "This contract is not live"
            )
        new = parse_new_order(params, instrument)
        order = self._admit(account, instrument, new, now_ms)
        account.add_order(order)
        if reject:
            self._matcher.end(order, "UNKNOWN", "EC_Others", "Rejected")
            self._clearing.tell_order(order, now_ms, self.next_seq())
        elif order.trigger is None:
            self._matcher.enter(order, now_ms, exec_type=exec_type)
        else:
            self._stops.add(order)
            self._clearing.tell_order(order, now_ms, self.next_seq())
        return order

    def _admit(self, account: Account, instrument: Instrument, new: NewOrder, now_ms: int) -> Order:
        admission = self._admission
        admission.check_link(account, instrument, new.link_id)
        idx = new.position_idx
        admission.check_position_idx(account, instrument, idx)
        waits = new.trigger is not None
        # In hedge mode the side that does not open can only close.
        reduce_only = new.reduce_only or idx == (1 if new.side is Side.SELL else 2)
        market = new.order_type is OrderType.MARKET
        qty, px = new.qty, new.px
        if reduce_only and not waits:
            most = instrument.qty_max_market if market else instrument.qty_max
            qty = admission.reduced_qty(account, instrument, idx, new.side, qty, most)
        if not waits:  # else the band is that of the moment it triggers
            px = admission.entry_px(account, instrument, new.side, new.order_type, px)
        admission.check_count(account, instrument, waiting=waits)
        trigger = new.trigger and admission.check_trigger(instrument, new.trigger)
        if px and not (reduce_only or new.quote_budget):
            admission.check_value(instrument, px, qty)
        if new.protection:
            base = Decimal(px if not market else self.prices.last(instrument.index))
            if waits and market and trigger is not None:
                base = Decimal(trigger.px)
            guard = new.protection
            admission.check_protection(new.side, base, guard.take_profit, guard.stop_loss)
        if not waits:
            admission.check_cover(account, new, instrument, px, qty, reduce_only=reduce_only)
        return Order(
            number=self._matcher.next_number(),
            order_id=self._clearing.new_id(instrument.category),
            link_id=new.link_id,
            account=account.number,
            instrument=instrument,
            side=new.side,
            order_type=new.order_type,
            tif=new.tif,
            px=px,
            qty=qty,
            reduce_only=reduce_only,
            close_on_trigger=new.close_on_trigger,
            created_ms=now_ms,
            updated_ms=now_ms,
            last_px=self.prices.last(instrument.index),
            position_idx=idx,
            market_unit=new.market_unit,
            quote_budget=new.quote_budget,
            smp_type=new.smp_type,
            protection=new.protection,
            tpsl_mode=new.tpsl_mode,
            trigger=trigger,
            stop_type="Stop" if waits else "",
            create_type="CreateByStopOrder" if waits else "CreateByUser",
        )

    def on_market_fills(
        self, index: int, fills: Sequence[MarketFill], now_ms: int, seq: int
    ) -> None:
        """The anonymous market took from account orders: book it. Fills in their order."""
        self._matcher.on_market_fills(index, fills, now_ms, seq)

    # Orders changed and taken out.

    def _find(self, number: int, params: Mapping[str, object], what: str) -> Order:
        """The open order that a request names; 110001 (spot 170213) when there is none."""
        instrument = self._instrument_of(params)
        order_id, link_id = text_of(params, "orderId"), text_of(params, "orderLinkId")
        if not order_id and not link_id:
            raise VenueError(intake.PARAMETER_ERROR, "params error: orderId or orderLinkId needed")
        order = self._accounts[number].find(order_id, link_id)
        if order is None or not order.open or order.instrument is not instrument:
            spot = instrument.category is Category.SPOT
            raise VenueError(
                intake.SPOT_ORDER_NOT_FOUND if spot else intake.ORDER_NOT_FOUND,
                f"order not exists or too late to {what}",
            )
        return order

    def amend(self, number: int, params: Mapping[str, object], now_ms: int) -> Order:
        """Take a v5 amend request: `qty` is the new total, what is missing stays.

        110001 / 170213 no such open order, 110064 / 170313 the quantity is filled already, 10001
        nothing would change. The order may be another's maker, or over, when this returns.
        """
        order = self._find(number, params, "replace")
        self._amending.amend(self._accounts[number], order, params, now_ms)
        return order

    def cancel(self, number: int, params: Mapping[str, object], now_ms: int) -> Order:
        """Take a v5 cancel request. VenueError 110001 (spot 170213) when nothing is open."""
        order = self._find(number, params, "cancel")
        self._matcher.cancel(order, now_ms)
        return order

    def batch(
        self,
        number: int,
        what: str,
        category: str,
        requests: Sequence[Mapping[str, object]],
        now_ms: int,
    ) -> list[Answer]:
        """Requests of one batch in their order, each for itself; `what`: place, amend, cancel."""
        call = {"place": self.place, "amend": self.amend, "cancel": self.cancel}[what]
        answers = []
        for params in requests:
            try:
                answers.append(Answer(call(number, {**params, "category": category}, now_ms)))
            except VenueError as e:
                answers.append(Answer(None, e.code, e.message))
        return answers

    def cancel_all(self, number: int, params: Mapping[str, object], now_ms: int) -> list[Order]:
        """Take a v5 cancel-all request; the orders that it cancelled.

        At most 500 of them: of more, a seed chooses.
        """
        account = self._accounts[number]
        category = text_of(params, "category")
        if category not in {str(i.category) for i in self.instruments}:
            raise VenueError(intake.PARAMETER_ERROR, "params error: category invalid")
        symbol, base, settle = (
            text_of(params, key) for key in ("symbol", "baseCoin", "settleCoin")
        )
        wanted = text_of(params, "orderFilter", "Order" if category == Category.SPOT else "")
        stop_type = text_of(params, "stopOrderType")
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
            and _is_of_kind(order, wanted, stop_type)
        ]
        if len(orders) > CANCEL_ALL_MAX:
            orders = self._chance.sample(orders, CANCEL_ALL_MAX)
        for order in orders:
            self._matcher.cancel(order, now_ms)
        return orders

    # Positions and settings.

    def set_leverage(self, number: int, params: Mapping[str, object]) -> None:
        """Take a v5 set-leverage request: 10001, 110012, 110013, 110043 (no change)."""
        account = self._accounts[number]
        self._settings.set_leverage(account, self._instrument_of(params), params)

    def switch_mode(self, number: int, params: Mapping[str, object]) -> None:
        """Take a v5 switch-mode request: 10001, 110024, 110025 (no change), 110028, 110029."""
        self._settings.switch_mode(self._accounts[number], params)

    def set_margin_mode(self, number: int, params: Mapping[str, object]) -> None:
        """Take a v5 set-margin-mode request: 10001, 3400045 while anything is open."""
        self._settings.set_margin_mode(self._accounts[number], params)

    def set_limit_px_action(self, number: int, params: Mapping[str, object]) -> None:
        """Take a v5 set-limit-px-action request: 10001."""
        self._settings.set_limit_px_action(self._accounts[number], params)

    def trading_stop(self, number: int, params: Mapping[str, object], now_ms: int) -> None:
        """Take a v5 trading-stop request: 10001, 110009, 34040 (no change)."""
        instrument = self._instrument_of(params)
        if instrument.category is Category.SPOT:
            raise VenueError(intake.PARAMETER_ERROR, "params error: category invalid")
        self._stops.trading_stop(self._accounts[number], instrument, params, now_ms)

    def leverage(self, number: int, instrument: Instrument) -> Decimal:
        """The leverage of a symbol: what its owner set, else the venue's default."""
        return self._accounts[number].leverage(instrument)

    def position_rows(
        self, number: int, category: str, symbol: str = "", settle: str = ""
    ) -> list[Row]:
        """REST rows: with `symbol` also flat ones (two when hedged), else what is open."""
        account = self._accounts[number]
        if symbol:
            instrument = self.instrument(category, symbol)
            held = [account.position(instrument, idx) for idx in account.indexes(instrument)]
        else:
            held = [
                position
                for _, position in sorted(account.positions.items())
                if position.qty
                and position.instrument.category == category
                and (not settle or position.instrument.settle == settle)
            ]
        figures = self._clearing.figures(account)
        return [
            query_position_row(position, self._clearing.standing(account, position, figures))
            for position in held
        ]

    # Time.

    def tick(self, now_ms: int) -> None:
        """Let what time and prices bring about happen.

        In this order: triggers, liquidation, funding, orders of accounts whose connections are
        gone. Call it whenever the market moved, every 100 ms at least.
        O(waiting orders + open positions).
        """
        self._stops.check(now_ms)
        self._liquidator.check(now_ms)
        self.funding.check(now_ms)
        for number, product in self.dcp.take_due(now_ms):
            for order in list(self._accounts[number].open_orders.values()):
                if order.instrument.category in PRODUCTS[product] and order.open:
                    self._matcher.cancel(order, now_ms, "CancelByDCP")

    def set_funding_rate(self, index: int, rate: Decimal) -> None:
        """The rate of the coming payments of one symbol."""
        self.funding.set_rate(index, rate)

    def funding_rate(self, index: int) -> Decimal:
        """What `tick` will charge at the next payment."""
        return self.funding.rate(index)

    def next_funding_ms(self, now_ms: int) -> int:
        """When the next payment is due."""
        return self.funding.next_ms(now_ms)

    def liquidate(self, number: int, index: int, now_ms: int) -> int:
        """Close the positions of one symbol by force; how many there were."""
        account = self._accounts[number]
        held = [p for (i, _), p in sorted(account.positions.items()) if i == index and p.qty]
        for position in held:
            self._liquidator.liquidate(account, position, now_ms)
        return len(held)

    def deleverage(self, number: int, index: int, qty: int, now_ms: int) -> int:
        """Take up to `qty` (0: all) off an account's positions in favour of the market.

        At the mark, as `AdlTrade`; how many positions were reduced.
        """
        account, instrument = self._accounts[number], self.instruments[index]
        px = mark_px(self.prices.mark(index), instrument.price_scale, instrument.tick)
        held = [p for (i, _), p in sorted(account.positions.items()) if i == index and p.qty]
        for position in held:
            size = min(qty or abs(position.qty), abs(position.qty))
            self._liquidator.deleveraging.reduce(account, position, px, size, now_ms)
        return len(held)

    def change_filters(self, index: int, *, tick: int = 0, lot: int = 0) -> None:
        """Other steps of price and quantity for a symbol from now on; 0 leaves one as it is.

        ValueError when a step is not above 0. Orders that rest keep their prices.
        """
        instrument = self.instruments[index]
        if tick < 0 or lot < 0:
            raise ValueError(f"steps must be above 0, were {tick} and {lot}")
        # The one place where an instrument changes: orders, positions and topics share it.
        if tick:
            object.__setattr__(instrument, "tick", tick)
        if lot:
            object.__setattr__(instrument, "lot", lot)
            object.__setattr__(instrument, "qty_min", max(lot, instrument.qty_min // lot * lot))

    def set_trading(self, index: int, on: bool, now_ms: int) -> int:
        """Open or close a symbol; closing cancels every order on it. How many orders went."""
        instrument = self.instruments[index]
        object.__setattr__(instrument, "trading", on)
        gone = 0
        for account in () if on else self._accounts.values():
            for order in list(account.open_orders.values()):
                if order.instrument is instrument and order.open:
                    self._matcher.cancel(order, now_ms, "CancelByAdmin")
                    gone += 1
        return gone

    def only_reduce(self, number: int, index: int, on: bool) -> None:
        """Whether the account may only leave its position in a symbol (110023, isReduceOnly)."""
        limited = self._accounts[number].reduce_only
        limited.add(index) if on else limited.discard(index)

    @property
    def deleveraged(self) -> int:
        """Positions that were closed in part or whole for the losses of others."""
        return self._liquidator.deleveraging.count

    def take_liquidations(self) -> list[Liquidation]:
        """Positions closed by force since the last call."""
        return self._liquidator.take()

    @property
    def insurance(self) -> Mapping[str, Decimal]:
        """Coin -> what the insurance fund paid to liquidated accounts."""
        return self._liquidator.insurance


def _is_of_kind(order: Order, wanted: str, stop_type: str) -> bool:
    """Whether a cancel-all with this `orderFilter` and `stopOrderType` means the order."""
    if not wanted:
        return True
    if wanted in ("Order", "OpenOrder"):
        return not order.waiting
    if wanted not in ("StopOrder", "tpslOrder"):
        return False  # kinds that are not played here
    return order.waiting and stop_type in ("", order.stop_type)
