"""The book of ccxt.pro: its own handler of Bybit's order book messages, called directly."""

from __future__ import annotations

from typing import Any

import ccxt.pro  # type: ignore[import-untyped, import-not-found, unused-ignore]
import orjson

from fastbook.runtime.benchmark.peers import Peer, Reading

NAME = "ccxt"


class Subscriber:
    """What ccxt takes for the connection: an address, and somebody to tell."""

    url = "wss://127.0.0.1/v5/public/linear"

    def resolve(self, result: object, message_hash: str) -> None: ...


class CcxtPeer:
    def __init__(self) -> None:
        self._exchange: Any = ccxt.pro.bybit()  # Any: its types do not tell of its books
        self._subscriber = Subscriber()

    def apply(self, frame: bytes) -> Reading:
        message = orjson.loads(frame)
        self._exchange.handle_order_book(self._subscriber, message)
        symbol = message["data"]["s"]
        return read(self._exchange.orderbooks[symbol])

    def readings(self) -> dict[str, Reading]:
        return {symbol: read(book) for symbol, book in self._exchange.orderbooks.items()}


def read(book: Any) -> Reading:
    bids, asks = book["bids"], book["asks"]
    bid_size = sum(size for _, size in bids[:10])
    ask_size = sum(size for _, size in asks[:10])
    return (bids[0][0] + asks[0][0]) / 2, (bid_size - ask_size) / (bid_size + ask_size)


def make() -> Peer:
    return CcxtPeer()
