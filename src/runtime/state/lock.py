"""One engine an account: a lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from fastbook.errors import StateError

from .place import FILE_MODE

FILE = "lock"
_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock, as it wrote itself there."""

    pid: int
    started: str
    build_id: str


class InstanceLock:
    """Held from `__enter__` on. A second process gets StateError that names the first."""

    def __init__(self, folder: Path, holder: Holder, *, name: str = FILE) -> None:
        self.path = folder / name
        self._holder = holder
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            # Never unlinked: a lock on a deleted file keeps nobody out.
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as e:
            raise StateError(f"{self.path}: cannot be opened: {e.strerror}") from e
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(fd)
            os.close(fd)
            who = f"process {other.pid} (since {other.started})" if other else "another process"
            raise StateError(
                f"{who} works with {self.path.parent} already: one engine an account. Stop it"
                " first, or give this one a state.dir and an account of its own"
            ) from None
        self._fd = fd
        with contextlib.suppress(OSError):  # full disk: the lock holds without our name in it
            os.ftruncate(fd, 0)
            holder = self._holder
            text = {"pid": holder.pid, "started": holder.started, "build_id": holder.build_id}
            os.pwrite(fd, orjson.dumps(text), 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        self._fd = -1


def holder_of(folder: Path, *, name: str = FILE) -> Holder | None:
    """Who holds the lock now; None when nobody does. Takes nothing."""
    try:
        fd = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(fd) or Holder(0, "", "")
    finally:
        os.close(fd)
    return None


def _read(fd: int) -> Holder | None:
    try:
        said = orjson.loads(os.pread(fd, _BYTES_MAX, 0))
        return Holder(int(said["pid"]), str(said["started"]), str(said["build_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
