"""A matching book as a child would write it: a dict of queues a side, searched in full."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class RestingOrder:
    order_id: int
    qty: int
    owner: int


@dataclass
class SlowBook:
    """Price-time priority with dicts and deques; the meaning of `MatchingBook`."""

    capacity_orders: int
    bids: dict[int, deque[RestingOrder]] = field(default_factory=dict)
    asks: dict[int, deque[RestingOrder]] = field(default_factory=dict)

    def side_of(self, side: int) -> dict[int, deque[RestingOrder]]:
        return self.bids if side == 1 else self.asks

    def best_bid(self) -> int:
        return max(self.bids, default=0)

    def best_ask(self) -> int:
        return min(self.asks, default=0)

    def reachable(self, side: int, px: int) -> list[int]:
        """Prices that a taker can trade at, best first."""
        if side == 1:
            return sorted(p for p in self.asks if p <= px)
        return sorted((p for p in self.bids if p >= px), reverse=True)

    def crosses(self, side: int, px: int) -> bool:
        return bool(self.reachable(side, px))

    def available(self, side: int, px: int) -> int:
        other = self.side_of(-side)
        return sum(order.qty for p in self.reachable(side, px) for order in other[p])

    def match(self, side: int, px: int, qty: int) -> list[tuple[int, int, int, int]]:
        fills = []
        other = self.side_of(-side)
        for price in self.reachable(side, px):
            queue = other[price]
            while queue and qty:
                maker = queue[0]
                filled = min(maker.qty, qty)
                fills.append((maker.order_id, maker.owner, price, filled))
                maker.qty -= filled
                qty -= filled
                if maker.qty == 0:
                    queue.popleft()
            if not queue:
                del other[price]
        return fills

    def find(self, order_id: int) -> tuple[int, int, RestingOrder] | None:
        for side in (1, -1):
            for px, queue in self.side_of(side).items():
                for order in queue:
                    if order.order_id == order_id:
                        return side, px, order
        return None

    def order_count(self) -> int:
        return sum(len(q) for side in (self.bids, self.asks) for q in side.values())

    def rest(self, order_id: int, side: int, px: int, qty: int, owner: int) -> str:
        """Empty when it rests, else why not."""
        if self.find(order_id) is not None:
            return "duplicate"
        if self.crosses(side, px):
            return "crosses"
        if self.order_count() == self.capacity_orders:
            return "full"
        queue = self.side_of(side).setdefault(px, deque())
        queue.append(RestingOrder(order_id, qty, owner))
        return ""

    def cancel(self, order_id: int) -> int:
        found = self.find(order_id)
        if found is None:
            return 0
        side, px, order = found
        queue = self.side_of(side)[px]
        queue.remove(order)
        if not queue:
            del self.side_of(side)[px]
        return order.qty

    def reduce(self, order_id: int, remaining: int) -> int:
        found = self.find(order_id)
        if found is None:
            return 0
        order = found[2]
        off = order.qty - remaining
        order.qty = remaining
        return off

    def ahead(self, order_id: int) -> int:
        found = self.find(order_id)
        if found is None:
            return -1
        side, px, mine = found
        qty = 0
        for order in self.side_of(side)[px]:
            if order is mine:
                break
            qty += order.qty
        return qty

    def levels(self, side: int) -> list[tuple[int, int]]:
        """(px, qty), best first."""
        book = self.side_of(side)
        return [
            (px, sum(order.qty for order in book[px])) for px in sorted(book, reverse=side == 1)
        ]

    def orders(self, side: int, px: int) -> list[tuple[int, int, int]]:
        return [(o.order_id, o.qty, o.owner) for o in self.side_of(side).get(px, ())]
