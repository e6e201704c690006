"""The history in PostgreSQL, with TimescaleDB's hypertables where the server has them.

A batch goes by binary COPY, in one transaction. When some of it is there already (it was committed
without our hearing of it), the transaction has failed whole, and the batch goes by way of
temporary tables, from which only what is new is inserted.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from .history import MIGRATIONS, StoreError, StoreUnavailable, by_table
from .schema import BY_NAME, TABLES, VERSION, Kind
from .spool import Row

Records = list[list[Any]]
"""Values of one table's rows. Any: values of every kind of column."""

CONNECT_S = 5.0
COMMAND_S = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_PARTITIONED = " PARTITION BY RANGE (ts)"
_NOT_NOW = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what it says when the server dies within a query
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, out of memory
    asyncpg.OperatorInterventionError,  # shutting down, cancelled by an operator
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)


def _time(ns: Any) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    "time": _time,
    "money": Decimal,
    "bytes": b64decode,
}
"""What has to change on the way. Any: values of JSON in, what asyncpg encodes out."""


class PostgresHistory:
    """A back end: one connection, opened anew after every failure."""

    scripts = MIGRATIONS / "postgres"

    def __init__(self, url: str, *, retention_days: int = 0) -> None:
        self._url = url
        self._retention_days = retention_days
        self._db: asyncpg.Connection | None = None
        self._timescale = False
        self._days: set[str] = set()
        self._pruned = ""

    async def open(self) -> str:
        async with self._guarded():
            await self.close()
            db = await asyncpg.connect(
                self._url, timeout=CONNECT_S, command_timeout=COMMAND_S, statement_cache_size=0
            )
            self._db = db
            self._days.clear()
            version = ".".join(map(str, db.get_server_version()[:2]))
            self._timescale = await self._migrate(db)
            for table in TABLES:
                await db.execute(
                    f"CREATE TEMP TABLE in_{table.name} (LIKE {table.name}) ON COMMIT DELETE ROWS"
                )
        extra = " with TimescaleDB" if self._timescale else ", native partitions"
        return f"PostgreSQL {version}{extra}"

    async def write(self, rows: Sequence[Row]) -> int:
        parts = by_table(rows)
        async with self._guarded():
            db = self._db
            if db is None or db.is_closed():
                raise StoreUnavailable("PostgreSQL: not connected")
            records = {name: _records(name, values) for name, values in parts.items()}
            for name, rows_of in records.items():
                await self._partitions(db, name, rows_of)
            try:
                async with db.transaction():
                    added = await self._copy(db, records)
            except asyncpg.UniqueViolationError:
                # Some of it is there already: after a commit that was not heard of.
                async with db.transaction():
                    added = await self._copy_new(db, records)
            await self._prune(db)
            return added

    async def _copy(self, db: asyncpg.Connection, records: dict[str, Records]) -> int:
        for name, rows in records.items():
            await db.copy_records_to_table(name, records=rows, columns=BY_NAME[name].names)
        return sum(map(len, records.values()))

    async def _copy_new(self, db: asyncpg.Connection, records: dict[str, Records]) -> int:
        added = 0
        for name, rows in records.items():
            await db.copy_records_to_table(f"in_{name}", records=rows, columns=BY_NAME[name].names)
            answer = await db.execute(
                f"INSERT INTO {name} SELECT * FROM in_{name} ON CONFLICT DO NOTHING"
            )
            added += int(answer.rsplit(" ", 1)[1])
        return added

    async def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.terminate()

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Errors as ours. After one of the connection it is not used again."""
        try:
            yield
        except (TypeError, ValueError, ArithmeticError) as e:
            # A value of the wrong kind, asyncpg's DataError among them: never will it fit.
            await self.close()
            raise StoreError(f"PostgreSQL: {_brief(e)}") from e
        except _NOT_NOW as e:
            await self.close()
            raise StoreUnavailable(f"PostgreSQL: {type(e).__name__}: {_brief(e)}") from e
        except asyncpg.PostgresError as e:
            await self.close()
            raise StoreError(f"PostgreSQL: {type(e).__name__}: {_brief(e)}") from e
        except (StoreError, asyncio.CancelledError):
            # In the middle of a COPY the connection is nobody's friend any more.
            await self.close()
            raise

    # --- schema --------------------------------------------------------------------------------

    async def _migrate(self, db: asyncpg.Connection) -> bool:
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(727100)")  # two may start at once
            await db.execute(
                "CREATE TABLE IF NOT EXISTS fastbook_schema"
                " (version integer NOT NULL, timescale boolean NOT NULL)"
            )
            row = await db.fetchrow("SELECT version, timescale FROM fastbook_schema")
            if row is not None and row["version"] > VERSION:
                raise StoreError(
                    f"the database has schema {row['version']}, this version of fastbook knows"
                    f" {VERSION}: use a newer one, or another database"
                )
            if row is not None:
                return bool(row["timescale"])
            return await self._create(db)

    async def _create(self, db: asyncpg.Connection) -> bool:
        timescale = bool(
            await db.fetchval("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
        )
        taken = await db.fetchval(
            "SELECT min(tablename) FROM pg_tables"
            " WHERE schemaname = current_schema() AND tablename = ANY($1)",
            [table.name for table in TABLES],
        )
        if taken is not None:
            raise StoreError(f"the database has a table {taken!r} of somebody else: use another")
        initial = (self.scripts / "0001_initial.sql").read_text("utf-8")
        await db.execute(initial.replace(_PARTITIONED, "") if timescale else initial)
        second = "0002_timescale.sql" if timescale else "0002_native.sql"
        await db.execute((self.scripts / second).read_text("utf-8"))
        if timescale and self._retention_days:
            for table in TABLES:
                if table.market:
                    await db.execute(
                        "SELECT add_retention_policy($1::regclass, make_interval(days => $2))",
                        table.name,
                        self._retention_days,
                    )
        await db.execute("INSERT INTO fastbook_schema VALUES ($1, $2)", VERSION, timescale)
        return timescale

    async def _partitions(self, db: asyncpg.Connection, name: str, records: Records) -> None:
        """A partition a table and UTC day, made when its first row comes."""
        if self._timescale:
            return
        for day in {record[0].date() for record in records}:
            part = f"{name}_{day:%Y%m%d}"
            if part in self._days:
                continue
            await db.execute(
                f"CREATE TABLE IF NOT EXISTS {part} PARTITION OF {name}"
                f" FOR VALUES FROM ('{day}') TO ('{day + _DAY}')"
            )
            self._days.add(part)

    async def _prune(self, db: asyncpg.Connection) -> None:
        """Partitions of market rows past their time are dropped, looked at once a day."""
        today = datetime.now(UTC).date()
        if self._timescale or not self._retention_days or self._pruned == str(today):
            return
        self._pruned = str(today)
        oldest = f"{today - timedelta(days=self._retention_days):%Y%m%d}"
        for table in TABLES:
            if not table.market:
                continue
            parts = await db.fetch(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = $1::regclass",
                table.name,
            )
            for (part,) in parts:
                if part.removeprefix(f"{table.name}_") < oldest:
                    await db.execute(f"DROP TABLE {part}")
                    self._days.discard(part)


_COLUMNS = {
    table.name: [
        (i, _CONVERT[kind]) for i, (_, kind) in enumerate(table.columns) if kind in _CONVERT
    ]
    for table in TABLES
}
"""Of each table, what has to be converted, and how."""


def _records(name: str, rows: Records) -> Records:
    columns = _COLUMNS[name]
    converted = [row.copy() for row in rows]
    for row in converted:
        for i, convert in columns:
            if row[i] is not None:
                row[i] = convert(row[i])
    return converted


def _brief(error: BaseException) -> str:
    """The first line, which has neither the statement nor its values."""
    return (str(error).splitlines() or [""])[0][:200]
