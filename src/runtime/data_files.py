"""Recorded market data from files and folders, in the order of time, for replays and backtests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
from pathlib import Path

from fastbook.errors import ConfigError, DataFileError
from fastbook.replay.source import RecordedFrame, read_frames

from .files import read_lines, read_pieces
from .recording.blocks import is_blocks, read_blocks
from .recording.reader import frame_files

PIECE_LINES = 2_000
_TS = re.compile(rb'"ts":(\d{10,14})')

OnDamage = Callable[[DataFileError], None]


def expand(paths: Iterable[Path]) -> list[Path]:
    """Folders that `record` has filled become their files, in order. ConfigError for others."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise FileNotFoundError(2, "no such file", str(path))
            files.append(path)
            continue
        inside = frame_files(path)
        if not inside:
            raise ConfigError(f"{path} is a folder without public-*.frames.zst: name its files")
        files += inside
    return files


def chunks(paths: list[Path], on_damage: OnDamage | None = None) -> Iterator[tuple[str, bytes]]:
    """(name, whole lines) of all files in the order of time.

    One file, or the files of one recording, are handed on as they are; several are merged frame
    by frame. Raises DataFileError, or hands it to `on_damage` and goes on where it can.
    """
    if len(paths) == 1 or _one_recording(paths):
        for path in paths:
            yield from _pieces(path, on_damage)
        return
    streams = [_timed(path, on_damage) for path in paths]
    name = " + ".join(path.name for path in paths)
    merged = merge(*streams, key=lambda one: one[0])
    while lines := b"".join(line for _, line in islice(merged, PIECE_LINES)):
        yield name, lines


def frames(
    paths: list[Path],
    on_damage: OnDamage | None = None,
    lines: Callable[[Path], Iterator[bytes]] | None = None,
) -> Iterator[tuple[Path, RecordedFrame]]:
    """Every frame with its file, in the order of time. `lines` reads a file otherwise."""
    read = lines or (lambda path: read_lines(path, on_damage))
    if len(paths) == 1 or _one_recording(paths):
        for path in paths:
            for frame in read_frames(read(path), str(path), on_damage):
                yield path, frame
        return

    def timed(path: Path) -> Iterator[tuple[int, Path, RecordedFrame]]:
        last_ns = 0
        for frame in read_frames(read(path), str(path), on_damage):
            last_ns = time_of(frame, last_ns)
            yield last_ns, path, frame

    for _, path, frame in merge(*(timed(p) for p in paths), key=lambda one: one[0]):
        yield path, frame


def time_of(frame: RecordedFrame, otherwise: int) -> int:
    """When it was received, else when it was sent, else as the frame before."""
    if frame.recv_ns:
        return frame.recv_ns
    found = _TS.search(frame.data, 0, 256)
    return int(found[1]) * 1_000_000 if found else otherwise


def _one_recording(paths: list[Path]) -> bool:
    parents = {path.parent for path in paths}
    return len(parents) == 1 and paths == frame_files(paths[0].parent)[: len(paths)]


def _timed(path: Path, on_damage: OnDamage | None) -> Iterator[tuple[int, bytes]]:
    last_ns = 0
    for frame in read_frames(read_lines(path, on_damage), str(path), on_damage):
        last_ns = time_of(frame, last_ns)
        yield last_ns, _line(frame)


def _line(frame: RecordedFrame) -> bytes:
    return b"%d %b\n" % (frame.recv_ns, frame.data) if frame.recv_ns else frame.data + b"\n"


def _pieces(path: Path, on_damage: OnDamage | None) -> Iterator[tuple[str, bytes]]:
    name = str(path)
    try:
        if path.suffix == ".zst" and is_blocks(path):
            for block in read_blocks(path):
                yield name, block.data
            return
        if _plain_lines(path):
            for piece in read_pieces(path):
                yield name, piece
            return
        read = read_frames(read_lines(path), name, on_damage)
        while lines := b"".join(map(_line, islice(read, PIECE_LINES))):
            yield name, lines
    except DataFileError as e:
        if on_damage is None:
            raise
        on_damage(e)


def _plain_lines(path: Path) -> bool:
    """Whether a decoder's cursor reads the lines itself: no envelope, no text for a time."""
    for line in read_lines(path):
        text = line.strip()
        if text:
            stamp = text.partition(b" ")[0]
            return not text.startswith(b'{"t":') and (text[:1] == b"{" or stamp.isdigit())
    raise DataFileError(str(path), "holds no frames")
