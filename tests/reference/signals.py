"""The signal set again: keeps every frame of one book, and works each row out from the beginning."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.reference import kernels as slow

Levels = list[tuple[int, int]]


@dataclass
class SlowSignals:
    """One book's row. Prices and quantities are whole numbers, as if both scales were 0."""

    lookback: int
    imbalance_levels: int
    sample_ms: int
    ofi_window: int
    ewma_halflife: float
    volatility_window: int
    atr_window: int
    bar_ms: int
    mids: list[tuple[int, float]] = field(default_factory=list)
    samples: list[tuple[int, float]] = field(default_factory=list)
    quotes: list[slow.Quote] = field(default_factory=list)

    def lose(self) -> list[float]:
        self.mids, self.samples, self.quotes = [], [], []
        return [math.nan] * 12

    def update(self, ts_ms: int, bids: Levels, asks: Levels) -> list[float]:
        two_sided = bool(bids and asks)
        if two_sided:
            self._see(ts_ms, bids[0], asks[0])
        return [*self._book_now(bids, asks), *self._windows(two_sided)]

    def _see(self, ts_ms: int, bid: tuple[int, int], ask: tuple[int, int]) -> None:
        mid = slow.mid(bid[0], ask[0])
        self.mids.append((ts_ms, mid))
        self.quotes.append((bid[0], bid[1], ask[0], ask[1]))
        if not self.samples or ts_ms - self.samples[-1][0] >= self.sample_ms:
            self.samples.append((ts_ms, mid))

    def _book_now(self, bids: Levels, asks: Levels) -> list[float]:
        top = slice(self.imbalance_levels)
        balance = slow.imbalance([qty for _, qty in bids[top]], [qty for _, qty in asks[top]])
        if not bids or not asks:
            return [math.nan, math.nan, math.nan, balance]
        (bid, bid_qty), (ask, ask_qty) = bids[0], asks[0]
        return [
            slow.mid(bid, ask),
            slow.spread_bps(bid, ask),
            slow.microprice(bid, bid_qty, ask, ask_qty),
            balance,
        ]

    def _windows(self, two_sided: bool) -> list[float]:
        prices = [px for _, px in self.samples]
        bars = [bar[2:] for bar in slow.bars(self.mids, self.bar_ms)]
        return [
            slow.zscore(prices, self.lookback) if two_sided else math.nan,
            slow.mean(prices, self.lookback),
            slow.std(prices, self.lookback),
            slow.flow(self.quotes, self.ofi_window),
            slow.ewma(prices, self.ewma_halflife),
            slow.volatility(prices, self.volatility_window),
            slow.true_range(bars, self.atr_window),
            float(len(prices[-self.lookback :])),
        ]
