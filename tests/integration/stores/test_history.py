"""The history against real databases: each row once, whatever happens to the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.integration.stores.servers import BASE_NS, sqlite_rows, states, trades
from tests.support_servers import ServerProcess, postgres

from fastbook.errors import ConfigError
from fastbook.runtime.stores.history import (
    StoreError,
    StoreUnavailable,
    open_backend,
    sqlite_path,
)
from fastbook.runtime.stores.postgres import PostgresHistory
from fastbook.runtime.stores.schema import TABLES
from fastbook.runtime.stores.shipper import HistoryShipper
from fastbook.runtime.stores.spool import SEGMENT_BYTES, Spool
from fastbook.runtime.stores.sqlite import SqliteHistory

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")  # killed connections
ROOM = 8 * SEGMENT_BYTES
TIMEOUT_S = 60.0


def url_of(server: ServerProcess, database: str = "postgres") -> str:
    return f"postgresql://postgres@127.0.0.1:{server.port}/{database}"


async def fetch(server: ServerProcess, sql: str, database: str = "postgres") -> list[Any]:
    db = await asyncpg.connect(url_of(server, database))
    try:
        return list(await db.fetch(sql))
    finally:
        await db.close()


async def fresh(server: ServerProcess, name: str) -> str:
    """A new database on a server that is up."""
    await fetch(server, f"DROP DATABASE IF EXISTS {name}")
    await fetch(server, f"CREATE DATABASE {name}")
    return url_of(server, name)


@contextlib.asynccontextmanager
async def shipping(folder: Path, url: str) -> AsyncIterator[HistoryShipper]:
    """A shipper at work; ended as the process ends it."""
    shipper = HistoryShipper(open_backend(url), folder)
    stop = asyncio.Event()
    task = asyncio.create_task(shipper.run(stop))
    try:
        yield shipper
    finally:
        stop.set()
        async with asyncio.timeout(TIMEOUT_S):
            await task


async def until(fact: Any, what: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not fact():
            await asyncio.sleep(0.01)
            assert what


def test_sqlite_has_each_row_once(folder: Path, tmp_path: Path) -> None:
    async def go() -> None:
        spool = Spool(folder, bytes_max=ROOM)
        spool.append(states(0, 100) + trades(0, 50), 0)
        spool.append(states(50, 100), 0)  # half of them again
        spool.close()
        async with shipping(folder, f"sqlite:///{tmp_path}/h.db") as shipper:
            await until(lambda: shipper.stats.batches, "a batch")
        assert (shipper.stats.rows, shipper.stats.repeats) == (200, 50)

    asyncio.run(go())
    path = tmp_path / "h.db"
    assert [row[2] for row in sqlite_rows(path, "states")] == list(range(150))
    assert sqlite_rows(path, "trades")[0][5:7] == ("50000.10", "0.001000000000000000001")


def test_postgres_has_each_row_once_and_exact(postgres_server: ServerProcess, folder: Path) -> None:
    async def go() -> None:
        url = await fresh(postgres_server, "once")
        spool = Spool(folder, bytes_max=ROOM)
        spool.append(states(0, 100) + trades(0, 50), 0)
        spool.append(states(50, 100), 0)
        spool.close()
        async with shipping(folder, url) as shipper:
            await until(lambda: shipper.stats.batches, "a batch")
        assert (shipper.stats.rows, shipper.stats.repeats) == (200, 50)
        assert "native partitions" in shipper.stats.server
        rows = await fetch(postgres_server, "SELECT * FROM states ORDER BY seq", "once")
        assert [row["seq"] for row in rows] == list(range(150))
        assert rows[0]["ts"] == datetime.fromtimestamp(BASE_NS // 10**9, UTC)
        (trade,) = await fetch(postgres_server, "SELECT * FROM trades WHERE seq = 7", "once")
        assert (trade["px"], trade["qty"]) == (
            Decimal("50000.10"),
            Decimal("0.001000000000000000001"),
        )
        (candle,) = await fetch(postgres_server, "SELECT * FROM candles_1m", "once")
        assert (candle["trades"], candle["high"]) == (50, Decimal("50000.10"))

    asyncio.run(go())


def test_rows_of_several_days_lie_in_partitions_and_old_ones_go(
    postgres_server: ServerProcess,
) -> None:
    day_ns = 86_400 * 10**9

    async def go() -> None:
        url = await fresh(postgres_server, "days")
        backend = PostgresHistory(url, retention_days=3)
        await backend.open()
        today_ns = int(datetime.now(UTC).timestamp()) * 10**9
        for back in range(6):
            await backend.write([
                ("trades", [today_ns - back * day_ns, "linear", "X", str(back), "Buy", "1", "1", 1])
            ])  # fmt: skip
        await backend.close()
        again = PostgresHistory(url, retention_days=3)
        await again.open()
        await again.write([("trades", [today_ns, "linear", "X", "new", "Buy", "1", "1", 1])])
        await again.close()
        left = await fetch(postgres_server, "SELECT trade_id FROM trades", "days")
        assert sorted(row[0] for row in left) == ["0", "1", "2", "3", "new"]

    asyncio.run(go())


@pytest.mark.parametrize("harm", ["kill", "freeze"])
def test_a_server_that_goes_and_comes_back_misses_nothing(
    tmp_path: Path, folder: Path, harm: str
) -> None:
    async def go() -> None:
        server = postgres(tmp_path).start()
        spool = Spool(folder, bytes_max=ROOM)
        try:
            async with shipping(folder, url_of(server)) as shipper:
                for number in range(0, 3_000, 10):
                    spool.append(states(number, 10), 0)
                    if number == 1_000 and harm == "kill":
                        server.kill()
                    elif number == 1_000:
                        server.send(signal.SIGSTOP)
                    await asyncio.sleep(0.001)
                if harm == "kill":
                    await until(lambda: shipper.stats.failures, "a failure")
                    await asyncio.to_thread(server.start)
                else:
                    await asyncio.sleep(0.3)
                    server.send(signal.SIGCONT)
                await until(
                    lambda: shipper.stats.up and not shipper.reader.backlog_bytes(), "the rest"
                )
            rows = await fetch(server, "SELECT seq FROM states ORDER BY seq")
            assert [row[0] for row in rows] == list(range(3_000))
        finally:
            spool.close()
            server.kill()

    asyncio.run(go())


def test_a_commit_that_was_not_heard_of_is_harmless(
    postgres_server: ServerProcess, folder: Path
) -> None:
    async def go() -> None:
        url = await fresh(postgres_server, "unheard")
        spool = Spool(folder, bytes_max=ROOM)
        spool.append(states(0, 20), 0)
        spool.close()
        backend = open_backend(url)
        await backend.open()
        first = HistoryShipper(backend, folder)
        rows, _ = first.reader.read(100)
        await backend.write(rows)  # committed, and then this process dies: no cursor
        await backend.close()
        async with shipping(folder, url) as shipper:
            await until(lambda: shipper.stats.batches, "a batch")
        assert (shipper.stats.rows, shipper.stats.repeats) == (0, 20)
        (count,) = await fetch(postgres_server, "SELECT count(*) FROM states", "unheard")
        assert count[0] == 20

    asyncio.run(go())


def test_a_connection_cut_in_the_middle_of_a_batch_stores_all_or_nothing(
    postgres_server: ServerProcess,
) -> None:
    async def go() -> None:
        url = await fresh(postgres_server, "cut")
        for delay_ms in range(0, 40, 4):
            backend = open_backend(url)
            await backend.open()
            write = asyncio.create_task(backend.write(states(0, 3_000)))
            await asyncio.sleep(delay_ms / 1000)
            await fetch(
                postgres_server,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = 'cut' AND pid <> pg_backend_pid()",
            )
            with contextlib.suppress(StoreUnavailable):
                await write
            await backend.close()
            (count,) = await fetch(postgres_server, "SELECT count(*) FROM states", "cut")
            assert count[0] in (0, 3_000)
        backend = open_backend(url)
        await backend.open()
        await backend.write(states(0, 3_000))
        await backend.close()
        (count,) = await fetch(postgres_server, "SELECT count(*) FROM states", "cut")
        assert count[0] == 3_000

    asyncio.run(go())


def test_what_the_database_refuses_is_set_aside_and_the_rest_goes_on(
    postgres_server: ServerProcess, folder: Path
) -> None:
    async def go() -> None:
        url = await fresh(postgres_server, "refused")
        spool = Spool(folder, bytes_max=ROOM)
        spool.append([("states", [BASE_NS, "r", "not a number", "state", "x"])], 0)
        async with shipping(folder, url) as shipper:
            await until(lambda: shipper.stats.refused, "a refusal")
            spool.append(states(5, 3), 0)
            await until(lambda: shipper.stats.rows >= 3, "the rest")
        spool.close()
        assert len([name for name in os.listdir(folder) if name.startswith("refused-")]) == 1
        (gap,) = await fetch(postgres_server, "SELECT source, rows FROM gaps", "refused")
        assert tuple(gap) == ("history", 1)

    asyncio.run(go())


def test_timescale_is_used_where_it_is(postgres_server: ServerProcess) -> None:
    """The extension is no wheel: functions of its names, which note what they are asked for."""
    stub = """
    CREATE TABLE asked (what text);
    CREATE FUNCTION create_hypertable(t regclass, c name, chunk_time_interval interval)
      RETURNS void LANGUAGE sql AS $$ INSERT INTO asked VALUES ('hypertable ' || t) $$;
    CREATE FUNCTION add_compression_policy(t regclass, after interval)
      RETURNS void LANGUAGE sql AS $$ INSERT INTO asked VALUES ('compression ' || t) $$;
    CREATE FUNCTION add_retention_policy(t regclass, after interval)
      RETURNS void LANGUAGE sql AS $$ INSERT INTO asked VALUES ('retention ' || t) $$;
    """

    async def go() -> None:
        url = await fresh(postgres_server, "timescale")
        backend = PostgresHistory(url, retention_days=7)
        await fetch(postgres_server, "SELECT 1", "timescale")
        db = await asyncpg.connect(url)
        try:
            await db.execute(stub)
            script = (backend.scripts / "0002_timescale.sql").read_text("utf-8")
            plain = [line for line in script.split(";") if "timescaledb" not in line]
            initial = (backend.scripts / "0001_initial.sql").read_text("utf-8")
            await db.execute(initial.replace(" PARTITION BY RANGE (ts)", ""))
            for statement in plain:
                if "candles_1m" not in statement and statement.strip():
                    await db.execute(statement)
            asked = {row[0] for row in await db.fetch("SELECT what FROM asked")}
        finally:
            await db.close()
        assert {f"hypertable {t.name}" for t in TABLES} <= asked
        assert {f"compression {t.name}" for t in TABLES if t.market} == {
            a for a in asked if a.startswith("compression")
        }

    asyncio.run(go())


def test_a_database_of_somebody_else_is_left_alone(
    postgres_server: ServerProcess, tmp_path: Path
) -> None:
    async def go() -> None:
        url = await fresh(postgres_server, "strange")
        await fetch(postgres_server, "CREATE TABLE orders (mine int)", "strange")
        with pytest.raises(StoreError, match="'orders' of somebody else"):
            await open_backend(url).open()
        other = SqliteHistory(tmp_path / "other.db")
        await other.open()
        assert other._db is not None
        other._db.execute("PRAGMA user_version = 99")
        await other.close()
        with pytest.raises(StoreError, match="schema 99"):
            await SqliteHistory(tmp_path / "other.db").open()
        (tmp_path / "text.db").write_text("this is no database, but it is long enough to be read")
        with pytest.raises(StoreError, match="not a database"):
            await SqliteHistory(tmp_path / "text.db").open()

    asyncio.run(go())


def test_a_newer_schema_is_refused(postgres_server: ServerProcess) -> None:
    async def go() -> None:
        url = await fresh(postgres_server, "newer")
        backend = open_backend(url)
        await backend.open()
        await backend.close()
        await fetch(postgres_server, "UPDATE fastbook_schema SET version = 99", "newer")
        with pytest.raises(StoreError, match="schema 99"):
            await open_backend(url).open()

    asyncio.run(go())


def test_a_wrong_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sqlite:/// or postgresql://"):
        open_backend("mysql://x/y")
    assert sqlite_path("sqlite:///state/h.db") == Path("state/h.db")
    assert sqlite_path("sqlite:////var/h.db") == Path("/var/h.db")

    async def go() -> None:
        with pytest.raises(StoreUnavailable, match="PostgreSQL"):
            await open_backend("postgresql://postgres@127.0.0.1:1/x").open()

    asyncio.run(go())
