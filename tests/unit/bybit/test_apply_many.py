"""`BookDecoder.apply_many`: as `apply`, one after the other, counted."""

from __future__ import annotations

import pytest

from fastbook import BookDecoder

SNAPSHOT = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1,"data":{"s":"BTCUSDT",'
    b'"b":[["10.0","1"]],"a":[["10.5","2"]],"u":1,"seq":1},"cts":1}'
)
DELTA = SNAPSHOT.replace(b"snapshot", b"delta").replace(b'"u":1', b'"u":2')
LOST = DELTA.replace(b'"u":2', b'"u":9')


def test_counts_what_changed_a_book() -> None:
    decoder = BookDecoder()
    assert decoder.apply_many([SNAPSHOT, b'{"op":"pong"}', DELTA, DELTA, LOST], 7) == 2
    assert decoder.counters["frames"] == 5
    assert decoder.book("BTCUSDT").recv_ns == 7
    assert decoder.take_desynced() == ["orderbook.50.BTCUSDT"]
    assert decoder.apply_many([]) == 0


def test_refuses_what_is_not_bytes() -> None:
    decoder = BookDecoder()
    with pytest.raises(TypeError, match="frame 1 is str, not bytes"):
        decoder.apply_many([SNAPSHOT, "x"])  # type: ignore[list-item]  # that is the point
    assert decoder.book("BTCUSDT").u == 1


def test_the_id_after_the_largest_is_a_gap_or_old() -> None:
    decoder = BookDecoder()
    decoder.apply(SNAPSHOT.replace(b'"u":1', b'"u":%d' % (2**63 - 1)))
    assert decoder.apply_many([DELTA]) == 0
    assert decoder.book("BTCUSDT").u == 2**63 - 1
