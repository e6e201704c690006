"""The cache against a real Valkey: what readers see, and what its absence costs (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from tests.integration.stores.servers import BASE_NS
from tests.support_servers import ServerProcess, free_port, valkey

from fastbook import Book, BookState
from fastbook.runtime.stores.board import BoardWriter
from fastbook.runtime.stores.cache import EVENTS_MAX, CacheWriter, check
from fastbook.runtime.stores.history import StoreUnavailable
from fastbook.runtime.stores.keys import Keys
from fastbook.runtime.stores.layout import pack_l2
from fastbook.runtime.stores.reader import CacheReader
from fastbook.runtime.stores.spool import Row

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")  # killed connections
KEYS = Keys("test", "linear")
TIMEOUT_S = 30.0


def url_of(server: ServerProcess) -> str:
    return f"valkey://127.0.0.1:{server.port}"


def book(u: int, bid: int = 100) -> Book:
    made = Book(50, price_scale=1, qty_scale=3, symbol="BTCUSDT")
    made.apply_snapshot([], [], u, 5)
    made.set_bid(bid, 7)
    made.set_bid(bid - 1, 8)
    made.set_ask(bid + 1, 9)
    return made


def order(client_id: str, status: str, number: int) -> Row:
    return "orders", [
        BASE_NS + number, f"o-{client_id}", client_id, "linear", "BTCUSDT", status, "1", "2", "0",
        "", "r",
    ]  # fmt: skip


def position(symbol: str, qty: str, number: int) -> Row:
    return "positions", [BASE_NS, "r", number, "linear", symbol, 0, qty, "1", "0"]


def denial(number: int) -> Row:
    return "denials", [
        BASE_NS + number * 1_000_000, "r", number, "s", "X", "Buy", "1", "1", "rule", str(number)
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def writing(url: str, board: Path, *, ttl_ms: int = 5_000) -> AsyncIterator[CacheWriter]:
    writer = CacheWriter(url, KEYS, ["BTCUSDT", "ETHUSDT"], board, ttl_ms=ttl_ms, tick_ms=5)
    stop = asyncio.Event()
    task = asyncio.create_task(writer.run(stop))
    try:
        yield writer
    finally:
        stop.set()
        async with asyncio.timeout(TIMEOUT_S):
            await task


async def until(fact: Callable[[], Any]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not await asyncio.to_thread(fact):  # noqa: ASYNC110  (of another process)
            await asyncio.sleep(0.01)


def reader(server: ServerProcess) -> CacheReader:
    return CacheReader(url_of(server), environment="test")


def test_readers_see_books_orders_positions_and_happenings(
    valkey_server: ServerProcess, tmp_path: Path
) -> None:
    async def go() -> None:
        board = BoardWriter(tmp_path / "board", 2, 50)
        with reader(valkey_server) as cache:
            async with writing(url_of(valkey_server), tmp_path / "board") as writer:
                board.write(0, pack_l2(book(3), 50, time.time_ns() // 1_000_000))
                writer.take([order("a", "New", 1), order("b", "New", 2), order("a", "Filled", 3)])
                writer.take([position("BTCUSDT", "1.5", 4), position("ETHUSDT", "0", 5)])
                writer.take([denial(1), denial(2)])
                await until(lambda: cache.last("risk") and cache.l2("BTCUSDT"))
            l2, l1 = cache.l2("BTCUSDT"), cache.l1("BTCUSDT")
            assert l2 is not None
            assert l1 is not None
            assert (l2.state, l2.u) == (BookState.SYNCED, 3)
            assert (l2.bids, l2.asks) == ([(100, 7), (99, 8)], [(101, 9)])
            assert (l1.bids, l1.asks) == ([(100, 7)], [(101, 9)])
            assert cache.l2("ETHUSDT") is None
            assert list(cache.orders()) == ["b"]
            assert cache.positions()["BTCUSDT"]["qty"] == "1.5"
            assert [row["detail"] for row in cache.last("risk")] == ["2", "1"]
        board.close()

    asyncio.run(go())


def test_keys_of_an_engine_that_stopped_vanish(
    valkey_server: ServerProcess, tmp_path: Path
) -> None:
    async def go() -> None:
        board = BoardWriter(tmp_path / "board", 2, 50)
        with reader(valkey_server) as cache:
            async with writing(url_of(valkey_server), tmp_path / "board", ttl_ms=300):
                board.write(0, pack_l2(book(4), 50, 1))
                await until(lambda: (b := cache.l2("BTCUSDT")) is not None and b.u == 4)
                # Nothing is written any more: the engine stands still, its stores' process not.
                await until(lambda: cache.l2("BTCUSDT") is None)
        board.close()

    asyncio.run(go())


def test_a_repeated_happening_is_there_once(valkey_server: ServerProcess, tmp_path: Path) -> None:
    async def go() -> None:
        BoardWriter(tmp_path / "board", 2, 50).close()
        Redis(port=valkey_server.port).flushall()
        async with writing(url_of(valkey_server), tmp_path / "board") as writer:
            writer.take([denial(1), denial(2), denial(1), denial(2)])
            await until(lambda: writer.stats.repeats == 2)
        with reader(valkey_server) as cache:
            assert len(cache.last("risk")) == 2

    asyncio.run(go())


def test_a_server_that_comes_back_empty_is_filled_again(tmp_path: Path) -> None:
    async def go() -> None:
        server = valkey(tmp_path).start()
        board = BoardWriter(tmp_path / "board", 2, 50)
        try:
            async with writing(url_of(server), tmp_path / "board") as writer:
                board.write(0, pack_l2(book(1), 50, 1))
                writer.take([order("a", "New", 1)])
                await until(lambda: writer.stats.up)
                server.kill()
                writer.take([order("b", "New", 2), denial(1)])
                board.write(0, pack_l2(book(2), 50, 1))
                await until(lambda: not writer.stats.up)
                await asyncio.to_thread(server.start)
                await until(lambda: writer.stats.up)
            with reader(server) as cache:
                found = cache.l2("BTCUSDT")
                assert found is not None
                assert found.u == 2
                assert sorted(cache.orders()) == ["a", "b"]
                assert len(cache.last("risk")) == 1
        finally:
            board.close()
            server.kill()

    asyncio.run(go())


def test_a_frozen_server_costs_a_tenth_of_a_second_and_the_oldest_events(tmp_path: Path) -> None:
    async def go() -> None:
        server = valkey(tmp_path).start()
        BoardWriter(tmp_path / "board", 2, 50).close()
        try:
            async with writing(url_of(server), tmp_path / "board") as writer:
                await until(lambda: writer.stats.up)
                server.send(signal.SIGSTOP)
                writer.take([denial(n) for n in range(EVENTS_MAX + 100)])
                assert writer.stats.dropped == 100
                await until(lambda: writer.stats.failures)
                server.send(signal.SIGCONT)
                await until(lambda: writer.stats.up)
            with reader(server) as cache:
                assert [row["detail"] for row in cache.last("risk", 1)] == [str(EVENTS_MAX + 99)]
        finally:
            server.kill()

    asyncio.run(go())


def test_a_full_server_is_a_failure_that_is_named(tmp_path: Path) -> None:
    async def go() -> None:
        server = valkey(tmp_path, "--maxmemory", "1mb", "--maxmemory-policy", "noeviction").start()
        BoardWriter(tmp_path / "board", 2, 50).close()
        try:
            async with writing(url_of(server), tmp_path / "board") as writer:
                writer.take([order("a", "New", 1)])
                await until(lambda: "OutOfMemory" in writer.stats.reason)
                assert not writer.stats.up
        finally:
            server.kill()

    asyncio.run(go())


def test_what_answers_is_looked_at_before_a_run(valkey_server: ServerProcess) -> None:
    assert "alkey" in asyncio.run(check(url_of(valkey_server)))
    with pytest.raises(StoreUnavailable, match="cache"):
        asyncio.run(check(f"redis://127.0.0.1:{free_port()}"))
