"""The spool: rows on their way to the stores, appended to files by the process that trades.

A segment is a sequence of records: length, crc32, payload. An append is one `write` into the page
cache: it survives kill -9 and does not wait for a disk. The reader, in another process, follows,
remembers how far it has got (`cursor`), and removes what every store has. Delivery is at least
once; the rows carry keys that make a repeat harmless.

Bounded by `bytes_max`. When it is full, whatever comes is dropped and counted by table, and a
`gaps` row that says how much of what was lost goes in as soon as there is room again.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from fastbook.errors import ConfigError

RECORD = struct.Struct("<II")
SEGMENT_BYTES = 8 << 20
RECORD_BYTES_MAX = 4 << 20
SUFFIX = ".spool"
CURSOR = "cursor"

Row = tuple[str, list[object]]
"""Table name, values in the order of its columns."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record begins: segment number, byte."""

    segment: int = 1
    offset: int = 0


@dataclass(slots=True)
class Lost:
    """What was dropped since the last `gaps` row."""

    first_ns: int
    last_ns: int
    rows: Counter[str]


class Spool:
    """The writing end. One writer a directory."""

    def __init__(self, folder: Path, *, bytes_max: int) -> None:
        if bytes_max < 2 * SEGMENT_BYTES:
            raise ConfigError(f"a spool needs {2 * SEGMENT_BYTES} bytes or more, not {bytes_max}")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._bytes_max = bytes_max
        self._segment = max(segments(folder), default=0)
        self._file = -1
        self._used = 0
        self._room_checked_at = -1
        self.rows = 0
        self.dropped: Counter[str] = Counter()
        self.failure = ""
        """Why the last append failed; empty when it did not."""
        self._lost: Lost | None = None
        self._next_segment()

    def append(self, rows: list[Row], now_ns: int) -> None:
        """Write `rows` as one record, or drop and count them. Never raises, never waits."""
        if not rows:
            return
        if self._lost is not None and self._has_room():
            rows = [*self._gap_rows(self._lost), *rows]
        try:
            self._write(rows)
        except OSError as e:
            self.failure = e.strerror or str(e)
            self._drop(rows, now_ns)
            return
        self._lost = None
        self.failure = ""
        self.rows += len(rows)

    def _write(self, rows: list[Row]) -> None:
        if not self._has_room():
            raise OSError(28, f"the spool holds {self._bytes_max} bytes already")
        payload = orjson.dumps(rows, default=str)
        if self._used + RECORD.size + len(payload) > SEGMENT_BYTES and self._used:
            self._next_segment()
        record = RECORD.pack(len(payload), zlib.crc32(payload)) + payload
        written = os.write(self._file, record)
        if written != len(record):
            # A disk that is full takes a part. The rest would make the next record unreadable.
            os.truncate(self._file, self._used)
            os.lseek(self._file, self._used, os.SEEK_SET)
            raise OSError(28, "no space left on device")
        self._used += written

    def _has_room(self) -> bool:
        """Whether another segment may be filled; looked up once a segment, and while full."""
        if self._lost is None and self._room_checked_at == self._segment:
            return True
        held = sum(path.stat().st_size for path in segments(self.folder).values())
        if held + SEGMENT_BYTES > self._bytes_max:
            return False
        self._room_checked_at = self._segment
        return True

    def _next_segment(self) -> None:
        """Never append to a file of another life: its end may be torn."""
        self._segment += 1
        path = self.folder / f"{self._segment:08}{SUFFIX}"
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.close()
        self._file = opened
        self._used = 0

    def _drop(self, rows: list[Row], now_ns: int) -> None:
        mine = Counter(table for table, _ in rows if table != "gaps")
        self.dropped += mine
        if self._lost is None:
            self._lost = Lost(now_ns, now_ns, Counter())
        self._lost.last_ns = now_ns
        self._lost.rows += mine

    @staticmethod
    def _gap_rows(lost: Lost) -> list[Row]:
        return [
            ("gaps", [lost.first_ns, lost.last_ns, "spool", table, count, "spool full"])
            for table, count in sorted(lost.rows.items())
        ]

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def segments(folder: Path) -> dict[int, Path]:
    """The segments that are there, by number, in order."""
    found = {int(path.stem): path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()}
    return dict(sorted(found.items()))


class SpoolReader:
    """The reading end: follows the writer, survives restarts by its cursor file."""

    def __init__(self, folder: Path, name: str = CURSOR) -> None:
        self.folder = folder
        self._cursor = folder / name
        self.place = self._load()
        self.damaged = 0
        """Records that were skipped because their bytes are not what was written."""

    def _load(self) -> Place:
        try:
            segment, offset = orjson.loads(self._cursor.read_bytes())
            return Place(int(segment), int(offset))
        except FileNotFoundError:
            return Place(min(segments(self.folder), default=1), 0)
        except (ValueError, TypeError) as e:
            raise ConfigError(
                f"{self._cursor} is damaged ({e}): delete it, and everything that is still in the"
                " spool is sent again, which is harmless"
            ) from None

    def read(self, rows_max: int) -> tuple[list[Row], Place]:
        """Rows from the cursor on, at most about `rows_max`, and the place behind them."""
        rows: list[Row] = []
        place = self.place
        for batch, after in self._records(place):
            rows += batch
            place = after
            if len(rows) >= rows_max:
                break
        return rows, place

    def _records(self, start: Place) -> Iterator[tuple[list[Row], Place]]:
        found = segments(self.folder)
        newest = max(found, default=0)
        for number, path in found.items():
            if number < start.segment:
                continue
            at = start.offset if number == start.segment else 0
            try:
                with path.open("rb") as file:
                    file.seek(at)
                    data = file.read()
            except FileNotFoundError:
                continue
            begin = at
            while begin + len(data) - at >= RECORD.size:
                length, crc = RECORD.unpack_from(data, at - begin)
                end = at + RECORD.size + length
                if end > begin + len(data):
                    break  # the writer is not done, or died here: then the next segment follows
                payload = data[at - begin + RECORD.size : end - begin]
                at = end
                if length > RECORD_BYTES_MAX or zlib.crc32(payload) != crc:
                    yield [self._damage(f"damaged record in {path.name}")], Place(number, at)
                    continue
                rows = [(table, values) for table, values in orjson.loads(payload)]
                yield rows, Place(number, at)
            if at < begin + len(data) and number < newest:
                # Nobody will finish it: the writer died here, or a length is damaged.
                yield [self._damage(f"torn end of {path.name}")], Place(number + 1)

    def _damage(self, reason: str) -> Row:
        self.damaged += 1
        return "gaps", [0, 0, "spool", "", 1, reason]

    def backlog_bytes(self) -> int:
        """What lies between the cursor and the end."""
        total = 0
        for number, path in segments(self.folder).items():
            if number >= self.place.segment:
                total += path.stat().st_size
                total -= self.place.offset if number == self.place.segment else 0
        return total

    def commit(self, place: Place) -> None:
        """Everything before `place` has arrived: remember it, by an atomic rename."""
        self.place = place
        temporary = self._cursor.with_suffix(".new")
        temporary.write_bytes(orjson.dumps([place.segment, place.offset]))
        temporary.replace(self._cursor)


def remove_done(folder: Path, cursors: list[Place]) -> int:
    """Delete the segments that lie before every cursor; how many."""
    done = min(cursors).segment
    gone = [path for number, path in segments(folder).items() if number < done]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)
