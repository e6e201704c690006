"""`python -m tests.simulation SEEDS`: many seeds, on all cores; or one seed, in full."""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from .options import RARE, RATES, draw
from .simulation import Report, Simulation

PROGRESS_S = 5.0
FIRST_SEED = 1
COLLECT_EVERY = 8


def run_seed(seed: int, minutes: float) -> Report:
    """One seed from its options to its report."""
    return Simulation(draw(seed, minutes=minutes)).run()


def _work(task: tuple[int, float]) -> Report:
    seed, minutes = task
    report = run_seed(seed, minutes)
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    return report


def _begin() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone hears Ctrl-C
    run_seed(0, 0.05)  # whatever is made once
    gc.collect()
    gc.freeze()


def reports(seeds: range, minutes: float, jobs: int) -> Iterator[Report]:
    """As they come; in order with one job."""
    tasks = [(seed, minutes) for seed in seeds]
    if jobs == 1:
        run_seed(0, 0.05)
        gc.collect()
        gc.freeze()
        try:
            yield from map(_work, tasks)
        finally:
            gc.unfreeze()
        return
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, initializer=_begin) as pool:
        try:
            yield from pool.imap_unordered(_work, tasks, chunksize=1)
        except KeyboardInterrupt:
            pool.terminate()
            raise


class Summary:
    """Figures of many runs."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.started_s = time.monotonic()
        self.seeds = 0
        self.virtual_s = 0.0
        self.hits: Counter[str] = Counter()
        self.checks = self.orders = self.executions = self.processes = self.steps = 0
        self.failed: list[Report] = []

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.virtual_s += report.virtual_s
        self.hits.update(report.hits)
        self.checks += report.checks
        self.orders += report.orders
        self.executions += report.executions
        self.processes += report.processes
        self.steps += report.steps
        if report.violations:
            self.failed.append(report)

    def line(self) -> str:
        took_s = max(time.monotonic() - self.started_s, 1e-9)
        speed = self.virtual_s / took_s
        return (
            f"{self.seeds} seeds, {self.virtual_s / 3600:.2f} virtual hours in {took_s:.0f} s: "
            f"{speed:.0f} times real time ({speed / self.jobs:.0f} a process), "
            f"{sum(self.hits.values())} faults, {self.orders} orders, {self.executions} fills, "
            f"{self.processes} processes, {self.checks} checks, {len(self.failed)} failed"
        )


def show_failure(report: Report, minutes: float) -> None:
    print(f"seed {report.seed} FAILED")
    for text in report.violations[:5]:
        print(f"  {text}")
    print(f"  again: make simulate-faults SEED={report.seed} MINUTES={minutes:g}", flush=True)


def one(seed: int, minutes: float, *, lines: int) -> int:
    """One seed in full: its options, what was done to it, its last lines when it fails."""
    options = draw(seed, minutes=minutes)
    print("\n".join(options.lines()))
    simulation = Simulation(options)
    started_s = time.process_time()
    report = simulation.run()
    took_s = time.process_time() - started_s
    for name, count in sorted(report.hits.items()):
        print(f"  {count:6d} {name}")
    if report.violations:
        for at_s, what, content in list(simulation.trace.lines)[-lines:]:
            print(f"{at_s:10.4f} {what:10s} {content.decode('utf-8', 'replace')[:200]}")
    print(
        f"trace {report.digest}; {report.virtual_s:.1f} virtual seconds in {took_s:.2f} s of CPU, "
        f"{report.virtual_s / took_s:.0f} times real time; {report.orders} orders, "
        f"{report.executions} fills, {report.processes} processes, {report.checks} checks"
    )
    if report.violations:
        show_failure(report, minutes)
    return 1 if report.violations else 0


def many(seeds: range, minutes: float, jobs: int) -> int:
    """Many seeds; every failing one with the line that plays it again."""
    summary = Summary(jobs)
    shown_s = time.monotonic()
    try:
        for report in reports(seeds, minutes, jobs):
            summary.add(report)
            if report.violations:
                show_failure(report, minutes)
            if time.monotonic() - shown_s >= PROGRESS_S:
                shown_s = time.monotonic()
                print(summary.line(), flush=True)
    except KeyboardInterrupt:
        print("interrupted")
    print(summary.line())
    print("faults:")
    for name, count in sorted(summary.hits.items()):
        print(f"  {count:8d} {name}")
    never = [name for name in (*RATES, *RARE) if not summary.hits[name] and name in RATES]
    if never:
        print(f"never: {', '.join(never)}")
    if summary.failed:
        print(f"failing seeds: {sorted(r.seed for r in summary.failed)}")
    return 1 if summary.failed else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make simulate-faults", description=__doc__)
    parser.add_argument("seeds", nargs="?", type=int, default=200)
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--seed", type=int, help="this one only, in full")
    parser.add_argument("--minutes", type=float, default=2.0, help="virtual, of the safety phase")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lines", type=int, default=40, help="of the trace of a failing seed")
    args = parser.parse_args(argv)
    if args.seed is not None:
        return one(args.seed, args.minutes, lines=args.lines)
    return many(range(args.first, args.first + args.seeds), args.minutes, args.jobs)


if __name__ == "__main__":
    sys.exit(main())
