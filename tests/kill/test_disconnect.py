"""kill -9 with orders resting and nobody watching: the venue cancels, as the engine asked it to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.kill.harness import Engines, Exchange

from fastbook.runtime.bybit.disconnect_cancel import disconnect_cancel
from fastbook.runtime.exchange_control import ExchangeControl
from fastbook.types import Category

WINDOW_S = 3
LIVE = f'\n[execution]\nmode = "live"\ndisconnect_cancel_s = {WINDOW_S}\n'
OFF = '\n[execution]\nmode = "live"\ndisconnect_cancel_s = 0\n'


async def killed_with_orders(engines: Engines, exchange: Exchange) -> None:
    await engines.start()
    said = await engines.until("active", "exited")
    assert said["said"] == "active", said
    async with asyncio.timeout(30.0):
        while not await exchange.open_ids():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    await engines.kill()


def test_the_venue_cancels_what_a_killed_engine_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path, LIVE) as engines:
            await killed_with_orders(engines, exchange)
            started = time.monotonic()
            assert await exchange.open_ids(), "nothing was left to cancel"
            async with asyncio.timeout(30.0):
                while await exchange.open_ids():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            print(f"cancelled {time.monotonic() - started:.1f} s after the kill")
            page = await exchange.rest.order_history(Category.LINEAR)
            assert Counter(row["cancelType"] for row in page.rows)["CancelByDCP"] > 0
            assert await exchange.rest.disconnect_cancel_rows() == [
                {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": str(WINDOW_S)}
            ]
            await engines.check_end()  # the next start finds them cancelled, and goes on

    asyncio.run(story())


def test_it_is_left_alone_where_the_configuration_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with Exchange() as exchange, Engines(exchange, tmp_path, OFF) as engines:
            await killed_with_orders(engines, exchange)
            assert await exchange.rest.disconnect_cancel_rows() == []
            await engines.check_end()

    asyncio.run(story())


def test_an_account_without_it_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with Exchange(symbols=1) as exchange:
            async with ExchangeControl(exchange.where["rest"]) as control:
                await control.fault({"kind": "key_error", "code": 10005})
            assert await disconnect_cancel(exchange.rest, Category.LINEAR, WINDOW_S) == ""
            assert await disconnect_cancel(exchange.rest, Category.SPOT, WINDOW_S) == "dcp.spot"
            assert await disconnect_cancel(exchange.rest, Category.SPOT, WINDOW_S) == "dcp.spot"

    asyncio.run(story())
    assert "only `fastbook watchdog` does" in caplog.text
