"""From the records of a sweep to its table and to what can be said about the best of it.

Everything here depends on the records alone, not on the order or the place they were made in.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import figures
from .figures import Moments
from .params import Point
from .windows import Window

Json = dict[str, Any]
"""Any: a JSON document."""
OBJECTIVES = ("sharpe", "sortino", "net_pnl")
MINUTE_S, SECOND_S = 60, 1


@dataclass(frozen=True, slots=True)
class Run:
    """One point on one window."""

    orders: int
    fills: int
    fees: Decimal
    net_pnl: Decimal
    pessimistic_pnl: Decimal
    optimistic_pnl: Decimal
    max_drawdown: float
    returns: Mapping[int, Moments]


@dataclass(frozen=True, slots=True)
class Tried:
    """A point with its runs, one a window; `failed` says why there are none."""

    number: int
    params: Point
    runs: tuple[Run, ...]
    failed: str = ""


class Results:
    """A whole sweep.

    Parameters
    ----------
    points, windows
        As they were swept.
    records : mapping of (point, window) to record
    objective : str
        What the best point has most of: sharpe, sortino or net_pnl.
    anchored : bool
        Train on all windows before the one that tests, instead of the last one.
    """

    def __init__(
        self,
        points: Sequence[Point],
        windows: Sequence[Window],
        records: Mapping[tuple[int, int], Json],
        *,
        objective: str,
        anchored: bool,
    ) -> None:
        self.windows = windows
        self.objective = objective
        self.anchored = anchored
        self.tried = [
            _tried(number, params, [records[number, w] for w in range(len(windows))])
            for number, params in enumerate(points)
        ]
        self.done = [t for t in self.tried if not t.failed]
        self.step_s = self._step()

    def _step(self) -> int:
        """The longest step of which every window has enough; the same for all points."""
        runs = [run for t in self.done for run in t.runs]
        enough = all(run.returns[MINUTE_S].n >= figures.RETURNS_MIN for run in runs)
        return MINUTE_S if runs and enough else SECOND_S

    # --- figures of one point on some windows ---

    def returns(self, tried: Tried, windows: Sequence[int]) -> Moments:
        return figures.merged([tried.runs[w].returns[self.step_s] for w in windows])

    def score(self, tried: Tried, windows: Sequence[int]) -> float:
        """By the objective; nan when there is none. Ratios are those of a year."""
        if self.objective == "net_pnl":
            return float(net_pnl(tried, windows))
        returns = self.returns(tried, windows)
        ratio = returns.sharpe if self.objective == "sharpe" else returns.sortino
        return figures.per_year(ratio, self.step_s)

    def best(self, windows: Sequence[int]) -> Tried | None:
        """The first of those that score most; None when none has a score."""
        scored = [(self.score(t, windows), -t.number, t) for t in self.done]
        known = [one for one in scored if not math.isnan(one[0])]
        return max(known, key=lambda one: one[:2])[2] if known else None

    # --- the whole ---

    @property
    def all_windows(self) -> range:
        return range(len(self.windows))

    def sharpes(self) -> list[float]:
        """Of one step, of every trial that has one."""
        found = (self.returns(t, self.all_windows).sharpe for t in self.done)
        return [s for s in found if not math.isnan(s)]

    def rows(self) -> list[Json]:
        """The table: a row a point, in order."""
        sharpes = self.sharpes()
        return [self._row(t, sharpes) for t in self.tried]

    def _row(self, t: Tried, sharpes: Sequence[float]) -> Json:
        row: Json = {"point": t.number, **t.params, "status": "failed" if t.failed else "done"}
        names = [f"w{w}_{name}" for w in self.all_windows for name in ("net_pnl", "sharpe")]
        if t.failed:
            return row | dict.fromkeys([*TOTALS, *names]) | {"reason": t.failed}
        every = self.all_windows
        returns = self.returns(t, every)
        row |= {
            "net_pnl": net_pnl(t, every),
            "pessimistic_pnl": _total(t, every, lambda r: r.pessimistic_pnl),
            "optimistic_pnl": _total(t, every, lambda r: r.optimistic_pnl),
            "fees": _total(t, every, lambda r: r.fees),
            "orders": sum(run.orders for run in t.runs),
            "fills": sum(run.fills for run in t.runs),
            "max_drawdown": max(run.max_drawdown for run in t.runs),
            "sharpe": self._yearly(returns.sharpe),
            "sortino": self._yearly(returns.sortino),
            "deflated_sharpe": figures.deflated_sharpe(returns, sharpes),
        }
        for w in every:
            row[f"w{w}_net_pnl"] = t.runs[w].net_pnl
            row[f"w{w}_sharpe"] = self._yearly(self.returns(t, [w]).sharpe)
        return row | {"reason": ""}

    def _yearly(self, sharpe: float) -> float:
        return figures.per_year(sharpe, self.step_s)

    def summary(self) -> Json:
        sharpes = self.sharpes()
        return {
            "points": len(self.tried),
            "done": len(self.done),
            "failed": len(self.tried) - len(self.done),
            "objective": self.objective,
            "step_s": self.step_s,
            "trials": len(sharpes),
            "windows": [
                {"first_ns": w.first_ns, "last_ns": w.last_ns, "frames": w.frames}
                for w in self.windows
            ],
            "best": self._best(sharpes),
            "expected_best_sharpe": self._yearly(figures.expected_best(sharpes)),
            "overfitting": figures.overfitting(
                {t.number: [r.returns[self.step_s] for r in t.runs] for t in self.done}
            ),
            "walk_forward": self.walk_forward(),
        }

    def _best(self, sharpes: Sequence[float]) -> Json | None:
        best = self.best(self.all_windows)
        if best is None:
            return None
        returns = self.returns(best, self.all_windows)
        return {
            "point": best.number,
            "params": dict(best.params),
            "net_pnl": net_pnl(best, self.all_windows),
            "sharpe": self._yearly(returns.sharpe),
            "deflated_sharpe": figures.deflated_sharpe(returns, sharpes),
        }

    def walk_forward(self) -> Json | None:
        """Each window but the first, traded with what the ones before would have chosen."""
        folds = []
        out_of_sample: list[Moments] = []
        total = Decimal(0)
        for test in range(1, len(self.windows)):
            train = range(test) if self.anchored else range(test - 1, test)
            chosen = self.best(train)
            fold: Json = {"train": list(train), "test": test, "point": None}
            if chosen is not None:
                out_of_sample.append(self.returns(chosen, [test]))
                total += net_pnl(chosen, [test])
                others = [self.score(t, [test]) for t in self.done]
                score = self.score(chosen, [test])
                fold |= {
                    "point": chosen.number,
                    "params": dict(chosen.params),
                    "train_score": self.score(chosen, train),
                    "test_score": score,
                    "test_net_pnl": net_pnl(chosen, [test]),
                    "better_in_test": sum(o > score for o in others),
                }
            folds.append(fold)
        if not folds:
            return None
        returns = figures.merged(out_of_sample)
        return {
            "folds": folds,
            "net_pnl": total,
            "sharpe": self._yearly(returns.sharpe),
            "probabilistic_sharpe": figures.probabilistic_sharpe(returns, 0.0),
        }


TOTALS = (
    *("net_pnl", "pessimistic_pnl", "optimistic_pnl", "fees", "orders", "fills"),
    *("max_drawdown", "sharpe", "sortino", "deflated_sharpe"),
)


def net_pnl(tried: Tried, windows: Sequence[int]) -> Decimal:
    return _total(tried, windows, lambda run: run.net_pnl)


def _total(tried: Tried, windows: Sequence[int], of: Callable[[Run], Decimal]) -> Decimal:
    return sum((of(tried.runs[w]) for w in windows), Decimal(0))


def _tried(number: int, params: Point, records: Sequence[Json]) -> Tried:
    for record in records:
        if "failed" in record:
            return Tried(number, params, (), record["failed"])
    return Tried(number, params, tuple(_run(record["figures"]) for record in records))


def _run(f: Json) -> Run:
    return Run(
        orders=f["orders"],
        fills=f["fills"],
        fees=Decimal(f["fees"]),
        net_pnl=Decimal(f["net_pnl"]),
        pessimistic_pnl=Decimal(f["pessimistic_pnl"]),
        optimistic_pnl=Decimal(f["optimistic_pnl"]),
        max_drawdown=f["max_drawdown"],
        returns={int(step): Moments(*values) for step, values in f["returns"].items()},
    )


def csv_text(rows: Sequence[Json]) -> str:
    """Unknown is empty; floats with all their digits, money exactly."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return format(value, "f") if isinstance(value, Decimal) else value


def columns(rows: Sequence[Json]) -> dict[str, list[object]]:
    """For Parquet: parameters that are numbers as numbers, money as floats."""
    found: dict[str, list[object]] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if "." in name:  # a parameter
            numbers = [_number(v) for v in values]
            found[name] = values if any(n is None for n in numbers) else list(numbers)
        else:
            found[name] = [float(v) if isinstance(v, Decimal) else v for v in values]
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
