"""Restarts: with five hundred orders open, with a record of trades, after a hard exit."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from tests.kill.harness import Engines, Exchange

from fastbook.runtime.state import Store, prepare

ORDERS = 500
ACTIVE_MS_MAX = 10_000
"""On a machine that does other things too; alone it is a tenth of that."""


def test_five_hundred_open_orders(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path) as engines:
            with Store.open(prepare(engines.place)) as store:
                store.intents(await exchange.rest_orders(ORDERS))
            await engines.start()
            said = await engines.until("active", "exited")
            assert said["said"] == "active", said
            print(f"active with {said['restored']} restored orders after {said['ms']:.0f} ms")
            assert said["restored"] == ORDERS
            assert said["ms"] < ACTIVE_MS_MAX
            ended = await engines.check_end_of_running()
            assert ended["strays"] == 0
            assert ended["working"] == 0
            assert await exchange.open_ids() == []

    asyncio.run(story())


def test_the_record_of_trades_survives_kill_9(tmp_path: Path) -> None:
    """What a strategy has won and lost decides its stakes: it must not begin again at nothing."""

    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path) as engines:
            await engines.start()
            said = await engines.until("active", "exited")
            assert said["said"] == "active", said
            assert sum(said["trips"].values()) == 0
            kept = None
            async with asyncio.timeout(60.0):
                while not kept:  # until a round trip is on disk
                    await asyncio.sleep(0.5)
                    with Store.open(engines.place) as store:
                        kept = store.load("records")
            await engines.kill()
            with Store.open(engines.place) as store:
                kept = store.load("records")
            assert kept is not None
            assert kept["restless"]["total"] >= len(kept["restless"]["results"]) > 0
            await engines.start()
            said = await engines.until("active", "exited")
            assert said["trips"]["restless"] >= kept["restless"]["total"]
            await engines.check_end_of_running()

    asyncio.run(story())


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    """With orders open and an exchange that answers nothing; the next start finds everything."""

    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path) as engines:
            await engines.start()
            assert (await engines.until("active", "exited"))["said"] == "active"
            async with asyncio.timeout(30.0):
                while not await exchange.open_ids():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            exchange.freeze()
            try:
                os.kill(engines.pid, signal.SIGTERM)
                await asyncio.sleep(0.5)  # it cancels, and waits for answers
                os.kill(engines.pid, signal.SIGTERM)
                started = time.monotonic()
                said = await engines.until("exited", "ended")
                assert (said["said"], said.get("code")) == ("exited", -signal.SIGTERM)
                assert time.monotonic() - started < 2.0
            finally:
                exchange.thaw()
            await engines.check_after_kill()
            await engines.check_end()

    asyncio.run(story())
