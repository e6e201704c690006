"""Parts of the bundled exchange that need no socket."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from fastbook.runtime.simulator.hub import TopicHub
from fastbook.runtime.simulator.limits import RollingLimits
from fastbook.runtime.simulator.market import SimulatedMarket, fixed_text
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.query import paged
from fastbook.runtime.simulator.topics import BookTopic, ws_text

NOW_MS = 1_772_694_600_000


class Reader:
    """Keeps the payloads that it was sent."""

    def __init__(self) -> None:
        self.payloads: list[Any] = []

    def queue(self, frame: bytes) -> None:
        short = frame[1] < 126
        self.payloads.append(orjson.loads(frame[2 if short else 4 :]))


class Stage:
    """A market and its topics, with time in the test's hands."""

    def __init__(self, **options: Any) -> None:
        chosen = SimulatorOptions(**({"symbols": 2} | options))
        self.counters: Counter[str] = Counter()
        self.market = SimulatedMarket(chosen, lambda index: self.hub.note_trades(index))
        self.hub = TopicHub(chosen, self.market, self.counters)
        self.reader = Reader()

    def join(self, name: str) -> BookTopic:
        topic = self.hub.find(name)
        assert isinstance(topic, BookTopic)
        self.hub.join(topic, self.reader, NOW_MS)
        return topic

    def play(self, start_s: float, end_s: float, step_s: float) -> None:
        for number in range(round((end_s - start_s) / step_s)):
            now_s = start_s + number * step_s
            self.hub.tick(now_s, NOW_MS + round(now_s * 1000))


def test_level_1_repeats_its_last_snapshot_after_three_quiet_seconds() -> None:
    stage = Stage()
    topic = stage.join("orderbook.1.BTCUSDT")
    topic.publish(NOW_MS, stage.market.venue.next_seq(), 10.0)
    topic.last_sent_s = 10.0
    stage.reader.payloads.clear()
    assert not topic.publish(NOW_MS + 2900, stage.market.venue.next_seq(), 12.9)
    assert topic.publish(NOW_MS + 3000, stage.market.venue.next_seq(), 13.0)
    (repeat,) = stage.reader.payloads
    assert repeat["data"]["u"] == topic.publisher.u
    assert (repeat["ts"], repeat["type"]) == (NOW_MS + 3000, "snapshot")


@pytest.mark.parametrize(("depth", "interval_s"), [(1, 0.01), (50, 0.02), (200, 0.1), (1000, 0.2)])
def test_cadence_of_each_depth(depth: int, interval_s: float) -> None:
    stage = Stage(events_per_s=2000.0)
    stage.join(f"orderbook.{depth}.BTCUSDT")
    stage.reader.payloads.clear()
    stage.play(100.0, 102.0, 0.002)
    at_most = round(2.0 / interval_s) + 1
    assert len(stage.reader.payloads) <= at_most
    if depth > 1:  # level 1 speaks only when the touch moves
        assert len(stage.reader.payloads) >= 0.9 * at_most


def test_a_rate_is_kept_over_all_topics() -> None:
    stage = Stage(rate=1000.0, symbols=5)
    for instrument in stage.market.instruments:
        stage.join(f"orderbook.50.{instrument.symbol}")
    stage.reader.payloads.clear()
    stage.play(100.0, 101.0, 0.002)
    assert 980 <= len(stage.reader.payloads) <= 1000
    per_topic = Counter(frame["topic"] for frame in stage.reader.payloads)
    assert max(per_topic.values()) - min(per_topic.values()) <= 5


def test_what_cannot_be_done_in_time_is_skipped_and_counted() -> None:
    stage = Stage(rate=1000.0)
    stage.join("orderbook.50.BTCUSDT")
    stage.reader.payloads.clear()
    stage.hub.tick(100.0, NOW_MS)
    stage.hub.tick(110.0, NOW_MS)  # ten seconds late
    assert len(stage.reader.payloads) <= 100
    assert stage.counters["late_frames"] >= 9800


def test_symbols_that_nobody_reads_live_on() -> None:
    stage = Stage()
    before = [book.levels(1, 5) for book in stage.market.books]
    stage.play(100.0, 103.0, 0.01)
    assert all(
        book.levels(1, 5) != was for book, was in zip(stage.market.books, before, strict=True)
    )


def test_rolling_second_of_one_bucket() -> None:
    limits = RollingLimits()

    def take(now_ms: int, account: int = 1) -> tuple[bool, int, int]:
        got = limits.take(account, "/v5/order/create", "linear", 2, now_ms)
        return got.allowed, got.remaining, got.reset_ms

    assert take(0) == (True, 1, 0)
    assert take(400) == (True, 0, 400)
    assert take(999) == (False, 0, 1000)
    assert take(999, account=2) == (True, 1, 999)
    assert take(1000) == (True, 0, 1000)
    assert take(1399) == (False, 0, 1400)
    assert limits.refused == 2


@pytest.mark.parametrize(("size", "head"), [(5, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_websocket_header(size: int, head: int) -> None:
    payload = b"x" * size
    frame = ws_text(payload)
    assert frame[0] == 0x81
    assert frame[head:] == payload
    length = frame[1] if head == 2 else int.from_bytes(frame[2:head], "big")
    assert length == size


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(0, 0, "0"), (5, 2, "0.05"), (6_511_420, 2, "65114.20"), (7, 0, "7"), (123, 3, "0.123")],
)
def test_fixed_text(value: int, scale: int, text: str) -> None:
    assert fixed_text(value, scale) == text


def test_pages_cover_everything_once() -> None:
    rows = [{"id": str(number)} for number in range(10)]
    seen, cursor = [], ""
    while True:
        page, cursor = paged(rows, ("id",), {"cursor": cursor.replace("%3A", ":")}, 3)
        seen += page
        if not cursor:
            break
    assert seen == rows
    assert paged(rows, ("id",), {"cursor": "gone:3"}, 3) == ([], "")
