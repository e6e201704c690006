"""A restart with five hundred orders at the exchange: known again, ACTIVE in seconds."""

from __future__ import annotations

import asyncio
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
