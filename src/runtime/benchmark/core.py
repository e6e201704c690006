"""The path inside one process: frame bytes to book and signals, beside parsers and peers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping
from statistics import median

import orjson

from fastbook import BookDecoder, BookState, SignalSet
from fastbook.core.signals import Signal

from . import frames as generated
from ._loop import apply_all
from .peers import FastbookPeer, Peer, check_equal, feed, json_lists, orjson_lists
from .profiles import DENSE_200
from .results import Prepare, Report, Run, interleave

OWN = ("orjson", "core", "no signals", "scan", "python")
PEER_SHARE = 10
"""Slow contenders see one frame in so many times fewer repetitions."""


def new_decoder(symbols: int = 1) -> BookDecoder:
    """All signals on, sampled on every frame: the dearest setting there is."""
    return BookDecoder(signals=SignalSet(symbols, sample_ms=0))


def core(frames: list[bytes], times: int, symbols: int = 1) -> Prepare:
    """No Python between two frames: what a compiled listener pays."""

    def prepare() -> Run:
        decoder = new_decoder(symbols)
        apply_all(decoder, frames)

        def run() -> None:
            for _ in range(times):
                apply_all(decoder, frames)

        return run

    return prepare


def without_signals(frames: list[bytes], times: int) -> Prepare:
    """Scan and book alone."""

    def prepare() -> Run:
        decoder = BookDecoder()
        apply_all(decoder, frames)

        def run() -> None:
            for _ in range(times):
                apply_all(decoder, frames)

        return run

    return prepare


def scan_alone(frames: list[bytes], times: int) -> Prepare:
    """Deltas that the book has already seen: read to the last digit, then dropped as STALE."""
    deltas = frames[1:]

    def prepare() -> Run:
        decoder = BookDecoder()
        apply_all(decoder, frames)

        def run() -> None:
            for _ in range(times):
                apply_all(decoder, deltas)
            assert decoder.counters["stale"] == times * len(deltas)

        return run

    return prepare


def from_python(frames: list[bytes], times: int) -> Prepare:
    def prepare() -> Run:
        decoder = new_decoder()
        apply_all(decoder, frames)

        def run() -> None:
            apply = decoder.apply
            for _ in range(times):
                for frame in frames:
                    apply(frame)

        return run

    return prepare


def parser_alone(loads: Callable[[bytes], object], frames: list[bytes], times: int) -> Prepare:
    def prepare() -> Run:
        def run() -> None:
            for _ in range(times):
                for frame in frames:
                    loads(frame)

        return run

    return prepare


def peer(make: Callable[[], Peer], frames: list[bytes], times: int) -> Prepare:
    def prepare() -> Run:
        apply = make().apply
        for frame in frames:
            apply(frame)

        def run() -> None:
            for _ in range(times):
                for frame in frames:
                    apply(frame)

        return run

    return prepare


PEERS: Mapping[str, Callable[[], Peer]] = {
    "json + sorted lists": json_lists,
    "orjson + sorted lists": orjson_lists,
}


def check_answers(frames: list[bytes], peers: Mapping[str, Callable[[], Peer]]) -> None:
    """Books, signals and every peer's readings agree after every frame."""
    expected = feed(FastbookPeer(), frames)
    for name, make in peers.items():
        check_equal(name, feed(make(), frames), expected)
    decoder = new_decoder(len(frames))
    rows = []
    for frame in frames:
        apply_all(decoder, [frame])
        book = decoder.last_book
        assert book is not None
        assert book.state is BookState.SYNCED
        assert decoder.signals is not None
        row = decoder.signals.row(book.index)
        rows.append((row[Signal.MID], row[Signal.IMBALANCE]))
    for book in decoder.books.values():
        book.check()
    check_equal("signals", rows, expected)
    # The scanner knows every shape; a topic's very first frame teaches it the name.
    assert decoder.counters["slow_frames"] <= len(decoder.books)


def measure_core(
    report: Report,
    *,
    rounds: int,
    count: int = 1000,
    count_1000: int = 1000,
    times: int = 10,
    peers: Mapping[str, Callable[[], Peer]] = PEERS,
    article: str | None = None,
) -> None:
    """Rows `core_vs_orjson_*`, `python_vs_orjson_50`, and one for each peer.

    `article` names the peer that `article_vs_core_50` is about, if it is among them.
    """
    for depth in (50, 200, 1000):
        n = count if depth < 1000 else count_1000  # one of them a snapshot
        frames = generated.stream(n, depth=depth)
        known = peers if depth == 50 else {}
        check_answers(frames, known)
        contenders = {
            "orjson": parser_alone(orjson.loads, frames, max(1, times // 2)),
            "core": core(frames, times),
            "no signals": without_signals(frames, times),
            "scan": scan_alone(frames, times),
        }
        if depth == 50:
            contenders["python"] = from_python(frames, times)
            for name, make in known.items():
                contenders[name] = peer(make, frames, max(1, times // PEER_SHARE))
        repetitions = {"orjson": max(1, times // 2), "python": times}
        repetitions |= dict.fromkeys(("core", "no signals", "scan"), times)
        taken = {
            name: [s / n / repetitions.get(name, max(1, times // PEER_SHARE)) for s in seconds]
            for name, seconds in interleave(contenders, rounds).items()
        }
        shape = {"frame_bytes": sum(map(len, frames)) / n}
        _report_depth(report, depth, taken, shape, article)


def _report_depth(
    report: Report,
    depth: int,
    taken: dict[str, list[float]],
    shape: dict[str, float],
    article: str | None,
) -> None:
    ns = {name: median(seconds) * 1e9 for name, seconds in taken.items()}
    for name in ("orjson", "core"):
        report.add(f"{name}_{depth}", ns[name], "ns", f"a frame of depth {depth}", detail=shape)
    report.add_ratio(f"core_vs_orjson_{depth}", taken["core"], taken["orjson"])
    stages = {
        "scan": ns["scan"],
        "book": ns["no signals"] - ns["scan"],
        "signals": ns["core"] - ns["no signals"],
    }
    for stage, share in stages.items():
        report.add(f"core_{depth}_{stage}", share, "ns", f"of core_{depth}: {stage}")
    if depth != 50:
        return
    report.add("python_50", ns["python"], "ns", "a frame of depth 50, called from Python")
    report.add_ratio("python_vs_orjson_50", taken["python"], taken["orjson"])
    for name in [name for name in taken if name not in OWN]:
        key = name.replace(" + ", "_").replace(" ", "_").replace("-", "_")
        report.add(f"peer_{key}", ns[name], "ns", f"{name}, a frame of depth 50")
        report.add_ratio(f"peer_{key}_vs_core", taken[name], taken["core"], f"{name}; core = 1")
        if name == article:
            report.add_ratio("article_vs_core_50", taken[name], taken["core"])


def measure_mixed(report: Report, *, rounds: int, symbols: int = 50, frames_each: int = 40) -> None:
    """Rows about many books at once, sparse and dense, a frame of each in turn."""
    frames = generated.interleaved(generated.mixed(symbols, frames_each))
    check_answers(frames, {})
    taken = interleave(
        {
            "orjson": parser_alone(orjson.loads, frames, 4),
            "core": core(frames, 4, symbols),
        },
        rounds,
    )
    n = 4 * len(frames)
    report.add(
        "core_mixed", median(taken["core"]) / n * 1e9, "ns", f"a frame, {symbols} books in turn"
    )
    report.add_ratio(
        "core_mixed_vs_orjson", taken["core"], taken["orjson"], "the same; orjson.loads alone = 1"
    )


def measure_short(report: Report, *, rounds: int, count: int = 1000, times: int = 10) -> None:
    """Rows about the shorter deltas of most markets, beside those of BTCUSDT above."""
    kinds = {
        "short": (DENSE_200, "short deltas of a dense book (7 levels, as SOL, DOGE)"),
        "spot": (None, "spot frames (short deltas, other key order)"),
    }
    for name, (profile, what) in kinds.items():
        category = "spot" if name == "spot" else "linear"
        frames = generated.stream(count, depth=200, category=category, profile=profile)
        check_answers(frames, {})
        taken = interleave(
            {
                "orjson": parser_alone(orjson.loads, frames, times),
                "core": core(frames, times),
            },
            rounds,
        )
        report.add_ratio(
            f"core_{name}_vs_orjson",
            taken["core"],
            taken["orjson"],
            f"{what}, depth 200; orjson.loads alone = 1",
            frame_bytes=sum(map(len, frames)) / count,
        )


def measure_allocation(report: Report) -> None:
    """Row `decode_bytes`: what Python's allocators handed out over 10,000 frames."""
    frames = generated.stream(1000)
    decoder = new_decoder()
    apply_all(decoder, frames)
    ten_times = frames * 10
    nothing = peak_bytes(lambda: apply_all(decoder, []))  # what asking costs
    peak = peak_bytes(lambda: apply_all(decoder, ten_times))
    report.add("decode_bytes", max(0, peak - nothing), "bytes")


def peak_bytes(run: Run) -> int:
    """The most that was held at once beyond what was held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
