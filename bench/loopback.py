"""The stacks that people run, over a loopback socket. Run: python -m bench.run --only loopback

What all share (the sending process, the schedule, fastbook's own clients, the checks) is
`fastbook.runtime.benchmark.loopback`; here are the article's stack and the C floor.
"""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fastbook.runtime.benchmark.clients import SUBSCRIBE, Client, Received, peer_client
from fastbook.runtime.benchmark.loopback import RATE, SYMBOLS, Plan, measure_loopback
from fastbook.runtime.benchmark.peers import Peer
from fastbook.runtime.benchmark.results import Report

from . import peers
from .native import NativeError, c_client

ARTICLE_STACK = "websockets + json + SortedDict"


def websockets_client(make: Callable[[], Peer]) -> Client:
    """A peer behind the `websockets` library, read with `async for`, as the article does."""
    from websockets.asyncio.client import connect

    async def client(url: str, context: ssl.SSLContext | None) -> Received:
        peer, frames = make(), 0
        apply = peer.apply
        async with connect(url, ssl=context, compression=None, max_size=1 << 20) as connection:
            started, started_cpu = time.perf_counter(), time.process_time()
            await connection.send(SUBSCRIBE.decode())
            async for frame in connection:
                apply(frame)  # type: ignore[arg-type]  # text: what json.loads likes best
                frames += 1
            wall_s = time.perf_counter() - started
            cpu_s = time.process_time() - started_cpu
        return Received(frames=frames, wall_s=wall_s, cpu_s=cpu_s, readings=peer.readings())

    return client


def measure(report: Report, plan: Plan) -> None:
    """All rows about sockets; what cannot be measured here is in `report.skipped`."""
    known, _ = peers.available()
    slow: dict[str, Client] = {}
    try:
        slow[ARTICLE_STACK] = websockets_client(known[peers.ARTICLE])
    except (ImportError, KeyError) as e:
        report.skipped["loopback_vs_article"] = f"{e}; pip install -r bench/requirements.txt"
    for name in ("orjson + SortedDict", "orjson + sorted lists"):
        if name in known:
            slow[f"picows + {name}"] = peer_client(known[name])
    with tempfile.TemporaryDirectory() as folder:
        floor = None
        per_cycle = plan.frames_each * SYMBOLS
        cycles = max(1, round(plan.paced_s * RATE / per_cycle))
        try:
            floor = c_client(Path(folder), cycles * per_cycle)
        except NativeError as e:
            report.skipped["paced_p99_vs_c_client"] = str(e)
        article = ARTICLE_STACK if ARTICLE_STACK in slow else None
        measure_loopback(report, plan, slow=slow, article=article, floor=floor)
