"""The machine's clocks, for the runtime; everything below it takes a `Clock`.

Receive times are stamps: the wall clock as it was at start, carried on by the monotonic clock.
They read like times of day and never jump, so that ages and timers are their differences. They
drift from a wall clock that is being corrected, by what it is corrected.
"""

from __future__ import annotations

import time

STAMP_OFFSET_NS = time.time_ns() - time.monotonic_ns()
"""Stamp = monotonic clock + this; the same for every part of one process."""


def stamp_ns() -> int:
    return time.monotonic_ns() + STAMP_OFFSET_NS


class SystemClock:
    """Implements `fastbook.clock.Clock`: the wall clock as the machine has it now."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class StampClock:
    """Implements `fastbook.clock.Clock` with stamps for wall time: for whoever stamps events."""

    now_ns = staticmethod(stamp_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)
