"""Slow twin of the venue's profit and fee rule, in fractions, fed by its execution rows."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

PICO = Fraction(1, 10**12)


def pico(value: Fraction) -> Fraction:
    """Rounded at the twelfth decimal; `round` on a fraction is half to even."""
    return round(value / PICO) * PICO


class LedgerTwin:
    """One account on linear symbols, known only by the executions it was told."""

    def __init__(self, start: str) -> None:
        self.balance = Fraction(start)
        self.fees = Fraction(0)
        self.qty: dict[str, Fraction] = {}
        self.cost: dict[str, Fraction] = {}
        self.realized: dict[str, Fraction] = {}

    def execute(self, row: Mapping[str, object]) -> Fraction:
        """Book one row as the rule says; returns the profit that it must have realized."""
        symbol = str(row["symbol"])
        px, qty = Fraction(str(row["execPrice"])), Fraction(str(row["execQty"]))
        sign = 1 if row["side"] == "Buy" else -1
        rate = Fraction("0.0002") if row["isMaker"] else Fraction("0.00055")
        held = self.qty.get(symbol, Fraction(0))
        cost = self.cost.get(symbol, Fraction(0))
        profit = Fraction(0)
        if held * sign < 0:
            closing = min(qty, abs(held))
            released = cost if closing == abs(held) else pico(cost * closing / abs(held))
            profit = (px * closing - released) * (1 if held > 0 else -1)
            cost -= released
            held += sign * closing
            qty -= closing
        if qty:
            cost += px * qty
            held += sign * qty
        self.qty[symbol], self.cost[symbol] = held, cost
        self.realized[symbol] = self.realized.get(symbol, Fraction(0)) + profit
        fee = pico(px * Fraction(str(row["execQty"])) * rate)
        self.fees += fee
        self.balance += profit - fee
        return profit
