"""The history in one SQLite file: the default, with nothing to install or to run."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .history import MIGRATIONS, StoreError, StoreUnavailable, by_table
from .schema import BY_NAME, TABLES, VERSION, Table
from .spool import Row

BUSY_S = 5.0
_DAY_NS = 86_400_000_000_000


class SqliteHistory:
    """A back end. Everything runs in one worker thread at a time; readers are not blocked (WAL)."""

    def __init__(self, path: Path, *, retention_days: int = 0) -> None:
        self._path = path
        self._retention_days = retention_days
        self._db: sqlite3.Connection | None = None
        self._pruned_day = -1

    async def open(self) -> str:
        return await asyncio.to_thread(self._guarded, self._open)

    async def write(self, rows: Sequence[Row]) -> int:
        return await asyncio.to_thread(self._guarded, lambda: self._write(rows))

    async def close(self) -> None:
        if self._db is not None:
            await asyncio.to_thread(self._db.close)
            self._db = None

    def _guarded(self, job: Any) -> Any:  # Any: the same call, with SQLite's errors named
        try:
            return job()
        except sqlite3.OperationalError as e:
            raise StoreUnavailable(f"{self._path}: {e}") from e
        except sqlite3.DatabaseError as e:
            raise StoreError(f"{self._path}: {e}") from e
        except OSError as e:
            raise StoreUnavailable(f"{self._path}: {e.strerror or e}") from e

    def _open(self) -> str:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        db = sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            self._migrate(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return f"SQLite {sqlite3.sqlite_version}, {self._path}"

    def _migrate(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(
                f"{self._path} has schema {version}, this version of fastbook knows {VERSION}:"
                " use a newer one, or another file"
            )
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if version == 0 and tables:
            raise StoreError(f"{self._path} is somebody else's database: name another file")
        for number in range(version + 1, VERSION + 1):
            (script,) = (MIGRATIONS / "sqlite").glob(f"{number:04}_*.sql")
            db.executescript(
                f"BEGIN; {script.read_text('utf-8')} PRAGMA user_version = {number}; COMMIT;"
            )

    def _write(self, rows: Sequence[Row]) -> int:
        db = self._db
        assert db is not None, "write before open"
        parts = by_table(rows)
        before = db.total_changes
        db.execute("BEGIN IMMEDIATE")
        try:
            for name, values in parts.items():
                table = BY_NAME[name]
                db.executemany(_INSERT[name], _converted(table, values))
            added = db.total_changes - before
            self._prune(db)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        return added

    def _prune(self, db: sqlite3.Connection) -> None:
        """Market rows past their time, looked at once a day."""
        day = time.time_ns() // _DAY_NS
        if not self._retention_days or day == self._pruned_day:
            return
        self._pruned_day = day
        oldest = (day - self._retention_days) * _DAY_NS
        for table in TABLES:
            if table.market:
                db.execute(_PRUNE[table.name], (oldest,))


def _converted(table: Table, rows: list[list[Any]]) -> list[list[Any]]:
    at = [i for i, (_, kind) in enumerate(table.columns) if kind == "bytes"]
    if not at:
        return rows
    converted = [row.copy() for row in rows]
    for row in converted:
        for i in at:
            row[i] = b64decode(row[i])
    return converted


# Names come from the fixed table of the schema, never from data.
_INSERT = {
    t.name: f"INSERT OR IGNORE INTO {t.name} VALUES ({', '.join('?' * len(t.columns))})"
    for t in TABLES
}
_PRUNE = {t.name: f"DELETE FROM {t.name} WHERE ts < ?" for t in TABLES}
