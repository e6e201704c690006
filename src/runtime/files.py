"""Lines of a data file, compressed or not, with errors that name the file."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from fastbook.errors import DataFileError, FastbookError

LINE_BYTES_MAX = 16 << 20
"""A longer line is not a recording's: refused, so that memory stays bounded."""


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of `path`, of `.gz`, `.zst` or plain text."""
    with _open(path) as file:
        number = 0
        try:
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > LINE_BYTES_MAX:
                    raise DataFileError(str(path), "the line is too long", line=number)
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as e:
            reason = f"damaged after line {number}: {e}"
            raise DataFileError(str(path), reason) from None


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        return _open_zst(path)
    return path.open("rb")


def _open_zst(path: Path) -> io.BufferedReader:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise FastbookError(f"{path}: pip install zstandard to read .zst files") from None
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb")))
