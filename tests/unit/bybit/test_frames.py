"""Every rule of the public book topics, one frame at a time, through both readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.reference.readers import READERS, decoder_with
from tests.reference.wire import BTC, TOUCH, book_frame, delta, dumps, snapshot

from fastbook import ApplyStatus, BookDecoder, BookState, SequencePolicy
from fastbook.errors import WireError
from fastbook.types import Category, Instrument

ETH = "orderbook.50.ETHUSDT"
TRADE = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1700000000000,"data":[{"T":1700000000000,'
    b'"s":"BTCUSDT","S":"Buy","v":"0.5","p":"100.5","L":"PlusTick","i":"a-1","BT":false}]}'
)
ACK = b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}'


@pytest.fixture(params=READERS)
def decoder(request: pytest.FixtureRequest) -> BookDecoder:
    return decoder_with(request.param)


def synced(decoder: BookDecoder, topic: str = BTC) -> BookDecoder:
    assert decoder.apply(snapshot(topic=topic)) is ApplyStatus.SNAPSHOT
    decoder.touched()
    return decoder


def picture(decoder: BookDecoder, topic: str = BTC) -> tuple[object, ...]:
    book = decoder.books[topic]
    return (book.levels(), book.u, book.seq, book.ts_ms, book.cts_ms, book.recv_ns, book.state)


def changed(frame: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    message = json.loads(frame)
    change(message)
    return dumps(message)


# --- what a frame does ---


def test_first_snapshot_makes_the_book(decoder: BookDecoder) -> None:
    assert decoder.apply(snapshot(100, seq=7), recv_ns=5) is ApplyStatus.SNAPSHOT

    book = decoder.books[BTC]
    assert decoder.book("BTCUSDT") is book
    assert decoder.last_book is book
    assert (book.symbol, book.depth, book.topic, book.index) == ("BTCUSDT", 50, BTC, 0)
    assert (book.state, book.u, book.seq) == (BookState.SYNCED, 100, 7)
    assert (book.ts_ms, book.cts_ms, book.recv_ns) == (1_700_000_000_012, 1_700_000_000_010, 5)
    assert book.levels() == ([(1000, 1), (995, 2)], [(1005, 3), (1010, 4)])
    assert (book.price_scale, book.qty_scale) == (1, 0)
    assert decoder.message is None


def test_delta_in_order(decoder: BookDecoder) -> None:
    synced(decoder)
    frame = delta(101, [("100.0", "9"), ("99.0", "1")], [("100.5", "0")])
    assert decoder.apply(frame, recv_ns=8) is ApplyStatus.APPLIED
    book = decoder.books[BTC]
    assert book.levels() == ([(1000, 9), (995, 2), (990, 1)], [(1010, 4)])
    assert (book.u, book.seq, book.recv_ns, book.state) == (101, 1010, 8, BookState.SYNCED)


@pytest.mark.parametrize("spot", [True, False])
def test_both_key_orders(decoder: BookDecoder, spot: bool) -> None:
    assert decoder.apply(book_frame("snapshot", [("1", "1")], [], 5, spot=spot))
    assert decoder.apply(book_frame("delta", [("1", "2")], [], 6, spot=spot)) is ApplyStatus.APPLIED
    assert decoder.books[BTC].levels() == ([(1, 2)], [])


@pytest.mark.parametrize("zero", ["0", "0.000", "000", "0.0000000000000000000"])
def test_size_zero_deletes(decoder: BookDecoder, zero: str) -> None:
    synced(decoder)
    assert decoder.apply(delta(101, [("100.0", zero)])) is ApplyStatus.APPLIED
    assert decoder.books[BTC].levels()[0] == [(995, 2)]


@pytest.mark.parametrize("price", ["100", "100.0", "100.00", "0100.0"])
def test_one_price_however_written(decoder: BookDecoder, price: str) -> None:
    synced(decoder)
    assert decoder.apply(delta(101, [(price, "0")])) is ApplyStatus.APPLIED
    assert decoder.books[BTC].levels()[0] == [(995, 2)]


def test_empty_sides(decoder: BookDecoder) -> None:
    synced(decoder)
    assert decoder.apply(delta(101)) is ApplyStatus.APPLIED
    assert decoder.apply(delta(102, [("98", "1")], [])) is ApplyStatus.APPLIED
    assert decoder.apply(snapshot(103, [], [("7", "1")])) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].state is BookState.SYNCED
    assert decoder.apply(snapshot(104, [], [])) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].levels() == ([], [])


# --- sequence ---


@pytest.mark.parametrize("u", [1, 50, 100, 101, 10**15])
def test_snapshot_replaces_at_any_time(decoder: BookDecoder, u: int) -> None:
    synced(decoder)
    assert decoder.apply(snapshot(u, [("5", "1")], [("6", "1")])) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].levels() == ([(50, 1)], [(60, 1)])
    assert decoder.apply(delta(u + 1)) is ApplyStatus.APPLIED
    assert decoder.take_desynced() == []


@pytest.mark.parametrize("u", [100, 99, 2])
def test_stale_delta_changes_nothing(decoder: BookDecoder, u: int) -> None:
    synced(decoder)
    before = picture(decoder)
    assert decoder.apply(delta(u, [("100.0", "0")]), 9) is ApplyStatus.STALE
    assert picture(decoder) == before
    assert decoder.touched() == []
    assert decoder.take_desynced() == []
    assert decoder.apply(delta(101)) is ApplyStatus.APPLIED


def test_stale_delta_with_finer_numbers_changes_nothing(decoder: BookDecoder) -> None:
    synced(decoder)
    before = picture(decoder)
    rescales = decoder.counters["rescales"]
    assert decoder.apply(delta(99, [("100.125", "0.5")])) is ApplyStatus.STALE
    assert picture(decoder) == before
    assert decoder.counters["rescales"] == rescales


@pytest.mark.parametrize("u", [102, 10**15, 1], ids=["one lost", "many lost", "restart"])
def test_gap_and_restart(decoder: BookDecoder, u: int) -> None:
    synced(decoder)
    levels = decoder.books[BTC].levels()

    assert decoder.apply(delta(u, [("100.0", "0")])) is ApplyStatus.GAP
    assert decoder.books[BTC].state is BookState.UNSYNCED
    assert decoder.books[BTC].levels() == levels
    assert decoder.touched() == [0]
    assert decoder.take_desynced() == [BTC]
    assert decoder.take_desynced() == []

    # In-flight deltas of the old subscription neither heal nor ask again.
    assert decoder.apply(delta(101)) is ApplyStatus.GAP
    assert decoder.apply(delta(u + 1)) is ApplyStatus.GAP
    assert decoder.take_desynced() == []
    assert decoder.counters["gaps"] == 1

    assert decoder.apply(snapshot(500)) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].state is BookState.SYNCED


def test_gap_touches_only_its_topic(decoder: BookDecoder) -> None:
    synced(synced(decoder), ETH)
    assert decoder.apply(delta(102)) is ApplyStatus.GAP
    assert decoder.books[ETH].state is BookState.SYNCED
    assert decoder.apply(delta(101, topic=ETH)) is ApplyStatus.APPLIED
    assert decoder.take_desynced() == [BTC]


def test_deltas_before_the_snapshot(decoder: BookDecoder) -> None:
    assert decoder.apply(delta(5)) is ApplyStatus.GAP
    assert decoder.books[BTC].state is BookState.NO_BOOK
    assert decoder.books[BTC].levels() == ([], [])
    assert decoder.apply(snapshot(6)) is ApplyStatus.SNAPSHOT


def test_empty_restart_is_no_book_until_a_delta_fills_it(decoder: BookDecoder) -> None:
    synced(decoder)
    assert decoder.apply(snapshot(1, [], [])) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].state is BookState.NO_BOOK
    assert decoder.touched() == [0]
    assert decoder.take_desynced() == []
    assert decoder.apply(delta(2, [("5", "1")], [("6", "1")])) is ApplyStatus.APPLIED
    assert decoder.books[BTC].state is BookState.SYNCED
    assert decoder.books[BTC].levels() == ([(50, 1)], [(60, 1)])


@pytest.mark.parametrize(("bid", "ask"), [("100.6", "100.7"), ("100.5", "100.7")])
def test_crossed_or_locked_after_a_whole_frame(decoder: BookDecoder, bid: str, ask: str) -> None:
    synced(decoder)
    assert decoder.apply(delta(101, [(bid, "1")], [(ask, "1")])) is ApplyStatus.GAP
    assert decoder.books[BTC].state is BookState.UNSYNCED
    assert decoder.counters["crossed_frames"] == 1
    assert decoder.take_desynced() == [BTC]
    assert decoder.apply(delta(102, [(bid, "0")])) is ApplyStatus.GAP


def test_crossed_inside_a_frame_is_fine(decoder: BookDecoder) -> None:
    synced(decoder)
    frame = delta(101, [("100.7", "1")], [("100.5", "0")])
    assert decoder.apply(frame) is ApplyStatus.APPLIED
    assert decoder.books[BTC].state is BookState.SYNCED


@pytest.mark.parametrize("asked", [True, False])
def test_crossed_snapshot_is_asked_for_again(decoder: BookDecoder, asked: bool) -> None:
    # Nothing was trusted before, so nothing was lost; but nobody else will ask.
    decoder.add_book(BTC)
    if asked:
        decoder.mark_syncing(BTC)
    decoder.touched()
    assert decoder.apply(snapshot(5, [("7", "1")], [("6", "1")])) is ApplyStatus.GAP
    assert decoder.books[BTC].state is BookState.UNSYNCED
    assert decoder.take_desynced() == [BTC]
    assert decoder.touched() == [0]


# --- level 1 ---


def test_level_one_rules(decoder: BookDecoder) -> None:
    one = [("100.0", "1")], [("100.5", "3")]
    assert decoder.apply(snapshot(50, *one, topic=TOUCH, seq=500)) is ApplyStatus.SNAPSHOT
    assert decoder.books[TOUCH].policy is SequencePolicy.SNAPSHOT_ONLY
    # The same picture again after 3 s of quiet: heard of, so fresh.
    assert decoder.apply(snapshot(50, *one, topic=TOUCH, seq=500), 77) is ApplyStatus.SNAPSHOT
    assert decoder.books[TOUCH].recv_ns == 77
    assert decoder.apply(snapshot(53, *one, topic=TOUCH, seq=530)) is ApplyStatus.SNAPSHOT

    before = picture(decoder, TOUCH)
    older = snapshot(54, [("1", "1")], [("2", "1")], topic=TOUCH, seq=529)
    assert decoder.apply(older) is ApplyStatus.STALE
    assert picture(decoder, TOUCH) == before

    assert decoder.apply(snapshot(1, *one, topic=TOUCH, seq=3)) is ApplyStatus.SNAPSHOT
    assert decoder.take_desynced() == []

    assert decoder.apply(delta(2, [("100.0", "2")], topic=TOUCH)) is ApplyStatus.GAP
    assert decoder.counters["policy_breaches"] == 1
    assert decoder.take_desynced() == [TOUCH]
    assert decoder.apply(snapshot(2, *one, topic=TOUCH, seq=1)) is ApplyStatus.SNAPSHOT


def test_depths_of_one_symbol_are_apart(decoder: BookDecoder) -> None:
    synced(decoder)
    one = [("100.1", "1")], [("100.2", "3")]
    assert decoder.apply(snapshot(7, *one, topic=TOUCH)) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].u == 100
    assert decoder.book("BTCUSDT") is decoder.books[BTC]  # the deepest
    assert decoder.book("BTCUSDT", 1) is decoder.books[TOUCH]
    with pytest.raises(KeyError):
        decoder.book("BTCUSDT", 200)


# --- shapes that are accepted ---


def test_missing_cts_and_seq_are_zero(decoder: BookDecoder) -> None:
    assert decoder.apply(book_frame("snapshot", [], [("1", "1")], 5, cts=None)) is (
        ApplyStatus.SNAPSHOT
    )
    assert decoder.books[BTC].cts_ms == 0
    frame = changed(delta(6), lambda m: m["data"].pop("seq"))
    assert decoder.apply(frame) is ApplyStatus.APPLIED
    assert (decoder.books[BTC].u, decoder.books[BTC].seq) == (6, 0)


def test_integers_in_quotes(decoder: BookDecoder) -> None:
    def quote(message: dict[str, Any]) -> None:
        message["ts"], message["cts"] = str(message["ts"]), str(message["cts"])
        for key in ("u", "seq"):
            message["data"][key] = str(message["data"][key])

    assert decoder.apply(changed(snapshot(), quote)) is ApplyStatus.SNAPSHOT
    assert decoder.apply(changed(delta(101), quote)) is ApplyStatus.APPLIED
    book = decoder.books[BTC]
    assert (book.u, book.seq, book.ts_ms) == (101, 1010, 1_700_000_000_012)


def test_unknown_keys_white_space_and_escapes(decoder: BookDecoder) -> None:
    synced(decoder)
    message = json.loads(delta(101, [("100.0", "8")]))
    message["new"] = {"u": 1, "b": [["1", "2"]]}
    message["data"]["z"] = [1, 2.5, None, {"a": []}]
    text = json.dumps(message, indent=2).replace("BTCUSDT", "BTC\\u0055SDT")
    assert decoder.apply(text.encode()) is ApplyStatus.APPLIED
    assert decoder.books[BTC].levels()[0] == [(1000, 8), (995, 2)]
    assert list(decoder.books) == [BTC]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(decoder: BookDecoder, kind: Callable[[bytes], Any]) -> None:
    assert decoder.apply(kind(snapshot())) is ApplyStatus.SNAPSHOT
    assert decoder.apply(kind(delta(101))) is ApplyStatus.APPLIED


def test_slices_of_a_larger_buffer(decoder: BookDecoder) -> None:
    frame = snapshot()
    view = memoryview(b"}" * 7 + frame + b'{"topic"')[7 : 7 + len(frame)]
    assert decoder.apply(view) is ApplyStatus.SNAPSHOT
    assert decoder.apply(view[:-1]) is ApplyStatus.MALFORMED


def test_only_buffers(decoder: BookDecoder) -> None:
    with pytest.raises(TypeError):
        decoder.apply("{}")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(BufferError):
        decoder.apply(memoryview(b"{ }")[::2])


# --- malformed ---


def put(*path: object) -> Callable[[dict[str, Any]], None]:
    *keys, last, value = path

    def change(message: Any) -> None:  # Any: JSON
        for key in keys:
            message = message[key]
        message[last] = value

    return change


MALFORMED = {
    "type": put("type", "update"),
    "type missing": lambda m: m.pop("type"),
    "type null": put("type", None),
    "data missing": lambda m: m.pop("data"),
    "data list": put("data", []),
    "symbol of another": put("data", "s", "ETHUSDT"),
    "symbol prefix": put("data", "s", "BTCUSD"),
    "symbol longer": put("data", "s", "BTCUSDTX"),
    "symbol missing": lambda m: m["data"].pop("s"),
    "u missing": lambda m: m["data"].pop("u"),
    "u negative": put("data", "u", -1),
    "u float": put("data", "u", 101.0),
    "u bool": put("data", "u", True),
    "u null": put("data", "u", None),
    "u text": put("data", "u", "x"),
    "u empty text": put("data", "u", ""),
    "u other digits": put("data", "u", "\u0661"),
    "u over int64": put("data", "u", 2**63),
    "u over uint64": put("data", "u", 2**64 + 101),
    "u over int64 in quotes": put("data", "u", str(2**63)),
    "seq null": put("data", "seq", None),
    "seq float": put("data", "seq", 1.5),
    "ts text": put("ts", "now"),
    "cts float": put("cts", 1.5),
    "bids missing": lambda m: m["data"].pop("b"),
    "asks null": put("data", "a", None),
    "asks object": put("data", "a", {}),
    "level of one": put("data", "b", [["1"]]),
    "level of three": put("data", "b", [["1", "2", "3"]]),
    "level text": put("data", "b", ["12"]),
    "price number": put("data", "b", [[1.5, "1"]]),
    "size number": put("data", "b", [["1", 1]]),
    "size null": put("data", "b", [["1", None]]),
    "price empty": put("data", "b", [["", "1"]]),
    "price negative": put("data", "b", [["-1", "1"]]),
    "price exponent": put("data", "b", [["1e2", "1"]]),
    "price space": put("data", "b", [[" 1", "1"]]),
    "price two points": put("data", "b", [["1.2.3", "1"]]),
    "price ends in point": put("data", "b", [["1.", "1"]]),
    "price starts with point": put("data", "b", [[".5", "1"]]),
    "price not ascii": put("data", "b", [["\uff11", "1"]]),
    "price too large": put("data", "b", [["9223372036854775808", "1"]]),
    "price too long": put("data", "b", [["0" * 33, "1"]]),
    "price too long by zeros": put("data", "b", [["123456789012345678.00000000000000", "1"]]),
    "size too fine": put("data", "a", [["1", "0.1234567890123456789"]]),
    "too many levels": put("data", "a", [["200", "1"]] * 10_001),
    "second level bad": put("data", "a", [["100.5", "9"], ["x", "1"]]),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=list(MALFORMED))
@pytest.mark.parametrize("kind", [snapshot, delta])
def test_malformed_frame(
    decoder: BookDecoder,
    kind: Callable[[int], bytes],
    change: Callable[[dict[str, Any]], object],
) -> None:
    synced(synced(decoder), ETH)
    levels = decoder.books[BTC].levels()

    assert decoder.apply(changed(kind(101), change)) is ApplyStatus.MALFORMED

    book = decoder.books[BTC]
    assert (book.levels(), book.u, book.price_scale, book.qty_scale) == (levels, 100, 1, 0)
    assert book.state is BookState.UNSYNCED
    assert decoder.touched() == [0]
    assert decoder.take_desynced() == [BTC]
    assert decoder.message is None
    assert decoder.counters["malformed"] == 1
    # Nothing else stops, and the next snapshot heals.
    assert decoder.apply(delta(101, topic=ETH)) is ApplyStatus.APPLIED
    assert decoder.apply(delta(101)) is ApplyStatus.GAP
    assert decoder.apply(snapshot(300)) is ApplyStatus.SNAPSHOT
    assert decoder.take_desynced() == []


def test_malformed_delta_of_an_unknown_topic_makes_no_book(decoder: BookDecoder) -> None:
    assert decoder.apply(changed(delta(1), put("data", "u", None))) is ApplyStatus.MALFORMED
    assert dict(decoder.books) == {}
    assert decoder.last_book is None
    assert decoder.take_desynced() == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"\xff",
        b"{}x",
        b'{"topic":5}',
        b"[" * 5000,
    ],
)
def test_not_a_frame(decoder: BookDecoder, frame: bytes) -> None:
    synced(decoder)
    before = picture(decoder)
    assert decoder.apply(frame) is ApplyStatus.MALFORMED
    assert picture(decoder) == before  # it names no topic
    assert decoder.take_desynced() == []


def test_cut_frame_names_its_topic(decoder: BookDecoder) -> None:
    synced(synced(decoder), ETH)
    assert decoder.apply(delta(101)[:-20]) is ApplyStatus.MALFORMED
    assert decoder.books[BTC].state is BookState.UNSYNCED
    assert decoder.books[ETH].state is BookState.SYNCED
    assert decoder.take_desynced() == [BTC]


def test_malformed_answer_to_a_request_is_asked_for_again(decoder: BookDecoder) -> None:
    synced(decoder)
    decoder.unsync(BTC)
    decoder.mark_syncing(BTC)
    assert decoder.apply(snapshot()[:-5]) is ApplyStatus.MALFORMED
    assert decoder.books[BTC].state is BookState.UNSYNCED
    assert decoder.take_desynced() == [BTC]


def test_desynced_topics_are_named_once(decoder: BookDecoder) -> None:
    synced(decoder)
    for _ in range(3):
        decoder.apply(delta(900))
        decoder.apply(snapshot(100))
    assert decoder.take_desynced() == [BTC]


# --- scales ---


def instrument(price_scale: int, qty_scale: int) -> Instrument:
    return Instrument(
        index=0,
        category=Category.LINEAR,
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        settle="USDT",
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick=1,
        lot=1,
        qty_min=1,
        qty_max=10**12,
        qty_max_market=10**12,
        notional_min=Decimal(5),
    )


@pytest.mark.parametrize("as_mapping", [True, False])
def test_scales_of_the_instrument(as_mapping: bool) -> None:
    known = instrument(2, 3)
    decoder = BookDecoder({"BTCUSDT": known} if as_mapping else [known])
    decoder.apply(snapshot())
    decoder.apply(snapshot(topic=ETH))
    book = decoder.books[BTC]
    assert (book.price_scale, book.qty_scale) == (2, 3)
    assert book.levels()[0] == [(10000, 1000), (9950, 2000)]
    assert (decoder.books[ETH].price_scale, decoder.books[ETH].qty_scale) == (1, 0)


def test_more_decimals_than_the_tick_are_fine_when_zero(decoder: BookDecoder) -> None:
    decoder.add_book(BTC, price_scale=1, qty_scale=0)
    decoder.apply(snapshot(5, [("65114.20", "1.000")], []))
    assert (decoder.books[BTC].price_scale, decoder.books[BTC].qty_scale) == (1, 0)
    assert decoder.books[BTC].levels()[0] == [(651142, 1)]
    assert decoder.counters["rescales"] == 0


def test_scales_widen_in_the_middle(decoder: BookDecoder) -> None:
    synced(decoder)
    assert decoder.apply(delta(101, [("99.875", "1")], [("100.5", "0.25")])) is ApplyStatus.APPLIED
    book = decoder.books[BTC]
    assert (book.price_scale, book.qty_scale) == (3, 2)
    assert book.levels() == (
        [(100000, 100), (99875, 100), (99500, 200)],
        [(100500, 25), (101000, 400)],
    )
    assert decoder.counters["rescales"] == 2  # the first snapshot's, and this one
    assert decoder.apply(delta(102, [("99.875", "0")])) is ApplyStatus.APPLIED
    assert book.bid_levels == 2


def test_widening_that_does_not_fit_is_malformed(decoder: BookDecoder) -> None:
    decoder.apply(snapshot(100, [("1", str(2**62))], [("2", "1")]))
    levels = decoder.books[BTC].levels()
    assert decoder.apply(delta(101, [], [("2", "0.5")])) is ApplyStatus.MALFORMED
    assert decoder.books[BTC].levels() == levels
    assert decoder.books[BTC].qty_scale == 0
    assert decoder.take_desynced() == [BTC]


def test_snapshot_is_not_held_back_by_what_it_replaces(decoder: BookDecoder) -> None:
    decoder.apply(snapshot(100, [("1", str(2**62))], [("2", "1")]))
    assert decoder.apply(snapshot(101, [("1", "0.5")], [("2", "1")])) is ApplyStatus.SNAPSHOT
    assert decoder.books[BTC].levels() == ([(1, 5)], [(2, 10)])


def test_largest_numbers(decoder: BookDecoder) -> None:
    top = 2**63 - 1
    frame = book_frame("snapshot", [("1", str(top))], [(str(top), "1")], top, seq=top, ts=top)
    assert decoder.apply(frame) is ApplyStatus.SNAPSHOT
    book = decoder.books[BTC]
    assert book.levels() == ([(1, top)], [(top, 1)])
    assert (book.u, book.seq, book.ts_ms) == (top, top, top)


# --- what is not a book ---


def test_trade(decoder: BookDecoder) -> None:
    assert decoder.apply(TRADE) is ApplyStatus.TRADE
    assert decoder.message == json.loads(TRADE)
    assert decoder.last_book is None
    assert decoder.apply(snapshot()) is ApplyStatus.SNAPSHOT
    assert decoder.message is None


@pytest.mark.parametrize(
    "change",
    [
        put("data", {}),
        put("data", [1]),
        put("data", 0, "S", "buy"),
        put("data", 0, "p", 100.5),
        put("data", 0, "v", None),
        lambda m: m["data"][0].pop("s"),
        lambda m: m["data"][0].pop("i"),
    ],
)
def test_malformed_trade(decoder: BookDecoder, change: Callable[[dict[str, Any]], object]) -> None:
    synced(decoder)
    assert decoder.apply(changed(TRADE, change)) is ApplyStatus.MALFORMED
    assert decoder.message is None
    assert decoder.books[BTC].state is BookState.SYNCED


@pytest.mark.parametrize(
    "frame",
    [
        ACK,
        b'{"op":"pong"}',
        b"{}",
        b'{"topic":"tickers.BTCUSDT","data":{}}',
        b'{"topic":"orderbook.rpi.BTCUSDT","data":{}}',
        b'{"topic":"orderbook.50.","data":{}}',
        b'{"topic":"orderbook.050.BTCUSDT","data":{}}',
        b'{"topic":"orderbook.50.BTC USDT","data":{}}',
        b'{"topic":"orderbook.99999.BTCUSDT","data":{}}',
        b'{"topic":"orderbook.50.' + b"X" * 80 + b'","data":{}}',
    ],
)
def test_other(decoder: BookDecoder, frame: bytes) -> None:
    assert decoder.apply(frame) is ApplyStatus.OTHER
    assert decoder.message == json.loads(frame)
    assert dict(decoder.books) == {}


# --- bookkeeping ---


def test_touched_names_each_book_once_and_forgets(decoder: BookDecoder) -> None:
    assert decoder.touched() == []
    decoder.apply(snapshot())
    decoder.apply(snapshot(topic=ETH))
    decoder.apply(delta(101))
    assert decoder.touched() == [0, 1]
    assert decoder.touched() == []
    decoder.apply(delta(101, topic=ETH))
    assert decoder.touched() == [1]


def test_touched_survives_new_topics(decoder: BookDecoder) -> None:
    topics = [f"orderbook.1.S{i}" for i in range(200)]  # several growths of the table
    for topic in topics:
        decoder.apply(snapshot(5, [("1", "1")], [("2", "1")], topic=topic))
    assert sorted(decoder.touched()) == list(range(200))
    for topic in topics:
        assert decoder.books[topic].levels() == ([(1, 1)], [(2, 1)])


def test_add_book(decoder: BookDecoder) -> None:
    book = decoder.add_book(ETH, index=7, price_scale=2, qty_scale=4)
    assert (book.state, book.index, book.symbol) == (BookState.NO_BOOK, 7, "ETHUSDT")
    assert (book.price_scale, book.qty_scale) == (2, 4)
    assert decoder.add_book(ETH) is book
    decoder.apply(snapshot())
    assert decoder.books[BTC].index == 8
    decoder.apply(snapshot(topic=ETH))
    assert sorted(decoder.touched()) == [7, 8]
    assert decoder.books[ETH] is book


@pytest.mark.parametrize(
    "topic", ["", "BTCUSDT", "orderbook.BTCUSDT", "orderbook.0.X", "orderbook.50.a.b", "tickers.X"]
)
def test_add_book_refuses(decoder: BookDecoder, topic: str) -> None:
    with pytest.raises(ValueError, match="topic must be"):
        decoder.add_book(topic)


def test_books_mapping_is_read_only(decoder: BookDecoder) -> None:
    synced(decoder)
    with pytest.raises(TypeError):
        decoder.books["x"] = None  # type: ignore[index]  # the point of the test
    with pytest.raises(KeyError):
        decoder.book("NOSUCH")


def test_counters(decoder: BookDecoder) -> None:
    for frame in (snapshot(), delta(101), delta(101), delta(105), TRADE, ACK, b"{"):
        decoder.apply(frame)
    counters = decoder.counters
    counts = {status.name: counters[status.name.lower()] for status in ApplyStatus}
    assert counts == {status.name: 1 for status in ApplyStatus}
    assert counters["frames"] == 7
    # The first frame of a topic makes its book, and only books have a fast way.
    assert counters["slow_frames"] == (4 if decoder.use_scanner else 7)


def test_tolerated_oddities_are_counted(decoder: BookDecoder) -> None:
    synced(decoder)
    decoder.apply(delta(101, [("1", "0")]))
    deep = [(str(100 - i / 10), "1") for i in range(51)]
    decoder.apply(snapshot(200, deep, []))
    counters = decoder.counters
    assert (counters["absent_deletes"], counters["over_depth"]) == (1, 1)
    assert decoder.books[BTC].state is BookState.SYNCED


def test_marks_from_the_connection(decoder: BookDecoder) -> None:
    synced(synced(decoder), ETH)
    decoder.mark_stale(BTC)
    assert decoder.books[BTC].state is BookState.STALE
    assert decoder.touched() == [0]
    assert decoder.apply(delta(101)) is ApplyStatus.APPLIED
    decoder.unsync(BTC)
    assert decoder.books[BTC].state is BookState.UNSYNCED
    assert decoder.books[ETH].state is BookState.SYNCED
    decoder.mark_syncing(BTC)
    assert decoder.books[BTC].state is BookState.SYNCING
    assert decoder.apply(delta(102)) is ApplyStatus.GAP
    assert decoder.books[BTC].state is BookState.SYNCING
    decoder.unsync()
    assert {book.state for book in decoder.books.values()} == {BookState.UNSYNCED}
    assert decoder.take_desynced() == []  # the connection knows already
    with pytest.raises(KeyError):
        decoder.mark_stale("orderbook.50.NOSUCH")


def test_books_have_a_limit() -> None:
    decoder = BookDecoder()
    for i in range(4096):
        decoder.add_book(f"orderbook.1.S{i}")
    with pytest.raises(WireError, match="more than 4096"):
        decoder.add_book(BTC)
    assert decoder.apply(snapshot()) is ApplyStatus.OTHER
    assert decoder.message == json.loads(snapshot())
    assert decoder.counters["topics_refused"] == 1
    known = snapshot(5, [("1", "1")], [], topic="orderbook.1.S4095")
    assert decoder.apply(known) is ApplyStatus.SNAPSHOT
