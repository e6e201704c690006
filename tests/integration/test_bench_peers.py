"""The peers of bench/ that are installed give fastbook's answers; the page says what was run."""

from __future__ import annotations

from bench import frames, peers
from bench.page import page

from fastbook.runtime.benchmark.core import check_answers
from fastbook.runtime.benchmark.machine import machine_facts
from fastbook.runtime.benchmark.results import Report, Target


def test_peers_agree_after_every_frame() -> None:
    known, left_out = peers.available()
    assert {"orjson + sorted lists", "json + sorted lists"} <= known.keys()
    assert len(known) + len(left_out) == len(peers.MODULES) + 2
    assert all("pip install" in reason for reason in left_out.values())
    check_answers(frames.stream(40), known)
    check_answers(frames.interleaved(frames.mixed(3, 15)), known)
    check_answers(frames.stream(40, depth=200, category="spot"), known)


def test_page_has_machine_targets_and_what_was_left_out() -> None:
    report = Report(
        {
            "good": Target(what="a good row", unit="x", at_most=1),
            "bad": Target(what="a bad row", unit="x", at_least=80),
        }
    )
    report.add("good", 0.5, "x")
    report.add("bad", 35.0, "x", detail={"cpu_us": 1.5})
    report.add("plain", 7.0, "ns", "a plain row")
    document = {
        "command": "python -m bench.run --quick",
        "machine": machine_facts(),
        "quick": True,
        "results": [r.as_json() for r in report.results],
        "skipped": {"ccxt_book": "not installed"},
    }
    text = page(document)
    assert "1 of 2 met; missed: `bad`." in text
    assert "| `good`: a good row | 0.5 x |  | ≤ 1 | met |" in text
    assert "- `bad`: cpu us 1.5" in text
    assert "- ccxt_book: not installed" in text
    assert "python -m bench.run --quick" in text
