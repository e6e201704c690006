"""Everything, with peers: one JSON document, and docs/benchmarks.md from it.

Run: make benchmarks-doc, or python -m bench.run [--quick] [--only core,loopback,whole]
     [--json FILE] [--page FILE] [--from FILE]
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from fastbook.runtime.benchmark import core, exchange, loopback, whole
from fastbook.runtime.benchmark.machine import PACKAGES, machine_facts
from fastbook.runtime.benchmark.results import Report, Result, interleave
from fastbook.runtime.benchmark.table import text_table

from . import loopback as stacks
from . import peers
from .frames import recorded
from .native import NativeError, mallocs_per_frame
from .page import page

PEER_PACKAGES = ("sortedcontainers", "websockets", "order-book", "pybit", "ccxt")
PARTS = ("core", "recorded", "loopback", "whole")


def main() -> int:
    args = arguments()
    if args.source:
        document = orjson.loads(Path(args.source).read_bytes())
    else:
        document = measure(quick=args.quick, parts=args.only.split(","))
    if args.json:
        Path(args.json).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    if args.page:
        Path(args.page).write_text(page(document), encoding="utf-8")
    results = [Result(**row) for row in document["results"]]
    print(text_table(results))
    return 4 if any(r.ok is False for r in results) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, rougher")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated")
    parser.add_argument("--json", metavar="FILE", help="the results document")
    parser.add_argument("--page", metavar="FILE", help="the same as a page of documentation")
    parser.add_argument("--from", dest="source", metavar="FILE", help="an earlier document")
    return parser.parse_args()


def measure(*, quick: bool, parts: list[str]) -> dict[str, Any]:  # Any: JSON
    facts = machine_facts((*PACKAGES, *PEER_PACKAGES))
    report = Report()
    rounds = 5 if quick else 15
    known, left_out = peers.available()
    report.skipped |= left_out
    if "core" in parts:
        say("core, with peers")
        article = peers.ARTICLE if peers.ARTICLE in known else None
        core.measure_core(report, rounds=rounds, peers=known, article=article)
        core.measure_mixed(report, rounds=rounds)
        core.measure_short(report, rounds=rounds)
        core.measure_allocation(report)
        with tempfile.TemporaryDirectory() as folder:
            try:
                report.add("decode_mallocs", mallocs_per_frame(Path(folder)), "calls")
            except NativeError as e:
                report.skipped["decode_mallocs"] = str(e)
    if "recorded" in parts:
        measure_recorded(report, rounds)
    if "loopback" in parts:
        say("over loopback")
        stacks.measure(report, loopback.QUICK if quick else loopback.FULL)
    if "whole" in parts:
        say("whole processes")
        whole.measure_whole(report, quick=quick)
        say("the bundled exchange")
        exchange.measure_exchange(report, seconds=3.0 if quick else 10.0)
    facts["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "command": shlex.join(["python", "-m", "bench.run", *sys.argv[1:]]),
        "machine": facts,
        "quick": quick,
        "results": [r.as_json() for r in report.results],
        "skipped": report.skipped,
        "missed": [r.name for r in report.missed],
    }


def measure_recorded(report: Report, rounds: int) -> None:
    """The core beside `orjson.loads` on recorded frames, where there are any."""
    found = recorded()
    if not found:
        report.skipped["recorded frames"] = "no recorded data; name it with FASTBOOK_DATA"
    for name, frames in found.items():
        say(name)
        core.check_answers(frames, {})
        taken = interleave(
            {
                "orjson": core.parser_alone(orjson.loads, frames, 2),
                "core": core.core(frames, 2, 8),
            },
            rounds,
        )
        report.add_ratio(
            f"core_{name}_vs_orjson".replace("-", "_"),
            taken["core"],
            taken["orjson"],
            f"{len(frames)} frames, {name}; orjson.loads alone = 1",
            frame_bytes=sum(map(len, frames)) / len(frames),
        )


def say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
