"""From bytes on a loopback socket to books and signals: the compiled listener, its Python twin,
and one that only counts. Run: make bench

One call is one connection from the handshake to the goodbye; `cpu_us` is the CPU of this process
alone, a frame, so that the sender on the other core does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastbook.runtime.benchmark.clients import (
    Client,
    Received,
    counting_client,
    fastbook_client,
    peer_client,
)
from fastbook.runtime.benchmark.loopback import Traffic, play
from fastbook.runtime.benchmark.peers import orjson_lists
from fastbook.runtime.benchmark.sender import Job, Sender
from fastbook.runtime.bybit.listener import NOT_COMPILED, Listener
from fastbook.runtime.bybit.listener_py import PythonListener

SYMBOLS = 10
CLIENTS = {
    "compiled": (fastbook_client(SYMBOLS, make_listener=Listener), 20),
    "python": (fastbook_client(SYMBOLS, make_listener=PythonListener), 10),
    "counting": (counting_client(), 20),
    "picows + orjson + sorted lists": (peer_client(orjson_lists), 1),
}


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic.generate(500, SYMBOLS)


@pytest.fixture(scope="module")
def sender(traffic: Traffic) -> Iterator[Sender]:
    with Sender(traffic.frames) as sender:
        yield sender


@pytest.mark.parametrize("name", CLIENTS)
def test_connection(
    benchmark: BenchmarkFixture, name: str, sender: Sender, traffic: Traffic
) -> None:
    if name == "compiled" and NOT_COMPILED:
        pytest.skip(f"no compiled listener: {NOT_COMPILED}")
    client: Client
    client, cycles = CLIENTS[name]
    benchmark.group = "listener, one connection"
    benchmark.extra_info["frames_per_call"] = cycles * len(traffic.frames)
    rounds: list[Received] = []

    def connect() -> None:  # checks the count of frames and the final books
        rounds.append(play(sender, traffic, name, client, Job(cycles=cycles))[0])

    benchmark.pedantic(connect, rounds=5)  # type: ignore[no-untyped-call]

    benchmark.extra_info["cpu_us"] = median(r.cpu_s / r.frames * 1e6 for r in rounds)
    benchmark.extra_info["frames_per_s"] = median(r.frames / r.wall_s for r in rounds)
