"""The slow twin of decoder and book: json, Decimal and a dict a side. Independent on purpose."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

Levels = list[tuple[Decimal, Decimal]]


class DictBook:
    """One topic's book, by the rules of the protocol and nothing clever."""

    def __init__(self, level_one: bool = False) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.u = 0
        self.seq = 0
        self.trusted = False
        self.level_one = level_one

    def apply(self, message: dict[str, Any]) -> str:  # Any: JSON
        data = message["data"]
        refusal = self._refusal(message["type"] == "snapshot", data["u"], data["seq"])
        if refusal:
            return refusal
        if message["type"] == "snapshot":
            self.bids.clear()
            self.asks.clear()
            self.trusted = True
        for side, levels in ((self.bids, data["b"]), (self.asks, data["a"])):
            for px, size in levels:
                if Decimal(size) == 0:
                    side.pop(Decimal(px), None)
                else:
                    side[Decimal(px)] = Decimal(size)
        self.u, self.seq = data["u"], data["seq"]
        if self.bids and self.asks and max(self.bids) >= min(self.asks):
            self.trusted = False
            return "GAP"
        return "SNAPSHOT" if message["type"] == "snapshot" else "APPLIED"

    def _refusal(self, snapshot: bool, u: int, seq: int) -> str:
        if snapshot:
            backwards = self.level_one and self.trusted and u != 1 and seq < self.seq
            return "STALE" if backwards else ""
        if not self.trusted:
            return "GAP"
        if u == self.u + 1 and not self.level_one:
            return ""
        if u <= self.u and u != 1 and not self.level_one:
            return "STALE"
        self.trusted = False
        return "GAP"

    def levels(self) -> tuple[Levels, Levels]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


class DictDecoder:
    """Whole frames into DictBooks."""

    def __init__(self) -> None:
        self.books: dict[str, DictBook] = {}

    def apply(self, frame: bytes) -> str:
        message = json.loads(frame)
        topic = message.get("topic", "")
        if not topic.startswith("orderbook."):
            return "TRADE" if topic.startswith("publicTrade.") else "OTHER"
        book = self.books.setdefault(topic, DictBook(topic.startswith("orderbook.1.")))
        return book.apply(message)
