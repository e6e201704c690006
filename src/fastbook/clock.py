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


class TokenBucket:
    """`per_second` permits a second, at most `burst` saved up. Integer arithmetic, no clock.

    Time is handed in and may stand still; a step back earns nothing. A caller that must leave
    something for others asks with `leave`: the permit is given only if that many remain.
    """

    __slots__ = ("_level", "_per_second", "_rate", "_then_ns", "burst")

    _UNIT = 1_000_000_000_000
    """Parts of a permit: with rates to three decimals, a nanosecond earns a whole number."""

    def __init__(self, per_second: float, burst: int) -> None:
        if not (0 < per_second < 1e9) or burst < 1:
            raise ValueError(f"need a rate above 0 and a burst of 1 or more: {per_second}, {burst}")
        self.burst = burst
        self._rate = max(1, round(per_second * 1000))
        self._level = burst * self._UNIT
        self._then_ns: int | None = None

    def take(self, now_ns: int, *, leave: int = 0) -> bool:
        """Take one permit if one is there and `leave` more stay. O(1)."""
        self._refill(now_ns)
        if self._level < (1 + leave) * self._UNIT:
            return False
        self._level -= self._UNIT
        return True

    def force(self, now_ns: int) -> None:
        """Take one whatever the level (down to empty): for what must never wait."""
        self._refill(now_ns)
        self._level = max(0, self._level - self._UNIT)

    def _refill(self, now_ns: int) -> None:
        if self._then_ns is None:
            self._then_ns = now_ns
        elapsed = now_ns - self._then_ns
        if elapsed > 0:
            self._level = min(self.burst * self._UNIT, self._level + elapsed * self._rate)
        self._then_ns = now_ns if elapsed > 0 else self._then_ns
