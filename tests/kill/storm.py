"""Orders whose answers are lost: each has to come to an end, and none may be sent twice.

python -m tests.kill.storm ORDERS
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.kill.harness import Engines, Exchange

from fastbook.runtime.exchange_control import ExchangeControl
from fastbook.runtime.state import read_open_orders

LOST = 0.3
"""Of all creates: half of these were carried out and the answer is lost, a third never arrived."""
FAULTS: tuple[tuple[dict[str, Any], float], ...] = (  # Any: JSON
    ({"kind": "lost_answer", "how": "cut"}, 0.55),
    ({"kind": "lost_request"}, 0.35),
    ({"kind": "lost_answer", "how": "silent"}, 0.1),
)
ROUND_MAX = 4_000
"""Orders against one exchange, whose history has so many pages."""
SYMBOLS = 120
ENTRY = '\n[execution]\nentry = "rest"\nrequests_in_flight_max = 64\nqueue_max = 256\n'


async def storm(folder: Path, orders: int, *, seed: int = 7) -> dict[str, Any]:  # Any: JSON
    """One round; raises AssertionError where something does not add up."""
    rng, started = Random(seed), time.monotonic()
    async with (
        Exchange(symbols=SYMBOLS, rate=1400, tier="pro6") as exchange,
        ExchangeControl(exchange.where["rest"]) as control,
        Engines(exchange, folder, ENTRY, address_limit=100_000) as engines,
    ):
        await engines.start()
        assert (await engines.until("active", "exited"))["said"] == "active"
        written = struck = 0
        while written < orders:
            await asyncio.sleep(0.02)
            written = engines.ledger.read_bytes().count(b"\n")
            while struck < LOST * (written + 4):
                struck += 1
                (fault,) = rng.choices([f for f, _ in FAULTS], [w for _, w in FAULTS])
                await control.fault(fault)
            if time.monotonic() - started > 30 + orders / 4:
                raise AssertionError(f"the storm does not get on: {written} orders")
        os.kill(engines.pid, signal.SIGUSR1)  # no more creates; the rest goes on
        async with asyncio.timeout(60.0):
            while read_open_orders(engines.place):  # noqa: ASYNC110 - another process' notes
                await asyncio.sleep(0.1)
        ended = await engines.check_end_of_running()
        found = await engines.check_books(ended)
        return found | {"struck": struck, "seconds": time.monotonic() - started}


async def storms(orders: int) -> None:
    done = 0
    while done < orders:
        with tempfile.TemporaryDirectory() as name:
            found = await storm(Path(name), min(ROUND_MAX, orders - done), seed=done)
        done += found["ids"]
        print(found, flush=True)
    print(f"{done} orders: each ended, none twice")


if __name__ == "__main__":
    asyncio.run(storms(int(sys.argv[1])))
