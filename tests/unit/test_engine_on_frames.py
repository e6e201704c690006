"""The engine on real books and signals: frames in, an order out."""

from __future__ import annotations

import json
from decimal import Decimal

from tests.support_decide import SECOND, instrument, limits

from fastbook.bybit.frames import BookDecoder
from fastbook.clock import ManualClock
from fastbook.core.signals import SignalSet
from fastbook.core.states import ApplyStatus, BookState
from fastbook.engine import Engine
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import RiskGate
from fastbook.strategy import MeanReversion
from fastbook.types import Command, PlaceOrder, Side

TOPIC = "orderbook.50.BTCUSDT"
START_MS = 1_700_000_000_000


def frame(kind: str, u: int, ts_ms: int, bids: object, asks: object) -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u}
    return json.dumps(
        {"topic": TOPIC, "type": kind, "ts": ts_ms, "data": data, "cts": ts_ms},
        separators=(",", ":"),
    ).encode()


class Live:
    def __init__(self) -> None:
        self.signals = SignalSet(1, lookback=20, sample_ms=0)
        self.decoder = BookDecoder(signals=self.signals)
        # The wire shows more decimals than the instrument has, as linear symbols do.
        self.book = self.decoder.add_book(TOPIC, index=0, price_scale=4, qty_scale=3)
        unit = instrument()
        self.orders = Orders("n1")
        self.engine = Engine(
            [unit],
            [self.book],
            self.signals,
            [MeanReversion()],
            RiskGate(limits()),
            Executor(self.orders),
            self.orders,
            Portfolio([unit], balance=Decimal(100_000)),
            Journal(),
            ManualClock(),
        )
        self.engine.reconciled(0)
        self.u = 0

    def quote(self, bid: str, ask: str, bid_qty: str = "1", ask_qty: str = "1") -> list[Command]:
        self.u += 1
        now = self.u * SECOND
        ts_ms = START_MS + 1_000 * self.u
        text = frame("snapshot", self.u, ts_ms, [[bid, bid_qty]], [[ask, ask_qty]])
        assert self.decoder.apply(text, now) is ApplyStatus.SNAPSHOT
        return self.engine.on_books(self.decoder.touched(), now)


def test_a_fall_with_bids_behind_it_is_bought() -> None:
    live = Live()
    for n in range(19):
        assert live.quote(f"500.{n % 2}000", f"500.{n % 2 + 1}000") == []

    (command,) = live.quote("498.0000", "498.1000", bid_qty="9")

    assert isinstance(command, PlaceOrder)
    assert command.side is Side.BUY
    # 5 bps of 498.10 is 0.249: two ticks.
    assert command.px == 49_830
    assert live.engine.stats.signals == 1


def test_a_gap_silences_the_symbol_until_its_snapshot() -> None:
    live = Live()
    for n in range(19):
        live.quote(f"500.{n % 2}000", f"500.{n % 2 + 1}000")
    now = 20 * SECOND
    lost = frame("delta", live.u + 2, START_MS + 20, [["498.0000", "9"]], [])

    assert live.decoder.apply(lost, now) is ApplyStatus.GAP
    assert live.book.state is BookState.UNSYNCED
    assert live.engine.on_books([0], now) == []

    assert live.engine.stats.signals == 0
    assert live.engine.stats.books_unfit == 1
