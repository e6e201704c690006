"""Time, handed in. Nothing below the runtime calls `time.*` by itself."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks that must not be mixed up."""

    def now_ns(self) -> int:
        """Wall clock, nanoseconds since the Unix epoch; may jump. For stamps and signatures."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since some start; never goes back. For timers, ages and rates."""


class ManualClock:
    """A clock that moves when told to: for tests, replay and simulation."""

    __slots__ = ("_monotonic_ns", "_now_ns")

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, ns: int) -> None:
        """Move both clocks on by `ns` >= 0."""
        if ns < 0:
            raise ValueError(f"time does not go back: {ns}")
        self._now_ns += ns
        self._monotonic_ns += ns

    def jump(self, now_ns: int) -> None:
        """Set the wall clock alone, as NTP or an operator would."""
        self._now_ns = now_ns
