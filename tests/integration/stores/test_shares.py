"""Shards of one account against a real server that dies, freezes and forgets."""

from __future__ import annotations

import asyncio
import random
import signal
from decimal import Decimal
from pathlib import Path

import pytest
from redis import Redis
from tests.support_servers import ServerProcess, valkey

from fastbook.clock import ManualClock
from fastbook.runtime.stores import shares as module
from fastbook.runtime.stores.cache import connect
from fastbook.runtime.stores.shares import ONE, ShareKeeper
from fastbook.runtime.system_clock import SystemClock

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")  # killed connections
KEY = "fb:test:shares"


def keeper(folder: Path, port: int, shard: int, need: list[Decimal], shards: int) -> ShareKeeper:
    return ShareKeeper(
        f"redis://127.0.0.1:{port}", KEY, shard=shard, shards=shards,
        used=lambda: need[shard], file=folder / f"share-{shard}", clock=SystemClock(),
    )  # fmt: skip


def test_shards_share_the_whole_while_the_server_dies_freezes_and_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXCHANGE_S", 0.01)
    monkeypatch.setattr(module, "LEASE_S", 0.3)
    count, rng = 4, random.Random(5)

    async def go() -> None:
        server = valkey(tmp_path).start()
        need = [Decimal(0)] * count
        shards = [keeper(tmp_path, server.port, n, need, count) for n in range(count)]
        stop = asyncio.Event()
        tasks = [asyncio.create_task(shard.run(stop)) for shard in shards]
        grown = Decimal(0)
        try:
            for step in range(200):
                for n, shard in enumerate(shards):
                    wish = Decimal(str(round(rng.random(), 3))) if rng.random() < 0.1 else need[n]
                    need[n] = min(wish, shard.usable)
                    if rng.random() < 0.3:
                        need[n] = shard.usable  # hungry
                assert sum(shard.usable for shard in shards) <= ONE
                grown = max(grown, *(shard.usable for shard in shards))
                if step == 60:
                    server.send(signal.SIGSTOP)
                elif step == 80:
                    server.send(signal.SIGCONT)
                elif step == 100:
                    server.kill()
                elif step == 120:
                    await asyncio.to_thread(server.start)
                await asyncio.sleep(0.01)
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            server.kill()
        assert grown > Decimal("0.3")
        assert any(shard.failures for shard in shards)

    asyncio.run(go())


def test_without_a_server_each_has_its_equal_part(tmp_path: Path) -> None:
    need = [Decimal(0)] * 2
    shards = [keeper(tmp_path, 1, n, need, 2) for n in range(2)]
    assert [shard.usable for shard in shards] == [Decimal("0.5")] * 2


def test_a_lease_ends_and_what_was_taken_is_not_used(
    valkey_server: ServerProcess, tmp_path: Path
) -> None:
    async def go() -> None:
        Redis(port=valkey_server.port).delete(KEY)
        clock = ManualClock()
        need = [Decimal("0.5"), Decimal(0)]
        shards = [keeper(tmp_path, valkey_server.port, n, need, 2) for n in range(2)]
        shards[0]._clock = clock
        client = connect(f"redis://127.0.0.1:{valkey_server.port}")
        for _ in range(2):
            for shard in shards:
                await shard.exchange(client)
        await shards[0].exchange(client)
        assert shards[0].usable == Decimal("0.625")
        clock.advance(int((module.LEASE_S + 1) * 1e9))
        assert shards[0].usable == Decimal("0.5")
        assert shards[1].usable == Decimal("0.125")
        # Started again, it knows what it holds, and that it has given something away.
        again = keeper(tmp_path, valkey_server.port, 1, need, 2)
        assert again.usable == Decimal("0.125")
        await client.aclose()

    asyncio.run(go())


def test_a_damaged_memory_means_nothing_until_the_server_has_said_what_is_ours(
    valkey_server: ServerProcess, tmp_path: Path
) -> None:
    async def go() -> None:
        Redis(port=valkey_server.port).delete(KEY)
        (tmp_path / "share-0").write_text("x")
        shard = keeper(tmp_path, valkey_server.port, 0, [Decimal(0)] * 2, 2)
        assert shard.usable == 0
        Redis(port=valkey_server.port).hset(KEY, mapping={"0": "0.4", "1": "0.5"})
        client = connect(f"redis://127.0.0.1:{valkey_server.port}")
        await shard.exchange(client)
        assert shard.usable == Decimal("0.125")
        await client.aclose()

    asyncio.run(go())
