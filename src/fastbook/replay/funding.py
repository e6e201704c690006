"""Funding of perpetual contracts: what longs pay shorts, or the other way round, on the hour.

A position pays its value at the mark times the rate, exactly; a long pays when the rate is
positive. What accounts pay together and do not get back is the anonymous market's, because the
market holds the other side of every position that accounts hold among them.
"""

from __future__ import annotations

from decimal import Decimal

from fastbook.replay.accounts import Account, Position
from fastbook.replay.clearing import Told
from fastbook.replay.matcher import Matcher
from fastbook.replay.money import ZERO, plus, times
from fastbook.replay.rows import funding_row
from fastbook.types import Category, Instrument


class Funding:
    """Rates by symbol and the clock of the payments. Time is handed in."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._rates: dict[int, Decimal] = {}
        self._next_ms = 0  # 0: no tick yet
        self.market: dict[str, Decimal] = {}  # coin -> what the anonymous market received
        self.payments = 0

    def rate(self, index: int) -> Decimal:
        return self._rates.get(index, self._matcher.rules.funding_rate)

    def set_rate(self, index: int, rate: Decimal) -> None:
        self._rates[index] = rate

    def next_ms(self, now_ms: int) -> int:
        """When the next payment is due: the next multiple of the interval after `now_ms`."""
        interval = self._matcher.rules.funding_interval_ms
        return (now_ms // interval + 1) * interval

    def check(self, now_ms: int) -> None:
        """Settle once if an interval has ended since the last check, however many did."""
        if self._next_ms and now_ms >= self._next_ms:
            for instrument in self._matcher.instruments:
                if instrument.category is not Category.SPOT:
                    self._settle(instrument, now_ms)
        if now_ms >= self._next_ms:
            self._next_ms = self.next_ms(now_ms)

    def _settle(self, instrument: Instrument, now_ms: int) -> None:
        seq = self._matcher.next_seq()
        for account in self._matcher.accounts.values():
            told = Told()
            for idx in (0, 1, 2):
                position = account.positions.get((instrument.index, idx))
                if position is not None and position.qty:
                    self._charge(account, position, told, now_ms, seq)
            if told.executions:
                self._matcher.clearing.tell(account, instrument, told, now_ms, seq)

    def _charge(
        self, account: Account, position: Position, told: Told, now_ms: int, seq: int
    ) -> None:
        instrument, clearing = position.instrument, self._matcher.clearing
        mark = self._matcher.prices.mark(instrument.index)
        rate = self.rate(instrument.index)
        paid = times(position.value(mark), rate if position.qty > 0 else rate.copy_negate())
        position.funding = plus(position.funding, paid)
        position.updated_ms, position.seq = now_ms, seq
        account.pay_funding(instrument.settle, paid)
        self.market[instrument.settle] = plus(self.market.get(instrument.settle, ZERO), paid)
        self.payments += 1
        row = funding_row(
            position,
            order_id=clearing.new_id(instrument.category),
            exec_id=clearing.new_id(instrument.category),
            mark=mark,
            rate=rate,
            fee=paid,
            now_ms=now_ms,
            seq=seq,
        )
        account.executions.append(row)
        told.executions.append(row)
