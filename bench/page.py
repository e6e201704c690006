"""docs/benchmarks.md, written from one results document and never by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastbook.runtime.benchmark.results import Result
from fastbook.runtime.benchmark.table import markdown_table, number

BUSY_SHARE = 0.25
"""Load a core from which latencies are not fastbook's own: two processes need two free cores."""

BUSY = """**The machine was busy with other work during this run.** Ratios of CPU time stand;
messages/s and above all the paced latencies say more about the neighbours. What the C client took
in the same minutes is beside them."""

INTRO = """# Benchmarks

This page was written by `make benchmarks-doc` from one run. Do not edit it: run it again.

How to read it. Ratios are taken within one round of one run, contenders in turn, and the median
over the rounds is shown with the middle half of them; they hold on other machines, the absolute
times beside them do not. Times inside one process are CPU time. Over loopback the ratios are by
the wall's clock, as a user sees it, with CPU time beside them: on a busy machine trust the
latter. Every answer is checked: readings of every peer after every frame against fastbook's,
every book's invariants, every connection's frame count and final books.

Frames are generated to the statistics of recorded feeds (`src/runtime/benchmark/profiles.py`);
fastbook has all its signals on, sampled on every frame. The same on your machine:
`fastbook bench`, without the peers that need packages of their own.
"""

NOTES = """## How it is measured

- **Inside the core**: frame bytes to book and all signals, no Python between two frames
  (`_loop.pyx`), as the compiled listener does it. `orjson.loads` alone gets the same frames and
  stores nothing. Streams are replayed, so one frame in 1,000 is a snapshot.
- **Peers** read the mid and the imbalance of the best ten levels after every frame, as fastbook
  does. They check no sequence numbers. Each is in `bench/peers/`.
- **Loopback**: a second process writes ready-made frames of 50 symbols as fast as the socket
  takes them. fastbook receives with its compiled listener and is told of touched books once a
  read. The floor is a compiled listener that counts frames and looks at nothing.
- **Paced**: 50,000 messages/s over 50 symbols, each with its own due time. Latency runs from
  when a frame was due, not from when it was sent (no coordinated omission), to when fastbook
  hands over the updated books and signals; so it includes how late the sender itself was, shown
  beside it. The C client (`bench/native/c_client.c`) blocks in `recv` and turns every number
  into an integer.
- **Memory** is the resident set of a process that has imported all of the runtime, at the end;
  it includes the generated frames that it was fed.
"""


def page(document: dict[str, Any]) -> str:  # Any: JSON
    results = [Result(**row) for row in document["results"]]
    judged = [r for r in results if r.ok is not None]
    missed = [r for r in judged if not r.ok]
    facts = document["machine"]
    parts = [INTRO, facts_table(facts, document), "## Targets\n", summary(judged, missed)]
    parts += [markdown_table(judged), "\n## Everything measured\n"]
    parts.append(markdown_table(r for r in results if r.ok is None))
    details = [line for r in results if (line := detail(r))]
    if details:
        parts += ["\nBeside some of these:\n", *details]
    if document["skipped"]:
        parts.append("\n## Not measured in this run\n")
        parts += [f"- {name}: {reason}" for name, reason in document["skipped"].items()]
    parts += ["", NOTES]
    return "\n".join(parts)


def facts_table(facts: dict[str, Any], document: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    quick = " (quick: few rounds)" if document["quick"] else ""
    load_after = facts.get("load_after", "?")
    return "\n".join(
        (
            "| | |",
            "|---|---|",
            f"| date | {facts['date']} |",
            f"| machine | {facts['cpu']}, {facts['cores']} cores, {facts['system']} |",
            f"| load before and after the run | {facts['load_before']}, {load_after} |",
            f"| versions | fastbook {facts['fastbook']}, Python {facts['python']}, {packages} |",
            f"| command | `{document['command']}`{quick} |",
            "",
            *busy(facts),
        )
    )


def busy(facts: dict[str, Any]) -> list[str]:
    if facts["load_before"] < BUSY_SHARE * (facts["cores"] or 1):
        return []
    return [BUSY, ""]


def summary(judged: list[Result], missed: list[Result]) -> str:
    if not missed:
        return f"All {len(judged)} met.\n"
    names = ", ".join(f"`{r.name}`" for r in missed)
    return f"{len(judged) - len(missed)} of {len(judged)} met; missed: {names}.\n"


def detail(result: Result) -> str:
    pairs: Iterable[tuple[str, float]] = result.detail.items()
    text = ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in pairs)
    return f"- `{result.name}`: {text}" if text else ""
