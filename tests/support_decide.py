"""Small stand-ins for the tests of the decision layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fastbook.core.signals import Signal
from fastbook.core.states import BookState
from fastbook.risk import RiskLimits
from fastbook.types import Category, Execution, Instrument, OrderIntent, OrderUpdate, Side

SECOND = 1_000_000_000

INSTRUMENT = Instrument(
    index=0,
    category=Category.LINEAR,
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    settle="USDT",
    price_scale=2,
    qty_scale=3,
    tick=10,
    lot=1,
    qty_min=1,
    qty_max=1_000_000,
    qty_max_market=500_000,
    notional_min=Decimal(5),
    leverage_max=Decimal(50),
)


def instrument(**changes: Any) -> Instrument:  # Any: fields of different types
    return replace(INSTRUMENT, **changes)


@dataclass
class FakeBook:
    """A book with a touch and nothing behind it; 500.00 / 500.10 at scale 2."""

    symbol: str = "BTCUSDT"
    state: BookState = BookState.SYNCED
    price_scale: int = 2
    best_bid_px: int = 50_000
    best_ask_px: int = 50_010
    u: int = 7
    ts_ms: int = 1_700_000_000_000
    recv_ns: int = 0

    def _float(self, px: int) -> float:
        return float(px / 10**self.price_scale) if px else math.nan

    @property
    def best_bid(self) -> float:
        return self._float(self.best_bid_px)

    @property
    def best_ask(self) -> float:
        return self._float(self.best_ask_px)

    @property
    def mid(self) -> float:
        return (self.best_bid + self.best_ask) / 2

    @property
    def microprice(self) -> float:
        return self.mid

    @property
    def spread_bps(self) -> float:
        return (self.best_ask - self.best_bid) / self.mid * 10_000

    def imbalance(self, levels: int = 10) -> float:
        return 0.0

    def vwap(self, levels: int = 10) -> tuple[float, float]:
        return self.best_bid, self.best_ask

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return [(self.best_bid_px, 1)], [(self.best_ask_px, 1)]


class FakeSignals:
    """Rows to write into; nan until then."""

    def __init__(self, books: int = 1) -> None:
        self.rows = [[math.nan] * len(Signal) for _ in range(books)]

    def row(self, index: int) -> list[float]:
        return self.rows[index]

    def set(
        self, z: float, imbalance: float, *, index: int = 0, samples: float = 20, mid: float = 500.0
    ) -> None:
        row = self.rows[index]
        row[Signal.ZSCORE] = z
        row[Signal.IMBALANCE] = imbalance
        row[Signal.SAMPLES] = samples
        row[Signal.MID] = mid


def limits(**changes: Any) -> RiskLimits:  # Any: fields of different types
    values: dict[str, Any] = {
        "position_pct_max": 10.0,
        "exposure_pct_max": 50.0,
        "daily_loss_pct_max": 5.0,
        "leverage_max": 10.0,
    }
    return RiskLimits(**(values | changes))


def intent(**changes: Any) -> OrderIntent:  # Any: fields of different types
    values: dict[str, Any] = {
        "instrument": 0,
        "side": Side.BUY,
        "px": 50_010,
        "qty": 100,
        "strategy": "meanrev",
        "reason": "test",
    }
    return OrderIntent(**(values | changes))


def fill(exec_id: str, client_id: str = "", **changes: Any) -> Execution:  # Any: as above
    values: dict[str, Any] = {
        "exec_id": exec_id,
        "client_id": client_id,
        "order_id": f"v-{client_id}",
        "instrument": 0,
        "side": Side.BUY,
        "px": 50_010,
        "qty": 100,
        "fee": Decimal("0.01"),
        "fee_coin": "USDT",
        "is_maker": False,
        "exec_type": "Trade",
        "ts_ms": 1_700_000_000_000,
    }
    return Execution(**(values | changes))


def row_of(client_id: str, status: str, **changes: Any) -> OrderUpdate:  # Any: as above
    values: dict[str, Any] = {
        "client_id": client_id,
        "order_id": f"v-{client_id}",
        "instrument": 0,
        "status": status,
        "px": 50_010,
        "qty": 100,
        "cum_qty": 0,
        "reject_reason": "",
        "updated_ms": 1,
    }
    return OrderUpdate(**(values | changes))
