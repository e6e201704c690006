"""Damage that SQLite repairs silently by forgetting, found before it is asked to.

SQLite reads its write-ahead log up to the first frame that does not check, and drops the rest: right
for a torn tail, wrong for a flipped bit in the middle, behind which committed orders lie. So the
log is walked first: frames of the same log behind a bad one mean damage.
"""

from __future__ import annotations

import struct
from pathlib import Path

from fastbook.errors import StateError

_HEADER, _FRAME = 32, 24
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683
_WORD = 0xFFFFFFFF
LOG_BYTES_MAX = 256 << 20


def check_log(path: Path) -> None:
    """StateError when the write-ahead log at `path` is damaged before its end.

    A missing or empty log is none; a torn last frame is what a crash leaves. About 40 ms a MiB.
    """
    try:
        size = path.stat().st_size
        if size > LOG_BYTES_MAX:
            raise StateError(f"{path}: {size} bytes, larger than any log of ours")
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as e:
        raise StateError(f"{path}: cannot be read: {e.strerror}") from e
    if (at := _damage_at(data)) is not None:
        raise StateError(f"{path}: damaged at byte {at}")


def _damage_at(data: bytes) -> int | None:
    if len(data) <= _HEADER + _FRAME:
        return None
    magic, _, page, _, *salts = struct.unpack_from(">6I", data)
    sums = struct.unpack_from(">2I", data, 24)
    order = {_MAGIC_LITTLE: "<", _MAGIC_BIG: ">"}.get(magic)
    if order is None or page < 512 or page > 65536:
        return 0 if any(data) else None
    state = _checksum(order, data[:24], 0, 0)
    if state != sums:
        return 0
    step = _FRAME + page
    for at in range(_HEADER, len(data) - step + 1, step):
        head = struct.unpack_from(">6I", data, at)
        mine = list(head[2:4]) == salts
        if mine:
            state = _checksum(order, data[at : at + 8], *state)
            state = _checksum(order, data[at + _FRAME : at + step], *state)
        if not mine or state != head[4:6]:
            return at if _more_of_it(data, at + step, step, salts) else None
    return None


def _more_of_it(data: bytes, start: int, step: int, salts: list[int]) -> bool:
    return any(
        list(struct.unpack_from(">2I", data, at + 8)) == salts
        for at in range(start, len(data) - _FRAME + 1, step)
    )


def _checksum(order: str, data: bytes, first: int, second: int) -> tuple[int, int]:
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for i in range(0, len(words), 2):
        first = (first + words[i] + second) & _WORD
        second = (second + words[i + 1] + first) & _WORD
    return first, second
