"""What the exchange knows, kept apart from anything that the engine computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

REMEMBERED_MAX = 4_096
MASK = (1 << 64) - 1


@dataclass(slots=True)
class Published:
    """One state of a book as it was published."""

    at_s: float
    checksums: tuple[int, int]
    bids: int
    asks: int
    hidden: str = ""  # the side that was shown empty on purpose

    def expected(self) -> tuple[int, int]:
        """Checksums of both sides as readers saw them."""
        bids, asks = self.checksums
        return (0 if self.hidden == "b" else bids, 0 if self.hidden == "a" else asks)


@lru_cache(maxsize=65_536)
def scaled(text: str, scale: int) -> int:
    whole, _, part = text.partition(".")
    return int(whole + part.ljust(scale, "0"))


def checksum_of(levels: list[tuple[int, int]]) -> int:
    """Of one side; the order of levels does not matter to it."""
    total = 0
    for level in levels:
        total += hash(level)
    return total & MASK


class BookTruth:
    """Stands between a topic and its publisher and keeps a book of its own from what it makes."""

    def __init__(self, publisher: Any, price_scale: int, qty_scale: int, now_s: Any) -> None:
        self._inner = publisher
        self._scales = (price_scale, qty_scale)
        self._now_s = now_s
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._sums = [0, 0]
        self.last: Published | None = None
        self.states: dict[tuple[int, int], Published] = {}

    @property
    def u(self) -> int:
        return int(self._inner.u)

    def delta(self, now_ms: int, cts_ms: int, seq: int) -> bytes | None:
        return self._learn(self._inner.delta(now_ms, cts_ms, seq))

    def snapshot(self, now_ms: int, cts_ms: int, seq: int) -> bytes:
        payload = self._inner.snapshot(now_ms, cts_ms, seq)
        self._learn(payload)
        return bytes(payload)

    def repeat(self, now_ms: int) -> bytes:
        payload = self._inner.repeat(now_ms)
        self._learn(payload, again=True)
        return bytes(payload)

    def restart(self) -> None:
        self._inner.restart()

    def _learn(self, payload: bytes | None, *, again: bool = False) -> bytes | None:
        if payload is None:
            return None
        frame = orjson.loads(payload)
        data = frame["data"]
        key = (data["u"], data["seq"])
        if again and key in self.states:
            return payload
        if frame["type"] == "snapshot":
            self._sides = ({}, {})
            self._sums = [0, 0]
        price_scale, qty_scale = self._scales
        for number, rows in enumerate((data["b"], data["a"])):
            side, total = self._sides[number], self._sums[number]
            for px_text, qty_text in rows:
                px, qty = scaled(px_text, price_scale), scaled(qty_text, qty_scale)
                before = side.pop(px, 0)
                if before:
                    total -= hash((px, before))
                if qty:
                    side[px] = qty
                    total += hash((px, qty))
            self._sums[number] = total & MASK
        bids, asks = self._sides
        self.last = Published(self._now_s(), (self._sums[0], self._sums[1]), len(bids), len(asks))
        self.states[key] = self.last
        if len(self.states) > REMEMBERED_MAX:
            del self.states[next(iter(self.states))]
        return payload
