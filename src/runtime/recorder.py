"""Raw frames to a file: ``receive time in ns, space, JSON``, one a line; `fastbook replay` reads it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from fastbook.errors import ConfigError

FLUSH_BYTES = 1 << 20
"""What a crash may lose at the end; what is on disk ends with a whole line or a cut one."""


class FrameRecorder:
    """Writes what it is given, in order. One file, made new; closing it is the caller's."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path = folder / f"{name}.frames"
            self._file: BinaryIO = self.path.open("xb", buffering=FLUSH_BYTES)
        except FileExistsError as e:
            there = "is there already" if folder.is_dir() else "is a file, not a folder"
            raise ConfigError(f"{e.filename} {there}") from None
        except OSError as e:
            raise ConfigError(f"cannot record into {folder}: {e.strerror}") from None
        self.frames = 0
        self.failed = 0
        self.failure = ""

    def write(self, frame: bytes | memoryview, recv_ns: int) -> None:
        """Append one frame. A full disk loses frames and counts them; it does not stop trading."""
        try:
            # A line break can only be white space in JSON; the file has one frame a line.
            self._file.write(b"%d %b\n" % (recv_ns, bytes(frame).replace(b"\n", b" ")))
            self.frames += 1
        except OSError as e:
            self.failed += 1
            self.failure = str(e)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except OSError as e:
            self.failure = str(e)
