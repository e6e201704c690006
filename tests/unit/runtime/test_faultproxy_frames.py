"""The fault proxy's reading of WebSocket streams: however the bytes come, the messages are the same."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook.runtime.faultproxy.frames import MessageSplitter, cut_short, parse_header, unmasked
from fastbook.runtime.faultproxy.harm import MessageHarm
from fastbook.runtime.faultproxy.toxics import FrameToxics

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
TEXT, MORE, PING = 0x1, 0x0, 0x9


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, mask: bytes = b"") -> bytes:
    flag = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        length = bytes((flag | size,))
    elif size < 1 << 16:
        length = bytes((flag | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((flag | 127,)) + size.to_bytes(8, "big")
    body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload
    return bytes(((0x80 if fin else 0) | opcode,)) + length + mask + body


masks = st.one_of(st.just(b""), st.binary(min_size=4, max_size=4))
payloads = st.one_of(st.binary(max_size=40), st.integers(120, 130).map(bytes))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(payloads, min_size=1, max_size=3), masks)), st.data())
def test_any_cut_gives_the_same_messages(
    messages: list[tuple[list[bytes], bytes]], data: st.DataObject
) -> None:
    stream = HEAD
    for parts, mask in messages:
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            stream += frame(part, MORE if i else TEXT, fin=last, mask=mask)
            stream += frame(b"p", PING) if i % 2 else b""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter = MessageSplitter()
    got = [
        message
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for message in splitter.feed(stream[start:end])
    ]
    assert splitter.take_pending() == b""
    assert sum(len(m.raw) for m in got) == len(stream)
    assert [m.payload for m in got if m.is_data] == [b"".join(parts) for parts, _ in messages]
    assert got[0].raw == HEAD


@pytest.mark.parametrize("size", [0, 5, 125, 126, 65535, 65536])
@pytest.mark.parametrize("mask", [b"", b"\x01\x02\x03\x04"])
def test_a_message_cut_short_is_a_whole_frame(size: int, mask: bytes) -> None:
    payload = random.Random(size).randbytes(70_000)
    splitter = MessageSplitter()
    splitter.feed(HEAD)
    (message,) = splitter.feed(frame(payload, mask=mask))
    raw = cut_short(message, size)
    header = parse_header(raw)
    assert header is not None
    start, length, found = header
    assert (length, found) == (size, mask)
    assert unmasked(raw[start:], found) == payload[:size]
    assert raw[0] == 0x81


def test_a_masked_request_head_opens_frames_too() -> None:
    splitter = MessageSplitter()
    head = b"GET /v5/public HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\r\n"
    raw, message = splitter.feed(head + frame(b"hello", mask=b"abcd"))
    assert raw.raw == head
    assert message.payload == b"hello"


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x81\x01a",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"\x16\x03\x01" * 30_000,  # TLS, or anything else without a head
    ],
)
def test_what_is_no_websocket_passes_as_bytes(stream: bytes) -> None:
    splitter = MessageSplitter()
    out = [*splitter.feed(stream[:20]), *splitter.feed(stream[20:])]
    assert b"".join(m.raw for m in out) + splitter.take_pending() == stream
    assert not any(m.is_data for m in out)


@pytest.mark.parametrize("hello", [b"\x16\x03\x01\x02\x00", b"\x00", b"SSH-2.0-x\r\n", b"GO"])
def test_what_is_no_http_is_not_held_back(hello: bytes) -> None:
    splitter = MessageSplitter()
    assert [m.raw for m in splitter.feed(hello)] == [hello]
    assert [m.raw for m in splitter.feed(b"more")] == [b"more"]


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_start_of_a_head_is_waited_for(cut: int) -> None:
    splitter = MessageSplitter()
    assert splitter.feed(HEAD[:cut]) == []
    _, message = splitter.feed(HEAD[cut:] + frame(b"hello"))
    assert message.payload == b"hello"


def test_an_absurd_frame_ends_the_reading_not_the_stream() -> None:
    splitter = MessageSplitter()
    splitter.feed(HEAD)
    absurd = b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + b"abc"
    assert [m.raw for m in splitter.feed(absurd)] == [absurd]
    assert [m.raw for m in splitter.feed(b"more")] == [b"more"]


def fates(reads: list[bytes], toxics: FrameToxics) -> tuple[bytes, Counter[str]]:
    counters: Counter[str] = Counter()
    harm = MessageHarm(toxics, counters, random.Random("fates"))
    harm.take(HEAD)
    pieces = [piece for read in reads for piece in harm.take(read)]
    return b"".join(p.data for p in [*pieces, *harm.rest()]), counters


def test_the_fate_of_a_message_does_not_hang_on_how_it_came() -> None:
    toxics = FrameToxics(drop=0.2, duplicate=0.2, reorder=0.2, truncate=0.2)
    stream = b"".join(frame(b"message %d" % n) for n in range(300))
    whole, counters = fates([stream], toxics)
    assert (whole, counters) == fates([stream[i : i + 7] for i in range(0, len(stream), 7)], toxics)
    for name in ("dropped", "duplicated", "reordered", "truncated"):
        assert 30 < counters[name] < 90


def test_reordered_messages_change_places_with_their_next() -> None:
    frames = [frame(b"%d" % n) for n in range(5)]
    out, counters = fates([b"".join(frames)], FrameToxics(reorder=1.0))
    # The last one has no next and leaves when the stream ends.
    assert out == b"".join(frames[n] for n in (1, 0, 3, 2, 4))
    assert counters["reordered"] == 3


def test_only_chosen_messages_are_harmed() -> None:
    toxics = FrameToxics(drop=1.0, only=lambda payload: b"topic" in payload)
    frames = [frame(b'{"topic":1}'), frame(b'{"op":"pong"}'), frame(b"", PING)]
    out, counters = fates([b"".join(frames)], toxics)
    assert out == frames[1] + frames[2]
    assert counters == {"messages_in": 2, "dropped": 1, "bytes_lost": len(frames[0])}
