"""Candles of one symbol: minutes as they were traded, and longer ones made of minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
MINUTES_MAX = 7 * 24 * 60  # remembered; older ones are forgotten
INTERVALS = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M")
_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970-01-05

Amount = int | Decimal
"""Turnover: an integer at the scales of price and quantity together, or exact coins."""


class Candle(NamedTuple):
    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: Amount


def start_of(ms: int, interval: str) -> int:
    """When the candle began that `ms` belongs to."""
    if interval == "W":
        return (ms - _FIRST_MONDAY_MS) // (7 * DAY_MS) * 7 * DAY_MS + _FIRST_MONDAY_MS
    if interval == "M":
        day = datetime.fromtimestamp(ms // 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    length = DAY_MS if interval == "D" else int(interval) * MINUTE_MS
    return ms // length * length


def end_of(start_ms: int, interval: str) -> int:
    """When the next candle begins."""
    if interval == "M":
        return start_of(start_ms + 32 * DAY_MS, "M")
    if interval == "W":
        return start_ms + 7 * DAY_MS
    return start_ms + (DAY_MS if interval == "D" else int(interval) * MINUTE_MS)


def merged(start_ms: int, parts: Iterable[Candle]) -> Candle:
    """One candle of several that follow each other, at least one."""
    candles = list(parts)
    return Candle(
        start_ms,
        candles[0].open,
        max(c.high for c in candles),
        min(c.low for c in candles),
        candles[-1].close,
        sum(c.volume for c in candles),
        sum((c.turnover for c in candles), start=type(candles[0].turnover)(0)),
    )


class Candles:
    """The minutes of one symbol. A minute without a trade is flat at the last price."""

    def __init__(self, px: int) -> None:
        self._closed: deque[Candle] = deque(maxlen=MINUTES_MAX)
        self._start_ms = -1
        self._open = self._high = self._low = px
        self._volume_before = 0
        self._turnover_before: Amount = 0
        self.end_ms = 0  # of the running minute: from then on `roll` is due

    def roll(self, now_ms: int, last_px: int, volume: int, turnover: Amount) -> None:
        """Close the minutes that have ended. Sums are those of all trades until now."""
        if self._start_ms < 0 or now_ms - self.end_ms > DAY_MS:  # the beginning, or a clock jump
            self._begin(now_ms // MINUTE_MS * MINUTE_MS, last_px, volume, turnover)
        while now_ms >= self.end_ms:
            self._closed.append(self.running(last_px, volume, turnover))
            self._begin(self.end_ms, last_px, volume, turnover)

    def _begin(self, start_ms: int, px: int, volume: int, turnover: Amount) -> None:
        self._start_ms, self.end_ms = start_ms, start_ms + MINUTE_MS
        self._open = self._high = self._low = px
        self._volume_before, self._turnover_before = volume, turnover

    def trade(self, px: int) -> None:
        """A trade of the running minute."""
        if px > self._high:
            self._high = px
        elif px < self._low:
            self._low = px

    def running(self, last_px: int, volume: int, turnover: Amount) -> Candle:
        return Candle(
            self._start_ms,
            self._open,
            self._high,
            self._low,
            last_px,
            volume - self._volume_before,
            turnover - self._turnover_before,
        )

    def of(self, interval: str, running: Candle) -> list[Candle]:
        """All candles of an interval, oldest first, the running one last. O(minutes)."""
        groups: dict[int, list[Candle]] = {}
        for candle in (*self._closed, running):
            groups.setdefault(start_of(candle.start_ms, interval), []).append(candle)
        return [merged(start, parts) for start, parts in groups.items()]

    def latest(self, interval: str, running: Candle) -> Candle:
        """The running candle of an interval. O(minutes of it)."""
        start = start_of(running.start_ms, interval)
        parts = [running]
        for candle in reversed(self._closed):
            if candle.start_ms < start:
                break
            parts.append(candle)
        return merged(start, reversed(parts))

    def last_closed(self, interval: str, running: Candle) -> Candle | None:
        """The candle before the running one, None when there is none."""
        end = start_of(running.start_ms, interval)
        start = start_of(end - 1, interval)
        parts = [c for c in self._closed if start <= c.start_ms < end]
        return merged(start, parts) if parts else None
