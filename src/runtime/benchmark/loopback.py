"""End to end over loopback: a second process sends, each client in turn receives.

Every connection is checked: as many frames as were sent, and the books that the generated
frames make. Rounds go through all clients, so that a busy minute of the machine hits them all.
"""

from __future__ import annotations

import gc
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from . import frames as generated
from .clients import Client, Received, counting_client, fastbook_client, peer_client
from .peers import FastbookPeer, Reading, check_equal, feed, orjson_lists
from .results import Report, WrongAnswerError, middle_half
from .sender import Job, Played, Sender, SenderError, make_certificate

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
            raise WrongAnswerError(f"{name}: {received.frames} frames of {sent}")
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


def latencies_us(received: Received, played: Played, rate: float) -> list[float]:
    """Of every frame, from when it was due to when the book it went into was handed over.

    Due, not sent: a sender held up by a slow reader does not hide the wait (coordinated
    omission). Frames that one read took in are each counted with their own due time.
    """
    interval_ns = 1e9 / rate
    out: list[float] = []
    done = 0
    for at in range(0, len(received.arrivals), 2):
        # The goodbye may share the last read, and counts as a frame there.
        now_ns, frames = received.arrivals[at], min(received.arrivals[at + 1], received.frames)
        out += [(now_ns - played.start_ns - k * interval_ns) / 1000 for k in range(done, frames)]
        done = frames
    if done != received.frames:
        raise WrongAnswerError(f"{done} arrivals of {received.frames} frames")
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
        ordered = sorted(latencies_us(received, played, rate))
    return PacedRound(
        p50_us=quantile(ordered, 0.5),
        p99_us=quantile(ordered, 0.99),
        p999_us=quantile(ordered, 0.999),
        cpu_share=received.cpu_s / received.wall_s,
        sender_late_p99_us=played.late_p99_us,
    )


def add_rounds(report: Report, name: str, values: list[float], unit: str, what: str = "") -> None:
    report.add(
        name,
        median(values),
        unit,
        what,
        spread=middle_half(values),
        detail={"quietest_round": min(values)},
    )


def report_paced(
    report: Report, ours: list[PacedRound], unwatched: list[PacedRound], empty: list[PacedRound]
) -> None:
    """Rows `paced_*`. Medians over the rounds of each round's quantile.

    Latencies are those of `ours`, the shares of the processor those of the same `unwatched`.
    """
    add_rounds(report, "paced_p50", [r.p50_us for r in ours], "us")
    add_rounds(report, "paced_p99", [r.p99_us for r in ours], "us")
    add_rounds(report, "paced_p999", [r.p999_us for r in ours], "us", "the same, 99.9th percentile")
    add_rounds(
        report,
        "paced_sender_late_p99",
        [r.sender_late_p99_us for r in ours],
        "us",
        "how late the sender itself was, 99th percentile: part of the latencies above",
    )
    shares = [100 * r.cpu_share for r in unwatched]
    add_rounds(report, "paced_cpu", shares, "%", "the same, CPU of one core")
    add_rounds(
        report,
        "paced_cpu_beyond_empty",
        [100 * (r.cpu_share - e.cpu_share) for r, e in zip(unwatched, empty, strict=True)],
        "%",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often. Cycles are of all frames; slow clients get fewer."""

    frames_each: int
    rounds: int
    fast_cycles: int
    slow_cycles: int
    paced_rounds: int
    paced_s: float


QUICK = Plan(frames_each=100, rounds=3, fast_cycles=20, slow_cycles=1, paced_rounds=2, paced_s=0.8)
FULL = Plan(frames_each=200, rounds=5, fast_cycles=40, slow_cycles=2, paced_rounds=5, paced_s=2.0)


def measure_loopback(
    report: Report,
    plan: Plan,
    *,
    slow: Mapping[str, Client] | None = None,
    article: str | None = None,
    floor: Client | None = None,
) -> None:
    """All rows about sockets. `slow` are peers; `article` the one that the targets are about.

    `floor` is a client whose arrivals are the least that is possible (bench/ has one in C).
    """
    slow = {"picows + orjson + sorted lists": peer_client(orjson_lists)} if slow is None else slow
    traffic = Traffic.generate(plan.frames_each)
    contenders = {
        "fastbook": Contender(client=fastbook_client(SYMBOLS), cycles=plan.fast_cycles),
        "only counting": Contender(client=counting_client(), cycles=plan.fast_cycles),
    }
    contenders |= {n: Contender(client=c, cycles=plan.slow_cycles) for n, c in slow.items()}
    with Sender(traffic.frames) as sender:
        taken = throughput(sender, traffic, contenders, plan.rounds)
        report_throughput(report, taken, prefix="loopback", over="over loopback")
        _report_ratios(report, taken, "loopback", article)
        _measure_paced(report, plan, sender, traffic, floor)
    with tempfile.TemporaryDirectory() as folder:
        try:
            tls = make_certificate(Path(folder))
        except SenderError as e:
            report.skipped["loopback_tls"] = str(e)
            return
        context = ssl.create_default_context(cafile=str(tls[0]))
        with Sender(traffic.frames, tls) as sender:
            taken = throughput(sender, traffic, contenders, plan.rounds, context)
        report_throughput(report, taken, prefix="loopback_tls", over="over loopback and TLS")
        _report_ratios(report, taken, "loopback_tls", article)


def _report_ratios(
    report: Report, taken: Mapping[str, list[Received]], prefix: str, article: str | None
) -> None:
    ours, floor = taken["fastbook"], taken["only counting"]
    what = "time a message by the wall's clock; a compiled listener that only counts = 1"
    report.add_ratio(f"{prefix}_vs_counting", seconds_each(ours), seconds_each(floor), what)
    report.add_ratio(
        f"{prefix}_vs_counting_cpu", cpu_each(ours), cpu_each(floor), "the same in CPU time"
    )
    for name in [name for name in taken if name not in ("fastbook", "only counting")]:
        key = "article" if name == article else key_of(name)
        wall = f"messages/s; {name} = 1"
        report.add_ratio(f"{prefix}_vs_{key}", seconds_each(taken[name]), seconds_each(ours), wall)
        cpu = f"the same by CPU time a message; {name} = 1"
        report.add_ratio(f"{prefix}_vs_{key}_cpu", cpu_each(taken[name]), cpu_each(ours), cpu)


def _measure_paced(
    report: Report, plan: Plan, sender: Sender, traffic: Traffic, floor: Client | None
) -> None:
    clients = {
        "fastbook": fastbook_client(SYMBOLS, keep_arrivals=True),
        # Noting each arrival in Python is the benchmark's own work: not part of the CPU share.
        "unwatched": fastbook_client(SYMBOLS),
        "empty": counting_client(),
        "floor": floor,
    }
    rounds: dict[str, list[PacedRound]] = {name: [] for name in clients}
    for _ in range(plan.paced_rounds):
        for name, client in clients.items():
            if client is not None:
                done = paced_round(sender, traffic, name, client, plan.paced_s)
                rounds[name].append(done)
    report_paced(report, rounds["fastbook"], rounds["unwatched"], rounds["empty"])
    if floor is None:
        return
    p50 = [r.p50_us for r in rounds["floor"]]
    p99 = [r.p99_us for r in rounds["floor"]]
    add_rounds(report, "paced_p50_c_client", p50, "us", "a C client, median")
    add_rounds(report, "paced_p99_c_client", p99, "us", "a C client, 99th percentile")
    report.add_ratio("paced_p99_vs_c_client", [r.p99_us for r in rounds["fastbook"]], p99)
