"""Bytes from outside into the decoder: always a status, never a crash, never a changed book."""

from __future__ import annotations

import random

import pytest
from tests.property.mutants import BYTES
from tests.reference.readers import READERS, decoder_with
from tests.reference.wire import BTC, TOUCH, book_frame, dumps

from fastbook import ApplyStatus, BookDecoder

SPOT = "orderbook.200.ETHUSDT"
TOKENS = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b" ",
        b"null",
        b"true",
        b"-",
        b"1e999",
        b"0",
    ),
    *(b'"topic"', b'"orderbook.50.BTCUSDT"', b'"type"', b'"delta"', b'"snapshot"', b'"data"'),
    *(
        b'"s"',
        b'"BTCUSDT"',
        b'"b"',
        b'"a"',
        b'"u"',
        b'"seq"',
        b'"cts"',
        b'"ts"',
        b'["1","2"]',
        b"7",
    ),
    *(b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":', b"\xff"),
    b'{"topic":"publicTrade.BTCUSDT","data":[',
)


def levels(n: int, start: int, step: int) -> list[tuple[str, str]]:
    return [(f"{start + i * step}.50", f"{i + 1}.001") for i in range(n)]


REPRESENTATIVE = {
    "linear delta": book_frame("delta", levels(5, 100, -1), levels(4, 101, 1), 101),
    "linear without cts": book_frame("delta", levels(2, 100, -1), [], 101, cts=None),
    "spot delta": book_frame("delta", [("99", "0")], [("101.5", "2")], 101, topic=SPOT, spot=True),
    "level 1": book_frame("snapshot", [("99", "1")], [("99.5", "2")], 101, topic=TOUCH, spot=True),
    "snapshot of 50": book_frame("snapshot", levels(50, 100, -1), levels(50, 101, 1), 101),
    "trade": dumps(
        {
            "topic": "publicTrade.BTCUSDT",
            "type": "snapshot",
            "ts": 1_700_000_000_000,
            "data": [{"T": 1, "s": "BTCUSDT", "S": "Sell", "v": "1", "p": "100.5", "i": "x-1"}],
        }
    ),
    "ack": b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}',
}


@pytest.fixture(params=READERS)
def decoder(request: pytest.FixtureRequest) -> BookDecoder:
    decoder = decoder_with(request.param)
    for topic in (BTC, TOUCH, SPOT):
        n = 1 if topic == TOUCH else 20
        for u in (99, 100):  # the second teaches the scanner how the topic's frames begin
            kind = "snapshot" if topic == TOUCH or u == 99 else "delta"
            frame = book_frame(kind, levels(n, 90, -1), levels(n, 110, 1), u, topic=topic)
            assert decoder.apply(frame).name in ("SNAPSHOT", "APPLIED")
    return decoder


def everything(decoder: BookDecoder) -> list[object]:
    return [(topic, book.levels(), book.u) for topic, book in decoder.books.items()]


@pytest.mark.parametrize("frame", REPRESENTATIVE.values(), ids=list(REPRESENTATIVE))
def test_cut_at_every_byte(decoder: BookDecoder, frame: bytes) -> None:
    before = everything(decoder)
    # What follows in memory is the rest of the frame: reading past the end would find it good.
    whole = memoryview(frame)
    for end in range(len(frame)):
        assert decoder.apply(whole[:end]) is ApplyStatus.MALFORMED, end
        assert decoder.apply(frame[:end]) is ApplyStatus.MALFORMED, end
    assert everything(decoder) == before
    assert decoder.counters["malformed"] == 2 * len(frame)


@pytest.mark.parametrize("frame", REPRESENTATIVE.values(), ids=list(REPRESENTATIVE))
def test_started_late_at_every_byte(decoder: BookDecoder, frame: bytes) -> None:
    before = everything(decoder)
    whole = memoryview(frame)
    for start in range(1, len(frame)):
        status = decoder.apply(whole[start:])
        # What is left of a frame can be JSON by itself (`{...}` needs its own braces to fit).
        assert status in (ApplyStatus.MALFORMED, ApplyStatus.OTHER), start
    assert everything(decoder) == before


@pytest.mark.parametrize("frame", REPRESENTATIVE.values(), ids=list(REPRESENTATIVE))
def test_something_after_the_end(decoder: BookDecoder, frame: bytes) -> None:
    before = everything(decoder)
    for tail in (b"}", b"]", b",", b"0", b"x", b"\0", b'"', frame):
        assert decoder.apply(frame + tail) is ApplyStatus.MALFORMED, tail
    assert everything(decoder) == before


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(decoder: BookDecoder, seed: int) -> None:
    rng = random.Random(seed)
    before = everything(decoder)
    for _ in range(4000):
        size = rng.choice((0, 1, 2, 20, 300))
        frame = rng.randbytes(size) if rng.random() < 0.5 else bytes(rng.choices(BYTES, k=size))
        assert isinstance(decoder.apply(frame, rng.getrandbits(62)), ApplyStatus)
    assert everything(decoder) == before


@pytest.mark.parametrize("seed", range(4))
def test_random_tokens(decoder: BookDecoder, seed: int) -> None:
    rng = random.Random(seed)
    before = everything(decoder)
    for _ in range(5000):
        frame = b"".join(rng.choices(TOKENS, k=rng.randrange(1, 40)))
        assert decoder.apply(frame) in (ApplyStatus.MALFORMED, ApplyStatus.OTHER), frame
    assert everything(decoder) == before


@pytest.mark.parametrize(
    "frame",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"topic":"' + b"orderbook." * 50_000,
        b'{"topic":"orderbook.50.BTCUSDT","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":' + b"9" * 200_000 + b"}",
        REPRESENTATIVE["linear delta"].replace(b"100.50", b"1" * 500_000),
        REPRESENTATIVE["linear delta"].replace(b"100.50", b"1." + b"0" * 500_000),
        REPRESENTATIVE["linear delta"].replace(b'["100.50"', b'["1","0"],' * 20_000 + b'["100.50"'),
        REPRESENTATIVE["linear delta"].replace(b'"u":101', b'"u":' + b"1" * 5000),
    ],
    ids=lambda frame: f"{frame[:30]!r}",
)
def test_monsters(decoder: BookDecoder, frame: bytes) -> None:
    before = everything(decoder)
    assert decoder.apply(frame) is ApplyStatus.MALFORMED
    assert everything(decoder) == before
    assert decoder.apply(REPRESENTATIVE["spot delta"]) is ApplyStatus.APPLIED
