"""Run as a program: the bundled exchange some milliseconds away, until standard input ends.

The argument is a JSON object: `latency_s`, and options of the exchange.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import fields
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson

from fastbook.runtime.faultproxy.proxy import FaultProxy
from fastbook.runtime.simulate import stop_at_end_of_input
from fastbook.runtime.simulator.keys import Endpoints
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator


def at_port(endpoints: Endpoints, port: int) -> dict[str, Any]:
    """The same addresses, reached through another port. Any: JSON."""
    given = endpoints.as_json()
    here = urlsplit(endpoints.rest).port
    return {
        name: value.replace(f":{here}", f":{port}") if isinstance(value, str) else value
        for name, value in given.items()
    }


async def main(text: str) -> None:
    given = orjson.loads(text)
    latency_s = given.pop("latency_s")
    for field in fields(SimulatorOptions):
        if field.name in given and field.type == "Decimal":
            given[field.name] = Decimal(given[field.name])
    stop = asyncio.Event()
    await stop_at_end_of_input(stop)
    simulator = Simulator(SimulatorOptions(**given | {"categories": tuple(given["categories"])}))
    endpoints = await simulator.start()
    proxy = FaultProxy("127.0.0.1", urlsplit(endpoints.rest).port or 0)
    proxy.to_client.bytes.latency_s = latency_s
    try:
        print(orjson.dumps(at_port(endpoints, await proxy.start())).decode(), flush=True)
        await stop.wait()
    finally:
        await proxy.stop()
        await simulator.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
