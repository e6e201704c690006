"""Bars of the past, by REST, for strategies that want to warm up."""

from __future__ import annotations

import logging

from fastbook.errors import FastbookError, WireError
from fastbook.strategy.bars import Bar
from fastbook.types import Category, Instrument

from .bybit.rest import RestClient

log = logging.getLogger("fastbook.app")

INTERVALS_MS = {
    **{minutes * 60_000: str(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    86_400_000: "D",
}
"""Lengths of a bar that the venue keeps; it has no shorter ones."""

BARS_MAX = 999
"""The venue gives 1,000 a request, and the newest is not finished."""


async def past_bars(
    rest: RestClient, category: Category, instrument: Instrument, bar_ms: int, count: int
) -> list[Bar]:
    """Up to `count` finished bars, oldest first. What cannot be had is said, and left out."""
    interval = INTERVALS_MS.get(bar_ms)
    if interval is None:
        log.warning("%s: the venue has no bars of %d ms", instrument.symbol, bar_ms)
        return []
    try:
        rows = await rest.klines(category, instrument.symbol, interval, min(count, BARS_MAX) + 1)
        bars = [_bar(instrument, row) for row in reversed(rows)]
    except FastbookError as e:
        log.warning("%s: no bars to warm up with: %s", instrument.symbol, e)
        return []
    now_ms = rest.venue_time.now_ms()
    return [bar for bar in bars if bar.start_ms + bar_ms <= now_ms][-count:]


def _bar(instrument: Instrument, row: object) -> Bar:
    """[start, open, high, low, close, volume, turnover], all as text."""
    if not isinstance(row, list) or len(row) < 6:
        raise WireError(f"not a candle: {row!r:.80}")
    try:
        start_ms = int(row[0])
        o, h, low, c, volume = (float(text) for text in row[1:6])
    except (TypeError, ValueError) as e:
        raise WireError(f"not a candle: {row!r:.80}") from e
    return Bar(instrument.index, start_ms, o, h, low, c, volume, 0)
