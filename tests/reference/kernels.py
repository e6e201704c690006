"""The kernels again, as dull as they come: whole histories, exact fractions, no state.

Each function takes everything that was ever pushed (what is refused left out) and answers for
the last of it. nan means the same as in the kernels: no answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

Quote = tuple[float, float, float, float]
"""bid price, bid quantity, ask price, ask quantity."""

Bar = tuple[int, float, float, float, float]
"""start in ms, open, high, low, close."""


def mean(samples: Sequence[float], window: int) -> float:
    held = [Fraction(x) for x in samples[-window:]]
    return float(sum(held) / len(held)) if held else math.nan


def variance(samples: Sequence[float], window: int) -> Fraction:
    held = [Fraction(x) for x in samples[-window:]]
    centre = sum(held, Fraction(0)) / len(held)
    return sum(((x - centre) ** 2 for x in held), Fraction(0)) / len(held)


def std(samples: Sequence[float], window: int) -> float:
    if len(samples[-window:]) < 2:
        return math.nan
    return math.sqrt(variance(samples, window))


def zscore(samples: Sequence[float], window: int) -> float:
    held = [Fraction(x) for x in samples[-window:]]
    if len(held) < 2 or len(set(held)) == 1:
        return math.nan
    distance = held[-1] - sum(held) / len(held)
    return math.copysign(math.sqrt(distance**2 / variance(samples, window)), distance)


def trade_vwap(trades: Sequence[tuple[float, float]], window: int) -> float:
    held = [(Fraction(px), Fraction(qty)) for px, qty in trades[-window:]]
    if not held:
        return math.nan
    return float(sum(px * qty for px, qty in held) / sum(qty for _, qty in held))


def ewma(samples: Sequence[float], halflife: float) -> float:
    """The first sample takes all the weight that is left over."""
    if not samples:
        return math.nan
    keep = 2.0 ** (-1.0 / halflife)
    newest_first = samples[::-1]
    terms = [(1.0 - keep) * keep**age * x for age, x in enumerate(newest_first[:-1])]
    return math.fsum([*terms, keep ** (len(samples) - 1) * samples[0]])


def volatility(prices: Sequence[float], window: int) -> float:
    with localcontext() as context:
        context.prec = 50
        logs = [Decimal(px).ln() for px in prices]
        returns = [b - a for a, b in pairwise(logs)][-window:]
        if not returns:
            return math.nan
        return float((sum((r * r for r in returns), Decimal(0)) / len(returns)).sqrt())


def bars(samples: Sequence[tuple[int, float]], bar_ms: int) -> list[Bar]:
    """Complete bars of samples whose times do not fall: all but the last one."""
    prices: dict[int, list[float]] = {}
    for ts_ms, px in samples:
        prices.setdefault(ts_ms // bar_ms * bar_ms, []).append(px)
    return [(start, p[0], max(p), min(p), p[-1]) for start, p in sorted(prices.items())][:-1]


def true_range(highs_lows_closes: Sequence[tuple[float, float, float]], window: int) -> float:
    if len(highs_lows_closes) < window:
        return math.nan
    ranges = []
    before = None
    for high, low, close in highs_lows_closes:
        tops = [high] if before is None else [high, before]
        bottoms = [low] if before is None else [low, before]
        ranges.append(Fraction(max(tops)) - Fraction(min(bottoms)))
        before = close
    average = sum(ranges[:window], Fraction(0)) / window
    for each in ranges[window:]:
        average = (average * (window - 1) + each) / window
    return float(average)


def flow_events(quotes: Sequence[Quote]) -> list[Fraction]:
    """e of every change of the best quotes, by the four cases of the paper."""
    events = []
    for before, now in pairwise(quotes):
        if before == now:
            continue
        bid_px0, bid_qty0, ask_px0, ask_qty0 = (Fraction(v) for v in before)
        bid_px, bid_qty, ask_px, ask_qty = (Fraction(v) for v in now)
        if bid_px > bid_px0:
            demand = bid_qty
        elif bid_px == bid_px0:
            demand = bid_qty - bid_qty0
        else:
            demand = -bid_qty0
        if ask_px < ask_px0:
            supply = ask_qty
        elif ask_px == ask_px0:
            supply = ask_qty - ask_qty0
        else:
            supply = -ask_qty0
        events.append(demand - supply)
    return events


def flow(quotes: Sequence[Quote], window: int) -> float:
    events = flow_events(quotes)[-window:]
    return float(sum(events)) if events else math.nan


def mid(bid_px: float, ask_px: float) -> float:
    return float((Fraction(bid_px) + Fraction(ask_px)) / 2)


def spread_bps(bid_px: float, ask_px: float) -> float:
    bid, ask = Fraction(bid_px), Fraction(ask_px)
    return float((ask - bid) / ((ask + bid) / 2) * 10_000)


def microprice(bid_px: float, bid_qty: float, ask_px: float, ask_qty: float) -> float:
    bid, bids, ask, asks = (Fraction(v) for v in (bid_px, bid_qty, ask_px, ask_qty))
    return float((bid * asks + ask * bids) / (bids + asks)) if bids + asks else math.nan


def imbalance(bid_qty: Sequence[int], ask_qty: Sequence[int]) -> float:
    bids, asks = sum(bid_qty), sum(ask_qty)
    return float(Fraction(bids - asks, bids + asks)) if bids + asks else math.nan


def levels_vwap(px: Sequence[int], qty: Sequence[int]) -> float:
    turnover = sum(p * q for p, q in zip(px, qty, strict=True))
    return float(Fraction(turnover, sum(qty))) if sum(qty) else math.nan
