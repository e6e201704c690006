"""The compiled scanner against orjson's path, and both against the twin in plain Python."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from tests.property.mutants import TOPICS, Frames, mutated, shuffled
from tests.reference.books import DictDecoder
from tests.reference.readers import READERS, decoder_with

from fastbook import ApplyStatus, Book, BookDecoder
from fastbook.replay.source import read_frames

RECORDINGS = (
    "bybit/v5-linear-ob1-20250613.jsonl.gz",
    "bybit/v5-linear-ob200-20260809-btc-sol.jsonl.gz",
    "bybit/v5-linear-ob500-20241201-xrp.ndjson.gz",
    "bybit/v5-spot-ob200-20260809-eth.jsonl.gz",
    "bybit/v5-spot-ob50-20260824-btc.ndjson",
    "derived/ob200-from-binance-spot-ethusdt-20240808.ndjson.gz",
    "derived/ob50-from-binance-usdm-btcusdt-20240808.ndjson.gz",
    "derived/ob500-from-binance-usdm-btcusdt-20240808.ndjson.gz",
)
CHUNKS = 10
FRAMES_A_CHUNK = 10_000
FRAMES_A_DECODER = 500
CHANGED = {ApplyStatus.APPLIED, ApplyStatus.SNAPSHOT}


def recorded(data_dir: Path, name: str) -> list[bytes]:
    content = (data_dir / name).read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    return [frame.data for frame in read_frames(content.splitlines(), name)]


def picture(book: Book | None) -> tuple[object, ...]:
    if book is None:
        return ()
    ids = (book.topic, book.u, book.seq, book.ts_ms, book.cts_ms, book.recv_ns)
    return (*ids, book.state, book.price_scale, book.qty_scale, book.gaps, book.levels())


def assert_same_step(
    fast: BookDecoder, slow: BookDecoder, frame: bytes, recv_ns: int
) -> ApplyStatus:
    status = fast.apply(frame, recv_ns)
    assert status is slow.apply(frame, recv_ns), frame
    assert picture(fast.last_book) == picture(slow.last_book), frame
    assert fast.take_desynced() == slow.take_desynced(), frame
    assert fast.touched() == slow.touched(), frame
    assert fast.message == slow.message, frame
    return status


def assert_same_end(fast: BookDecoder, slow: BookDecoder) -> None:
    assert list(fast.books) == list(slow.books)
    for topic, book in fast.books.items():
        book.check()
        assert picture(book) == picture(slow.books[topic])
    counters, slow_counters = fast.counters, slow.counters
    assert counters.pop("slow_frames") <= slow_counters.pop("slow_frames")
    assert counters.pop("vector_frames") >= slow_counters.pop("vector_frames") == 0
    assert counters == slow_counters


@pytest.mark.parametrize("reader", ["vectors", "words"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_frames(data_dir: Path, name: str, reader: str) -> None:
    fast, slow = decoder_with(reader), BookDecoder(use_scanner=False)
    frames = recorded(data_dir, name)
    for i, frame in enumerate(frames):
        assert_same_step(fast, slow, frame, i)
    assert_same_end(fast, slow)
    # Only the first frame of a topic, and those with finer numbers, take the slow way.
    books = sum(1 for frame in frames if frame.startswith(b'{"topic":"orderbook.'))
    slow_books = fast.counters["slow_frames"] - (len(frames) - books)
    assert slow_books <= len(fast.books) + fast.counters["rescales"]
    # The head of a topic is learned twice: of its first scanned frame, and of its first delta. A
    # frame of 2024 and before has no "cts", which the vectors do not know.
    if reader == "vectors" and b'"cts":' in frames[-1]:
        unscanned = books - fast.counters["vector_frames"]
        assert unscanned <= 3 * len(fast.books) + fast.counters["rescales"]


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_frames_rewritten(data_dir: Path, name: str) -> None:
    rng = random.Random(name)
    plain, odd = BookDecoder(), BookDecoder()
    for i, frame in enumerate(recorded(data_dir, name)):
        message = shuffled(rng, orjson.loads(frame), strange=i % 2 == 0)
        spaces = orjson.OPT_INDENT_2 if i % 3 == 0 else None
        status = plain.apply(frame, i)
        assert odd.apply(orjson.dumps(message, option=spaces), i) is status
        assert picture(plain.last_book) == picture(odd.last_book)
    assert_same_end(plain, odd)


def test_single_messages(data_dir: Path) -> None:
    paths = sorted((data_dir / "bybit" / "messages").rglob("*.json"))
    assert len(paths) > 80
    for path in paths:
        fast, slow = BookDecoder(), BookDecoder(use_scanner=False)
        for _ in range(2):  # the second time the topic is known
            assert_same_step(fast, slow, path.read_bytes(), 1)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_generated_and_mutated_frames(chunk: int) -> None:
    """100,000 in all; two thirds of them damaged or rewritten."""
    seen: Counter[ApplyStatus] = Counter()
    scanned = in_vectors = 0
    for seed in range(FRAMES_A_CHUNK // FRAMES_A_DECODER):
        frames = Frames(1000 * chunk + seed)
        rng = frames.rng
        fast, slow = BookDecoder(), BookDecoder(use_scanner=False)
        fast.use_vectors = fast.use_vectors and seed % 3 != 0
        topics = rng.sample(TOPICS, 3)
        for i in range(FRAMES_A_DECODER):
            topic = rng.choice(topics)
            frame = frames.frame(topic)
            if rng.random() < 0.66:
                frame = mutated(rng, frame)
            held = fast.books.get(topic)
            before = held.levels() if held is not None else None
            status = assert_same_step(fast, slow, frame, i)
            seen[status] += 1
            if status not in CHANGED and held is not None and not held.crossed_frames:
                after = held.levels()
                assert after == before, frame
            if status not in CHANGED:
                frames.u.pop(topic, None)  # as a feed would: ask for a snapshot
        assert_same_end(fast, slow)
        scanned += FRAMES_A_DECODER - fast.counters["slow_frames"]
        in_vectors += fast.counters["vector_frames"]
    # The loop must not have degenerated into refusals.
    assert scanned > FRAMES_A_CHUNK / 10
    assert in_vectors > scanned / 15 or not BookDecoder().use_vectors
    wanted = set(ApplyStatus) - {ApplyStatus.TRADE}
    assert all(seen[status] > FRAMES_A_CHUNK / 1000 for status in wanted), seen


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("seed", range(8))
def test_valid_frames_equal_the_twin(seed: int, reader: str) -> None:
    frames = Frames(seed, odd=0.0)
    decoder, twin = decoder_with(reader), DictDecoder()
    seen: Counter[str] = Counter()
    for _ in range(1500):
        topic = frames.rng.choice(TOPICS)
        frame = frames.frame(topic)
        expected = twin.apply(frame)
        assert decoder.apply(frame).name == expected, frame
        seen[expected] += 1
        book, answer = decoder.books[topic], twin.books[topic]
        px, qty = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.qty_scale)
        levels = tuple([(p * px, q * qty) for p, q in side] for side in book.levels())
        assert levels == answer.levels(), frame
        assert (book.u, book.seq) == (answer.u, answer.seq)
        if expected == "GAP":
            frames.u.pop(topic, None)
    assert all(seen[name] > 3 for name in ("APPLIED", "SNAPSHOT", "GAP", "STALE")), seen
