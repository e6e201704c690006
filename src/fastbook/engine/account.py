"""The account as the gate sees it: what every order may still lead to, at its worst."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from math import isnan

from fastbook.core.signals import Signal
from fastbook.engine.lanes import Lane
from fastbook.execution import Order, Orders, Portfolio
from fastbook.risk import AccountView, TrackRecord
from fastbook.risk.room import dearest
from fastbook.strategy.base import Row
from fastbook.types import Side

_MID = int(Signal.MID)
_ATR = int(Signal.ATR)
_VOLATILITY = int(Signal.VOLATILITY)
_MARK_KEPT_NS = 10_000_000_000
_ZERO = Decimal(0)


class Account:
    """Reads orders and ledger; keeps nothing."""

    def __init__(self, lanes: Mapping[int, Lane], orders: Orders, portfolio: Portfolio) -> None:
        self._lanes = lanes
        self._orders = orders
        self._portfolio = portfolio

    def view(
        self,
        lane: Lane,
        strategy: str,
        recv_ns: int,
        *,
        share: Decimal,
        without: Order | None = None,
    ) -> AccountView:
        """What an intent of `strategy` meets in `lane`; `without` is an order to be amended."""
        index = lane.instrument.index
        working = [o for o in self._orders.working(index) if o is not without]
        buys = [o for o in working if o.side is Side.BUY]
        sells = [o for o in working if o.side is Side.SELL]
        record = self._portfolio.record(strategy)
        others, margin, mine = self._elsewhere(lane)
        fresh_mark = recv_ns - lane.mark_ns <= _MARK_KEPT_NS
        return AccountView(
            equity=self._portfolio.equity,
            position=self._portfolio.qty(index),
            working_buy=sum(o.reserved for o in buys),
            working_sell=sum(o.reserved for o in sells),
            own_bid_max=max((o.px_max for o in buys if not o.state.terminal), default=0),
            own_ask_min=min((o.px_min for o in sells if not o.state.terminal), default=0),
            working_px_max=max((o.px_max for o in working), default=0),
            working_px_min=min((o.px_min for o in working), default=0),
            others_notional=others,
            others_margin=margin,
            strategy_notional=mine,
            leverage=self._portfolio.leverage(index),
            mark_px=lane.mark_px if fresh_mark else 0,
            orders_open=self._orders.working_count,
            record=TrackRecord(record.trades, record.win_rate, record.payoff),
            volatility_bps=_volatility_bps(lane.row),
            share=share,
        )

    def worst_notional(self) -> Decimal:
        """Value of everything held and everything that orders may still lead to."""
        busy = self._portfolio.open_instruments | set(self._orders.working_instruments())
        return sum((self._worst_notional(index) for index in busy), _ZERO)

    def _elsewhere(self, here: Lane) -> tuple[Decimal, Decimal, Decimal]:
        """Worst case of all other instruments: notional, margin, and the strategy's part."""
        notional = margin = mine = _ZERO
        busy = self._portfolio.open_instruments | set(self._orders.working_instruments())
        for index in sorted(busy):
            if index == here.instrument.index:
                continue
            worth = self._worst_notional(index)
            notional += worth
            leverage = self._portfolio.leverage(index)
            margin += worth / leverage if leverage else _ZERO
            if self._lanes[index].strategy is here.strategy:
                mine += worth
        return notional, margin, mine

    def _worst_notional(self, index: int) -> Decimal:
        """Value of the largest position that this instrument's orders can still lead to."""
        lane = self._lanes[index]
        working = self._orders.working(index)
        held = self._portfolio.qty(index)
        longest = held + sum(o.reserved for o in working if o.side is Side.BUY)
        shortest = sum(o.reserved for o in working if o.side is Side.SELL) - held
        prices = [px for o in working for px in (o.px_max, o.px_min)]
        mark = self._portfolio.mark(index)
        if mark is not None:
            scaled = mark.scaleb(lane.instrument.price_scale)
            prices += [int(scaled), math.ceil(scaled)]
        if not prices:
            return self._portfolio.cost(index)  # held, and no book seen yet: what it cost
        return lane.instrument.notional(dearest(lane.instrument, *prices), max(longest, shortest))


def _volatility_bps(row: Row) -> float:
    """Of one bar, by its average true range; before there is one, of one sample; else nan."""
    of_bar = row[_ATR] / row[_MID] * 10_000.0 if row[_MID] else float("nan")
    return row[_VOLATILITY] * 10_000.0 if isnan(of_bar) else of_bar
