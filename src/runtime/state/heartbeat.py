"""A heartbeat that another process can see: 64 bytes of shared memory in a file.

The engine's own loop writes it, so a stuck loop has no heartbeat. Times are of the machine's
monotonic clock, which every process of it shares.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from fastbook.errors import StateError

from .place import FILE_MODE

ENGINE, WATCHDOG = "heartbeat", "watchdog"

_BODY = struct.Struct("<4sBxxxqqd16s")
_SIZE = 64
_MAGIC = b"fbh1"
BEATING, STOPPED = 1, 2


@dataclass(frozen=True, slots=True)
class Beat:
    """What was last written."""

    pid: int
    at_ns: int  # monotonic
    lag_ms: float  # how late the loop was
    build_id: str
    stopped: bool
    """It ended by itself, and left nothing behind."""

    def age_s(self, now_ns: int) -> float:
        return (now_ns - self.at_ns) / 1e9


class Heart:
    """Writes the heartbeat of this process. About 0.5 us a beat; no system call."""

    def __init__(self, folder: Path, build_id: str, *, name: str = ENGINE) -> None:
        path = folder / name
        self._build = build_id.encode()[:16]
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                os.truncate(fd, _SIZE)
                # A page that cannot be written later (full disk) would kill us by SIGBUS.
                os.pwrite(fd, bytes(_SIZE), 0)
                self._map = mmap.mmap(fd, _SIZE)
            finally:
                os.close(fd)
        except OSError as e:
            raise StateError(f"{path}: cannot be written: {e.strerror}") from e
        self._pid = os.getpid()

    def beat(self, now_ns: int, lag_ms: float = 0.0, *, stopped: bool = False) -> None:
        """`now_ns` is monotonic."""
        state = STOPPED if stopped else BEATING
        _BODY.pack_into(self._map, 0, _MAGIC, state, self._pid, now_ns, lag_ms, self._build)

    def close(self, now_ns: int, *, clean: bool) -> None:
        """The last beat; `clean` = nothing of ours is left at the venue that needs watching."""
        if clean:
            self.beat(now_ns, stopped=True)
        with contextlib.suppress(BufferError):
            self._map.close()


def read_beat(folder: Path, *, name: str = ENGINE) -> Beat | None:
    """The last beat; None when there never was one on this boot."""
    try:
        with (folder / name).open("rb") as file:
            data = file.read(_SIZE)
        magic, state, pid, at_ns, lag_ms, build = _BODY.unpack_from(data)
    except (OSError, struct.error):
        return None
    # After a reboot the clock starts again: a beat from the future is one of an earlier boot.
    if magic != _MAGIC or at_ns > time.monotonic_ns():
        return None
    return Beat(
        pid, at_ns, lag_ms, build.rstrip(b"\0").decode("ascii", "replace"), state == STOPPED
    )
