"""Frames as they stand on the wire, byte by byte."""

from __future__ import annotations

import pytest

from fastbook.replay.matching import DepthPublisher, MatchingBook

LINEAR_50 = "orderbook.50.BTCUSDT"


def two_sided_book() -> MatchingBook:
    book = MatchingBook(256)
    book.rest(1, 1, 6_903_370, 147)
    book.rest(2, 1, 6_903_330, 2)
    book.rest(3, -1, 6_903_380, 1_500)
    return book


def test_linear_frames() -> None:
    book = two_sided_book()
    publisher = DepthPublisher(book, 50, LINEAR_50, "linear", 2, 3)

    assert publisher.delta(1012, 1010, 77) == (
        b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1012,"data":{"s":"BTCUSDT",'
        b'"b":[["69033.70","0.147"],["69033.30","0.002"]],"a":[["69033.80","1.500"]],'
        b'"u":1000,"seq":77},"cts":1010}'
    )
    book.cancel(1)
    book.rest(4, 1, 6_903_310, 20)
    book.match(1, 6_903_380, 500)
    assert publisher.delta(1032, 1030, 80) == (
        b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1032,"data":{"s":"BTCUSDT",'
        b'"b":[["69033.70","0"],["69033.10","0.020"]],"a":[["69033.80","1.000"]],'
        b'"u":1001,"seq":80},"cts":1030}'
    )
    book.cancel(3)
    assert publisher.delta(1052, 1050, 81) == (
        b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1052,"data":{"s":"BTCUSDT",'
        b'"b":[],"a":[["69033.80","0"]],"u":1002,"seq":81},"cts":1050}'
    )


def test_spot_frames_put_ts_first_and_strip_zeros() -> None:
    book = two_sided_book()
    publisher = DepthPublisher(book, 50, LINEAR_50, "spot", 2, 3)

    publisher.snapshot(1, 1, 1)
    book.rest(4, 1, 6_900_000, 2_000)
    assert publisher.delta(1012, 1010, 77) == (
        b'{"topic":"orderbook.50.BTCUSDT","ts":1012,"type":"delta","data":{"s":"BTCUSDT",'
        b'"b":[["69000","2"]],"a":[],"u":1001,"seq":77},"cts":1010}'
    )
    assert b'[["69033.8","1.5"]]' in publisher.repeat(1)


def test_level_one_is_always_a_snapshot() -> None:
    book = two_sided_book()
    publisher = DepthPublisher(book, 1, "orderbook.1.BTCUSDT", "linear", 2, 3)

    first = publisher.delta(1012, 1010, 77)
    assert first == (
        b'{"topic":"orderbook.1.BTCUSDT","ts":1012,"type":"snapshot","data":{"s":"BTCUSDT",'
        b'"b":[["69033.70","0.147"]],"a":[["69033.80","1.500"]],"u":1000,"seq":77},"cts":1010}'
    )
    book.cancel(2)
    assert publisher.delta(1022, 1020, 78) is None
    assert publisher.repeat(4012) == first.replace(b'"ts":1012', b'"ts":4012')
    book.cancel(1)
    assert publisher.delta(4022, 4020, 79) == (
        b'{"topic":"orderbook.1.BTCUSDT","ts":4022,"type":"snapshot","data":{"s":"BTCUSDT",'
        b'"b":[],"a":[["69033.80","1.500"]],"u":1001,"seq":79},"cts":4020}'
    )


def test_nothing_changed_is_no_frame_and_no_u() -> None:
    book = two_sided_book()
    publisher = DepthPublisher(book, 50, LINEAR_50, "linear", 2, 3)
    publisher.snapshot(1, 1, 1)

    book.rest(9, 1, 6_903_330, 5)
    book.cancel(9)
    assert publisher.delta(2, 2, 2) is None
    assert (publisher.u, publisher.seq, publisher.cts_ms) == (1000, 1, 1)


def test_a_level_behind_the_window_comes_in_when_one_leaves() -> None:
    book = MatchingBook(256)
    for i in range(51):
        book.rest(i + 1, 1, 1000 - i, 1)
    publisher = DepthPublisher(book, 50, LINEAR_50, "linear", 0, 0)

    publisher.snapshot(1, 1, 1)
    book.cancel(1)
    frame = publisher.delta(2, 2, 2)
    assert frame is not None
    assert b'"b":[["1000","0"],["950","1"]],"a":[]' in frame
    book.rest(1, 1, 1001, 7)
    frame = publisher.delta(3, 3, 3)
    assert frame is not None
    assert b'"b":[["1001","7"],["950","0"]],"a":[]' in frame


def test_a_newcomer_continues_from_the_repeated_book() -> None:
    book = two_sided_book()
    publisher = DepthPublisher(book, 50, LINEAR_50, "linear", 2, 3)
    with pytest.raises(ValueError, match="nothing was published"):
        publisher.repeat(1)

    published = publisher.snapshot(5, 5, 5)
    book.cancel(1)
    assert publisher.repeat(5) == published
    frame = publisher.delta(6, 6, 6)
    assert frame is not None
    assert b'"b":[["69033.70","0"]]' in frame


def test_after_a_restart_the_next_frame_is_a_snapshot_with_u_1() -> None:
    publisher = DepthPublisher(two_sided_book(), 50, LINEAR_50, "linear", 2, 3, first_u=42)
    publisher.snapshot(1, 1, 1)
    assert publisher.u == 42

    publisher.restart()
    frame = publisher.delta(2, 2, 2)
    assert frame is not None
    assert b'"type":"snapshot"' in frame
    assert b'"u":1,' in frame


@pytest.mark.parametrize(
    ("scale", "category", "text"),
    [
        (0, "linear", b'["9223372036854775807","1"]'),
        (18, "linear", b'["9.223372036854775807","0.000000000000000001"]'),
        (18, "spot", b'["9.223372036854775807","0.000000000000000001"]'),
        (0, "spot", b'["9223372036854775807","1"]'),
    ],
)
def test_numbers_at_the_ends_of_the_scale(scale: int, category: str, text: bytes) -> None:
    book = MatchingBook(4)
    book.rest(1, -1, 2**63 - 1, 1)
    publisher = DepthPublisher(book, 50, LINEAR_50, category, scale, scale)

    assert b'"a":[' + text + b"]" in publisher.snapshot(1, 1, 1)


def test_a_window_that_changes_whole_fits() -> None:
    """The longest delta there is: every level of both sides deleted, as many inserted."""
    book = MatchingBook(8000)
    publisher = DepthPublisher(book, 1000, "orderbook.1000.X", "linear", 18, 18)
    lowest = 10**18

    def fill(first_id: int, shift: int) -> None:
        for i in range(1000):
            book.rest(first_id + i, 1, lowest + shift + i, 9 * 10**14 + i)
            book.rest(first_id + 1000 + i, -1, 8 * lowest + shift + i, 9 * 10**14 + i)

    fill(1, 0)
    publisher.snapshot(2**63 - 1, 2**63 - 1, 2**63 - 1)
    for order_id in range(1, 2001):
        book.cancel(order_id)
    fill(1, 5000)
    frame = publisher.delta(2**63 - 1, 2**63 - 1, 2**63 - 1)
    assert frame is not None
    assert frame.count(b'"],["') == 2 * 1999
    assert frame.count(b',"0"]') == 2000


@pytest.mark.parametrize(
    ("depth", "topic", "category", "scale", "match"),
    [
        (500, "orderbook.500.X", "linear", 2, "depth"),
        (50, "orderbook.200.X", "linear", 2, "topic"),
        (50, "orderbook.50.", "linear", 2, "topic"),
        (50, 'orderbook.50."', "linear", 2, "topic"),
        (50, "orderbook.50.X", "option", 2, "category"),
        (50, "orderbook.50.X", "linear", 19, "scale"),
    ],
)
def test_refuses_bad_arguments(
    depth: int, topic: str, category: str, scale: int, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        DepthPublisher(MatchingBook(4), depth, topic, category, scale, 2)
