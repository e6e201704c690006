"""Generated frames are what the venue would send: the rest of the benchmarks stand on them."""

from __future__ import annotations

import orjson
import pytest

from fastbook import ApplyStatus, BookDecoder, BookState
from fastbook.runtime.benchmark import frames

KEYS = {
    "linear": ["topic", "type", "ts", "data", "cts"],
    "spot": ["topic", "ts", "type", "data", "cts"],
}


@pytest.mark.parametrize("category", ["linear", "spot"])
@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_stream_is_valid_after_every_frame(category: str, depth: int) -> None:
    decoder = BookDecoder()
    held: dict[str, dict[str, str]] = {"b": {}, "a": {}}
    for i, frame in enumerate(frames.stream(120, depth=depth, category=category)):
        message = orjson.loads(frame)
        assert list(message) == KEYS[category]
        for side, sign in (("b", -1), ("a", 1)):
            levels = message["data"][side]
            order = [sign * float(px) for px, _ in levels]
            assert order == sorted(set(order))
            for px, qty in levels:
                if qty == "0":
                    del held[side][px]  # KeyError: it deletes what is not there
                else:
                    assert held[side].get(px) != qty  # a modify changes the size
                    held[side][px] = qty
            assert len(held[side]) == depth
        expected = ApplyStatus.APPLIED if i else ApplyStatus.SNAPSHOT
        assert decoder.apply(frame) is expected
        book = decoder.book("BTCUSDT")
        assert book.state is BookState.SYNCED
        assert (book.bid_levels, book.ask_levels) == (depth, depth)
    assert (book.absent_deletes, book.dropped_levels, book.policy_breaches) == (0, 0, 0)


def test_depth_1_is_snapshots_only() -> None:
    decoder = BookDecoder()
    made = frames.stream(50, depth=1)
    assert {decoder.apply(frame) for frame in made} == {ApplyStatus.SNAPSHOT}
    assert decoder.book("BTCUSDT").policy_breaches == 0


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    assert frames.stream(30) == frames.stream(30)
    assert frames.stream(30) != frames.stream(30, seed=2)
    assert frames.stream(30)[1:] != frames.stream(30, symbol="SOLUSDT")[1:]


def test_shape_is_that_of_the_recordings() -> None:
    made = frames.stream(2000)[1:]
    levels = sorted(frame.count(b'","') - 3 for frame in made)
    # derived, orderbook.50: median 8, mean 15.4, 457 bytes; the sides are drawn apart here
    assert 7 <= levels[len(levels) // 2] <= 13
    assert sum(map(len, made)) / len(made) == pytest.approx(457, rel=0.08)


def test_many_symbols_have_streams_of_their_own() -> None:
    streams = frames.mixed(24, 3)
    topics = {orjson.loads(stream[0])["topic"] for stream in streams}
    assert len(topics) == 24
    assert [len(stream) for stream in streams] == [3] * 24
    decoder = BookDecoder()
    for frame in frames.interleaved(streams):
        assert decoder.apply(frame) in (ApplyStatus.SNAPSHOT, ApplyStatus.APPLIED)
