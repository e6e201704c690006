"""Fill models against the exchange: the orders of a live run, sent again into its recording.

Run: python -m bench.fill_models [--seconds 60] [--keep DIR]

The bundled market maker and the mean reversion trade on the bundled exchange, which matches orders
one by one, and everything is recorded. Then each queue model gets the same commands at the same
times, against the recorded market data, and its fills are compared with those that there were.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastbook.bybit.trades import parse_trades
from fastbook.errors import ConfigError
from fastbook.replay._cursor import FrameCursor, Step
from fastbook.replay.backtest.latency import Latency
from fastbook.replay.backtest.queues import Queue
from fastbook.replay.backtest.venue import Assumptions, SimVenue
from fastbook.replay.backtest.wire import NEVER_NS, Wire
from fastbook.runtime.assembly import build_market
from fastbook.runtime.backtest_command import recorded_latencies
from fastbook.runtime.config import parse
from fastbook.runtime.data_files import chunks, expand
from fastbook.runtime.output import print_json
from fastbook.runtime.recording.codec import from_plain
from fastbook.runtime.recording.reader import Recording
from fastbook.types import AmendOrder, CancelAll, CancelOrder, Execution, Instrument, PlaceOrder

CONFIG = """
[venue]
environment = "simulator"
[market_data]
symbols = [{symbols}]
depth = 50
[strategy.mean_reversion]
symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
[strategy.market_maker]
enabled = true
half_spread_bps = 0.2
volatility_share = 0.0
size_notional = 4000.0
inventory_notional_max = 9000.0
requote_ms = 200
requote_bps = 0.3
symbols = ["XRPUSDT", "DOGEUSDT", "LTCUSDT", "ADAUSDT"]
[risk]
position_pct_max = 10.0
exposure_pct_max = 90.0
daily_loss_pct_max = 50.0
leverage_max = 10.0
"""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "LTCUSDT", "ADAUSDT")

Command = PlaceOrder | AmendOrder | CancelOrder | CancelAll


@dataclass(slots=True)
class Fills:
    """What orders came to."""

    by_order: dict[str, int] = field(default_factory=dict)
    cash: Decimal = Decimal(0)
    held: dict[int, int] = field(default_factory=dict)

    def add(self, fill: Execution, one: Instrument) -> None:
        if fill.exec_type != "Trade":
            return
        self.by_order[fill.client_id] = self.by_order.get(fill.client_id, 0) + fill.qty
        self.held[fill.instrument] = self.held.get(fill.instrument, 0) + fill.side * fill.qty
        self.cash -= fill.side * one.notional(fill.px, fill.qty) + fill.fee

    def figures(self, orders: Iterable[PlaceOrder], mids: list[float], ones: list[Instrument]) -> dict[str, Any]:  # fmt: skip
        """Any: JSON. Fill ratio by value at the limit price; what is held counts at the last mid."""
        ordered = filled = Decimal(0)
        touched = 0
        for order in orders:
            one = ones[order.instrument]
            ordered += one.notional(order.px, order.qty)
            got = min(self.by_order.get(order.client_id, 0), order.qty)
            filled += one.notional(order.px, got)
            touched += got > 0
        worth = sum(float(ones[i].qty_decimal(q)) * mids[i] for i, q in self.held.items())
        return {
            "orders_with_fills": touched,
            "fill_ratio": round(float(filled / ordered), 4) if ordered else None,
            "net_pnl": round(float(self.cash) + worth, 4),
        }


@dataclass(slots=True)
class Run:
    """A recorded run: what was sent when, and what it came to."""

    config: Any
    instruments: list[Instrument]
    commands: list[tuple[int, Command]]
    fills: Fills


def read(folder: Path) -> Run:
    entries = Recording(folder).entries()
    start = from_plain(next(entries).value)
    config = parse(start["config"], name="recorded", environ={})
    ones: list[Instrument] = start["instruments"]
    commands: list[tuple[int, Command]] = []
    fills, seen = Fills(), set[str]()
    for entry in entries:
        if entry.kind == "journal":
            for kind, at_ns, value in entry.value:
                if kind == "command" and value["type"] in (
                    "PlaceOrder",
                    "AmendOrder",
                    "CancelOrder",
                    "CancelAll",
                ):
                    commands.append((at_ns, from_plain(value)))
        elif entry.kind == "event" and entry.value["type"] == "Execution":
            fill = from_plain(entry.value)
            if fill.exec_id not in seen:
                seen.add(fill.exec_id)
                fills.add(fill, ones[fill.instrument])
    return Run(config, ones, commands, fills)


def again(
    folder: Path, run: Run, assumed: Assumptions, latency: list[int]
) -> tuple[Fills, list[float]]:
    """The same commands into the recording of their market."""
    market = build_market(run.config, run.instruments)
    cursor = FrameCursor(market.decoder, trades=True)
    venue = SimVenue(run.instruments, market.books, assumed, balance=Decimal(10_000_000))
    wire = Wire(venue, Latency(latency), Latency(latency), lambda: cursor.delay_ns)
    fills = Fills()
    waiting = sorted(run.commands, key=lambda c: c[0])[::-1]
    by_symbol = {i.symbol: i for i in run.instruments}

    def due() -> int:
        return min(wire.due_ns, waiting[-1][0] if waiting else NEVER_NS)

    for _, lines in chunks(expand([folder])):
        cursor.feed(lines)
        while (why := cursor.step(due())) != Step.STEP_MORE:
            if why == Step.STEP_DUE:
                while due() < cursor.next_ns:
                    if waiting and waiting[-1][0] <= wire.due_ns:
                        at_ns, command = waiting.pop()
                        wire.send([command], at_ns)
                        continue
                    _, events = wire.take()
                    for event in events:
                        if isinstance(event, Execution):
                            fills.add(event, run.instruments[event.instrument])
            elif why == Step.STEP_READ:
                wire.on_books(market.decoder.touched(), cursor.recv_ns)
            elif why == Step.STEP_MESSAGE:
                message = market.decoder.message or {}
                if str(message.get("topic", "")).startswith("publicTrade."):
                    wire.on_trades(parse_trades(message, by_symbol), cursor.recv_ns)
    while wire.due_ns < NEVER_NS:
        for event in wire.take()[1]:
            if isinstance(event, Execution):
                fills.add(event, run.instruments[event.instrument])
    return fills, [book.mid for book in market.books]


def compare(folder: Path) -> dict[str, Any]:  # Any: JSON
    run = read(folder)
    orders = [c for _, c in run.commands if isinstance(c, PlaceOrder)]
    if not orders:
        raise ConfigError(f"{folder} has no orders")
    resting = [o for o in orders if o.tif.value == "PostOnly"]
    taking = [o for o in orders if o.tif.value != "PostOnly"]
    latency = recorded_latencies(folder)
    found: dict[str, Any] = {
        "orders": {"resting": len(resting), "taking": len(taking)},
        "order_latency_ms": round(sorted(latency)[len(latency) // 2] / 1e6, 3),
    }
    mids: list[float] = []
    rows: dict[str, Fills] = {}
    for queue in Queue:
        rows[queue.value], mids = again(folder, run, Assumptions(name="t", queue=queue), latency)
    rows = {"exchange": run.fills} | rows
    for name, fills in rows.items():
        found[name] = {
            "resting": fills.figures(resting, mids, run.instruments),
            "taking": fills.figures(taking, mids, run.instruments),
        }
        for part in ("resting", "taking"):
            del found[name][part]["net_pnl"]
        found[name]["net_pnl"] = fills.figures(orders, mids, run.instruments)["net_pnl"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--recorded", type=Path, help="a recorded run, instead of a new one")
    args = parser.parse_args()
    if args.recorded is not None:
        print_json(compare(args.recorded), indent=True)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.toml"
        config.write_text(CONFIG.format(symbols=", ".join(f'"{s}"' for s in SYMBOLS)))
        command = [sys.executable, "-m", "fastbook.runtime", "run", config, "--json"]
        command += ["--record", Path(folder) / "run", "--seconds", str(args.seconds)]
        subprocess.run(
            [str(part) for part in command], check=True, cwd=folder, stdout=subprocess.DEVNULL
        )
        print_json(compare(Path(folder) / "run"), indent=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
