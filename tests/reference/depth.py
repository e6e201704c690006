"""A client's book the dull way: json, Decimal and two dicts, checking the wire as it goes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class DullBook:
    """What a subscriber holds after the frames so far. Every surprise is an AssertionError."""

    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)
    u: int = 0

    def apply(self, frame: bytes) -> str:
        """Take one frame; its type."""
        message = json.loads(frame)
        data = message["data"]
        kind: str = message["type"]
        if kind == "snapshot":
            self.bids, self.asks = {}, {}
        else:
            assert kind == "delta"
            assert data["u"] == self.u + 1
            assert data["b"] or data["a"]
        self.take(self.bids, data["b"], best_first=-1, deletes=kind == "delta")
        self.take(self.asks, data["a"], best_first=1, deletes=kind == "delta")
        if self.bids and self.asks:
            assert max(self.bids) < min(self.asks)
        self.u = data["u"]
        return kind

    @staticmethod
    def take(
        side: dict[Decimal, Decimal], rows: list[list[str]], *, best_first: int, deletes: bool
    ) -> None:
        keys = [best_first * Decimal(px) for px, _ in rows]
        assert keys == sorted(set(keys))
        for px_text, size in rows:
            px, qty = Decimal(px_text), Decimal(size)
            if qty == 0:
                assert deletes
                assert size == "0"
                del side[px]
            else:
                assert side.get(px) != qty
                side[px] = qty

    def levels(self, side: int, px_scale: int, qty_scale: int) -> list[tuple[int, int]]:
        """(px, qty) as fixed-point integers, best first."""
        book = self.bids if side == 1 else self.asks
        return [
            (int(px.scaleb(px_scale)), int(book[px].scaleb(qty_scale)))
            for px in sorted(book, reverse=side == 1)
        ]
