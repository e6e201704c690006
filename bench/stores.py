"""Stores: how fast rows move, how old the cache is, and what an outage costs the trading path.

    make bench-stores                      about two minutes; --json FILE keeps the figures

Real servers from wheels, started here on free ports. Every part checks its answer: rows are counted
in the database, books are read back. Times on a shared machine mean little; the ratios are of one
run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from tests.support_servers import ServerProcess, postgres, valkey

from fastbook import Book
from fastbook.core.histogram import Histogram
from fastbook.runtime.app import App, RunOptions
from fastbook.runtime.children import exchange_process
from fastbook.runtime.config import Credentials, parse
from fastbook.runtime.run import endpoints_of
from fastbook.runtime.secret import Secret
from fastbook.runtime.stores.board import BoardWriter
from fastbook.runtime.stores.cache import CacheWriter
from fastbook.runtime.stores.history import open_backend
from fastbook.runtime.stores.keys import Keys
from fastbook.runtime.stores.layout import pack_l2
from fastbook.runtime.stores.reader import CacheReader
from fastbook.runtime.stores.schema import BY_NAME
from fastbook.runtime.stores.spool import Row, Spool

ROWS = 50_000
BATCH = 5_000
SYMBOLS = 50
RATE = 20_000
PHASE_S = 8.0
BASE_NS = 1_780_000_000_000_000_000

CONFIG = """
[venue]
environment = "simulator"
rest_url = "{rest}"
ws_public_url = "{ws_public}"
ws_private_url = "{ws_private}"
ws_trade_url = "{ws_trade}"
[market_data]
symbols = {symbols}
sample_ms = 50
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
[cache]
url = "{cache}"
[history]
url = "{history}"
"""


def trades(count: int) -> list[Row]:
    return [
        ("trades", [BASE_NS + n * 1_000_000, "linear", f"S{n % SYMBOLS}", f"t{n}", "Buy",
                    "50000.10", "0.001", n])
        for n in range(count)
    ]  # fmt: skip


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    for name in ("pg", "vk"):
        (folder / name).mkdir()
    database, cache = postgres(folder / "pg").start(), valkey(folder / "vk").start()
    try:
        yield database, cache
    finally:
        database.kill()
        cache.kill()


# --- rows ---------------------------------------------------------------------------------------


async def rows_a_second(url: str, rows: list[Row]) -> float:
    """Through the back end, as the shipper does it."""
    backend = open_backend(url)
    await backend.open()
    begun = time.perf_counter()
    added = 0
    for at in range(0, len(rows), BATCH):
        added += await backend.write(rows[at : at + BATCH])
    took_s = time.perf_counter() - begun
    await backend.close()
    assert added == len(rows), f"{added} of {len(rows)} rows arrived"
    return len(rows) / took_s


async def executemany_rows_a_second(url: str, rows: list[Row]) -> float:
    """The usual way: one prepared INSERT ... ON CONFLICT DO NOTHING, many times."""
    from fastbook.runtime.stores.postgres import _records

    db = await asyncpg.connect(url)
    await db.execute("TRUNCATE trades")
    marks = ", ".join(f"${n}" for n in range(1, len(BY_NAME["trades"].columns) + 1))
    begun = time.perf_counter()
    for at in range(0, len(rows), BATCH):
        records = _records("trades", [values for _, values in rows[at : at + BATCH]])
        await db.executemany(f"INSERT INTO trades VALUES ({marks}) ON CONFLICT DO NOTHING", records)
    took_s = time.perf_counter() - begun
    count = await db.fetchval("SELECT count(*) FROM trades")
    await db.close()
    assert count == len(rows)
    return len(rows) / took_s


def spool_us(folder: Path, rows: list[Row]) -> float:
    """Cost of a row to the process that trades, in batches of a tick."""
    spool = Spool(folder, bytes_max=1 << 30)
    begun = time.perf_counter()
    for at in range(0, len(rows), 20):
        spool.append(rows[at : at + 20], at)
    took_s = time.perf_counter() - begun
    assert spool.rows == len(rows)
    spool.close()
    return took_s / len(rows) * 1e6


# --- cache --------------------------------------------------------------------------------------


async def cache_lag_ms(url: str, folder: Path, seconds: float = 5.0) -> Histogram:
    """Fifty books, all changed every 25 ms: from the stamp of a write to its being there."""
    books = [Book(50, price_scale=1, qty_scale=3, symbol=f"S{n}") for n in range(SYMBOLS)]
    for book in books:
        book.apply_snapshot([], [], 1)
        for level in range(50):
            book.set_bid(1000 - level, 5)
            book.set_ask(1001 + level, 5)
    board = BoardWriter(folder / "board", SYMBOLS, 50)
    names = [book.symbol for book in books]
    writer = CacheWriter(
        url, Keys("bench", "linear"), names, folder / "board", ttl_ms=5000, tick_ms=25
    )
    stop = asyncio.Event()
    task = asyncio.create_task(writer.run(stop))
    lags = Histogram()
    deadline = time.monotonic() + seconds
    u = 1
    with CacheReader(url, environment="bench") as reader:
        while time.monotonic() < deadline:
            u += 1
            now_ms = time.time_ns() // 1_000_000
            for slot, book in enumerate(books):
                book.apply_delta([(99.0, u % 7 + 1)], [], u)
                board.write(slot, pack_l2(book, 50, now_ms))
            await asyncio.sleep(0.025)
            if writer.stats.lag_ms:
                lags.record(int(writer.stats.lag_ms * 1e6))
        await asyncio.sleep(0.2)
        found = reader.l2("S7")
        assert found is not None
        assert found.u == u
    stop.set()
    await task
    board.close()
    return lags


# --- an outage ----------------------------------------------------------------------------------


async def outage(folder: Path, database: ServerProcess, cache: ServerProcess) -> dict[str, Any]:
    """One run, its stores up and frozen in turn: tick to decision and order, before and during."""
    async with exchange_process(SYMBOLS, 7, RATE) as exchange:
        where = await exchange.first_line()
        async with asyncio.timeout(60):
            symbols = where["symbols"] if "symbols" in where else await _symbols(where["rest"])
        config = parse(
            CONFIG.format(
                symbols=orjson.dumps(symbols[:SYMBOLS]).decode(),
                history=f"postgresql://postgres@127.0.0.1:{database.port}/postgres",
                cache=f"redis://127.0.0.1:{cache.port}",
                **where,
            ),
            name="the bench",
            environ={},
        )
        account = where["accounts"][0]
        credentials = Credentials(Secret(account["api_key"]), Secret(account["api_secret"]))
        options = RunOptions(title="bench", stores=folder / "run")
        app = App(config, endpoints_of(where), credentials, options)
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(stop))
        await asyncio.sleep(4)
        figures: dict[str, list[float]] = {"up": [], "away": []}
        for _ in range(3):
            for name, number in (("up", signal.SIGCONT), ("away", signal.SIGSTOP)):
                database.send(number)
                cache.send(number)
                app.latency.decision = Histogram()
                await asyncio.sleep(PHASE_S)
                figures[name].append(app.latency.decision.quantile(0.99) / 1000)
        database.send(signal.SIGCONT)
        cache.send(signal.SIGCONT)
        rows_before = app.memory.status()["rows"] if app.memory else 0
        await asyncio.sleep(3)
        stop.set()
        summary = await running
    stores = summary["stores"]
    assert stores["dropped"] == {}, stores
    median = {name: sorted(values)[len(values) // 2] for name, values in figures.items()}
    return {
        "p99_us": figures,
        "ratio": median["away"] / median["up"],
        "rows": stores["rows"],
        "rows_a_second": rows_before / (4 + 6 * PHASE_S),
        "stored": await _count(database),
    }


async def _symbols(rest: str) -> list[str]:
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{rest}/v5/market/instruments-info?category=linear&limit=1000") as answer,
    ):
        rows = (await answer.json())["result"]["list"]
    return [row["symbol"] for row in rows]


async def _count(database: ServerProcess) -> int:
    db = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{database.port}/postgres")
    try:
        return sum([await db.fetchval(f"SELECT count(*) FROM {name}") for name in BY_NAME])
    finally:
        await db.close()


async def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    rows = trades(ROWS // 5 if quick else ROWS)
    with servers(folder) as (database, cache):
        url = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
        copied = await rows_a_second(url, rows)
        inserted = await executemany_rows_a_second(url, rows)
        db = await asyncpg.connect(url)
        await db.execute("TRUNCATE trades")
        await db.close()
        found: dict[str, Any] = {
            "postgres_copy_rows_s": copied,
            "postgres_executemany_rows_s": inserted,
            "copy_vs_executemany": copied / inserted,
            "sqlite_rows_s": await rows_a_second(f"sqlite:///{folder}/h.db", rows),
            "spool_us_a_row": spool_us(folder / "spool", rows),
        }
        lags = await cache_lag_ms(f"redis://127.0.0.1:{cache.port}", folder)
        found["cache_lag_ms"] = {
            name: lags.quantile(q) / 1e6 for name, q in (("p50", 0.5), ("p99", 0.99))
        }
        if not quick:
            found["outage"] = await outage(folder, database, cache)
            found["catch_up_vs_live"] = copied / found["outage"]["rows_a_second"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a fifth of the rows, no outage")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(measure(Path(name), quick=args.quick))
    text = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
    print(text)
    if args.json is not None:
        args.json.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
