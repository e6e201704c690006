"""Lines of a data file, compressed or not, with errors that name the file."""

from __future__ import annotations

import gzip
import io
import logging
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from fastbook.errors import DataFileError, FastbookError

log = logging.getLogger("fastbook.files")

LINE_BYTES_MAX = 16 << 20
"""A longer line is not a recording's: refused, so that memory stays bounded."""


def read_lines(
    path: Path,
    on_damage: Callable[[DataFileError], None] | None = None,
    on_progress: Progress | None = None,
) -> Iterator[bytes]:
    """Yield the lines of `path`, of `.gz`, `.zst` or plain text.

    Where they cannot be read any further, DataFileError is raised; with `on_damage` it goes
    there, and the lines end.
    """
    try:
        yield from _lines(path, on_progress)
    except DataFileError as e:
        if on_damage is None:
            raise
        on_damage(e)


PIECE_BYTES = 1 << 20
PROGRESS_LINES = 1_000

Progress = Callable[[Path, int], None]
"""Told the file, and how many of its bytes have been read."""


def read_pieces(path: Path) -> Iterator[bytes]:
    """The same file in pieces of whole lines, about a megabyte each; the last may lack its end."""
    rest = b""
    bytes_read = 0
    with path.open("rb") as raw, _unpacked(path, raw) as file:
        unreadable: tuple[type[Exception], ...] = (
            EOFError,
            gzip.BadGzipFile,
            zlib.error,
            *_zst_errors(),
        )
        try:
            while piece := file.read(PIECE_BYTES):
                bytes_read += len(piece)
                cut = piece.rfind(b"\n") + 1
                if cut:
                    yield rest + piece[:cut]
                    rest = piece[cut:]
                else:
                    rest += piece
                if len(rest) > LINE_BYTES_MAX:
                    raise DataFileError(str(path), f"the line at byte {bytes_read} is too long")
        except unreadable as e:
            raise DataFileError(str(path), f"damaged after byte {bytes_read}: {e}") from None
    if rest:
        yield rest


def _lines(path: Path, on_progress: Progress | None = None) -> Iterator[bytes]:
    if path.suffix == ".zst" and (blocks := _block_lines(path, on_progress)) is not None:
        yield from blocks
        return
    with path.open("rb") as raw, _unpacked(path, raw) as file:
        number = 0
        unreadable: tuple[type[Exception], ...] = (
            EOFError,
            gzip.BadGzipFile,
            zlib.error,
            *_zst_errors(),
        )
        try:
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                if on_progress is not None and not number % PROGRESS_LINES:
                    on_progress(path, raw.tell())
                if len(line) > LINE_BYTES_MAX:
                    raise DataFileError(str(path), "the line is too long", line=number)
                yield line
        except unreadable as e:
            raise DataFileError(str(path), f"damaged after line {number}: {e}") from None


def _block_lines(path: Path, on_progress: Progress | None) -> Iterator[bytes] | None:
    """Of our own recordings, whose checksums are looked at; None for any other file."""
    try:
        from .recording.blocks import Cut, is_blocks, read_blocks
    except ModuleNotFoundError:
        return None
    if not is_blocks(path):
        return None

    def lines() -> Iterator[bytes]:
        cut = Cut()
        for block in read_blocks(path, cut):
            if on_progress is not None:
                on_progress(path, block.offset)
            yield from (line + b"\n" for line in block.data.split(b"\n")[:-1])
        if cut.bytes:
            log.warning("%s: the last %d bytes are of a block that was cut", path, cut.bytes)

    return lines()


def _unpacked(path: Path, raw: io.BufferedReader) -> gzip.GzipFile | io.BufferedReader:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if path.suffix == ".zst":
        return _unpacked_zst(path, raw)
    return raw


def _unpacked_zst(path: Path, raw: io.BufferedReader) -> io.BufferedReader:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise FastbookError(f"{path}: pip install zstandard to read .zst files") from None
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return io.BufferedReader(reader)


def _zst_errors() -> tuple[type[Exception], ...]:
    """The reader's own error, once the reader is in use."""
    module = sys.modules.get("zstandard")
    return () if module is None else (module.ZstdError,)
