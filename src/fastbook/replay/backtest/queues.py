"""Where a resting order stands in its price's queue. A recording shows quantities, not orders."""

from __future__ import annotations

from enum import Enum


class Queue(Enum):
    """What is assumed of the quantity ahead of us.

    PESSIMISTIC: all that was shown when we came; only trades at the price, and the shown quantity
    itself falling below it, bring us forward. PROPORTIONAL: of what goes without a trade, as much
    was ahead of us as there was, in proportion. FRONT: nothing was ahead.
    """

    PESSIMISTIC = "pessimistic"
    PROPORTIONAL = "proportional"
    FRONT = "front"


class Place:
    """One resting order's place. Quantities in the instrument's units."""

    __slots__ = ("ahead", "shown", "traded")

    def __init__(self, queue: Queue, shown: int) -> None:
        self.ahead = 0 if queue is Queue.FRONT else shown
        self.shown = shown
        self.traded = 0  # at the price, since the book last showed it

    def on_shown(self, queue: Queue, shown: int) -> None:
        """The book shows `shown` at the price now."""
        if queue is Queue.PROPORTIONAL:
            left = self.shown - shown - self.traded
            if left > 0 and self.shown > 0:
                self.ahead -= left * self.ahead // self.shown
        if queue is not Queue.FRONT:
            self.ahead = max(0, min(self.ahead, shown))
        self.shown = shown
        self.traded = 0

    def on_trade(self, qty: int) -> int:
        """`qty` traded at the price; returns how much of it reached us."""
        self.traded += qty
        through = max(0, qty - self.ahead)
        self.ahead = max(0, self.ahead - qty)
        return through
