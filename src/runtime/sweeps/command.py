"""`fastbook sweep`: points in, runs somewhere, a table and a page out."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import orjson

from fastbook._version import __version__
from fastbook.errors import ConfigError, DataFileError
from fastbook.types import Instrument

from ..backtest import FEED_MS_ASSUMED, BacktestOptions, find_instruments, fit_config, look_at
from ..backtest_command import options_of
from ..config import Config, load
from ..data_files import expand
from ..logs import set_up_logging
from ..output import counted, print_json, to_json
from ..strategies import build_strategies
from .cluster import Cluster
from .page import page
from .params import SWEPT, Axis, Point, at_random, grid, read_axes, variable
from .pool import Processes, cores
from .results import Results, columns, csv_text
from .store import WINDOWS_LIST, Store, write_whole
from .windows import Window, cut, digest_of
from .work import configure, job_of

Json = dict[str, Any]
"""Any: a JSON document."""
PROGRESS_S = 0.5
FAILURES_SHOWN_MAX = 5
WINDOWS_FOLDER = "windows"
RUNS_MAX = 200_000
TABLE, PARQUET, PAGE = "table.csv", "table.parquet", "sweep.html"


class Place(Protocol):
    """Where runs are made."""

    died: int
    """Workers that died under a run."""

    @property
    def where(self) -> str: ...

    def results(self, tasks: Iterable[Json]) -> Iterator[Json]:
        """Each task's record, in any order."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A sweep before its first run."""

    points: list[Point]
    config: Config
    files: list[Path]
    instruments: list[Instrument]
    options: BacktestOptions
    job: Json
    spec: Json


def sweep(args: argparse.Namespace) -> int:
    """Run, print, write; 0, or 1 when every point has failed."""
    set_up_logging(args.log_level)
    folder = args.out if args.out is not None else Path("sweeps") / args.config.stem
    folder = folder.resolve()  # workers of a cluster have another working directory
    plan = plan_of(args, folder)
    started_s = time.monotonic()
    progress = Progress(shown=sys.stderr.isatty() and not args.json)
    with Store(folder, plan.spec, resume=args.resume) as store:
        windows = _windows(plan, folder, args, progress)
        tasks = [
            {"point": n, "window": w, "params": point}
            for n, point in enumerate(plan.points)
            for w in range(len(windows))
            if (n, w) not in store.records
        ]
        kept = len(store.records)
        if tasks:
            place = _place(args, plan.job, folder)
            _perform(place, tasks, store, progress)
        results = Results(
            plan.points,
            windows,
            store.records,
            objective=args.objective,
            anchored=args.anchored,
        )
        title = f"Sweep of {args.config.name} on {', '.join(p.name for p in args.data)}"
        summary = _write(results, folder, title)
    summary |= {"runs": len(tasks), "kept": kept, "seconds": round(time.monotonic() - started_s, 3)}
    if args.json:
        print_json(summary, indent=True)
    else:
        _print(summary)
    _tell_failures(results)
    return 0 if results.done else 1


# --- before ---


def plan_of(args: argparse.Namespace, folder: Path) -> Plan:
    """Everything checked that can be checked before the first run. Raises `ConfigError`."""
    axes = read_axes(args.param, at_random=args.random is not None)
    points = grid(axes) if args.random is None else at_random(axes, args.random, args.seed)
    windows = args.folds + 1
    if len(points) * windows > RUNS_MAX:
        raise ConfigError(
            f"{len(points):,} points on {windows} windows are more than {RUNS_MAX:,} runs"
        )
    config = load(args.config)
    if config.risk is None:
        raise ConfigError("no [risk] section: without limits there is no trading")
    options = options_of(args)
    files = expand(args.data)
    head = look_at(files)
    config = fit_config(config, head)
    instruments = find_instruments(config, files, options.instruments)
    if options.feed_latency_ns is None:
        assumed = () if head.stamped else (FEED_MS_ASSUMED * 1_000_000,)
        options = dataclasses.replace(options, feed_latency_ns=assumed)
    paths = [folder / WINDOWS_FOLDER / f"window-{n:02d}.frames.zst" for n in range(windows)]
    text = args.config.read_text(encoding="utf-8")
    environ = _environ(os.environ)
    place = args.config.parent.resolve()
    job = job_of(text, str(args.config), place, environ, config, instruments, options, paths)
    _check_values(job, axes, points)
    spec = {
        "fastbook": __version__,
        "configuration": _digest(text, environ, config),
        "data": [[path.name, path.stat().st_size, digest_of(path)] for path in files],
        "parameters": list(args.param),
        "random": args.random,
        "seed": args.seed,
        "folds": args.folds,
        "skip_damaged": args.skip_damaged,
        "assumptions": job["options"],
        "instruments": job["instruments"],
    }
    return Plan(points, config, files, instruments, options, job, spec)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the environment a backtest's configuration reads; no addresses, no passwords."""
    wanted = tuple(f"FASTBOOK__{name.upper()}__" for name in SWEPT)
    also = (variable("venue.category"), variable("execution.paper_balance"))
    return {k: v for k, v in sorted(environ.items()) if k.startswith(wanted) or k in also}


def _digest(text: str, environ: dict[str, str], config: Config) -> str:
    """Of the file, the environment and the users' own strategies."""
    digest = hashlib.sha256(text.encode())
    digest.update(orjson.dumps(environ))
    for own in config.strategy.own.values():
        digest.update(own.file.read_bytes())
    return digest.hexdigest()


def _check_values(job: Json, axes: Sequence[Axis], points: Sequence[Point]) -> None:
    """Every value must be right in some point; else `ConfigError` says what is wrong with it.

    Points whose values do not go together are for the table: as failed.
    """
    unproven = {(key, value): "" for point in points for key, value in point.items()}
    for point in points:
        pairs = [pair for pair in point.items() if pair in unproven]
        if not pairs:
            continue
        try:
            build_strategies(configure(job, point))
        except ConfigError as e:
            for pair in pairs:
                unproven[pair] = unproven[pair] or str(e)
            continue
        for pair in point.items():
            unproven.pop(pair, None)
    if unproven:
        # One wrong value takes every other one of a small grid with it: tell of the guilty.
        guilty = [why for (key, _), why in unproven.items() if key in why]
        raise ConfigError((guilty or list(unproven.values()))[0])


def _windows(
    plan: Plan, folder: Path, args: argparse.Namespace, progress: Progress
) -> list[Window]:
    """As they were cut before, or cut now."""
    known = folder / WINDOWS_LIST
    if known.exists():
        windows = [Window(**one) for one in orjson.loads(known.read_bytes())]
        for window in windows:
            if not (folder / WINDOWS_FOLDER / window.file).exists():
                raise DataFileError(str(folder / WINDOWS_FOLDER / window.file), "is not there")
        return windows
    damaged: list[DataFileError] = []
    windows = cut(
        plan.config,
        plan.instruments,
        plan.files,
        folder / WINDOWS_FOLDER,
        args.folds + 1,
        on_damage=damaged.append if args.skip_damaged else None,
        on_progress=progress.say,
    )
    for error in damaged[:FAILURES_SHOWN_MAX]:
        progress.note(f"left out: {error}")
    write_whole(known, to_json([asdict(window) for window in windows], indent=True))
    return windows


# --- the runs ---


def _place(args: argparse.Namespace, job: Json, folder: Path) -> Place:
    if args.cluster is not None:
        return Cluster(job, args.cluster, folder)
    return Processes(job, args.workers or cores())


def _perform(place: Place, tasks: Sequence[Json], store: Store, progress: Progress) -> None:
    progress.begin(len(tasks), place.where)
    results = place.results(tasks)
    try:
        for record in results:
            store.add(record)
            progress.step(failed="failed" in record)
    except KeyboardInterrupt:
        progress.note(f"{counted(progress.done, 'run')} kept; --resume goes on")
        raise
    finally:
        results.close()  # type: ignore[attr-defined]  # both places are generators
        progress.end()
    if place.died:
        progress.note(f"{counted(place.died, 'worker')} died; the runs were repeated")


class Progress:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._total = self.done = self._failed = 0
        self._where = ""
        self._started_s = self._due_s = 0.0

    def begin(self, total: int, where: str) -> None:
        self._total, self._where = total, where
        self._started_s = time.monotonic()
        self.say(f"{counted(total, 'run')} on {where}")

    def step(self, *, failed: bool) -> None:
        self.done += 1
        self._failed += failed
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + PROGRESS_S
        rate = self.done / max(now_s - self._started_s, 1e-9)
        left_s = (self._total - self.done) / rate
        text = f"{self.done:,} of {self._total:,} runs, {rate:.2g}/s, {left_s:,.0f} s left"
        self.say(text + (f", {self._failed:,} failed" if self._failed else ""))

    def say(self, text: str) -> None:
        if self._shown:
            print(f"\rfastbook: {text}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.end()
        print(f"fastbook: {text}", file=sys.stderr)


# --- after ---


def _write(results: Results, folder: Path, title: str) -> Json:
    """Table and page; the summary, with their places."""
    rows, summary = results.rows(), results.summary()
    write_whole(folder / TABLE, csv_text(rows).encode())
    write_whole(folder / PAGE, page(results, summary, rows, title).encode())
    parquet = _write_parquet(folder / PARQUET, rows)
    return summary | {
        "table": str(folder / TABLE),
        "parquet": str(folder / PARQUET) if parquet else None,
        "report": str(folder / PAGE),
    }


def _write_parquet(path: Path, rows: Sequence[Json]) -> bool:
    """Where pyarrow is there."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        return False
    draft = path.with_suffix(".part")
    pyarrow.parquet.write_table(pyarrow.table(columns(rows)), draft)
    draft.rename(path)
    return True


def _print(s: Json) -> None:
    kept = f", {s['kept']:,} were there" if s["kept"] else ""
    print(f"{s['points']:,} points on {counted(len(s['windows']), 'window')}:"
          f" {counted(s['runs'], 'run')} in {s['seconds']:,.1f} s{kept}")  # fmt: skip
    best, walk = s["best"], s["walk_forward"]
    if best is None:
        print(f"no point has a {s['objective']}: too few trades or too little data")
    else:
        params = ", ".join(f"{k}={v}" for k, v in best["params"].items())
        print(f"best in sample: point {best['point']}, {params}")
        print(f"  net P&L {best['net_pnl']:,.2f}, Sharpe {_ratio(best['sharpe'])}; of {s['trials']:,}"
              f" worthless trials the best would have {_ratio(s['expected_best_sharpe'])}")  # fmt: skip
        print(f"  deflated Sharpe ratio {_ratio(best['deflated_sharpe'], '.1%')}")
    if walk is not None:
        chosen = sum(fold["point"] is not None for fold in walk["folds"])
        print(f"walk-forward: net P&L {walk['net_pnl']:,.2f}, Sharpe {_ratio(walk['sharpe'])}"
              f" ({chosen} of {counted(len(walk['folds']), 'fold')} had a choice)")  # fmt: skip
    if not math.isnan(s["overfitting"]):
        print(f"probability of overfitting {s['overfitting']:.0%}")
    print(f"table: {s['table']}\nreport: {s['report']}")


def _ratio(value: float, form: str = ",.2f") -> str:
    return "-" if math.isnan(value) else format(value, form)


def _tell_failures(results: Results) -> None:
    failed = [t for t in results.tried if t.failed]
    for tried in failed[:FAILURES_SHOWN_MAX]:
        print(f"fastbook: point {tried.number} failed: {tried.failed}", file=sys.stderr)
    if len(failed) > FAILURES_SHOWN_MAX:
        more = len(failed) - FAILURES_SHOWN_MAX
        print(f"fastbook: {counted(more, 'more point')} failed: see the table", file=sys.stderr)
