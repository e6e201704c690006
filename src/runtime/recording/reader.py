"""A recording from its folder: the events in order, and the frames up to any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fastbook.errors import ConfigError, DataFileError

from .blocks import Cut, read_blocks
from .recorder import EVENTS, FRAMES


@dataclass(slots=True)
class Entry:
    """One line of the events: an input of the engine, or what became of it.

    `kind` "read" is a socket read, its `value` the touched books. Any: JSON.
    """

    kind: str
    recv_ns: int
    frames: int
    value: Any
    number: int


def frame_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{FRAMES[0]}-*{FRAMES[1]}"))


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{EVENTS[0]}-*{EVENTS[1]}"))


@dataclass(slots=True)
class LineStream:
    """Lines of all segments of one kind. A hole in their numbers is an error that names it."""

    files: list[Path]
    cut: Cut = field(default_factory=Cut)
    number: int = 0
    """Lines so far."""
    place: str = ""

    def __iter__(self) -> Iterator[bytes]:
        for at, path in enumerate(self.files):
            last = at == len(self.files) - 1
            for block in read_blocks(path, self.cut if last else None):
                self.place = f"{path} in the block at byte {block.offset}"
                if block.first != self.number:
                    missing = block.first - self.number
                    raise DataFileError(
                        str(path),
                        f"{missing} records are missing before the block at byte {block.offset}:"
                        " the recorder could not keep them, or a file is gone",
                    )
                for line in block.data.split(b"\n")[:-1]:
                    self.number += 1
                    yield line


class Recording:
    """One folder that `--record` filled."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder with a recording")
        self.folder = folder
        self.frames = LineStream(frame_files(folder))
        self.events = LineStream(event_files(folder))
        if not self.events.files:
            raise ConfigError(f"{folder} holds no recording of a run: no {EVENTS[0]}-*{EVENTS[1]}")

    def entries(self) -> Iterator[Entry]:
        """Every event, in the order in which it happened."""
        for line in self.events:
            number = self.events.number - 1
            try:
                yield _read(line, number) if line.startswith(b"B ") else _note(line, number)
            except (ValueError, KeyError, TypeError) as e:
                raise DataFileError(self.events.place, f"line {number} is no event ({e})") from None

    def frame_lines(self) -> Iterator[tuple[int, bytes]]:
        """Every frame as (receive time, raw JSON)."""
        for line in self.frames:
            stamp, _, data = line.partition(b" ")
            yield int(stamp), data


def _read(line: bytes, number: int) -> Entry:
    _, recv_ns, frames, touched = line.split(b" ")
    indexes = [int(i) for i in touched.split(b",")] if touched else []
    return Entry("read", int(recv_ns), int(frames), indexes, number)


def _note(line: bytes, number: int) -> Entry:
    plain = orjson.loads(line)
    return Entry(plain["k"], plain["n"], plain["f"], plain.get("v"), number)
