"""`fastbook replay`: recorded frames through the decoder, and what the books came to."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from math import isnan
from pathlib import Path

from fastbook import ApplyStatus, Book, BookDecoder
from fastbook.replay.source import RecordedFrame, read_frames

from .expected import Expected, load_expected
from .files import read_lines
from .output import print_json

BATCH = 4096
DAMAGED_SHOWN_MAX = 10


@dataclass
class Replay:
    """One decoder and what went through it."""

    decoder: BookDecoder = field(default_factory=BookDecoder)
    frames: int = 0
    decode_s: float = 0.0
    damaged: list[str] = field(default_factory=list)
    damaged_count: int = 0

    def run(self, path: Path, expected: Expected | None) -> None:
        frames = read_frames(read_lines(path), str(path))
        while batch := list(islice(frames, BATCH)):
            if expected is None:
                self._run_timed(path, batch)
            else:
                self._run_compared(path, batch, expected)
        if expected is not None:
            expected.compare_final(self.decoder.books)

    def _run_timed(self, path: Path, batch: list[RecordedFrame]) -> None:
        apply = self.decoder.apply
        started = time.perf_counter()
        statuses = [apply(frame.data, frame.recv_ns) for frame in batch]
        self.decode_s += time.perf_counter() - started
        self.frames += len(batch)
        if ApplyStatus.MALFORMED in statuses:
            self._note_damage(path, zip(batch, statuses, strict=True))

    def _run_compared(self, path: Path, batch: list[RecordedFrame], expected: Expected) -> None:
        for frame in batch:
            started = time.perf_counter()
            status = self.decoder.apply(frame.data, frame.recv_ns)
            self.decode_s += time.perf_counter() - started
            self.frames += 1
            if status is ApplyStatus.MALFORMED:
                self._note_damage(path, [(frame, status)])
            expected.compare_frame(frame.line, self.decoder.books)

    def _note_damage(
        self, path: Path, outcomes: Iterable[tuple[RecordedFrame, ApplyStatus]]
    ) -> None:
        for frame, status in outcomes:
            if status is ApplyStatus.MALFORMED:
                self.damaged_count += 1
                if len(self.damaged) < DAMAGED_SHOWN_MAX:
                    self.damaged.append(f"{path}:{frame.line}: malformed frame")

    def summary(self) -> dict[str, object]:
        counters = self.decoder.counters
        return {
            "frames": self.frames,
            "frames_per_s": round(self.frames / self.decode_s) if self.decode_s else 0,
            "status": {s.name: counters[s.name.lower()] for s in ApplyStatus},
            "gaps": counters["gaps"],
            "books": {topic: describe(book) for topic, book in self.decoder.books.items()},
            "damaged": self.damaged,
            "counters": counters,
        }


def describe(book: Book) -> dict[str, object]:
    """A book in a JSON summary: floats for people and charts, null where there is no answer."""
    return {
        "u": book.u,
        "seq": book.seq,
        "state": book.state.name,
        "best_bid": None if isnan(book.best_bid) else book.best_bid,
        "best_ask": None if isnan(book.best_ask) else book.best_ask,
        "levels": [book.bid_levels, book.ask_levels],
    }


def replay(files: list[Path], verify: Path | None, skip_damaged: bool, as_json: bool) -> int:
    """Replay `files` in the order given through one decoder. Returns the exit code."""
    expectations = [load_expected(verify, path) if verify else None for path in files]
    run = Replay()
    for path, expected in zip(files, expectations, strict=True):
        run.run(path, expected)
    checked = [expected for expected in expectations if expected is not None]
    summary = run.summary()
    if checked:
        summary["verified"] = {
            "compared": sum(e.compared for e in checked),
            "differing": sum(e.differing for e in checked),
            "first_difference": next((e.first for e in checked if e.first), None),
        }
    if as_json:
        print_json(summary, indent=True)
    else:
        print_summary(summary)
    for line in run.damaged:
        print(f"fastbook: {line}", file=sys.stderr)
    if any(e.differing for e in checked):
        return 4
    return 1 if run.damaged_count and not skip_damaged else 0


def print_summary(summary: dict[str, object]) -> None:
    counts = summary["status"]
    books = summary["books"]
    assert isinstance(counts, dict)
    assert isinstance(books, dict)
    print(f"{summary['frames']:,} frames, {summary['frames_per_s']:,} frames/s through the decoder")
    print("  " + ", ".join(f"{name} {n:,}" for name, n in counts.items() if n))
    for topic, book in books.items():
        bid_levels, ask_levels = book["levels"]
        print(
            f"  {topic:<28} {book['state']:<9} u {book['u']:<14}"
            f" {book['best_bid']} / {book['best_ask']}  {bid_levels} + {ask_levels} levels"
        )
    verified = summary.get("verified")
    if isinstance(verified, dict):
        print(f"compared {verified['compared']:,}, differing {verified['differing']:,}")
        if verified["first_difference"]:
            print(f"first difference: {verified['first_difference']}")
