"""Bars of fixed length from a stream of prices, by exchange time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import isnan


class BarSource(Enum):
    """What a strategy's bars are made of."""

    MIDS = "mids"  # of the book, at each of its changes
    TRADES = "trades"


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices in quote units, `volume` in base units (0 for mids), `count` samples or trades.

    Covers [start_ms, start_ms + length). A stretch without a sample has no bar.
    """

    instrument: int
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    count: int


class BarBuilder:
    """One instrument's bars. A bar is given out when the first sample of a later one comes."""

    __slots__ = (
        "_close",
        "_count",
        "_high",
        "_instrument",
        "_length_ms",
        "_low",
        "_open",
        "_start_ms",
        "_volume",
    )

    def __init__(self, instrument: int, length_ms: int) -> None:
        if length_ms < 1:
            raise ValueError(f"a bar lasts 1 ms or more: {length_ms}")
        self._instrument = instrument
        self._length_ms = length_ms
        self._start_ms = -1
        self._count = 0
        self._open = self._high = self._low = self._close = self._volume = 0.0

    def push(self, ts_ms: int, px: float, volume: float = 0.0) -> Bar | None:
        """Add a sample; the bar that it closed, if any. O(1).

        nan is no sample. One of before the running bar counts into it: it came late.
        """
        if isnan(px):
            return None
        start_ms = ts_ms // self._length_ms * self._length_ms
        if self._count and start_ms <= self._start_ms:
            if px > self._high:
                self._high = px
            elif px < self._low:
                self._low = px
            self._close = px
            self._volume += volume
            self._count += 1
            return None
        closed = self._bar() if self._count else None
        self._start_ms = start_ms
        self._open = self._high = self._low = self._close = px
        self._volume = volume
        self._count = 1
        return closed

    def _bar(self) -> Bar:
        return Bar(
            self._instrument,
            self._start_ms,
            self._open,
            self._high,
            self._low,
            self._close,
            self._volume,
            self._count,
        )
