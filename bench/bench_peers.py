"""Every peer on the same thousand frames of depth 50. Run: make bench"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastbook.runtime.benchmark.peers import FastbookPeer, check_equal, feed

from .frames import stream
from .peers import available

PEERS, LEFT_OUT = available()
FRAMES = stream(1000)


@pytest.mark.parametrize("name", PEERS)
def test_peer(benchmark: BenchmarkFixture, name: str) -> None:
    benchmark.group = "peers, mid and imbalance after each of 1,000 frames"

    readings = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: feed(PEERS[name](), FRAMES), rounds=5, warmup_rounds=1
    )

    check_equal(name, readings, feed(FastbookPeer(), FRAMES))


def test_fastbook(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "peers, mid and imbalance after each of 1,000 frames"

    readings = benchmark(lambda: feed(FastbookPeer(), FRAMES))

    assert len(readings) == len(FRAMES)


@pytest.mark.parametrize("module", LEFT_OUT)
def test_left_out(module: str) -> None:
    pytest.skip(LEFT_OUT[module])
