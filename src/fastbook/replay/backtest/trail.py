"""What became of each order, in figures and in a bounded list of fills for the plots."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from fastbook.core.histogram import Histogram
from fastbook.core.signals import Signal
from fastbook.execution import Orders
from fastbook.strategy.base import BookView, Row
from fastbook.types import Execution, Instrument, PlaceOrder

ORDERS_MAX = 50_000
"""Orders under way at once whose decision is remembered; the oldest is forgotten."""
FILLS_KEPT_MAX = 20_000
"""For plots; the figures count all."""

_Z, _LEAN = int(Signal.ZSCORE), int(Signal.IMBALANCE)


@dataclass(slots=True)
class Decided:
    """An order as it was decided."""

    at_ns: int
    mid: float
    order: PlaceOrder
    filled: int = 0


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill, for the plots."""

    at_ns: int
    instrument: int
    side: int
    px: float
    qty: float
    maker: bool
    slippage_bps: float
    entry: bool


@dataclass(slots=True)
class Entry:
    """The signals at one entry."""

    at_ns: int
    z: float
    lean: float
    side: int


@dataclass(slots=True)
class Trail:
    """Of one account. Slippage is signed: above 0 it cost us, against the mid at the decision."""

    orders: int = 0
    orders_filled: int = 0
    orders_touched: int = 0
    fills: int = 0
    maker_fills: int = 0
    ordered: float = 0.0
    """Quote units at the limit price."""
    filled: float = 0.0
    """Of that, what was filled."""
    traded: float = 0.0
    """Quote units at the prices of the fills."""
    slippage_cost: float = 0.0
    fill_latency: Histogram = field(default_factory=Histogram)
    """From the decision to the news of the fill, ns."""
    kept: list[Fill] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    by_strategy: Counter[str] = field(default_factory=Counter)
    _open: dict[str, Decided] = field(default_factory=dict)

    def on_order(self, order: PlaceOrder, now_ns: int, book: BookView, row: Row,
                 instrument: Instrument) -> None:  # fmt: skip
        self.orders += 1
        self.ordered += float(instrument.notional(order.px, order.qty))
        self._open[order.client_id] = Decided(now_ns, book.mid, order)
        if len(self._open) > ORDERS_MAX:
            del self._open[next(iter(self._open))]
        if not order.reduce_only and len(self.entries) < FILLS_KEPT_MAX:
            self.entries.append(Entry(now_ns, row[_Z], row[_LEAN], int(order.side)))

    def on_fill(self, fill: Execution, now_ns: int, instrument: Instrument, orders: Orders) -> None:
        if fill.exec_type != "Trade":
            return
        self.fills += 1
        self.maker_fills += fill.is_maker
        value = float(instrument.notional(fill.px, fill.qty))
        self.traded += value
        decided = self._open.get(fill.client_id)
        px = float(instrument.px_decimal(fill.px))
        slippage_bps, entry = math.nan, False
        if decided is not None:
            self.orders_touched += not decided.filled
            decided.filled += fill.qty
            self.filled += float(instrument.notional(decided.order.px, fill.qty))
            self.fill_latency.record(now_ns - decided.at_ns)
            entry = not decided.order.reduce_only
            if decided.mid > 0.0:
                slippage_bps = (px / decided.mid - 1.0) * 10_000.0 * int(fill.side)
                self.slippage_cost += value * slippage_bps / 10_000.0
            if decided.filled >= decided.order.qty:
                self.orders_filled += 1
                del self._open[fill.client_id]
        if len(self.kept) < FILLS_KEPT_MAX:
            qty = float(instrument.qty_decimal(fill.qty))
            self.kept.append(
                Fill(
                    now_ns,
                    fill.instrument,
                    int(fill.side),
                    px,
                    qty,
                    fill.is_maker,
                    slippage_bps,
                    entry,
                )
            )

    @property
    def fill_ratio(self) -> float:
        """Value filled by value ordered, at the limit prices; nan without orders."""
        return self.filled / self.ordered if self.ordered else math.nan

    @property
    def slippage_bps(self) -> float:
        """Mean over fills, weighted by value; nan without fills."""
        return self.slippage_cost / self.traded * 10_000.0 if self.traded else math.nan
