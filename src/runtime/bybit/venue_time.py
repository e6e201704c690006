"""The venue's clock, estimated from answers. Counted on from the monotonic clock.

So a step of this machine's wall clock changes nothing: a request stamped by a clock one
second ahead of the venue is refused whatever its window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastbook.clock import Clock


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One question for the time, all in ns: our clock before and after, the venue's between."""

    sent_ns: int
    received_ns: int
    venue_ns: int

    @property
    def round_trip_ns(self) -> int:
        return self.received_ns - self.sent_ns


class VenueTime:
    """The venue's clock as a `fastbook.clock.Clock`; the wall clock until the first `update`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns: int | None = None
        self.uncertainty_ns = -1  # -1 = never measured

    def update(self, samples: Iterable[TimeSample]) -> None:
        """Take the sample with the shortest round trip: it bounds the error best."""
        best = min(samples, key=lambda s: s.round_trip_ns)
        middle_ns = best.sent_ns + best.round_trip_ns // 2
        self._offset_ns = best.venue_ns - middle_ns
        self.uncertainty_ns = best.round_trip_ns // 2

    def now_ns(self) -> int:
        if self._offset_ns is None:
            return self._clock.now_ns()
        return self._clock.monotonic_ns() + self._offset_ns

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    @property
    def ahead_ms(self) -> float:
        """How far the venue's clock is ahead of this machine's wall clock; nan = not measured."""
        if self._offset_ns is None:
            return float("nan")
        return (self.now_ns() - self._clock.now_ns()) / 1e6
