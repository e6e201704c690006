"""One message of market data, whatever wrote it: the middle that formats are converted through.

Prices and quantities stay the texts or numbers of the source; nothing here knows a grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from fastbook.errors import DataFileError
from fastbook.replay.source import RecordedFrame
from fastbook.types import Side

Level = tuple[str, str]
"""Price and quantity as decimal text; quantity "0" deletes."""

CSV_BOOK = ("timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount", "symbol")
CSV_TRADES = ("timestamp", "local_timestamp", "id", "side", "price", "amount", "symbol")
CSV_BYBIT = ("timestamp", "symbol", "side", "size", "price", "trdMatchID")


@dataclass(slots=True)
class Batch:
    """What one message says: levels of a book, or trades. Times in ns; `side` is the taker's."""

    symbol: str
    exch_ns: int
    local_ns: int
    snapshot: bool = False
    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)
    trades: list[tuple[Side, str, str, str]] = field(default_factory=list)
    """Side, price, quantity, id."""


# --- from frames and to frames ---


def from_frames(frames: Iterable[RecordedFrame], name: str) -> Iterator[Batch]:
    """Order books and public trades of recorded frames; everything else is passed over."""
    for frame in frames:
        try:
            message = orjson.loads(frame.data)
            batch = _from_message(message, frame.recv_ns)
        except (ValueError, KeyError, TypeError) as e:
            raise DataFileError(name, f"not a v5 frame ({e!r})", line=frame.line) from None
        if batch is not None:
            yield batch


def _from_message(message: Any, recv_ns: int) -> Batch | None:  # Any: JSON
    topic = message.get("topic", "") if isinstance(message, dict) else ""
    exch_ns = int(message["ts"]) * 1_000_000 if topic else 0
    if topic.startswith("orderbook."):
        data = message["data"]
        bids, asks = ([(p, q) for p, q in data[side]] for side in ("b", "a"))
        snapshot = message["type"] == "snapshot"
        return Batch(data["s"], exch_ns, recv_ns or exch_ns, snapshot, bids, asks)
    if topic.startswith("publicTrade."):
        rows = message["data"]
        trades = [
            (Side.BUY if t["S"] == "Buy" else Side.SELL, t["p"], t["v"], t["i"]) for t in rows
        ]
        return Batch(rows[0]["s"], exch_ns, recv_ns or exch_ns, trades=trades)
    return None


class FrameWriter:
    """Batches to v5 frames of one depth; ids count up, a symbol at a time."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._u: dict[str, int] = {}

    def frames(self, batch: Batch) -> Iterator[bytes]:
        """Nothing for levels before the first snapshot of their symbol: nobody could use them."""
        ts_ms = batch.exch_ns // 1_000_000
        if batch.bids or batch.asks or batch.snapshot:
            u = self._u.get(batch.symbol, 0) + 1
            if batch.snapshot or u > 1:
                self._u[batch.symbol] = u
                yield self._book(batch, ts_ms, u)
        if batch.trades:
            yield _trades(batch, ts_ms)

    def _book(self, batch: Batch, ts_ms: int, u: int) -> bytes:
        bids = sorted(dict(batch.bids).items(), key=lambda level: -float(level[0]))
        asks = sorted(dict(batch.asks).items(), key=lambda level: float(level[0]))
        if batch.snapshot:
            bids, asks = bids[: self._depth], asks[: self._depth]
        data = {"s": batch.symbol, "b": bids, "a": asks, "u": u, "seq": u}
        return orjson.dumps(
            {
                "topic": f"orderbook.{self._depth}.{batch.symbol}",
                "type": "snapshot" if batch.snapshot else "delta",
                "ts": ts_ms,
                "data": data,
                "cts": ts_ms,
            }
        )


def _trades(batch: Batch, ts_ms: int) -> bytes:
    rows = [
        {"T": ts_ms, "s": batch.symbol, "S": side.wire, "v": qty, "p": px, "i": trade_id}
        for side, px, qty, trade_id in batch.trades
    ]
    topic = f"publicTrade.{batch.symbol}"
    return orjson.dumps({"topic": topic, "type": "snapshot", "ts": ts_ms, "data": rows})


# --- from tables ---


def from_csv(rows: Iterable[Mapping[str, str]], name: str) -> Iterator[Batch]:
    """Tardis' incremental_book_L2 and trades, and Bybit's public trades: told by their columns.

    Rows of one time and one kind are one message. Raises DataFileError with the line.
    """
    batch: Batch | None = None
    for number, row in enumerate(rows, 2):
        try:
            one = _from_row(row)
        except (KeyError, ValueError, TypeError) as e:
            raise DataFileError(name, f"not a row of market data ({e!r})", line=number) from None
        if one is None:
            continue
        if batch is not None and _same_message(batch, one):
            batch.bids += one.bids
            batch.asks += one.asks
            batch.trades += one.trades
            continue
        if batch is not None:
            yield batch
        batch = one
    if batch is not None:
        yield batch


def _same_message(a: Batch, b: Batch) -> bool:
    same = (a.symbol, a.exch_ns, a.local_ns, a.snapshot) == (
        *(b.symbol, b.exch_ns, b.local_ns, b.snapshot),
    )
    return same and bool(a.trades) == bool(b.trades)


def _from_row(row: Mapping[str, str]) -> Batch | None:
    symbol = row["symbol"].upper()
    if "is_snapshot" in row:
        batch = Batch(symbol, _us(row["timestamp"]), _us(row["local_timestamp"]))
        batch.snapshot = row["is_snapshot"].lower() == "true"
        level = (_plain(row["price"]), _plain(row["amount"]))
        sides = {"bid": batch.bids, "ask": batch.asks}
        sides[row["side"]].append(level)
        return batch
    if "amount" in row:
        at, local = _us(row["timestamp"]), _us(row["local_timestamp"])
        trade = (
            _SIDES[row["side"].lower()],
            _plain(row["price"]),
            _plain(row["amount"]),
            row["id"],
        )
        return Batch(symbol, at, local, trades=[trade])
    at = int(float(row["timestamp"]) * 1e3) * 1_000_000  # Bybit's own: seconds, with decimals
    trade = (
        _SIDES[row["side"].lower()],
        _plain(row["price"]),
        _plain(row["size"]),
        row["trdMatchID"],
    )
    return Batch(symbol, at, at, trades=[trade])


_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


def _us(text: str) -> int:
    return int(text) * 1_000


def _plain(text: str) -> str:
    """A number without exponent and without a decimal part that is zero."""
    value = float(text)
    if not 0.0 <= value < 1e15:
        raise ValueError(f"{text!r} is no price or quantity")
    return decimal_text(value)


def decimal_text(value: float) -> str:
    """The shortest decimal that is this float, as the venue writes it."""
    text = repr(value)
    if "e" in text:
        text = f"{value:.18f}".rstrip("0")
    return text.removesuffix(".0").rstrip(".") or "0"
