"""Is the peer still there? Pings, pongs and silence; no socket and no clock inside."""

from __future__ import annotations

import math
from enum import Enum


class Beat(Enum):
    NOTHING = 0
    PING = 1  # send one now
    DEAD = 2  # silent and not answering: cut the connection


class Heartbeat:
    """Pings at once, then every `ping_interval_s`, and at the first sign of silence.

    The connection is dead when nothing at all arrived for `pong_timeout_s` after a ping. A
    missing pong alone is only counted: while data flows, the peer is there.
    """

    def __init__(self, *, ping_interval_s: float, pong_timeout_s: float, silence_s: float) -> None:
        self._ping_interval_s = ping_interval_s
        self._pong_timeout_s = pong_timeout_s
        self._silence_s = silence_s
        self._frames = 0
        self._heard_s: float | None = None
        self._pinged_s: float | None = None
        self._waiting_pong = False
        self.pongs_missed = 0

    def poll(self, now_s: float, frames: int) -> Beat:
        """`frames`: how many have arrived so far. PING is returned once and taken as sent."""
        if self._heard_s is None or frames != self._frames:
            self._heard_s = now_s
            self._frames = frames
        if self._pinged_s is None:
            return self._ping(now_s)
        if self._waiting_pong:
            if now_s - self._pinged_s < self._pong_timeout_s:
                return Beat.NOTHING
            if self._heard_s <= self._pinged_s:
                return Beat.DEAD
            self._waiting_pong = False
            self.pongs_missed += 1
        due_s = self._pinged_s + self._ping_interval_s
        return self._ping(now_s) if now_s >= min(due_s, self._ask_s()) else Beat.NOTHING

    def on_pong(self) -> None:
        self._waiting_pong = False

    def due_in_s(self, now_s: float) -> float:
        """Seconds until `poll` has something to say, unless frames arrive."""
        if self._pinged_s is None:
            return 0.0
        if self._waiting_pong:
            due_s = self._pinged_s + self._pong_timeout_s
        else:
            due_s = min(self._pinged_s + self._ping_interval_s, self._ask_s())
        return max(0.0, due_s - now_s)

    def _ask_s(self) -> float:
        """When silence is asked about: once a silence, not at every poll of it."""
        if self._heard_s is None or self._pinged_s is None or self._heard_s <= self._pinged_s:
            return math.inf
        return self._heard_s + self._silence_s

    def _ping(self, now_s: float) -> Beat:
        self._waiting_pong = True
        self._pinged_s = now_s
        return Beat.PING
