"""A clock that runs faster than the real one, or slower."""

from __future__ import annotations

from collections.abc import Callable


class FastClock:
    """Begins at the real time and goes on `speed` times as fast."""

    def __init__(
        self, speed: float, now_ns: Callable[[], int], monotonic_s: Callable[[], float]
    ) -> None:
        self._speed = speed
        self._real_s = monotonic_s
        self._start_ns = now_ns()
        self._start_s = monotonic_s()

    def monotonic_s(self) -> float:
        return self._start_s + (self._real_s() - self._start_s) * self._speed

    def now_ns(self) -> int:
        return self._start_ns + round((self.monotonic_s() - self._start_s) * 1e9)
