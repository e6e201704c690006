"""`fastbook simulate`: the bundled exchange alone, until stopped."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from decimal import Decimal

from fastbook.errors import DataFileError

from .logs import set_up_logging
from .loop import run_until_stopped
from .output import print_json
from .simulator.options import SimulatorOptions
from .simulator.recordings import Recordings
from .simulator.script import ScriptedFault, read_script, read_text
from .simulator.server import Simulator


def simulate(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. The first line of stdout says where, as one JSON object."""
    set_up_logging(args.log_level)
    replay = tuple(args.replay)
    options = SimulatorOptions(
        host=args.host,
        categories=args.categories or (Recordings(replay).categories() if replay else ("linear",)),
        port=args.port,
        symbols=args.symbols or (0 if replay else 50),
        replay=replay,
        replay_loop=args.loop,
        seed=args.seed,
        session=int(time.time() * 1000),
        speed=args.speed,
        rate=args.rate,
        tls=args.tls,
        accounts=args.accounts,
        keys=args.keys,
        rsa_public_key=read_text(args.rsa_key) if args.rsa_key else "",
        start_base_balance=Decimal(args.base_balance),
        tier=args.tier,
        ip_requests_max=args.ip_requests,
    )
    script = read_script(args.faults) if args.faults else ()
    return run_until_stopped(lambda stop: serve(options, stop, script, until_eof=args.until_eof))


async def serve(
    options: SimulatorOptions,
    stop: asyncio.Event,
    script: Sequence[ScriptedFault],
    *,
    until_eof: bool,
) -> int:
    if until_eof:
        await stop_at_end_of_input(stop)
    simulator = Simulator(options, script=script)
    endpoints = await simulator.start()
    try:
        print_json(endpoints.as_json())
        if not until_eof:
            print("fastbook: the exchange is open; Ctrl-C closes it", file=sys.stderr)
        await wait_for_any(stop, simulator.recording_ended)
        if isinstance(simulator.failure, DataFileError):
            raise simulator.failure
        if not stop.is_set() and simulator.market.recorded is not None:
            played = simulator.market.recorded.frames
            print(
                f"fastbook: the recording has ended after {played} frames (--loop begins it again)",
                file=sys.stderr,
            )
    finally:
        await simulator.stop()
    return 0


async def wait_for_any(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()


async def stop_at_end_of_input(stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends: whoever started us has gone."""

    class UntilEof(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop.set()

    await asyncio.get_running_loop().connect_read_pipe(UntilEof, sys.stdin)
