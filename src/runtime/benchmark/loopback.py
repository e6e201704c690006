"""End to end over loopback: a second process sends, each client in turn receives.

Every connection is checked: as many frames as were sent, and the books that the generated
frames make. Rounds go through all clients, so that a busy minute of the machine hits them all.
"""

from __future__ import annotations

import gc
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import uvloop

from . import frames as generated
from .clients import Client, Received
from .peers import FastbookPeer, Reading, check_equal, feed
from .results import Report, middle_half
from .sender import Job, Played, Sender

SYMBOLS = 50
RATE = 50_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is sent, and what a client must know in the end."""

    frames: list[bytes]
    symbols: int
    final: dict[str, Reading]

    @classmethod
    def generate(cls, frames_each: int, symbols: int = SYMBOLS) -> Traffic:
        frames = generated.interleaved(generated.mixed(symbols, frames_each))
        known = FastbookPeer()
        feed(known, frames)
        return cls(frames=frames, symbols=symbols, final=known.readings())

    def check(self, name: str, job: Job, received: Received) -> None:
        """`received.readings` may be empty: a client that only counts reads nothing."""
        sent = job.cycles * len(self.frames)
        if received.frames != sent:
            raise AssertionError(f"{name}: {received.frames} frames of {sent}")
        if received.readings:
            got = [received.readings[symbol] for symbol in self.final]
            check_equal(name, got, list(self.final.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    client: Client
    cycles: int  # fewer for slow ones: each takes about as long


def play(
    sender: Sender,
    traffic: Traffic,
    name: str,
    client: Client,
    job: Job,
    context: ssl.SSLContext | None = None,
) -> tuple[Received, Played]:
    sender.give(job)
    gc.collect()
    received = uvloop.run(client(sender.url, context))
    traffic.check(name, job, received)
    return received, sender.played()


def throughput(
    sender: Sender,
    traffic: Traffic,
    contenders: Mapping[str, Contender],
    rounds: int,
    context: ssl.SSLContext | None = None,
) -> dict[str, list[Received]]:
    taken: dict[str, list[Received]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            job = Job(cycles=contender.cycles)
            received, _ = play(sender, traffic, name, contender.client, job, context)
            taken[name].append(received)
    return taken


def report_throughput(
    report: Report, taken: Mapping[str, list[Received]], *, prefix: str, over: str
) -> None:
    """Rows of messages/s by the wall's clock; CPU time a message beside them."""
    for name, rounds in taken.items():
        rates = [r.frames / r.wall_s for r in rounds]
        cpu_us = median(r.cpu_s / r.frames * 1e6 for r in rounds)
        report.add(
            f"{prefix}_{key_of(name)}",
            median(rates),
            "msg/s",
            f"{name}, {over}",
            spread=middle_half(rates),
            detail={"cpu_us": cpu_us},
        )


def key_of(name: str) -> str:
    return "_".join(name.replace("+", " ").replace("-", " ").split())


def seconds_each(rounds: list[Received]) -> list[float]:
    return [r.wall_s / r.frames for r in rounds]


def cpu_each(rounds: list[Received]) -> list[float]:
    return [r.cpu_s / r.frames for r in rounds]


def latencies_us(traffic: Traffic, received: Received, played: Played, rate: float) -> list[float]:
    """Of every frame, from when it was due to when the book it went into was handed over.

    Due, not sent: a sender held up by a slow reader does not hide the wait (coordinated
    omission). Frames of one book that one read took in are each counted with their own due time.
    """
    each = len(traffic.frames) // traffic.symbols
    interval_ns = 1e9 / rate
    done = [0] * traffic.symbols  # frames of each book handed over so far
    out: list[float] = []
    arrivals = received.arrivals
    for at in range(0, len(arrivals), 3):
        now_ns, index, u = arrivals[at], arrivals[at + 1], arrivals[at + 2]
        position = done[index] - 1
        new = position // each * each + u if position >= 0 else u
        if new < done[index]:  # the next cycle began: u counts from 1 again
            new += each
        for k in range(done[index], new):
            due_ns = played.start_ns + (k * traffic.symbols + index) * interval_ns
            out.append((now_ns - due_ns) / 1000)
        done[index] = new
    if sum(done) != received.frames:
        raise AssertionError(f"{sum(done)} arrivals of {received.frames} frames")
    return out


def quantile(ordered: list[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedRound:
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_share: float
    sender_late_p99_us: float


def paced_round(
    sender: Sender, traffic: Traffic, name: str, client: Client, seconds: float, rate: float = RATE
) -> PacedRound:
    """One connection at a steady rate. Without arrivals only the CPU share means anything."""
    job = Job(cycles=max(1, round(seconds * rate / len(traffic.frames))), rate=rate)
    received, played = play(sender, traffic, name, client, job)
    ordered = [0.0]
    if received.arrivals:
        ordered = sorted(latencies_us(traffic, received, played, rate))
    return PacedRound(
        p50_us=quantile(ordered, 0.5),
        p99_us=quantile(ordered, 0.99),
        p999_us=quantile(ordered, 0.999),
        cpu_share=received.cpu_s / received.wall_s,
        sender_late_p99_us=played.late_p99_us,
    )


def report_paced(report: Report, ours: list[PacedRound], empty: list[PacedRound]) -> None:
    """Rows `paced_*`. Medians over the rounds of each round's quantile."""

    def add(name: str, values: list[float], unit: str, what: str = "") -> None:
        report.add(name, median(values), unit, what, spread=middle_half(values))

    add("paced_p50", [r.p50_us for r in ours], "us")
    add("paced_p99", [r.p99_us for r in ours], "us")
    add("paced_p999", [r.p999_us for r in ours], "us", "the same, 99.9th percentile")
    add(
        "paced_sender_late_p99",
        [r.sender_late_p99_us for r in ours],
        "us",
        "how late the sender itself was, 99th percentile: part of the latencies above",
    )
    add("paced_cpu", [100 * r.cpu_share for r in ours], "%", "the same, CPU of one core")
    add(
        "paced_cpu_beyond_empty",
        [100 * (r.cpu_share - e.cpu_share) for r, e in zip(ours, empty, strict=True)],
        "%",
    )
