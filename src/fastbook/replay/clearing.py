"""From a fill to money: books fills into accounts and tells the owners what happened."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fastbook.errors import ConfigError
from fastbook.replay.accounts import Account, Event, Order, Position, Row
from fastbook.replay.margin import Figures, Prices
from fastbook.replay.money import ZERO, contract_value, minus, pico, plus, times
from fastbook.replay.ranking import adl_rank
from fastbook.replay.rows import Standing, execution_row, order_row, position_row
from fastbook.replay.ruin import Backing, ruin_px
from fastbook.types import Category, Instrument, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeRates:
    """Share of the traded value; a negative maker rate is a rebate."""

    maker: Decimal
    taker: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """How the venue behaves where a real one has settings or a choice."""

    linear_fees: FeeRates = FeeRates(maker=Decimal("0.0002"), taker=Decimal("0.00055"))
    spot_fees: FeeRates = FeeRates(maker=Decimal("0.001"), taker=Decimal("0.001"))
    leverage: Decimal = Decimal(10)
    market_band: Decimal = Decimal("0.01")  # protection price of market orders, of the last price
    limit_band: Decimal = Decimal("0.02")  # limit prices, of the mark; beyond it see clamp_limit_px
    clamp_limit_px: bool = True  # derivatives: move the price to the band; False refuses it
    funding_rate: Decimal = Decimal("0.0001")  # of the value, per interval, where not set
    funding_interval_ms: int = 8 * 3600 * 1000
    insurance_fund: Decimal = Decimal(1_000_000)  # USD; used up, winners pay (deleveraging)
    conditional_orders_max: int = 10  # per account and symbol, waiting for their trigger
    spot_conditional_orders_max: int = 30  # the same of spot
    active_orders_max: int = 500  # per account and symbol (spot: per account)
    closed_orders_max: int = 10_000  # remembered per account
    executions_max: int = 20_000  # remembered per account
    events_max: int = 100_000  # undelivered per account; the oldest go first

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be above 0 and below 1, was {value}"
            for name, value in (("market_band", self.market_band), ("limit_band", self.limit_band))
            if not 0 < value < 1
        ]
        if self.leverage < 1:
            problems.append(f"leverage must be at least 1, was {self.leverage}")
        for name in (
            *("active_orders_max", "closed_orders_max", "executions_max", "events_max"),
            *("conditional_orders_max", "spot_conditional_orders_max", "funding_interval_ms"),
        ):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, was {getattr(self, name)}")
        if problems:
            raise ConfigError("; ".join(problems))

    def fees(self, category: Category) -> FeeRates:
        return self.spot_fees if category is Category.SPOT else self.linear_fees


@dataclass(slots=True)
class Told:
    """Rows of one account gathered during one match; none of orders for a silent account."""

    silent: bool = False
    changed: int = 0  # orders noted
    orders: list[Row] = field(default_factory=list)
    executions: list[Row] = field(default_factory=list)
    nameless: set[str] = field(default_factory=set)  # see Event
    fills: list[tuple[Order, int]] = field(default_factory=list)  # (order, quantity)

    def note(self, order: Order) -> None:
        """The present state of an order is to be told."""
        self.changed += 1
        if not self.silent:
            self.orders.append(order_row(order))


class Clearing:
    """Books fills and queues the rows. Holds no orders and no books."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        prices: Prices,
        rules: VenueRules,
        accounts: Mapping[int, Account],
        seed: int,
        session: int = 0,
    ) -> None:
        self._instruments = instruments
        self.prices = prices
        self._rules = rules
        self._accounts = accounts
        # Only ids are drawn from it: a later session of the same market gives none out twice.
        self._random = random.Random(seed if not session else f"{seed}-{session}")
        self._spot_ids = 1_700_000_000_000_000_000 + 1_000 * session  # above 2**53, as the venue's

    def new_id(self, category: Category) -> str:
        """Opaque: a UUID on derivatives, a long number on spot."""
        if category is Category.SPOT:
            self._spot_ids += self._random.randrange(1, 1000)
            return str(self._spot_ids)
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def book_fill(
        self, order: Order, px: int, qty: int, *, is_maker: bool, now_ms: int, seq: int,
        exec_id: str, exec_type: str = "Trade",
    ) -> Row:  # fmt: skip
        """Book one fill of `order` into its account and return the execution row."""
        instrument = order.instrument
        account = self._accounts[order.account]
        rates = self._rules.fees(instrument.category)
        rate = rates.maker if is_maker else rates.taker
        value = contract_value(instrument, px, qty)
        order.cum_qty += qty
        order.cum_value = plus(order.cum_value, value)
        order.updated_ms = now_ms
        closed, pnl = 0, ZERO
        if instrument.category is Category.SPOT:
            coin, fee = self._settle_spot(account, order, qty, value, rate, is_maker)
        else:
            coin = instrument.settle
            fee = pico(times(value, rate))
            pnl, closed = self._settle_contract(account, order, px, qty, fee, now_ms, seq)
        order.fees[coin] = plus(order.fees.get(coin, ZERO), fee)
        row = execution_row(
            order,
            exec_id=exec_id,
            px=px,
            qty=qty,
            value=value,
            fee=fee,
            fee_rate=rate,
            fee_coin=coin,
            is_maker=is_maker,
            closed=closed,
            pnl=pnl,
            mark=self.prices.mark(instrument.index),
            now_ms=now_ms,
            seq=seq,
            exec_type=exec_type,
        )
        account.executions.append(row)
        return row

    @staticmethod
    def _settle_contract(
        account: Account, order: Order, px: int, qty: int, fee: Decimal, now_ms: int, seq: int
    ) -> tuple[Decimal, int]:
        instrument = order.instrument
        position = account.position(instrument, order.position_idx)
        pnl, closed = position.fill(order.side, px, qty)
        if abs(position.qty) == qty - closed:  # nothing is left of what was there before
            position.opened_ms = now_ms
        position.fees = plus(position.fees, fee)
        position.created_ms = position.created_ms or now_ms
        position.updated_ms = now_ms
        position.seq = seq
        order.closed_pnl = plus(order.closed_pnl, pnl)
        account.realized[instrument.settle] = plus(
            account.realized.get(instrument.settle, ZERO), pnl
        )
        account.pay(instrument.settle, pnl)
        account.pay_fee(instrument.settle, fee)
        return pnl, closed

    @staticmethod
    def _settle_spot(
        account: Account, order: Order, qty: int, value: Decimal, rate: Decimal, is_maker: bool
    ) -> tuple[str, Decimal]:
        """The fee is taken from what is received; a maker's rebate is paid in the other coin."""
        instrument = order.instrument
        base = instrument.qty_decimal(qty)
        bought = order.side is Side.BUY
        account.pay(instrument.base, base if bought else base.copy_negate())
        account.pay(instrument.quote, value.copy_negate() if bought else value)
        in_base = bought != (rate < 0 and is_maker)
        coin = instrument.base if in_base else instrument.quote
        fee = pico(times(base if in_base else value, rate))
        account.pay_fee(coin, fee)
        return coin, fee

    def figures(self, account: Account) -> Figures:
        return Figures(account, self._instruments, self.prices)

    def tell(
        self, account: Account, instrument: Instrument, told: Told, now_ms: int, seq: int
    ) -> None:
        """Queue what happened: order, execution, position, wallet, in this order."""
        if account.silent:
            return
        category = str(instrument.category)
        match_id = f"{account.uid}_{instrument.symbol}_{seq}"
        if told.orders:
            account.tell(Event("order", category, match_id, now_ms, tuple(told.orders)))
        if told.executions:
            rows = tuple(told.executions)
            nameless = frozenset(told.nameless)
            account.tell(Event("execution", category, match_id, now_ms, rows, nameless))
        figures = self.figures(account)
        if instrument.category is not Category.SPOT:
            held = [account.position(instrument, idx) for idx in account.indexes(instrument)]
            rows = tuple(
                position_row(position, self.standing(account, position, figures), seq=seq)
                for position in held
            )
            event_id = f"{account.uid}_position_{now_ms}"
            account.tell(Event("position", category, event_id, now_ms, rows))
        wallet = figures.row()
        wallet_id = f"{account.uid}{self.new_id(Category.LINEAR)}"
        account.tell(Event("wallet", "", wallet_id, now_ms, (wallet,)))

    def standing(self, account: Account, position: Position, figures: Figures) -> Standing:
        """What the row of a position says besides the position. O(accounts) when it is open."""
        instrument = position.instrument
        mark, leverage = self.prices.mark(instrument.index), account.leverage(instrument)
        reduce_only = instrument.index in account.reduce_only
        if not position.qty:
            return Standing(mark=mark, leverage=leverage, reduce_only=reduce_only)
        liquidation_px, bankruptcy_px = ruin_px(
            position, mark, leverage, self.backing(account, instrument, figures)
        )
        return Standing(
            mark=mark,
            leverage=leverage,
            liquidation_px=liquidation_px,
            bankruptcy_px=bankruptcy_px,
            adl_rank=adl_rank(self._accounts.values(), position, mark),
            reduce_only=reduce_only,
        )

    def backing(self, account: Account, instrument: Instrument, figures: Figures) -> Backing | None:
        """What carries the positions of a symbol; None when each has its own margin."""
        if account.margin_mode == "ISOLATED_MARGIN":
            return None
        totals, coin = figures.account, figures.coins[instrument.settle]
        return Backing(
            equity=totals["equity"],
            maintenance=totals["position_mm"],
            coins=coin["equity"],
            dollars=self.prices.dollars(instrument.settle),
        )

    def tell_order(self, order: Order, now_ms: int, seq: int) -> None:
        """Queue the present state of one order, with position and wallet behind it."""
        order.updated_ms = now_ms
        told = Told(self._accounts[order.account].silent)
        told.note(order)
        self.tell(self._accounts[order.account], order.instrument, told, now_ms, seq)

    def spendable(self, account: Account, coin: str) -> Decimal:
        return self.figures(account).available(coin)

    def shortfall(self, account: Account, order_coin: str, need: Decimal) -> bool:
        """Whether `need` of a coin is more than is free."""
        return minus(self.spendable(account, order_coin), need) < 0
