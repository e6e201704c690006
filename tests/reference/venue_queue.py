"""Slow twin of how the venue queues orders: amends, time in force, self-match prevention.

One list in the order of arrival, searched in full for every order.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Queued:
    number: int
    owner: int
    side: int
    px: int
    total: int
    tif: str
    smp: str
    filled: int = 0

    @property
    def left(self) -> int:
        return self.total - self.filled


@dataclass
class QueueTwin:
    """All resting orders, oldest place first; `traded` is what every order has filled."""

    queue: list[Queued] = field(default_factory=list)
    traded: dict[int, int] = field(default_factory=dict)

    def place(self, new: Queued) -> None:
        """Take what the order may take; what may rest goes to the end of the list."""
        others = [o for o in self.queue if o.side != new.side and (new.px - o.px) * new.side >= 0]
        others.sort(key=lambda o: o.px * new.side)  # a stable sort keeps the order of arrival
        stops = new.tif == "PostOnly" and bool(others)
        stops = stops or (new.tif == "FOK" and self._reachable(new, others) < new.left)
        for other in others:
            if stops or not new.left:
                break
            if other.owner == new.owner and new.smp != "None":
                if new.smp != "CancelTaker":
                    self.queue.remove(other)
                stops = new.smp != "CancelMaker"
                continue
            qty = min(other.left, new.left)
            for order in (other, new):
                order.filled += qty
                self.traded[order.number] = order.filled
            if not other.left:
                self.queue.remove(other)
        if new.left and not stops and new.tif in ("GTC", "PostOnly"):
            self.queue.append(new)

    @staticmethod
    def _reachable(new: Queued, others: list[Queued]) -> int:
        qty = 0
        for other in others:
            if other.owner == new.owner and new.smp == "CancelMaker":
                continue
            if other.owner == new.owner and new.smp != "None":
                break
            qty += other.left
        return qty

    def find(self, number: int) -> Queued:
        return next(o for o in self.queue if o.number == number)

    def cancel(self, number: int) -> None:
        self.queue.remove(self.find(number))

    def amend(self, number: int, px: int, total: int) -> int:
        """The code that the venue must answer with; 0 when the order was changed."""
        order = self.find(number)
        if total <= order.filled:
            return 110064
        if (px, total) == (order.px, order.total):
            return 10001
        if px == order.px and total < order.total:
            order.total = total
            return 0
        self.queue.remove(order)
        order.px, order.total = px, total
        self.place(order)
        return 0

    def at(self, side: int, px: int) -> list[tuple[int, int, int]]:
        return [(o.number, o.left, o.owner) for o in self.queue if (o.side, o.px) == (side, px)]
