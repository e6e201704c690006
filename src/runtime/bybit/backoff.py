"""When to try again: at once, then with full jitter, and never above a budget. No clock inside."""

from __future__ import annotations

from collections import deque
from random import Random

EXPONENT_MAX = 16
"""2**16 half seconds are far above any cap; keeps the power small however long it fails."""


class Backoff:
    """Delay before each attempt. The first retry comes at once, the others with full jitter.

    "First" counts from the last connection that was worth something: a peer that accepts and
    hangs up is not retried at once for ever.
    """

    def __init__(self, *, base_s: float, cap_s: float, rng: Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._rng = rng
        self.failures = 0

    def failed(self, *, was_stable: bool) -> float:
        """Note the end of a connection or attempt; seconds to wait before the next."""
        self.failures = 1 if was_stable else self.failures + 1
        if self.failures == 1:
            return 0.0
        exponent = min(self.failures - 2, EXPONENT_MAX)
        return self._rng.uniform(0.0, min(self._cap_s, self._base_s * 2.0**exponent))


class WindowBudget:
    """At most `limit` takes in any `window_s` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._window_s = window_s
        self._limit = limit
        self._taken_s: deque[float] = deque(maxlen=limit)

    def room(self, now_s: float) -> int:
        """How many may be taken now."""
        while self._taken_s and now_s - self._taken_s[0] >= self._window_s:
            self._taken_s.popleft()
        return self._limit - len(self._taken_s)

    def take(self, now_s: float) -> bool:
        """Take one if there is room."""
        if self.room(now_s) < 1:
            return False
        self._taken_s.append(now_s)
        return True

    def wait_s(self, now_s: float, count: int = 1) -> float:
        """Seconds until `count` (at most the limit) may be taken; 0.0 when they may be now."""
        missing = count - self.room(now_s)
        if missing <= 0:
            return 0.0
        return self._taken_s[missing - 1] + self._window_s - now_s
