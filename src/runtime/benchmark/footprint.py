"""Run as a process of its own: how much memory the whole runtime takes with many full books.

Everything that `fastbook run` imports is loaded; 100 books of 200 levels a side, every window of
every signal 1,000 samples long and full. Prints one JSON document.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from fastbook import BookDecoder, BookState, SignalSet
from fastbook.core.signals import Signal

from .. import run  # all that a trading process holds
from ..output import print_json
from . import frames as generated
from ._loop import apply_all

SYMBOLS = 100
DEPTH = 200
WINDOW = 1000


def resident_bytes() -> int:
    """Now; where the system does not say, the most it ever was."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    assert run is not None
    streams = [
        generated.stream(40, depth=DEPTH, symbol=generated.symbol_name(i)) for i in range(SYMBOLS)
    ]
    before = resident_bytes()
    signals = SignalSet(
        SYMBOLS, lookback=WINDOW, ofi_window=WINDOW, volatility_window=WINDOW, atr_window=WINDOW,
        sample_ms=0,
    )  # fmt: skip
    decoder = BookDecoder(signals=signals)
    for stream in streams:
        for _ in range(WINDOW // len(stream) + 1):
            apply_all(decoder, stream)
    after = resident_bytes()
    for book in decoder.books.values():
        assert book.state is BookState.SYNCED
        assert (book.bid_levels, book.ask_levels) == (DEPTH, DEPTH)
        assert signals.row(book.index)[Signal.SAMPLES] >= WINDOW
    print_json(
        {
            "empty_bytes": before,  # interpreter, imports and the generated frames
            "frame_bytes": sum(map(len, (frame for stream in streams for frame in stream))),
            "full_bytes": after,
            "bytes_per_book": (after - before) / SYMBOLS,
        }
    )


if __name__ == "__main__":
    main()
