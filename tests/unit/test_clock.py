"""The manual clock and the token bucket."""

from __future__ import annotations

import pytest

from fastbook.clock import ManualClock, TokenBucket

SECOND = 1_000_000_000


def test_manual_clock_moves_when_told() -> None:
    clock = ManualClock(100)
    clock.advance(5)
    clock.jump(1)
    assert (clock.now_ns(), clock.monotonic_ns()) == (1, 5)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(2.0, 3)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(SECOND // 2 - 1)
    assert bucket.take(SECOND // 2)
    assert not bucket.take(SECOND // 2)
    # However long it rests, only the burst is saved.
    assert [bucket.take(100 * SECOND) for _ in range(4)] == [True, True, True, False]


def test_bucket_keeps_what_is_to_be_left() -> None:
    bucket = TokenBucket(1.0, 3)
    assert bucket.take(0, leave=2)
    assert not bucket.take(0, leave=2)
    assert bucket.take(0)
    bucket.force(0)
    bucket.force(0)
    assert not bucket.take(0)


def test_time_that_goes_back_earns_nothing() -> None:
    bucket = TokenBucket(1.0, 1)
    assert bucket.take(10 * SECOND)
    assert not bucket.take(0)
    assert not bucket.take(10 * SECOND)
    assert bucket.take(11 * SECOND)


def test_a_million_requests_stay_within_the_rate() -> None:
    bucket = TokenBucket(10.0, 10)
    given = sum(bucket.take(n * 10_000) for n in range(1_000_000))  # ten seconds
    assert given == 10 + 99


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_bad_bucket(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        TokenBucket(rate, burst)
