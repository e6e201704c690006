"""Book frames as the exchange writes them, from plain values."""

from __future__ import annotations

import json
from collections.abc import Sequence

Pairs = Sequence[tuple[str, str]]

BTC = "orderbook.50.BTCUSDT"
TOUCH = "orderbook.1.BTCUSDT"


def book_frame(
    kind: str,
    bids: Pairs,
    asks: Pairs,
    u: int,
    *,
    topic: str = BTC,
    seq: int | None = None,
    ts: int = 1_700_000_000_012,
    cts: int | None = 1_700_000_000_010,
    spot: bool = False,
) -> bytes:
    """One compact frame, with the keys in the order of linear, or of spot and level 1."""
    data = {
        "s": topic.rpartition(".")[2],
        "b": [list(level) for level in bids],
        "a": [list(level) for level in asks],
        "u": u,
        "seq": 10 * u if seq is None else seq,
    }
    head: dict[str, object] = {"ts": ts, "type": kind} if spot else {"type": kind, "ts": ts}
    tail = {} if cts is None else {"cts": cts}
    return dumps({"topic": topic, **head, "data": data, **tail})


def dumps(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def snapshot(
    u: int = 100,
    bids: Pairs = (("100.0", "1"), ("99.5", "2")),
    asks: Pairs = (("100.5", "3"), ("101.0", "4")),
    *,
    topic: str = BTC,
    seq: int | None = None,
) -> bytes:
    return book_frame("snapshot", bids, asks, u, topic=topic, seq=seq)


def delta(
    u: int,
    bids: Pairs = (),
    asks: Pairs = (),
    *,
    topic: str = BTC,
    seq: int | None = None,
) -> bytes:
    return book_frame("delta", bids, asks, u, topic=topic, seq=seq)
