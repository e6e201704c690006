"""Marks in the state's folder: files that say by being there.

A file can be made while the engine's loop is stuck and REST is banned; the engine looks for it
before every order it sends (about a microsecond), so a stuck strategy cannot outrun it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import orjson

from fastbook.errors import StateError

from .place import FILE_MODE

KILL, RESUME = "KILL", "RESUME"
_BYTES_MAX = 4096


class Mark:
    """One file that is there or not. Making it twice keeps the first reason."""

    __slots__ = ("_text", "path")

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self._text = os.fspath(self.path)

    @property
    def there(self) -> bool:
        # EACCES and the like read as "not there": the folder was checked at the start.
        return os.access(self._text, os.F_OK)

    def make(self, reason: str, at: str) -> bool:
        """Put it there, on disk for good; False when it was there. StateError when it fails."""
        body = orjson.dumps({"reason": reason, "at": at, "by": os.getpid()})
        try:
            fd = os.open(self._text, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except FileExistsError:
            return False
        except OSError as e:
            raise StateError(f"{self.path}: cannot be made: {e.strerror}") from e
        try:
            with contextlib.suppress(OSError):  # the name is the mark; its text is a courtesy
                os.write(fd, body)
                os.fsync(fd)
        finally:
            os.close(fd)
        _sync_folder(self.path.parent)
        return True

    def clear(self) -> bool:
        """Take it away; False when it was not there."""
        try:
            os.unlink(self._text)
        except FileNotFoundError:
            return False
        except OSError as e:
            raise StateError(f"{self.path}: cannot be removed: {e.strerror}") from e
        _sync_folder(self.path.parent)
        return True

    def reason(self) -> str:
        """Why it was made; "" when that cannot be told."""
        try:
            with self.path.open("rb") as file:
                said = orjson.loads(file.read(_BYTES_MAX))
            return f"{said['reason']} ({said['at']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
