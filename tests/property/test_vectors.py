"""The scanner in vectors: every shape of a number, every byte of a frame, against orjson's reading."""

from __future__ import annotations

import random
from itertools import product

import pytest
from tests.reference.readers import decoder_with

from fastbook import ApplyStatus, BookDecoder

TOPIC = "orderbook.50.BTCUSDT"
HEAD = b'{"topic":"%s","type":"%s","ts":%d,"data":{"s":"BTCUSDT","b":'
TAIL = b',"u":%d,"seq":%d},"cts":%d}'


def frame(bids: str, asks: str, u: int, *, kind: bytes = b"delta", seq: int = 7) -> bytes:
    ms = 1_700_000_000_000 + u % 1000
    head = HEAD % (TOPIC.encode(), kind, ms)
    return head + f'{bids},"a":{asks}'.encode() + TAIL % (u, seq, ms - 3)


def pair(price_scale: int = 2, qty_scale: int = 3) -> tuple[BookDecoder, BookDecoder]:
    """A decoder in vectors that knows how the topic's frames begin, and one that reads by orjson."""
    both = decoder_with("vectors"), decoder_with("orjson")
    for decoder in both:
        decoder.add_book(TOPIC, price_scale=price_scale, qty_scale=qty_scale)
        snapshot = frame('[["1","1"]]', '[["90000000000","1"]]', 1, kind=b"snapshot")
        assert decoder.apply(snapshot) is ApplyStatus.SNAPSHOT
        assert decoder.apply(frame('[["1","1"]]', "[]", 2)) is ApplyStatus.APPLIED
    return both


def apply_both(fast: BookDecoder, slow: BookDecoder, data: bytes) -> ApplyStatus:
    status = fast.apply(data)
    assert status is slow.apply(data), data
    a, b = fast.books[TOPIC], slow.books[TOPIC]
    assert a.levels() == b.levels(), data
    assert (a.u, a.seq, a.ts_ms, a.cts_ms, a.state) == (b.u, b.seq, b.ts_ms, b.cts_ms, b.state)
    assert (a.price_scale, a.qty_scale) == (b.price_scale, b.qty_scale)
    return status


@pytest.mark.parametrize("scale", [0, 1, 2, 5, 8, 12, 15, 18])
def test_every_shape_of_a_number(scale: int) -> None:
    rng = random.Random(scale)
    seen = 0
    for whole, decimals in product(range(1, 12), range(min(scale, 10) + 1)):
        if whole + scale > 18:
            continue
        fast, slow = pair(min(scale, 7), scale)
        before = fast.counters["vector_frames"]
        digits = "".join(rng.choices("0123456789", k=whole + decimals))
        text = digits[:whole] + ("." + digits[whole:] if decimals else "")
        bids = f'[["{rng.randrange(10, 99)}.5","{text}"],["5","{text}"]]'
        if scale == 0:
            bids = f'[["{rng.randrange(10, 99)}","{text}"],["5","{text}"]]'
        assert apply_both(fast, slow, frame(bids, "[]", 3)) is ApplyStatus.APPLIED
        seen += fast.counters["vector_frames"] - before
        fits = whole + scale <= 16 and scale <= 15
        assert (fast.counters["vector_frames"] > before) is (fits and len(text) <= 15), (
            scale,
            text,
        )
    assert seen > 0 or scale == 18


@pytest.mark.parametrize("u", [1, 9, 10, 10**7, 10**8 - 1, 10**8, 10**14, 10**15 - 1, 10**15])
def test_ids_of_every_length(u: int) -> None:
    fast, slow = pair()
    for decoder in (fast, slow):
        decoder.apply(frame('[["1","1"]]', '[["9","1"]]', u, kind=b"snapshot"))
    before = fast.counters["vector_frames"]
    assert apply_both(fast, slow, frame('[["1","1"]]', "[]", u + 1, seq=u)) is ApplyStatus.APPLIED
    assert fast.books[TOPIC].seq == u
    assert fast.counters["vector_frames"] - before == (u + 1 < 10**15)


@pytest.mark.parametrize("seed", range(3))
def test_every_byte_of_a_frame_changed(seed: int) -> None:
    rng = random.Random(seed)
    fast, slow = pair()
    u = 3
    good = '[["100.50","1.250"],["99.00","0"]]', '[["101.00","12.001"],["102.50","0.5"]]'
    for at in range(len(frame(*good, u))):
        for byte in rng.sample(range(256), 12) + list(b'0."],['):
            data = bytearray(frame(*good, u))
            data[at] = byte
            if apply_both(fast, slow, bytes(data)) in (ApplyStatus.MALFORMED, ApplyStatus.GAP):
                snapshot = frame('[["1","1"]]', '[["9","1"]]', u, kind=b"snapshot")
                assert apply_both(fast, slow, snapshot) is ApplyStatus.SNAPSHOT
            u = fast.books[TOPIC].u + 1
            if u > 10**6:
                u = 3
                apply_both(fast, slow, frame('[["1","1"]]', '[["9","1"]]', 2, kind=b"snapshot"))


def test_nothing_outside_the_frame_is_believed() -> None:
    """Digits, quotes and brackets before and behind the frame do not change what it says."""
    fast, slow = pair()
    for u, around in enumerate((b"0", b"9", b'"', b"]", b".", b"}", b'"],["'), 3):
        data = frame('[["100.50","1.250"]]', "[]", u)
        inside = memoryview(around * 64 + data + around * 64)[64 * len(around) :][: len(data)]
        assert fast.apply(inside) is ApplyStatus.APPLIED
        assert slow.apply(data) is ApplyStatus.APPLIED
        assert fast.books[TOPIC].levels() == slow.books[TOPIC].levels()
    assert fast.counters["vector_frames"] >= 7


def test_another_head_is_learned() -> None:
    fast, _ = pair()
    topic = TOPIC.encode()
    spot = b'{"topic":"%s","ts":%d,"type":"delta","data":{"s":"BTCUSDT","b":[["1","2"]],"a":[]'
    for u in range(3, 6):
        data = spot % (topic, 1_700_000_000_000 + u) + TAIL % (u, 1, 1_700_000_000_000)
        assert fast.apply(data) is ApplyStatus.APPLIED
        assert fast.books[TOPIC].ts_ms == 1_700_000_000_000 + u
    assert fast.counters["vector_frames"] == 2  # all but the first


def test_a_head_is_that_of_its_own_topic() -> None:
    """A frame whose symbol or topic differs in one letter is never taken for the known one."""
    fast, slow = pair()
    good = frame('[["1","2"]]', "[]", 3)
    for old, new in ((b'"s":"BTC', b'"s":"ETC'), (b"50.BTC", b"50.ETC"), (b"50.", b"51.")):
        data = good.replace(old, new, 1)
        assert data != good
        assert fast.apply(data) is slow.apply(data)
        assert fast.books[TOPIC].u == slow.books[TOPIC].u
