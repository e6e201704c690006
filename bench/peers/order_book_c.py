"""The `order-book` package (C) with orjson, floats as keys (with Decimal it is slower)."""

from __future__ import annotations

from itertools import islice
from typing import Any

import orjson
from order_book import OrderBook  # type: ignore[import-untyped, import-not-found, unused-ignore]

from fastbook.runtime.benchmark.peers import Peer, Reading

NAME = "orjson + order-book"


class OrderBookPeer:
    def __init__(self) -> None:
        self._books: dict[str, Any] = {}  # Any: the package has no types

    def apply(self, frame: bytes) -> Reading:
        message = orjson.loads(frame)
        data = message["data"]
        symbol = data["s"]
        if message["type"] == "snapshot":
            self._books[symbol] = OrderBook()
        book = self._books[symbol]
        for side, levels in ((book.bids, data["b"]), (book.asks, data["a"])):
            for price, size in levels:
                if size != "0":
                    side[float(price)] = float(size)
                else:
                    del side[float(price)]
        return read(book)

    def readings(self) -> dict[str, Reading]:
        return {symbol: read(book) for symbol, book in self._books.items()}


def read(book: Any) -> Reading:
    bids, asks = book.bids, book.asks
    bid_size = sum(bids[price] for price in islice(bids, 10))
    ask_size = sum(asks[price] for price in islice(asks, 10))
    mid = (bids.index(0)[0] + asks.index(0)[0]) / 2
    return mid, (bid_size - ask_size) / (bid_size + ask_size)


def make() -> Peer:
    return OrderBookPeer()
