"""How fast a backtest goes over recorded frames, and whether its memory stays flat.

Run: python -m bench.backtest [--frames 1000000] [--memory-frames 10000000]

The frames are generated (see `fastbook.runtime.benchmark.frames`), ten symbols at depth 50, written
as a recording and read from it again. Each has a receive time of its own, so that the strategy is
asked after every one: the most that a recording can ask for. Times are CPU time of the one thread.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastbook import BookDecoder
from fastbook.replay.backtest.venue import Assumptions
from fastbook.runtime import backtest
from fastbook.runtime.backtest import BacktestOptions, Outcome, run_backtest
from fastbook.runtime.benchmark.frames import interleaved, mixed, symbol_name
from fastbook.runtime.config import Config, parse
from fastbook.runtime.data_files import chunks
from fastbook.runtime.output import print_json
from fastbook.runtime.recording.blocks import Segments

SYMBOLS = 10
FRAMES_EACH = 2_000
APART_NS = 2_000_000
"""Between two frames of any symbol."""
DELAY_NS = 3_000_000
BLOCK_FRAMES = 4_000
TARGET = 500_000

CONFIG = """
[market_data]
symbols = {symbols}
depth = 50
sample_ms = 100
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 50.0
leverage_max = 10.0
"""


def config() -> Config:
    names = ", ".join(f'"{symbol_name(n)}"' for n in range(SYMBOLS))
    return parse(CONFIG.format(symbols=f"[{names}]"), name="bench", environ={})


def lines(frames: int) -> Iterator[tuple[bytes, int]]:
    """Blocks of lines, and how many; the generated frames again and again, later each time."""
    cut = []
    for frame in interleaved(mixed(SYMBOLS, FRAMES_EACH)):
        before, _, after = frame.partition(b'"ts":')
        cut.append((before, after[13:]))
    ns = 1_700_000_000_000_000_000
    block: list[bytes] = []
    for n in range(frames):
        before, after = cut[n % len(cut)]
        block.append(b'%d %b"ts":%d%b\n' % (ns + DELAY_NS, before, ns // 1_000_000, after))
        ns += APART_NS
        if len(block) == BLOCK_FRAMES or n == frames - 1:
            yield b"".join(block), len(block)
            block = []


def write(folder: Path, frames: int) -> Path:
    segments = Segments(folder, "public", ".frames.zst", bytes_max=1 << 40)
    segments.open()
    first = 0
    for block, count in lines(frames):
        segments.append(block, first, count)
        first += count
    segments.close()
    return segments.files[0]


def one_scenario(options: BacktestOptions) -> list[Assumptions]:
    return backtest_scenarios(options)[:1]


backtest_scenarios = backtest.scenarios


def measure(path: Path, accounts: int) -> tuple[float, Outcome]:
    """Frames a second of CPU time, the head of the file and the building included."""
    backtest.scenarios = backtest_scenarios if accounts > 1 else one_scenario
    started_s = time.process_time()
    outcome = run_backtest(config(), [path], BacktestOptions(funding=None))
    return outcome.run.cursor.frames / (time.process_time() - started_s), outcome


def check(path: Path, outcome: Outcome) -> None:
    """The books are those of a decoder alone; orders were made and filled."""
    decoder = BookDecoder(outcome.instruments)
    frames = 0
    for _, data in chunks([path]):
        found = [line.partition(b" ")[2] for line in data.split(b"\n")[:-1]]
        frames += decoder.apply_many(found)
    assert frames == outcome.run.cursor.frames == outcome.run.reads + outcome.run.cursor.skipped
    books = outcome.run.decoder.books
    for topic, book in decoder.books.items():
        assert (book.u, book.levels()) == (books[topic].u, books[topic].levels())
    for account in outcome.run.accounts:
        assert account.trail.fills > 0


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(frames: int) -> dict[str, Any]:  # Any: JSON
    """Peak memory at a tenth of the frames and at the end; nothing is written to disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), 40_000)  # what the head is learned from
        marks: list[float] = []

        def feed(*_: object) -> Iterator[tuple[str, bytes]]:
            done = 0
            for block, count in lines(frames):
                yield "generated", block
                done += count
                if not marks and done >= frames // 10:
                    marks.append(peak_mb())

        real, backtest.chunks = backtest.chunks, feed
        try:
            _, outcome = measure(path, 3)
        finally:
            backtest.chunks = real
    return {
        "frames": outcome.run.cursor.frames,
        "orders": sum(a.trail.orders for a in outcome.run.accounts),
        "peak_mb_at_a_tenth": round(marks[0], 1),
        "peak_mb": round(peak_mb(), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-frames", type=int, default=0)
    args = parser.parse_args()
    found: dict[str, Any] = {"target_frames_per_s": TARGET}  # Any: JSON
    if args.memory_frames:
        found["memory"] = memory(args.memory_frames)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), args.frames)
        found["file_mb"] = round(path.stat().st_size / 1e6, 1)
        for accounts in (1, 3):
            rates = []
            for _ in range(args.rounds):
                rate, outcome = measure(path, accounts)
                rates.append(round(rate))
            check(path, outcome)
            trail = outcome.run.accounts[0].trail
            found[f"{accounts}_accounts"] = {
                "frames_per_s": max(rates),
                "of": rates,
                "orders": trail.orders,
                "fills": trail.fills,
            }
    print_json(found, indent=True)
    return 0 if found["1_accounts"]["frames_per_s"] >= TARGET else 4


if __name__ == "__main__":
    raise SystemExit(main())
