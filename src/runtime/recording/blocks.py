"""Files of lines in compressed blocks, each with a checksum; docs/recording.md has the format.

A block is a zstd frame behind a skippable one, so every zstd tool reads the lines, while we know
of each block what it should hold. A file ends with a whole block, or a kill has cut the last one.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import zstandard

from fastbook.errors import ConfigError, DataFileError

MAGIC = b"\x5b\x2a\x4d\x18"
"""A skippable zstd frame, of the sixteen kinds the one we use."""
HEADER = struct.Struct("<4sIIIIQI")
"""Magic, bytes behind this field, crc32 of all behind this field, bytes of the zstd frame, bytes
of the lines in it, number of the first line, number of lines. Little endian."""
CRC_FROM = 12
BODY_BYTES = HEADER.size - 8
BLOCK_BYTES_MAX = 64 << 20
LEVEL = 1


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file."""

    path: Path
    offset: int
    first: int
    """Number of its first line over all segments; the first of all is 0."""
    lines: int
    data: bytes


def pack(lines: bytes | memoryview, first: int, count: int, level: int = LEVEL) -> bytes:
    """One block. zstd and crc32 release the interpreter lock on all that is large."""
    body = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(lines)
    size = len(lines)
    behind = HEADER.pack(MAGIC, BODY_BYTES, 0, len(body), size, first, count)[CRC_FROM:]
    crc = zlib.crc32(body, zlib.crc32(behind))
    return HEADER.pack(MAGIC, BODY_BYTES, crc, len(body), size, first, count) + body


def is_blocks(path: Path) -> bool:
    """Whether the file starts as one of ours does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


@dataclass(slots=True)
class Cut:
    """What a kill left behind the last whole block."""

    bytes: int = 0


def read_blocks(path: Path, cut: Cut | None = None) -> Iterator[Block]:
    """Yield the blocks of one file.

    Raises DataFileError that names file and byte at the first block whose checksum is wrong. A
    last block that was not written to its end is left out; `cut` is told its bytes, and without
    a `cut` it is an error like any other.
    """
    offset = 0
    with path.open("rb") as file:
        while head := file.read(HEADER.size):
            block, size = _read_block(path, offset, head, file.read)
            if block is None:
                if cut is None:
                    raise DataFileError(str(path), f"cut in the block at byte {offset}")
                cut.bytes = path.stat().st_size - offset
                return
            yield block
            offset += size


def _read_block(
    path: Path, offset: int, head: bytes, read: Callable[[int], bytes]
) -> tuple[Block | None, int]:
    if len(head) < HEADER.size:
        if head != (MAGIC + struct.pack("<I", BODY_BYTES))[: len(head)] and len(head) <= 8:
            raise _damaged(path, offset, "it does not start as a block does")
        return None, 0
    magic, behind, crc, size, raw_size, first, count = HEADER.unpack(head)
    if magic != MAGIC or behind != BODY_BYTES:
        raise _damaged(path, offset, "it does not start as a block does")
    if max(size, raw_size) > BLOCK_BYTES_MAX:
        raise _damaged(path, offset, "its header is wrong")
    body = read(size)
    if len(body) < size:
        return None, 0
    if zlib.crc32(body, zlib.crc32(head[CRC_FROM:])) != crc:
        raise _damaged(path, offset, "its checksum is wrong")
    try:
        data = zstandard.ZstdDecompressor().decompress(body, max_output_size=raw_size)
    except zstandard.ZstdError as e:
        raise _damaged(path, offset, str(e)) from None
    if len(data) != raw_size or not data.endswith(b"\n"):
        raise _damaged(path, offset, "it holds something else than its header says")
    return Block(path, offset, first, count, data), HEADER.size + size


def _damaged(path: Path, offset: int, why: str) -> DataFileError:
    return DataFileError(str(path), f"the block at byte {offset} is damaged: {why}")


class Segments:
    """Appends blocks to numbered files ``{stem}-00001{suffix}``, a new one by size and by age."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        suffix: str,
        *,
        bytes_max: int = 256 << 20,
        age_max_s: float = 3600.0,
    ) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self.bytes = 0
        """Written, compressed."""
        self._stem = stem
        self._suffix = suffix
        self._bytes_max: float = bytes_max
        self._age_max_s = age_max_s
        self._file: FileIO | None = None
        self._in_file = 0
        self._opened_s = 0.0
        self._number = 0

    def open(self) -> None:
        """Make the folder and the first file. ConfigError if there is a recording already."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._next_file()
        except FileExistsError as e:
            there = "is there already" if self.folder.is_dir() else "is a file, not a folder"
            raise ConfigError(f"{e.filename} {there}") from None
        except OSError as e:
            raise ConfigError(f"cannot record into {self.folder}: {e.strerror}") from None

    def open_as(self, path: Path) -> None:
        """Write one file of this name, and never a second."""
        self._file = path.open("xb", buffering=0)
        self.files.append(path)
        self._opened_s = time.monotonic()
        self._age_max_s = self._bytes_max = 1 << 60

    def append(self, lines: bytes | memoryview, first: int, count: int) -> None:
        """Write one block. After an OSError the next block starts a new file."""
        aged = time.monotonic() - self._opened_s > self._age_max_s
        if self._file is None or self._in_file >= self._bytes_max or aged:
            self._next_file()
        assert self._file is not None  # _next_file opened it
        block = memoryview(pack(lines, first, count))
        try:
            while block:
                written = self._file.write(block)
                self._in_file += written
                self.bytes += written
                block = block[written:]
        except OSError:
            self._drop_file()
            raise

    def close(self) -> None:
        self._drop_file()

    def _next_file(self) -> None:
        self._drop_file()
        self._number += 1
        path = self.folder / f"{self._stem}-{self._number:05}{self._suffix}"
        self._file = path.open("xb", buffering=0)
        self.files.append(path)
        self._in_file = 0
        self._opened_s = time.monotonic()

    def _drop_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
