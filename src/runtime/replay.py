"""`fastbook replay`: recorded frames through the decoder, and what the books came to."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from math import isnan
from pathlib import Path

from fastbook import ApplyStatus, Book, BookDecoder
from fastbook.errors import ConfigError, DataFileError
from fastbook.replay.source import RecordedFrame, read_frames

from .expected import Expected, load_expected
from .files import read_lines
from .output import print_json

BATCH = 4096
DAMAGED_SHOWN_MAX = 10
PROGRESS_S = 5.0


@dataclass
class Replay:
    """One decoder and what went through it."""

    skip_damaged: bool = False
    decoder: BookDecoder = field(default_factory=BookDecoder)
    frames: int = 0
    decode_s: float = 0.0
    damaged: list[str] = field(default_factory=list)
    """The first places that could not be read or decoded; `damaged_count` has them all."""
    damaged_count: int = 0
    _progress_due_s: float = field(default_factory=lambda: time.monotonic() + PROGRESS_S)

    def run(self, path: Path, expected: Expected | None) -> None:
        """Every frame of `path`. Unless told to skip, what cannot be read raises DataFileError."""
        note = (lambda e: self._note_damage(str(e))) if self.skip_damaged else None
        frames = read_frames(read_lines(path, note), str(path), note)
        frames_before = self.frames
        while batch := list(islice(frames, BATCH)):
            if expected is None:
                self._run_timed(path, batch)
            else:
                self._run_compared(path, batch, expected)
            self._show_progress(path)
        if self.frames == frames_before and not self.damaged_count:
            raise DataFileError(str(path), "holds no frames")
        if expected is not None:
            expected.finish(self.decoder.books)

    def _run_timed(self, path: Path, batch: list[RecordedFrame]) -> None:
        apply = self.decoder.apply
        started = time.perf_counter()
        statuses = [apply(frame.data, frame.recv_ns) for frame in batch]
        self.decode_s += time.perf_counter() - started
        self.frames += len(batch)
        if ApplyStatus.MALFORMED in statuses:
            for frame, status in zip(batch, statuses, strict=True):
                self._check(path, frame, status)

    def _run_compared(self, path: Path, batch: list[RecordedFrame], expected: Expected) -> None:
        for frame in batch:
            started = time.perf_counter()
            status = self.decoder.apply(frame.data, frame.recv_ns)
            self.decode_s += time.perf_counter() - started
            self.frames += 1
            self._check(path, frame, status)
            expected.compare_frame(frame.line, self.decoder.books)

    def _check(self, path: Path, frame: RecordedFrame, status: ApplyStatus) -> None:
        if status is ApplyStatus.MALFORMED:
            self._note_damage(f"{path}:{frame.line}: malformed frame")

    def _note_damage(self, text: str) -> None:
        self.damaged_count += 1
        if len(self.damaged) < DAMAGED_SHOWN_MAX:
            self.damaged.append(text)

    def _show_progress(self, path: Path) -> None:
        now_s = time.monotonic()
        if now_s >= self._progress_due_s:
            self._progress_due_s = now_s + PROGRESS_S
            print(f"fastbook: {self.frames:,} frames, in {path}", file=sys.stderr)

    def summary(self) -> dict[str, object]:
        counters = self.decoder.counters
        return {
            "frames": self.frames,
            "frames_per_s": round(self.frames / self.decode_s) if self.decode_s else 0,
            "status": {s.name: counters[s.name.lower()] for s in ApplyStatus},
            "gaps": counters["gaps"],
            "books": {topic: describe(book) for topic, book in self.decoder.books.items()},
            "damaged": self.damaged_count,
            "damaged_at": self.damaged,
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
    checked = load_expectations(files, verify)
    run = Replay(skip_damaged)
    for number, path in enumerate(files):
        run.run(path, checked[number] if checked else None)
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
    complain_of_damage(run)
    if any(e.differing for e in checked):
        return 4
    return 1 if run.damaged_count and not skip_damaged else 0


def load_expectations(files: list[Path], verify: Path | None) -> list[Expected]:
    """One for each file, or none at all."""
    if verify is None:
        return []
    if len(files) > 1 and not verify.is_dir():
        raise ConfigError(f"--verify-against: {len(files)} recordings need a folder, not {verify}")
    return [load_expected(verify, path) for path in files]


def complain_of_damage(run: Replay) -> None:
    for line in run.damaged:
        print(f"fastbook: {line}", file=sys.stderr)
    more = run.damaged_count - len(run.damaged)
    if more:
        print(f"fastbook: and {more} more", file=sys.stderr)


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
        print(f"  compared {verified['compared']:,}, differing {verified['differing']:,}")
        if verified["first_difference"]:
            print(f"  first difference: {verified['first_difference']}")
