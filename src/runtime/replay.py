"""`fastbook replay`: recorded frames through the decoder, and what the books came to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import isnan
from pathlib import Path

from fastbook import ApplyStatus, Book, BookDecoder
from fastbook.errors import ConfigError, DataFileError
from fastbook.replay.source import RecordedFrame, read_frames

from .data_files import expand, time_of
from .data_files import frames as frames_in_order
from .expected import Expected, load_expected
from .files import read_lines
from .output import print_json

BATCH = 4096
DAMAGED_SHOWN_MAX = 10
PROGRESS_S = 5.0
PACED_BATCH = 16
BAR_EVERY_S = 0.2
BAR_CELLS = 30
SLEEP_S_MAX = 0.2


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
    pace: float = 0.0
    """Times the recorded speed; 0 is as fast as can be."""
    bar: Bar | None = None
    _progress_due_s: float = field(default_factory=lambda: time.monotonic() + PROGRESS_S)

    def run(self, path: Path, expected: Expected | None) -> None:
        """Every frame of `path`. Unless told to skip, what cannot be read raises DataFileError."""
        if expected is None:
            self.run_merged([path])
            return
        frames = read_frames(self._lines(path), str(path), self._on_damage)
        frames_before = self.frames
        while batch := list(islice(frames, BATCH)):
            self._run_compared(path, batch, expected)
            self._show_progress(path)
        self._check_not_empty(path, frames_before)
        expected.finish(self.decoder.books)

    def run_merged(self, paths: list[Path]) -> None:
        """Every frame of all files, in the order of time."""
        frames = frames_in_order(paths, self._on_damage, self._lines)
        pacer = Pacer(self.pace) if self.pace else None
        frames_before = self.frames
        while batch := list(islice(frames, PACED_BATCH if pacer else BATCH)):
            if pacer is not None:
                pacer.wait_for(batch[-1][1])
            self._run_timed(batch)
            self._show_progress(batch[-1][0])
        self._check_not_empty(paths[0], frames_before)

    @property
    def _on_damage(self) -> Callable[[DataFileError], None] | None:
        return (lambda e: self._note_damage(str(e))) if self.skip_damaged else None

    def _lines(self, path: Path) -> Iterator[bytes]:
        return read_lines(path, self._on_damage, self.bar.at if self.bar is not None else None)

    def _check_not_empty(self, path: Path, frames_before: int) -> None:
        if self.frames == frames_before and not self.damaged_count:
            raise DataFileError(str(path), "holds no frames")

    def _run_timed(self, batch: list[tuple[Path, RecordedFrame]]) -> None:
        apply = self.decoder.apply
        started = time.perf_counter()
        statuses = [apply(frame.data, frame.recv_ns) for _, frame in batch]
        self.decode_s += time.perf_counter() - started
        self.frames += len(batch)
        if ApplyStatus.MALFORMED in statuses:
            for (path, frame), status in zip(batch, statuses, strict=True):
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
        if now_s < self._progress_due_s:
            return
        if self.bar is not None:
            self._progress_due_s = now_s + BAR_EVERY_S
            self.bar.show(f"{self.frames:,} frames")
        else:
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


class Bar:
    """How much of the files has been read, on one line of a terminal."""

    def __init__(self, paths: list[Path]) -> None:
        self._total = max(1, sum(path.stat().st_size for path in paths))
        self._at: dict[Path, int] = {}

    def at(self, path: Path, position: int) -> None:
        """`path` has been read to this byte."""
        self._at[path] = position

    def show(self, text: str) -> None:
        share = min(1.0, sum(self._at.values()) / self._total)
        done = round(share * BAR_CELLS)
        cells = "#" * done + "." * (BAR_CELLS - done)
        print(f"\r[{cells}] {share:4.0%}  {text} ", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Pacer:
    """Waits until a frame's time has come, at `pace` times the recorded speed."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._first_ns = 0
        self._last_ns = 0
        self._started_s = 0.0

    def wait_for(self, frame: RecordedFrame) -> None:
        self._last_ns = time_of(frame, self._last_ns)
        if not self._first_ns:
            self._first_ns, self._started_s = self._last_ns, time.monotonic()
        due_s = self._started_s + (self._last_ns - self._first_ns) / 1e9 / self._pace
        while (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, SLEEP_S_MAX))  # a signal ends it within that


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


def replay(
    paths: list[Path], verify: Path | None, skip_damaged: bool, as_json: bool, pace: float = 0.0
) -> int:
    """Replay all files in the order of time through one decoder. Returns the exit code.

    With expectations they go one after the other instead: those are of a file each.
    """
    if not 0.0 <= pace < 1e6:
        raise ConfigError(f"--pace is 0 or more, not {pace:g}")
    files = expand(paths)
    checked = load_expectations(files, verify)
    run = Replay(skip_damaged, pace=pace)
    run.bar = Bar(files) if sys.stderr.isatty() else None
    if checked:
        for number, path in enumerate(files):
            run.run(path, checked[number])
    else:
        run.run_merged(files)
    if run.bar is not None:
        run.bar.clear()
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
