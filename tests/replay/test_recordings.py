"""Every recording, frame by frame, against the answers that were computed apart from us."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import orjson
import pytest

from fastbook import ApplyStatus, Book, BookDecoder, BookState
from fastbook.replay.source import RecordedFrame, read_frames

RECORDINGS = {
    "bybit/v5-linear-ob1-20250613": ".jsonl.gz",
    "bybit/v5-linear-ob200-20260809-btc-sol": ".jsonl.gz",
    "bybit/v5-linear-ob500-20241201-xrp": ".ndjson.gz",
    "bybit/v5-spot-ob200-20260809-eth": ".jsonl.gz",
    "bybit/v5-spot-ob50-20260824-btc": ".ndjson",
    "derived/ob200-from-binance-spot-ethusdt-20240808": ".ndjson.gz",
    "derived/ob50-from-binance-usdm-btcusdt-20240808": ".ndjson.gz",
    "derived/ob500-from-binance-usdm-btcusdt-20240808": ".ndjson.gz",
}
CONTIGUOUS = [name for name in RECORDINGS if "-ob1-" not in name]
SEEDS = range(3)

each_recording = pytest.mark.parametrize("name", RECORDINGS)
each_contiguous = pytest.mark.parametrize("name", CONTIGUOUS)


@cache
def frames_of(data_dir: Path, name: str) -> list[RecordedFrame]:
    path = data_dir / (name + RECORDINGS[name])
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return list(read_frames(content.splitlines(), path.name))


def expected_path(data_dir: Path, name: str, suffix: str) -> Path:
    folder, _, stem = name.partition("/")
    return data_dir / folder / "expected" / (stem + suffix)


def expected_rows(data_dir: Path, name: str) -> Iterator[dict[str, str]]:
    content = gzip.decompress(expected_path(data_dir, name, ".frames.csv.gz").read_bytes())
    return csv.DictReader(io.StringIO(content.decode()))


def is_book(frame: RecordedFrame) -> bool:
    return b'"topic":"orderbook.' in frame.data[:40]


def row_of(book: Book) -> dict[str, Decimal | int]:
    """What the expected file says of a book, from ours; exact."""
    bids, asks = book.levels()
    px, qty = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.qty_scale)
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    return {
        "u": book.u,
        "seq": book.seq,
        "ts": book.ts_ms,
        "best_bid": bid * px,
        "best_bid_size": bid_size * qty,
        "best_ask": ask * px,
        "best_ask_size": ask_size * qty,
        "levels_bid": len(bids),
        "levels_ask": len(asks),
        "size_sum_bid": sum(q for _, q in bids) * qty,
        "size_sum_ask": sum(q for _, q in asks) * qty,
        "notional_sum_bid": sum(p * q for p, q in bids) * px * qty,
        "notional_sum_ask": sum(p * q for p, q in asks) * px * qty,
    }


@each_recording
def test_every_frame_and_the_end(data_dir: Path, name: str) -> None:
    decoder = BookDecoder()
    rows = expected_rows(data_dir, name)
    compared = 0
    for frame in frames_of(data_dir, name):
        status = decoder.apply(frame.data, frame.recv_ns)
        assert status is not ApplyStatus.MALFORMED, frame.line
        book = decoder.last_book
        assert (book is not None) == is_book(frame)
        if book is None:
            continue
        row = next(rows)
        where = f"line {frame.line}"
        assert (int(row["line"]), row["topic"]) == (frame.line, book.topic)
        assert status is ApplyStatus[{"snapshot": "SNAPSHOT", "delta": "APPLIED"}[row["type"]]]
        assert book.state is BookState.SYNCED, where
        actual = row_of(book)
        assert actual == {key: Decimal(row[key]) for key in actual}, where
        assert set(row) == {"line", "topic", "type", *actual}
        assert book.recv_ns == frame.recv_ns
        compared += 1
    assert next(rows, None) is None
    assert compared > 0

    final = orjson.loads(
        gzip.decompress(expected_path(data_dir, name, ".final.json.gz").read_bytes())
    )
    assert set(final) == set(decoder.books)
    for topic, answer in final.items():
        assert exact_levels(decoder.books[topic]) == {
            side: [(Decimal(px), Decimal(size)) for px, size in answer[side]] for side in "ba"
        }
        decoder.books[topic].check()
    assert decoder.take_desynced() == []
    oddities = ("gap", "stale", "gaps", "absent_deletes", "dropped_levels", "over_depth")
    assert {key: decoder.counters[key] for key in oddities} == dict.fromkeys(oddities, 0)


def exact_levels(book: Book) -> dict[str, list[tuple[Decimal, Decimal]]]:
    px, qty = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.qty_scale)
    return {
        side: [(p * px, q * qty) for p, q in levels]
        for side, levels in zip("ba", book.levels(), strict=True)
    }


# --- one thing wrong ---


def truth_of(frames: list[RecordedFrame]) -> dict[tuple[str, int], object]:
    """(topic, u) -> the levels at that u, from the undamaged recording."""
    decoder = BookDecoder()
    truth: dict[tuple[str, int], object] = {}
    for frame in frames:
        decoder.apply(frame.data)
        if (book := decoder.last_book) is not None:
            truth[book.topic, book.u] = book.levels(), book.price_scale, book.qty_scale
    return truth


def topic_of(frame: RecordedFrame) -> str:
    return str(orjson.loads(frame.data)["topic"])


def pick_delta(frames: list[RecordedFrame], rng: random.Random) -> int:
    """A delta that is not the last frame of its topic."""
    deltas: dict[str, list[int]] = {}
    for i, frame in enumerate(frames):
        if is_book(frame) and b'"type":"delta"' in frame.data[:120]:
            deltas.setdefault(topic_of(frame), []).append(i)
    return rng.choice([i for places in deltas.values() for i in places[:-1]])


@each_contiguous
@pytest.mark.parametrize("seed", SEEDS)
def test_one_delta_removed(data_dir: Path, name: str, seed: int) -> None:
    # The first few hundred are enough: each frame is compared whole.
    frames = frames_of(data_dir, name)[:600]
    truth = truth_of(frames)
    lost = pick_delta(frames, random.Random(seed))
    hit = topic_of(frames[lost])
    decoder = BookDecoder()
    next_of_topic = True
    for i, frame in enumerate(frames):
        if i == lost:
            continue
        status = decoder.apply(frame.data)
        book = decoder.last_book
        if book is None:
            continue
        if book.state is BookState.SYNCED:
            levels = book.levels(), book.price_scale, book.qty_scale
            assert levels == truth[book.topic, book.u], frame.line
        if i > lost and book.topic == hit:
            assert status is ApplyStatus.GAP, frame.line
            assert book.state is BookState.UNSYNCED
            assert decoder.take_desynced() == ([hit] if next_of_topic else [])
            next_of_topic = False
        else:
            assert book.state is BookState.SYNCED, frame.line
    assert not next_of_topic
    assert decoder.counters["gaps"] == 1


@each_contiguous
@pytest.mark.parametrize("seed", SEEDS)
def test_one_older_frame_again(data_dir: Path, name: str, seed: int) -> None:
    frames = frames_of(data_dir, name)[:600]
    rng = random.Random(seed)
    again = pick_delta(frames, rng)
    later = again + rng.randrange(min(20, len(frames) - again))
    decoder = BookDecoder()
    for i, frame in enumerate(frames):
        decoder.apply(frame.data)
        if i != later:
            continue
        decoder.touched()
        book = decoder.books[topic_of(frames[again])]
        before = (book.levels(), book.u, book.seq, book.ts_ms, book.state)
        assert decoder.apply(frames[again].data) is ApplyStatus.STALE
        assert (book.levels(), book.u, book.seq, book.ts_ms, book.state) == before
        assert decoder.touched() == []
    assert decoder.counters["stale"] == 1
    assert {book.state for book in decoder.books.values()} == {BookState.SYNCED}


def test_level_one_survives_any_loss(data_dir: Path) -> None:
    """Every frame is a whole book: what is held is always what some frame said."""
    frames = frames_of(data_dir, "bybit/v5-linear-ob1-20250613")
    whole, truth = BookDecoder(), {}
    for frame in frames:
        whole.apply(frame.data)
        if (book := whole.last_book) is not None:
            truth[book.topic, book.u] = exact_levels(book)
    rng = random.Random(1)
    decoder = BookDecoder()
    for frame in frames:
        if rng.random() < 0.3:
            continue
        decoder.apply(frame.data)
        if (book := decoder.last_book) is not None:
            assert book.state is BookState.SYNCED
            assert exact_levels(book) == truth[book.topic, book.u]
    assert decoder.counters["gaps"] == 0
    assert decoder.counters["snapshot"] > 100
