"""The folder of a sweep: what it is, and one line for each finished run, durable when it returns.

`sweep.json` says what is swept; `results.jsonl` holds the results, appended and synced one by
one. A line cut by a kill is dropped when the folder is opened again; nothing else is ever
rewritten.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from fastbook.errors import ConfigError, DataFileError, StateError

from ..output import to_json

Json = dict[str, Any]
"""Any: a JSON document."""
Key = tuple[int, int]
"""Point and window."""

SPEC, RESULTS, LOCK = "sweep.json", "results.jsonl", "lock"
WINDOWS_LIST = "windows.json"
MADE_FROM_SPEC = (WINDOWS_LIST,)
"""Of no use to another sweep that takes over a folder without results."""


class Store:
    """Opened for writing by one process at a time.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    spec : JSON object
        Everything that the results depend on.
    resume : bool
        Go on with what the folder holds, if it is the same sweep.

    Raises `ConfigError` when the folder holds a sweep and `resume` is False, or another sweep;
    `StateError` when a process is at work there.
    """

    def __init__(self, folder: Path, spec: Json, *, resume: bool) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / LOCK).open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StateError(f"{folder}: another sweep is at work there") from None
        try:
            self._open(spec, resume)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, spec: Json, resume: bool) -> None:
        path = self.folder / SPEC
        self.records, whole_bytes = read_results(self.folder / RESULTS)
        if self.records and not resume:
            raise ConfigError(
                f"{self.folder} holds a sweep: --resume goes on with it, --out names another"
            )
        differing = _differing(path, spec)
        if self.records and differing:
            raise ConfigError(
                f"{self.folder} holds a sweep with other {', '.join(differing)}:"
                " name another --out for this one"
            )
        if differing:
            for name in MADE_FROM_SPEC:
                (self.folder / name).unlink(missing_ok=True)
            write_whole(path, to_json(spec, indent=True))
        self._file: BinaryIO = (self.folder / RESULTS).open("ab")
        if self._file.tell() != whole_bytes:
            self._file.truncate(whole_bytes)
            self._file.seek(whole_bytes)
        os.fsync(self._file.fileno())
        _sync_folder(self.folder)

    def add(self, record: Json) -> None:
        """On the disk when this returns. A second result of a run is not taken."""
        key = (record["point"], record["window"])
        if key in self.records:
            return
        body = to_json(record)
        self._file.write(b"%08x %b\n" % (zlib.crc32(body), body))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records[key] = orjson.loads(body)

    def close(self) -> None:
        self._file.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _differing(path: Path, spec: Json) -> list[str]:
    """What of the spec in the file is another; everything when there is none."""
    try:
        there = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return sorted(spec)
    except orjson.JSONDecodeError:
        raise DataFileError(str(path), "is not JSON") from None
    here = orjson.loads(to_json(spec))
    return sorted(k for k in {*there, *here} if there.get(k) != here.get(k))


def read_results(path: Path) -> tuple[dict[Key, Json], int]:
    """Every whole line, and the bytes up to the end of the last one.

    Raises `DataFileError` for a line that is damaged and not the last.
    """
    if not path.exists():
        return {}, 0
    records: dict[Key, Json] = {}
    good = 0
    for number, line, ends in _lines(path.read_bytes()):
        record = _read(line)
        if record is None:
            if not ends:
                break
            raise DataFileError(str(path), "is damaged", line=number)
        if not ends:
            break  # whole, but for the end of the line: the run is made again
        records.setdefault((record["point"], record["window"]), record)
        good += len(line) + 1
    return records, good


def _lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """(number, line, whether it has its end)."""
    *whole, last = data.split(b"\n")
    for number, line in enumerate(whole, 1):
        yield number, line, True
    if last:
        yield len(whole) + 1, last, False


def _read(line: bytes) -> Json | None:
    crc, _, body = line.partition(b" ")
    if crc != b"%08x" % zlib.crc32(body):
        return None
    value = orjson.loads(body)
    assert isinstance(value, dict)  # its checksum says that we wrote it
    return value


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing, whenever we are killed."""
    draft = path.with_suffix(path.suffix + ".part")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
