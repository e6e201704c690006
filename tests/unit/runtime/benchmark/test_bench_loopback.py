"""The benchmark over sockets: every client gets all that was sent, and its answer is checked."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fastbook.runtime.benchmark.clients import (
    Client,
    Received,
    counting_client,
    fastbook_client,
    peer_client,
)
from fastbook.runtime.benchmark.loopback import Traffic, latencies_us, paced_round, play
from fastbook.runtime.benchmark.peers import json_lists, orjson_lists
from fastbook.runtime.benchmark.results import WrongAnswerError
from fastbook.runtime.benchmark.sender import Job, Played, Sender
from fastbook.runtime.bybit.listener_py import PythonListener

SYMBOLS = 3


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic.generate(20, SYMBOLS)


@pytest.fixture(scope="module")
def sender(traffic: Traffic) -> Iterator[Sender]:
    with Sender(traffic.frames) as sender:
        yield sender


@pytest.mark.parametrize(
    "client",
    [
        fastbook_client(SYMBOLS),
        fastbook_client(SYMBOLS, make_listener=PythonListener),
        counting_client(),
        peer_client(json_lists),
        peer_client(orjson_lists),
    ],
    ids=["compiled", "python", "counting", "json", "orjson"],
)
def test_client_receives_all_and_knows_the_books(
    client: Client, sender: Sender, traffic: Traffic
) -> None:
    received, _ = play(sender, traffic, "client", client, Job(cycles=3))
    assert received.frames == 3 * 20 * SYMBOLS
    assert received.wall_s > 0


def test_a_wrong_answer_is_refused(traffic: Traffic) -> None:
    job, sent = Job(cycles=1), len(traffic.frames)
    right = Received(frames=sent, wall_s=1, cpu_s=1, readings=dict(traffic.final))
    traffic.check("right", job, right)
    with pytest.raises(WrongAnswerError, match="59 frames of 60"):
        traffic.check("short", job, replace(right, frames=sent - 1))
    symbol, (mid, imbalance) = next(iter(traffic.final.items()))
    wrong = traffic.final | {symbol: (mid + 0.05, imbalance)}
    with pytest.raises(WrongAnswerError, match="wrong"):
        traffic.check("wrong", job, replace(right, readings=wrong))


def test_paced_run_times_every_frame(sender: Sender, traffic: Traffic) -> None:
    client = fastbook_client(SYMBOLS, keep_arrivals=True)
    done = paced_round(sender, traffic, "paced", client, seconds=0.06, rate=2000)
    assert 0 < done.p50_us <= done.p99_us <= done.p999_us < 60e6


def test_latency_counts_from_when_a_frame_was_due() -> None:
    arrivals = array("q")
    arrivals.extend((10_500, 1))  # frame 0 was due at 10_000, frame 1 at 11_000, and so on
    arrivals.extend((14_500, 4))  # one read took 1, 2 and 3
    arrivals.extend((14_600, 6))  # the last frame and the goodbye
    received = Received(frames=5, wall_s=1, cpu_s=1, arrivals=arrivals)
    played = Played(start_ns=10_000)
    assert latencies_us(received, played, 1e6) == [0.5, 3.5, 2.5, 1.5, 0.6]
    with pytest.raises(WrongAnswerError, match="6 arrivals of 7 frames"):
        latencies_us(replace(received, frames=7), played, 1e6)
