"""The examples do what they say. (The compiled one is built by tests/embed.)"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

from tests.reference.wire import book_frame
from tests.support_decide import SECOND, fill, instrument, limits, row_of

from fastbook import BookDecoder, Engine, Executor, Orders, Portfolio, RiskGate, SignalSet
from fastbook.clock import ManualClock
from fastbook.journal import Journal
from fastbook.runtime.assembly import build_strategies
from fastbook.runtime.config import load
from fastbook.types import Command, PlaceOrder, Side

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
TOPIC = "orderbook.50.BTCUSDT"
START_MS = 1_700_000_000_000


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


class Desk:
    """The engine around one strategy, fed by frames of ours."""

    def __init__(self) -> None:
        unit = instrument()
        self.signals = SignalSet(1)
        self.decoder = BookDecoder([unit], signals=self.signals)
        book = self.decoder.add_book(TOPIC, index=0)
        self.orders = Orders("n1")
        self.engine = Engine(
            [unit],
            [book],
            self.signals,
            [module("custom_strategy").BidWall()],
            RiskGate(limits()),
            Executor(self.orders),
            self.orders,
            Portfolio([unit], balance=Decimal(100_000)),
            Journal(),
            ManualClock(),
        )
        self.engine.reconciled(0)
        self.u = 0

    def quote(self, bid_qty: str, ask_qty: str) -> list[Command]:
        self.u += 1
        bids, asks = [("500.00", bid_qty)], [("500.10", ask_qty)]
        now_ns = self.u * SECOND
        frame = book_frame("snapshot", bids, asks, self.u, ts=START_MS + self.u * 1000)
        self.decoder.apply(frame, now_ns)
        return self.engine.on_books(self.decoder.touched(), now_ns)

    def filled(self, order: PlaceOrder, exec_id: str) -> None:
        now_ns = self.u * SECOND + 1
        done = fill(exec_id, order.client_id, side=order.side, px=order.px, qty=order.qty)
        self.engine.on_event(done, now_ns)
        row = row_of(order.client_id, "Filled", qty=order.qty, cum_qty=order.qty, px=order.px)
        self.engine.on_event(row, now_ns)


def test_custom_strategy_enters_and_leaves() -> None:
    desk = Desk()
    assert desk.quote("1", "1") == []

    (entry,) = desk.quote("9", "1")

    assert isinstance(entry, PlaceOrder)
    assert (entry.side, entry.px, entry.reduce_only) == (Side.BUY, 50_010, False)
    assert entry.qty > 0
    assert desk.quote("9", "1") == []  # it waits for what becomes of the first
    desk.filled(entry, "e1")
    assert desk.quote("9", "1") == []

    (exit_,) = desk.quote("1", "9")

    assert isinstance(exit_, PlaceOrder)
    assert (exit_.side, exit_.px, exit_.reduce_only) == (Side.SELL, 50_000, True)
    assert exit_.qty == entry.qty
    desk.filled(exit_, "e2")
    assert desk.quote("1", "9") == []


def test_embed_python_runs_with_the_library_alone() -> None:
    # -S would hide the package; what must not be there is named instead.
    code = "import runpy, sys; sys.modules.update(dict.fromkeys(('aiohttp', 'picows', 'uvloop')))"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}; runpy.run_path({str(EXAMPLES / 'embed_python.py')!r}, run_name='__main__')",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, last = lines = done.stdout.splitlines()
    assert any(line.startswith("frame 120: an update was lost") for line in lines)
    assert last == "BTCUSDT is SYNCED at u 200, 1 gap"


def test_runtime_toml_loads() -> None:
    config = load(EXAMPLES / "runtime.toml", environ={})
    assert config.risk is not None
    assert config.venue.environment == "simulator"


def test_custom_strategy_runs_by_configuration() -> None:
    config = load(EXAMPLES / "custom_strategy.toml", {})
    maker, own = build_strategies(config)
    assert (maker.name, maker.symbols) == ("maker", frozenset({"ETHUSDT"}))
    assert (own.name, own.symbols) == ("bidwall", frozenset({"BTCUSDT"}))
    assert vars(own)["params"].enter == 0.5
    assert own.stop_loss_pct == 0.5
