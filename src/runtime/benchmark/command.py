"""`fastbook bench`: one table, one exit code."""

from __future__ import annotations

import sys

from ..output import print_json
from .core import measure_allocation, measure_core, measure_mixed, measure_short
from .exchange import measure_exchange
from .loopback import FULL, QUICK, measure_loopback
from .machine import machine_facts
from .results import Report
from .table import text_table
from .whole import measure_whole

EXIT_MISSED = 4


def bench(*, quick: bool, as_json: bool) -> int:
    """Measure, print, judge. 0 when every target was met, else 4."""
    facts = machine_facts()
    report = Report()
    measure(report, quick=quick)
    measured = {r.name for r in report.results}
    for name in report.targets.keys() - measured - report.skipped.keys():
        report.skipped[name] = "only by the suite in the repository: make benchmarks-doc"
    if as_json:
        document = {
            "machine": facts,
            "quick": quick,
            "results": [r.as_json() for r in report.results],
            "skipped": report.skipped,
            "missed": [r.name for r in report.missed],
        }
        print_json(document, indent=True)
    else:
        print(f"fastbook {facts['fastbook']}, Python {facts['python']}, {facts['cpu']},", end=" ")
        print(f"{facts['cores']} cores, load {facts['load_before']}")
        print(text_table(report.results))
        for name, reason in sorted(report.skipped.items()):
            print(f"not measured: {name}: {reason}")
        print(f"{len(report.missed)} targets missed")
    return EXIT_MISSED if report.missed else 0


def measure(report: Report, *, quick: bool) -> None:
    rounds = 5 if quick else 15
    say("inside one process")
    measure_core(report, rounds=rounds, count_1000=250 if quick else 1000)
    measure_mixed(report, rounds=rounds)
    measure_short(report, rounds=rounds)
    measure_allocation(report)
    say("over loopback")
    measure_loopback(report, QUICK if quick else FULL)
    say("whole processes")
    measure_whole(report, quick=quick)
    say("the bundled exchange")
    measure_exchange(report, seconds=3.0 if quick else 10.0)


def say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr)
