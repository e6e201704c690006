"""The ledger with fractions: the written rule, line by line, for one instrument."""

from __future__ import annotations

from fractions import Fraction

QUANTUM = Fraction(1, 10**12)


class SlowLedger:
    """Signed quantity, cost, realised P&L and fees; quantities and prices in real units."""

    def __init__(self, start: Fraction) -> None:
        self.start = start
        self.qty = Fraction(0)
        self.cost = Fraction(0)
        self.realized = Fraction(0)
        self.fees = Fraction(0)
        self.funding = Fraction(0)
        self.trips: list[Fraction] = []
        self._trip = Fraction(0)

    def fill(self, side: int, px: Fraction, qty: Fraction, fee: Fraction) -> None:
        self.fees += fee
        self._trip -= fee
        held = abs(self.qty)
        if self.qty * side < 0:
            sign = 1 if self.qty > 0 else -1
            closing = min(qty, held)
            if closing == held:
                released = self.cost
            else:
                released = round(self.cost * closing / held / QUANTUM) * QUANTUM
            gain = sign * (px * closing - released)
            self.cost -= released
            self.realized += gain
            self._trip += gain
            self.qty -= sign * closing
            qty -= closing
            if self.qty == 0:
                self.trips.append(self._trip)
                self._trip = Fraction(0)
        self.cost += px * qty
        self.qty += side * qty

    def fund(self, fee: Fraction) -> None:
        self.funding -= fee
        if self.qty:
            self._trip -= fee

    @property
    def balance(self) -> Fraction:
        return self.start + self.realized - self.fees + self.funding

    def equity(self, mark: Fraction) -> Fraction:
        sign = 1 if self.qty > 0 else -1
        return self.balance + sign * (mark * abs(self.qty) - self.cost)
