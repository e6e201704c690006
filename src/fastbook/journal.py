"""The journal: a bounded, numbered list of what came in and what was decided."""

from __future__ import annotations

from collections import deque
from typing import Any

from fastbook.errors import ConfigError
from fastbook.types import Record

MARKET_KINDS = frozenset({"book", "trade", "mark"})
"""Kinds that may be lost: the recorder of raw frames keeps the originals."""


class Journal:
    """Appending never waits; readers take what is there with `drain`.

    When `capacity` records are held, market records give way: a new one is dropped, and an order
    record takes the place of the oldest one. Order records (everything that is not a market
    record) are not dropped: once `capacity` of them are held, `full` is True, upon which the
    engine sends no new order, and what existing orders still cause fits into `reserve` more. At
    the very limit, capacity + reserve order records that nobody drained, a record is dropped,
    counted in `orders_dropped`, and `broken` stays True: the engine halts for good. Numbers are
    given to dropped records too, so every loss shows as a hole.
    """

    def __init__(self, capacity: int = 65_536, *, reserve: int = 8_192) -> None:
        if capacity < 1 or reserve < 1:
            raise ConfigError(
                f"journal needs capacity and reserve of 1 or more: {capacity}, {reserve}"
            )
        self.capacity = capacity
        self.reserve = reserve
        self.seq = 0
        """Number of the last record; the first is 1."""
        self.market_dropped = 0
        self.orders_dropped = 0
        self._market: deque[Record] = deque()
        self._orders: deque[Record] = deque()

    def __len__(self) -> int:
        return len(self._market) + len(self._orders)

    @property
    def full(self) -> bool:
        """No room for new orders."""
        return len(self._orders) >= self.capacity

    @property
    def broken(self) -> bool:
        """An order record was lost."""
        return self.orders_dropped > 0

    def append(self, kind: str, value: Any, recv_ns: int) -> None:  # Any: see Record.value
        """Number and keep one record. O(1)."""
        self.seq += 1
        if kind in MARKET_KINDS:
            if len(self) >= self.capacity:
                self.market_dropped += 1
                return
            self._market.append(Record(self.seq, recv_ns, kind, value))
            return
        if len(self._orders) >= self.capacity + self.reserve:
            self.orders_dropped += 1
            return
        if self._market and len(self) >= self.capacity:
            self._market.popleft()
            self.market_dropped += 1
        self._orders.append(Record(self.seq, recv_ns, kind, value))

    def drain(self, most: int | None = None) -> list[Record]:
        """Take out up to `most` records (all by default), oldest first. O(records taken)."""
        count = len(self) if most is None else min(most, len(self))
        taken: list[Record] = []
        market, orders = self._market, self._orders
        while len(taken) < count:
            from_market = market and (not orders or market[0].seq < orders[0].seq)
            taken.append(market.popleft() if from_market else orders.popleft())
        return taken
