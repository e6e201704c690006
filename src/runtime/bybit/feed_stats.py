"""What the feed counts. Written by its connections, read by screen and metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(slots=True)
class FeedStats:
    """Counters since the start, of all connections together. None is ever reset."""

    frames: int = 0  # of connections that are over; the live ones count for themselves
    bytes: int = 0
    late_frames: int = 0  # came after their connection was given up: ignored
    malformed: int = 0
    attempts: int = 0
    connects: int = 0
    reconnects: int = 0
    budget_waits: int = 0  # an attempt that had to wait for the 5-minute budget
    gaps: int = 0  # a book lost its place: gap, crossed, malformed, restart as delta
    stale_marks: int = 0
    pings: int = 0
    pongs: int = 0
    pongs_missed: int = 0
    peer_pings: int = 0
    binary_ignored: int = 0
    unknown_messages: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # why connections ended
    protocol_errors: Counter[str] = field(default_factory=Counter)

    def copy(self) -> FeedStats:
        return replace(self, ends=Counter(self.ends), protocol_errors=Counter(self.protocol_errors))

    def as_dict(self) -> dict[str, Any]:  # Any: numbers, and dicts of them
        """A copy of plain values. (`dataclasses.asdict` takes a Counter apart wrongly.)"""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"ends": dict(self.ends), "protocol_errors": dict(self.protocol_errors)}
