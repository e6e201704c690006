"""What an account is worth and what it may still do: prices, margin, wallet figures.

Margin is simple on purpose: initial margin of a position is the larger of its value and the
worst value that its working orders could make of it, divided by the leverage. Orders that can
only shrink a position need none. Orders for inverse contracts count at the mark price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from fastbook.replay.accounts import Account, Position, Row, Working, value_at
from fastbook.replay.money import EXACT, ZERO, minus, over, plus, times
from fastbook.replay.rows import wallet_row
from fastbook.replay.tiers import maintenance as maintenance_of
from fastbook.types import Category, Instrument, Side

_HALF = Decimal("0.5")
_ONE = Decimal(1)
DOLLARS = frozenset({"USDT", "USDC", "USD"})


class BookLike(Protocol):
    """What prices need of a matching book: 0 means that the side is empty."""

    def best_bid(self) -> int: ...
    def best_ask(self) -> int: ...


class Prices:
    """Last and mark prices of every symbol. The mark is the mid, else the last trade."""

    def __init__(self, instruments: Sequence[Instrument], books: Sequence[BookLike]) -> None:
        self._instruments = instruments
        self._books = books
        self._mids = [(0, ZERO)] * len(instruments)  # twice the mid as an integer, the mid
        self._last = [0] * len(instruments)
        self._low = [0] * len(instruments)  # of the trades since `take_range`, 0 = none
        self._high = [0] * len(instruments)
        self._by_base = {i.base: i.index for i in instruments if i.quote in DOLLARS}

    def set_last(self, index: int, px: int) -> None:
        """A trade at `px`."""
        self._last[index] = px
        if not self._low[index] or px < self._low[index]:
            self._low[index] = px
        self._high[index] = max(self._high[index], px)

    def take_range(self, index: int) -> tuple[int, int]:
        """(lowest, highest) trade since the last call; the last price when there was none."""
        last = self.last(index)
        found = self._low[index] or last, self._high[index] or last
        self._low[index] = self._high[index] = 0
        return found

    def last(self, index: int) -> int:
        """Price of the last trade; before the first, the mid on the tick below; 0 if none."""
        if self._last[index]:
            return self._last[index]
        bid, ask = self._books[index].best_bid(), self._books[index].best_ask()
        mid = (bid + ask) // 2 if bid and ask else bid or ask
        return mid - mid % self._instruments[index].tick

    def mark(self, index: int) -> Decimal:
        """Mark price, exact; 0 when the symbol has no price at all."""
        bid, ask = self._books[index].best_bid(), self._books[index].best_ask()
        if bid and ask:
            twice, mark = self._mids[index]
            if twice != bid + ask:
                mark = times(self._instruments[index].px_decimal(bid + ask), _HALF)
                self._mids[index] = bid + ask, mark
            return mark
        return self._instruments[index].px_decimal(self.last(index))

    def dollars(self, coin: str) -> Decimal:
        """USD price of a coin; stablecoins count 1, a coin that nobody quotes 0."""
        if coin in DOLLARS:
            return _ONE
        index = self._by_base.get(coin)
        return ZERO if index is None else self.mark(index)

    def protection_px(self, instrument: Instrument, side: Side, band: Decimal) -> int:
        """Worst price of a market order: last * (1 + band) down, or * (1 - band) up, on tick."""
        return self._limit(instrument, Decimal(self.last(instrument.index)), side, band)

    def worst_limit_px(self, instrument: Instrument, side: Side, band: Decimal) -> int:
        """Highest buy or lowest sell limit around the mark, on tick; 0 without a mark."""
        mark = EXACT.scaleb(self.mark(instrument.index), instrument.price_scale)
        return self._limit(instrument, mark, side, band)

    @staticmethod
    def _limit(instrument: Instrument, px: Decimal, side: Side, band: Decimal) -> int:
        tick = instrument.tick
        if side is Side.BUY:
            return math.floor(times(px, _ONE + band)) // tick * tick
        return -(-math.ceil(times(px, _ONE - band)) // tick) * tick


def symbol_margin(
    instrument: Instrument,
    position: Position | None,
    working: Working | None,
    mark: Decimal,
    leverage: Decimal,
) -> tuple[Decimal, Decimal]:
    """(position margin, additional margin of working orders) of one position."""
    held = position.qty if position is not None else 0
    value = ZERO if position is None else position.value(mark)
    worst = value
    if working is not None and (working.buy or working.sell):
        signed = value if held >= 0 else value.copy_negate()
        if_bought = plus(signed, _working_value(instrument, working.buy, mark))
        if_sold = minus(signed, _working_value(instrument, working.sell, mark))
        worst = max(value, if_bought.copy_abs(), if_sold.copy_abs())
    mine = over(value, leverage)
    return mine, minus(over(worst, leverage), mine)


def health(account: Account, prices: Prices) -> tuple[Decimal, Decimal]:
    """(equity, maintenance margin) in USD: what `Figures` says, without the rest of it."""
    equity = kept = ZERO
    for coin, balance in account.balances.items():
        if balance:
            equity = plus(equity, times(balance, prices.dollars(coin)))
    for position in account.positions.values():
        if position.qty:
            mark = prices.mark(position.instrument.index)
            value = position.value(mark)
            dollars = prices.dollars(position.instrument.settle)
            open_profit = position.unrealized_at(value)
            equity = plus(equity, times(open_profit, dollars))
            mine = maintenance_of(position.instrument, position.qty, mark)
            kept = plus(kept, times(mine, dollars))
    return equity, kept


def _working_value(instrument: Instrument, total: int, mark: Decimal) -> Decimal:
    if instrument.category is Category.INVERSE:
        return value_at(instrument, total, mark)
    return EXACT.scaleb(Decimal(total), -instrument.price_scale - instrument.qty_scale)


class Figures:
    """Everything that the wallet row says about one account, computed once."""

    def __init__(
        self,
        account: Account,
        instruments: Sequence[Instrument],
        prices: Prices,
    ) -> None:
        self.coins: dict[str, dict[str, Decimal]] = {}
        for name in account.balances:
            self._coin(account, name)
        for key in sorted(account.positions.keys() | account.working.keys()):
            index = key[0]
            instrument = instruments[index]
            working = account.working.get(key)
            if instrument.category is Category.SPOT:
                self._lock(account, instrument, working)
                continue
            position = account.positions.get(key)
            if (position is None or position.qty == 0) and (working is None or not working.orders):
                continue
            mark = prices.mark(index)
            coin = self._coin(account, instrument.settle)
            position_im, order_im = symbol_margin(
                instrument, position, working, mark, account.leverage(instrument)
            )
            coin["position_im"] = plus(coin["position_im"], position_im)
            coin["order_im"] = plus(coin["order_im"], order_im)
            if position is not None:
                kept = maintenance_of(instrument, position.qty, mark)
                coin["position_mm"] = plus(coin["position_mm"], kept)
                coin["unrealized"] = plus(coin["unrealized"], position.unrealized(mark))
        self.account = dict.fromkeys(
            ("equity", "balance", "available", "unrealized", "order_im", "position_im"), ZERO
        ) | {"position_mm": ZERO}
        for name, figures in self.coins.items():
            self._total(figures, prices.dollars(name))

    def _coin(self, account: Account, coin: str) -> dict[str, Decimal]:
        figures = self.coins.get(coin)
        if figures is None:
            figures = self.coins[coin] = dict.fromkeys(
                ("locked", "order_im", "position_im", "position_mm", "unrealized"), ZERO
            )
            figures["balance"] = account.balances.get(coin, ZERO)
            paid = account.fees.get(coin, ZERO)
            figures["realized"] = minus(account.realized.get(coin, ZERO), paid)
        return figures

    def _lock(self, account: Account, instrument: Instrument, working: Working | None) -> None:
        if working is None:
            return
        quote = self._coin(account, instrument.quote)
        base = self._coin(account, instrument.base)
        money = EXACT.scaleb(Decimal(working.buy), -instrument.price_scale - instrument.qty_scale)
        quote["locked"] = plus(quote["locked"], money)
        base["locked"] = plus(base["locked"], instrument.qty_decimal(working.sell))

    def _total(self, figures: dict[str, Decimal], dollars: Decimal) -> None:
        figures["equity"] = plus(figures["balance"], figures["unrealized"])
        figures["usd"] = times(figures["equity"], dollars)
        total = self.account
        for key in ("equity", "balance", "unrealized", "order_im", "position_im", "position_mm"):
            if figures[key]:
                total[key] = plus(total[key], times(figures[key], dollars))
        free = self.free(figures)
        if free:
            total["available"] = plus(total["available"], times(free, dollars))

    @staticmethod
    def free(figures: dict[str, Decimal]) -> Decimal:
        """What of a coin is tied by nothing; never negative."""
        tied = plus(figures["locked"], figures["order_im"], figures["position_im"])
        return max(ZERO, minus(plus(figures["balance"], figures["unrealized"]), tied))

    def available(self, coin: str) -> Decimal:
        figures = self.coins.get(coin)
        return ZERO if figures is None else self.free(figures)

    def row(self) -> Row:
        """The wallet row; the column names of `wallet_row`."""
        return wallet_row(self.coins, self.account)
