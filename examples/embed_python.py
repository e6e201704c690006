"""fastbook inside a program of yours: bring the bytes, get books and signals.

    pip install fastbook-engine
    python examples/embed_python.py

`frames()` stands for your WebSocket client: anything that yields whole text frames will do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from fastbook import ApplyStatus, BookDecoder, BookState, Signal, SignalSet

TOPIC = "orderbook.50.BTCUSDT"


def frames(count: int, lost: int) -> Iterator[bytes]:
    """A snapshot, deltas that move the touch, and one delta that never arrives."""
    rng = random.Random(7)
    mid, held = 65_000.0, ("", "")
    for u in range(1, count + 1):
        mid += rng.choice((-0.1, 0.0, 0.1))
        bid, ask = f"{mid - 0.05:.2f}", f"{mid + 0.05:.2f}"
        bids, asks = [[bid, f"{rng.uniform(0.1, 3):.3f}"]], [[ask, f"{rng.uniform(0.1, 3):.3f}"]]
        kind = "snapshot" if u in (1, lost + 5) else "delta"
        if kind == "delta" and held != (bid, ask):
            bids, asks = [[held[0], "0"], *bids], [[held[1], "0"], *asks]
        held = (bid, ask)
        data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u}
        if u != lost:
            yield json.dumps({"topic": TOPIC, "type": kind, "ts": u * 100, "data": data}).encode()


def main() -> None:
    signals = SignalSet(1, lookback=20, imbalance_levels=5)
    decoder = BookDecoder(signals=signals)
    book = decoder.add_book(TOPIC, index=0)
    row = signals.row(0)
    for number, frame in enumerate(frames(200, lost=120), start=1):
        status = decoder.apply(frame)
        if status is ApplyStatus.GAP and decoder.take_desynced():
            print(f"frame {number}: an update was lost; ask for {TOPIC} again")
        if book.state is BookState.SYNCED and number % 50 == 0:
            print(
                f"frame {number}: {book.best_bid:.2f} / {book.best_ask:.2f}"
                f"  z {row[Signal.ZSCORE]:+.2f}  imbalance {row[Signal.IMBALANCE]:+.2f}"
            )
    print(f"{book.symbol} is {book.state.name} at u {book.u}, {decoder.counters['gaps']} gap")


if __name__ == "__main__":
    main()
