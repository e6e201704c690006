"""Lateness: what came long after its time is not traded on."""

from __future__ import annotations

from tests.support_decide import SECOND

from fastbook.engine.delay import WINDOW_NS, DelayWatch

MS = 1_000_000
START_MS = 1_700_000_000_000


def test_late_is_what_is_above_the_smallest_delay() -> None:
    for offset_ns in (0, -3_600 * SECOND, 7 * SECOND):  # the two clocks need not agree
        watch = DelayWatch(2 * SECOND)
        for n in range(100):
            watch.note(START_MS * MS + n * 10 * MS + offset_ns, START_MS + n * 10)
        now_ns = START_MS * MS + 1_000 * MS + offset_ns
        assert not watch.late(now_ns, START_MS + 1_000)
        assert not watch.late(now_ns + 2 * SECOND, START_MS + 1_000)
        assert watch.late(now_ns + 2 * SECOND + MS, START_MS + 1_000)


def test_a_backlog_is_late_until_it_is_worked_off() -> None:
    watch = DelayWatch(2 * SECOND)
    watch.note(START_MS * MS, START_MS)
    resumed_ns = START_MS * MS + 10 * SECOND
    late = []
    for n in range(101):
        recv_ns, ts_ms = resumed_ns + n * MS, START_MS + n * 100
        watch.note(recv_ns, ts_ms)
        late.append(watch.late(recv_ns, ts_ms))
    assert late == sorted(late, reverse=True)
    assert late[0]
    assert not late[-1]


def test_a_step_back_of_the_venues_clock_is_forgotten_after_two_windows() -> None:
    watch = DelayWatch(2 * SECOND)
    watch.note(START_MS * MS, START_MS)
    for second in range(1, 200):
        recv_ns, ts_ms = START_MS * MS + second * SECOND, START_MS + second * 1_000 - 6_000
        watch.note(recv_ns, ts_ms)
        if second * SECOND < WINDOW_NS:
            assert watch.late(recv_ns, ts_ms)
        if second * SECOND > 2 * WINDOW_NS:
            assert not watch.late(recv_ns, ts_ms)


def test_without_stamps_nothing_is_late() -> None:
    watch = DelayWatch(2 * SECOND)
    assert not watch.late(10 * SECOND, 5)
    watch.note(5, 0)
    assert not watch.late(10 * SECOND, 0)
