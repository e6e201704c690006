"""The board: the newest form of every book, in a memory map that another process reads.

One slot a symbol: a counter, a length, a checksum, and the packed book. The writer never waits
and never asks whether anybody reads; a reader that meets a slot in the middle of a write sees a
wrong checksum and looks again later. What is in between is lost on purpose: only the last value
of a book matters here.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Self

from fastbook.errors import ConfigError, WireError

from .layout import HEAD, LEVEL_BYTES

_FILE = struct.Struct("<4sIII")  # magic, slots, slot bytes, zero
_SLOT = struct.Struct("<QII")  # counter, length, crc32 of the data
_MAGIC = b"FBB1"


def slot_bytes(levels: int) -> int:
    """Room for a book of `levels` a side."""
    return _SLOT.size + HEAD.size + 2 * levels * LEVEL_BYTES


class BoardWriter:
    """Makes the file anew, mode 0600. Close it at the end; the file stays."""

    def __init__(self, path: Path, slots: int, levels: int) -> None:
        self.path = path
        self.slots = slots
        self._slot_bytes = slot_bytes(levels)
        size = _FILE.size + slots * self._slot_bytes
        path.unlink(missing_ok=True)  # a reader of the old one keeps what it has mapped
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.truncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        _FILE.pack_into(self._map, 0, _MAGIC, slots, self._slot_bytes, 0)
        self._counters = [0] * slots

    def write(self, slot: int, data: bytes) -> None:
        """Put `data` into `slot`. About two microseconds for a book of fifty levels."""
        if _SLOT.size + len(data) > self._slot_bytes:
            raise ValueError(f"{len(data)} bytes do not fit into a slot of {self._slot_bytes}")
        at = _FILE.size + slot * self._slot_bytes
        self._counters[slot] += 1
        self._map[at + _SLOT.size : at + _SLOT.size + len(data)] = data
        _SLOT.pack_into(self._map, at, self._counters[slot], len(data), zlib.crc32(data))

    def close(self) -> None:
        self._map.close()


class BoardReader:
    """Reads a board that another process writes. `ConfigError` when it is not one."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, self.slots, self._slot_bytes, _ = _FILE.unpack_from(self._map)
        if magic != _MAGIC or len(self._map) != _FILE.size + self.slots * self._slot_bytes:
            self._map.close()
            raise ConfigError(f"{path} is not a board of this version")
        self._seen = [0] * self.slots
        self.torn = 0
        """Slots met in the middle of a write; they were looked at again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, slot: int) -> bytes | None:
        """What is in `slot` if it is new and whole, else None."""
        at = _FILE.size + slot * self._slot_bytes
        counter, length, crc = _SLOT.unpack_from(self._map, at)
        if counter == self._seen[slot]:
            return None
        if length > self._slot_bytes - _SLOT.size:
            raise WireError(f"slot {slot} of the board has a length of {length}")
        data = self._map[at + _SLOT.size : at + _SLOT.size + length]
        if zlib.crc32(data) != crc:
            self.torn += 1
            return None
        self._seen[slot] = counter
        return data

    def close(self) -> None:
        self._map.close()
