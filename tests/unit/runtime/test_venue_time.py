"""The venue's clock, from samples with made-up delays."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fastbook.clock import ManualClock
from fastbook.runtime.bybit.venue_time import TimeSample, VenueTime

MS = 1_000_000


def test_before_the_first_sample_it_is_the_wall_clock() -> None:
    clock = ManualClock(5_000 * MS)
    time = VenueTime(clock)
    assert time.now_ms() == 5_000
    assert math.isnan(time.ahead_ms)
    assert time.uncertainty_ns == -1


def test_counts_on_from_the_monotonic_clock() -> None:
    clock = ManualClock(5_000 * MS)
    time = VenueTime(clock)
    time.update([TimeSample(sent_ns=0, received_ns=20 * MS, venue_ns=9_010 * MS)])
    assert time.now_ms() == 9_000
    clock.jump(1)
    clock.advance(7 * MS)
    assert time.now_ms() == 9_007


@given(
    offset_ms=st.integers(-10_000, 10_000),
    delays=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=8),
)
def test_error_is_never_more_than_it_says(offset_ms: int, delays: list[tuple[int, int]]) -> None:
    clock = ManualClock(1_000_000 * MS)
    samples = []
    for there_ms, back_ms in delays:
        sent_ns = clock.monotonic_ns()
        clock.advance(there_ms * MS)
        venue_ns = clock.now_ns() + offset_ms * MS
        clock.advance(back_ms * MS)
        samples.append(TimeSample(sent_ns, clock.monotonic_ns(), venue_ns))
    time = VenueTime(clock)
    time.update(samples)
    assert time.uncertainty_ns == min(there + back for there, back in delays) * MS // 2
    error_ms = abs(time.ahead_ms - offset_ms)
    assert error_ms * MS <= time.uncertainty_ns + 1_000


def test_it_is_a_clock_that_a_jump_of_the_wall_clock_does_not_move() -> None:
    clock = ManualClock(now_ns=5_000_000_000)
    time = VenueTime(clock)
    assert time.now_ns() == 5_000_000_000
    time.update([TimeSample(sent_ns=0, received_ns=0, venue_ns=7_000_000_000)])
    clock.jump(3_600_000_000_000)
    clock.advance(1_000)
    assert time.now_ns() == 7_000_001_000
    assert time.monotonic_ns() == 1_000
