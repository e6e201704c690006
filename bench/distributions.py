"""What the simulated feed looks like, in the measures of a recorded one.

    python -m bench.distributions --recorded feed-statistics.json --chart docs/distributions.svg

Plays the bundled exchange in virtual time, measures its frames as the recorded ones were
measured (the statistics hold aggregates, no recorded data), prints both as a table and draws
them. Quantiles as in numpy's default method.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import correlation, fmean
from typing import Any

import numpy as np
import orjson

from bench.distribution_chart import draw
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.virtual import VirtualExchange

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")
DEPTH = 200
SEED = 7
SECONDS = 120.0
QUANTILES = (5, 10, 25, 50, 75, 90, 95, 99)
RANKS = ("0", "1", "2-4", "5-9", "10-19", "20-49", "50-99", "100-199")
RANK_STARTS = (0, 1, 2, 5, 10, 20, 50, 100)
Json = dict[str, Any]
"""Any: statistics as JSON."""


@dataclass
class Measured:
    """One order book topic, frame by frame, and the trades of its symbol."""

    tick: float
    sides: dict[str, dict[str, str]] = field(default_factory=lambda: {"b": {}, "a": {}})
    frame_bytes: list[int] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    spreads: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    trade_sizes: list[float] = field(default_factory=list)
    trade_frames: list[int] = field(default_factory=list)
    snapshot_sizes: list[float] = field(default_factory=list)

    def on_book(self, payload: bytes) -> None:
        frame = orjson.loads(payload)
        data = frame["data"]
        if frame["type"] == "snapshot":
            for name in self.sides:
                self.sides[name] = dict(data[name])
                self.snapshot_sizes += [float(qty) for _, qty in data[name]]
            return
        self.frame_bytes.append(len(payload))
        self.levels.append(len(data["b"]) + len(data["a"]))
        self.stamps.append(frame["ts"])
        for name, side in self.sides.items():
            self._take(name, side, data[name])
        bid, ask = max(map(float, self.sides["b"])), min(map(float, self.sides["a"]))
        self.spreads.append(round((ask - bid) / self.tick))

    def _take(self, name: str, side: dict[str, str], changes: Sequence[Sequence[str]]) -> None:
        sign = -1.0 if name == "b" else 1.0
        before = np.sort([sign * float(px) for px in side])
        for px, qty in changes:
            rank = int(np.searchsorted(before, sign * float(px)))
            if qty == "0":
                self.operations["delete"] += 1
                del side[px]
            elif px in side:
                self.operations["modify"] += 1
                self.ranks.append(rank)
                self.ratios.append(float(np.log(float(qty) / float(side[px]))))
                side[px] = qty
            else:
                self.operations["insert"] += 1
                side[px] = qty

    def on_trades(self, payload: bytes) -> None:
        rows = orjson.loads(payload)["data"]
        self.trade_frames.append(len(rows))
        self.trade_sizes += [float(row["v"]) for row in rows]

    def as_json(self, seconds: float) -> Json:
        """In the shape of the recorded statistics, as far as they are compared."""
        total = sum(self.operations.values())
        gaps = np.diff(self.stamps)
        histogram = Counter(int(np.searchsorted(RANK_STARTS, r, "right")) - 1 for r in self.ranks)
        return {
            "frame_bytes": {"delta": spread_of(self.frame_bytes)},
            "levels_per_delta": {
                "total": spread_of(self.levels),
                "lag1_autocorrelation_of_total": correlation(self.levels[:-1], self.levels[1:]),
            },
            "operations": {k: self.operations[k] / total for k in ("modify", "insert", "delete")},
            "rank_before_frame": {
                "modify": {
                    "histogram": {
                        name: histogram[i] / len(self.ranks) for i, name in enumerate(RANKS)
                    }
                }
            },
            "log_size_ratio_of_modify": spread_of(self.ratios),
            "inter_frame_ms": {"ts": spread_of(gaps)},
            "spread_ticks": spread_of(self.spreads),
            "snapshot_level_size": spread_of(self.snapshot_sizes),
            "trades_per_s": len(self.trade_sizes) / seconds,
            "trade_size": spread_of(self.trade_sizes),
        }


def spread_of(values: Sequence[float] | np.ndarray[Any, Any]) -> Json:
    return {f"p{q}": float(np.percentile(values, q)) for q in QUANTILES} | {"mean": fmean(values)}


def simulated(seconds: float, seed: int) -> dict[str, Json]:
    """Statistics of each of SYMBOLS, with the exchange's own cadence."""
    sim = VirtualExchange(SimulatorOptions(symbols=7, seed=seed))
    found = {}
    for symbol in SYMBOLS:
        instrument = sim.venue.instrument("linear", symbol)
        found[symbol] = Measured(float(instrument.px_decimal(instrument.tick)))
        sim.subscribe(f"publicTrade.{symbol}", found[symbol].on_trades)
        sim.subscribe(f"orderbook.{DEPTH}.{symbol}", found[symbol].on_book)
    sim.run_for(seconds)
    return {symbol: measured.as_json(seconds) for symbol, measured in found.items()}


def recorded(path: Path) -> dict[str, Json]:
    """The same of the recordings: linear, depth 200."""
    statistics = json.loads(path.read_bytes())
    spans: dict[str, float] = defaultdict(float)
    found = {}
    for row in statistics["bybit"]:
        _, depth, symbol = row["topic"].split(".")
        if row["category"] == "linear" and int(depth) == DEPTH and symbol in SYMBOLS:
            found[symbol], spans[symbol] = dict(row), row["span_s"]
    for row in statistics["bybit_trades"]:
        symbol = row["topic"].partition(".")[2]
        if row["category"] == "linear" and symbol in found:
            found[symbol]["trade_size"] = row["size"]
            found[symbol]["trades_per_s"] = row["trades"] / spans[symbol]
    return found


ROWS = {
    "bytes of a delta, mean": ("frame_bytes", "delta", "mean"),
    "bytes of a delta, median": ("frame_bytes", "delta", "p50"),
    "levels in a delta, mean": ("levels_per_delta", "total", "mean"),
    "levels in a delta, median": ("levels_per_delta", "total", "p50"),
    "levels in a delta, 99 %": ("levels_per_delta", "total", "p99"),
    "autocorrelation of it, lag 1": ("levels_per_delta", "lag1_autocorrelation_of_total"),
    "share of modifies": ("operations", "modify"),
    "share of modifies at the best 5": (),
    "milliseconds between deltas, mean": ("inter_frame_ms", "ts", "mean"),
    "spread in ticks, mean": ("spread_ticks", "mean"),
    "size of a level, median": ("snapshot_level_size", "p50"),
    "size of a trade, median": ("trade_size", "p50"),
    "trades a second": ("trades_per_s",),
}


def value_of(statistics: Json, path: Sequence[str]) -> float:
    if not path:
        histogram = statistics["rank_before_frame"]["modify"]["histogram"]
        return sum(float(histogram.get(name, 0.0)) for name in RANKS[:3])
    value: Any = statistics  # Any: JSON
    for key in path:
        value = value[key]
    return float(value)


def table(ours: dict[str, Json], theirs: dict[str, Json]) -> str:
    """Markdown: simulated / recorded."""
    lines = [
        "| simulated / recorded | " + " | ".join(SYMBOLS) + " |",
        "|---|" + "---|" * len(SYMBOLS),
    ]
    for name, path in ROWS.items():
        cells = [
            f"{value_of(ours[s], path):.3g} / {value_of(theirs[s], path):.3g}" for s in SYMBOLS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    ours, theirs = simulated(args.seconds, SEED), recorded(args.recorded)
    print(table(ours, theirs))
    if args.chart is not None:
        args.chart.write_text(draw(ours, theirs, SYMBOLS))


if __name__ == "__main__":
    main()
