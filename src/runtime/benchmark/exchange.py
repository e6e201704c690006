"""What the bundled exchange publishes, and whether a client in another process keeps up."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import NamedTuple

import uvloop

from fastbook.errors import FastbookError
from fastbook.replay.universe import universe

from ..children import exchange_process
from .results import Report, WrongAnswerError
from .whole import Books

SYMBOLS = 50
RATE = 50_000
WARM_UP_S = 0.5


class Published(NamedTuple):
    frames_per_s: float  # that the client's books took
    cpu_share: float  # of one core, of the exchange
    client_cpu_share: float


def measure_exchange(report: Report, *, seconds: float) -> None:
    """Rows `exchange_frames_per_cpu_s` and `exchange_frames_per_s`."""
    if not Path("/proc/self/stat").exists():
        report.skipped["exchange_frames_per_cpu_s"] = "needs /proc"
        return
    got = uvloop.run(_published(seconds))
    report.add(
        "exchange_frames_per_cpu_s",
        got.frames_per_s / got.cpu_share,
        "frames/s",
        f"bundled exchange, {SYMBOLS} symbols: book messages a second of its processor time",
    )
    report.add(
        "exchange_frames_per_s",
        got.frames_per_s,
        "frames/s",
        f"the same, asked for {RATE:,}: into the books of a client in another process",
        detail={"cpu_share": got.cpu_share, "client_cpu_share": got.client_cpu_share},
    )


async def _published(seconds: float) -> Published:
    topics = tuple(f"orderbook.50.{market.instrument.symbol}" for market in universe(SYMBOLS))
    async with exchange_process(SYMBOLS, 7, RATE) as exchange:
        where = await exchange.first_line()
        pid = exchange.process.pid
        async with Books(where["ws_public"] + "/linear", topics) as books:
            await books.settle()
            await asyncio.sleep(WARM_UP_S)
            before, frames = time.perf_counter(), books.applied
            cpu_s, own_s = processor_s(pid), time.process_time()
            await asyncio.sleep(seconds)
            passed_s = time.perf_counter() - before
            got = Published(
                (books.applied - frames) / passed_s,
                (processor_s(pid) - cpu_s) / passed_s,
                (time.process_time() - own_s) / passed_s,
            )
            if books.down.is_set() or books.gaps:
                raise WrongAnswerError("the client lost messages of the exchange")
    if not got.cpu_share:
        raise FastbookError("too short to see the processor time of the exchange")
    return got


def processor_s(pid: int) -> float:
    """Processor time of a process, user and system (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
