"""The expert's afternoon, first half: orjson instead of json, the SortedDict stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from sortedcontainers import SortedDict  # type: ignore[import-untyped, import-not-found, unused-ignore]

from fastbook.runtime.benchmark.peers import Peer, Reading

NAME = "orjson + SortedDict"


class SortedDictPeer:
    """Price to size; bids under the negated price, so that the best comes first on both sides."""

    def __init__(self, loads: Callable[[bytes], Any]) -> None:  # Any: JSON
        self._loads = loads
        self._books: dict[str, tuple[Any, Any]] = {}  # Any: SortedDict has no types

    def apply(self, frame: bytes) -> Reading:
        message = self._loads(frame)
        data = message["data"]
        symbol = data["s"]
        if message["type"] == "snapshot":
            self._books[symbol] = SortedDict(), SortedDict()
        bids, asks = self._books[symbol]
        update(bids, data["b"], -1.0)
        update(asks, data["a"], 1.0)
        return read(bids, asks)

    def readings(self) -> dict[str, Reading]:
        return {symbol: read(*sides) for symbol, sides in self._books.items()}


def update(side: Any, levels: Iterable[Sequence[str]], sign: float) -> None:
    for price, size in levels:
        key, qty = sign * float(price), float(size)
        if qty:
            side[key] = qty
        else:
            side.pop(key, None)


def read(bids: Any, asks: Any) -> Reading:
    bid_size = sum(bids.values()[:10])
    ask_size = sum(asks.values()[:10])
    mid = (asks.peekitem(0)[0] - bids.peekitem(0)[0]) / 2
    return mid, (bid_size - ask_size) / (bid_size + ask_size)


def make() -> Peer:
    return SortedDictPeer(orjson.loads)
