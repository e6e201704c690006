"""From a frame's bytes to an order's bytes, through book, signals, strategy, risk and executor.

Run: make bench. Nothing is sent: the last step is the body of the order's request.
"""

from __future__ import annotations

from decimal import Decimal

import orjson
from pytest_benchmark.fixture import BenchmarkFixture

from fastbook import BookDecoder, SignalSet
from fastbook.bybit.requests import create_body
from fastbook.clock import ManualClock
from fastbook.engine import Engine
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import RiskGate, RiskLimits
from fastbook.strategy import MeanReversion
from fastbook.types import Category, Instrument, PlaceOrder

SECOND_NS = 1_000_000_000
START_MS = 1_700_000_000_000
TOPIC = "orderbook.50.BTCUSDT"
LEVELS = 50
QUIET = 19  # quotes before the fall: one short of the strategy's window

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
    leverage_max=Decimal(100),
)
LIMITS = RiskLimits(
    position_pct_max=10.0, exposure_pct_max=50.0, daily_loss_pct_max=5.0, leverage_max=10.0
)


def quote(u: int, best_tick: int, bid_size: int = 1) -> bytes:
    """A whole book of 50 levels a side around `best_tick`, the spread one tick."""

    def side(first: int, step: int, size: int) -> list[list[str]]:
        return [[f"{(first + step * i) / 10:.2f}", f"{size}.000"] for i in range(LEVELS)]

    ts = START_MS + u
    return orjson.dumps(
        {
            "topic": TOPIC,
            "type": "snapshot",
            "ts": ts,
            "data": {
                "s": "BTCUSDT",
                "b": side(best_tick, -1, bid_size),
                "a": side(best_tick + 1, 1, 1),
                "u": u,
                "seq": u,
            },
            "cts": ts,
        }
    )


class Path:
    """Everything between the listener and the gateway, for one instrument."""

    def __init__(self) -> None:
        signals = SignalSet(1, lookback=20, sample_ms=0)
        self.decoder = BookDecoder(signals=signals)
        book = self.decoder.add_book(TOPIC, index=0, price_scale=2, qty_scale=3)
        orders = Orders("n1")
        self.engine = Engine(
            [INSTRUMENT],
            [book],
            signals,
            [MeanReversion()],
            RiskGate(LIMITS),
            Executor(orders),
            orders,
            Portfolio([INSTRUMENT], balance=Decimal(100_000)),
            Journal(),
            ManualClock(),
        )
        self.engine.reconciled(0)

    def run(self, frame: bytes, now_ns: int) -> list[bytes]:
        self.decoder.apply(frame, now_ns)
        commands = self.engine.on_books(self.decoder.touched(), now_ns)
        return [create_body(INSTRUMENT, c) for c in commands if isinstance(c, PlaceOrder)]


CALM = [quote(u, 5000 + u % 2) for u in range(1, QUIET + 1)]
FALL = quote(QUIET + 1, 4980, bid_size=9)


def primed() -> Path:
    path = Path()
    for u, frame in enumerate(CALM, 1):
        assert path.run(frame, u * SECOND_NS) == []
    return path


def test_frame_that_leads_to_an_order(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "engine, one frame of 50 + 50 levels"

    def setup() -> tuple[tuple[Path], dict[str, object]]:
        return (primed(),), {}

    def act(path: Path) -> list[bytes]:
        return path.run(FALL, (QUIET + 1) * SECOND_NS)

    sent = benchmark.pedantic(act, setup=setup, rounds=300)  # type: ignore[no-untyped-call]

    (body,) = sent
    order = orjson.loads(body)
    assert (order["symbol"], order["side"]) == ("BTCUSDT", "Buy")
    assert 498.0 < float(order["price"]) < 499.0


def test_frame_that_leads_to_none(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "engine, one frame of 50 + 50 levels"
    path = primed()

    sent = benchmark(path.run, CALM[0], (QUIET + 1) * SECOND_NS)

    assert sent == []
    assert path.engine.stats.orders == 0
