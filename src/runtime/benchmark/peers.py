"""What people write first, with nothing but the standard library and orjson.

Each peer takes one frame's bytes and returns what fastbook is asked for as well: the mid and
the imbalance of the best ten levels a side. Peers with packages of their own are in
`bench/peers/`, behind the same interface.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from math import isclose, isnan
from typing import Any, Protocol

import orjson

from fastbook import BookDecoder

from .results import WrongAnswerError

Reading = tuple[float, float]
"""Mid, imbalance of the best ten."""


class Peer(Protocol):
    def apply(self, frame: bytes) -> Reading: ...

    def readings(self) -> dict[str, Reading]:
        """Of every symbol, as of its last frame."""


def feed(peer: Peer, frames: Iterable[bytes]) -> list[Reading]:
    """Every frame, and what the peer reads after it."""
    apply = peer.apply
    return [apply(frame) for frame in frames]


class SortedLists:
    """Prices of one side in a sorted list, sizes in a parallel one."""

    def __init__(self, *, descending: bool) -> None:
        self._sign = -1.0 if descending else 1.0
        self.keys: list[float] = []
        self.sizes: list[float] = []

    def clear(self) -> None:
        self.keys.clear()
        self.sizes.clear()

    def update(self, levels: Iterable[Sequence[str]]) -> None:
        keys, sizes, sign = self.keys, self.sizes, self._sign
        for price, size in levels:
            key = sign * float(price)
            i = bisect_left(keys, key)
            held = i < len(keys) and keys[i] == key
            if size == "0":
                if held:
                    del keys[i], sizes[i]
            elif held:
                sizes[i] = float(size)
            else:
                keys.insert(i, key)
                sizes.insert(i, float(size))

    @property
    def best(self) -> float:
        return self._sign * self.keys[0]


class ListPeer:
    """A JSON parser and sorted lists, no checks of any kind; one pair of lists a symbol."""

    def __init__(self, loads: Callable[[bytes], Any]) -> None:  # Any: JSON
        self._loads = loads
        self._books: dict[str, tuple[SortedLists, SortedLists]] = {}

    def apply(self, frame: bytes) -> Reading:
        message = self._loads(frame)
        data = message["data"]
        symbol = data["s"]
        if symbol not in self._books:
            self._books[symbol] = SortedLists(descending=True), SortedLists(descending=False)
        bids, asks = self._books[symbol]
        if message["type"] == "snapshot":
            bids.clear()
            asks.clear()
        bids.update(data["b"])
        asks.update(data["a"])
        return self._read(bids, asks)

    def readings(self) -> dict[str, Reading]:
        return {symbol: self._read(*sides) for symbol, sides in self._books.items()}

    def _read(self, bids: SortedLists, asks: SortedLists) -> Reading:
        bid_size, ask_size = sum(bids.sizes[:10]), sum(asks.sizes[:10])
        return (bids.best + asks.best) / 2, (bid_size - ask_size) / (bid_size + ask_size)


def json_lists() -> Peer:
    return ListPeer(json.loads)


def orjson_lists() -> Peer:
    return ListPeer(orjson.loads)


class FastbookPeer:
    """fastbook through its Python interface, read as the others are."""

    def __init__(self) -> None:
        self._decoder = BookDecoder()

    def apply(self, frame: bytes) -> Reading:
        self._decoder.apply(frame)
        book = self._decoder.last_book
        assert book is not None
        return book.mid, book.imbalance(10)

    def readings(self) -> dict[str, Reading]:
        return {b.symbol: (b.mid, b.imbalance(10)) for b in self._decoder.books.values()}


def check_equal(name: str, got: Sequence[Reading], expected: Sequence[Reading]) -> None:
    """A fast wrong answer is not a result. Raises WrongAnswerError at the first difference."""
    if len(got) != len(expected):
        raise WrongAnswerError(f"{name}: {len(got)} readings, not {len(expected)}")
    for i, (ours, theirs) in enumerate(zip(expected, got, strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            if not (isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (isnan(a) and isnan(b))):
                raise WrongAnswerError(f"{name}: frame {i}: {theirs}, not {ours}")
