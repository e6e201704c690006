"""What is fed to everything here: generated frames, and recorded ones where there are any.

The generator is `fastbook.runtime.benchmark.frames`, so that `fastbook bench` measures on the
same frames. Recorded data is not part of the project: $FASTBOOK_DATA, or ../shared/data.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastbook.replay.source import read_frames
from fastbook.runtime.benchmark.frames import interleaved, mixed, stream
from fastbook.runtime.files import read_lines

__all__ = ["data_dir", "interleaved", "mixed", "recorded", "stream"]

RECORDED = {
    "linear-200-recorded": "bybit/v5-linear-ob200-20260809-btc-sol.jsonl.gz",
    "spot-200-recorded": "bybit/v5-spot-ob200-20260809-eth.jsonl.gz",
    "linear-500-recorded": "bybit/v5-linear-ob500-20241201-xrp.ndjson.gz",
    "depth-50-derived": "derived/ob50-from-binance-usdm-btcusdt-20240808.ndjson.gz",
    "depth-200-derived": "derived/ob200-from-binance-spot-ethusdt-20240808.ndjson.gz",
    "depth-500-derived": "derived/ob500-from-binance-usdm-btcusdt-20240808.ndjson.gz",
}
FRAMES_MAX = 2000


def data_dir() -> Path:
    root = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("FASTBOOK_DATA", root.parent / "shared" / "data"))


def recorded() -> dict[str, list[bytes]]:
    """Order book frames of each recording that is there, the first 2,000."""
    found = {}
    for name, file in RECORDED.items():
        path = data_dir() / file
        if path.is_file():
            frames = (frame.data for frame in read_frames(read_lines(path), file))
            books = [bytes(data) for data in frames if b'"orderbook.' in data[:60]]
            found[name] = books[:FRAMES_MAX]
    return found
