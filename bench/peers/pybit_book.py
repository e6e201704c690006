"""The book of pybit, the venue's own Python client: its delta handling, called directly.

It keeps unsorted lists of string pairs, so that a reader has to sort them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pybit import _websocket_stream  # type: ignore[import-untyped, import-not-found, unused-ignore]

from fastbook.runtime.benchmark.peers import Peer, Reading

NAME = "pybit"


class PybitPeer:
    def __init__(self) -> None:
        manager: Any = _websocket_stream._V5WebSocketManager  # Any: a private class, no types
        self._manager = manager.__new__(manager)  # without its socket and thread
        self._manager.data = {}
        self._topics: dict[str, str] = {}

    def apply(self, frame: bytes) -> Reading:
        message = json.loads(frame)
        topic = message["topic"]
        self._topics[message["data"]["s"]] = topic
        self._manager._process_delta_orderbook(message, topic)
        return read(self._manager.data[topic])

    def readings(self) -> dict[str, Reading]:
        return {symbol: read(self._manager.data[topic]) for symbol, topic in self._topics.items()}


def read(book: dict[str, list[list[str]]]) -> Reading:
    bids = sorted(((float(p), float(q)) for p, q in book["b"]), reverse=True)[:10]
    asks = sorted((float(p), float(q)) for p, q in book["a"])[:10]
    bid_size, ask_size = total(bids), total(asks)
    return (bids[0][0] + asks[0][0]) / 2, (bid_size - ask_size) / (bid_size + ask_size)


def total(levels: Sequence[tuple[float, float]]) -> float:
    return sum(size for _, size in levels)


def make() -> Peer:
    return PybitPeer()
