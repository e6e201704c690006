"""The demo's chaos: what its report holds against the engine, and what not."""

from __future__ import annotations

from typing import Any

from fastbook.runtime.chaos import PLAN, Chaos
from fastbook.runtime.exchange_control import ExchangeControl

GOOD = {"seconds": 10.0, "gaps": 59, "reconnects": 1, "stale_marks": 1, "reconciliations": 2}


def chaos(injected: int = len(PLAN)) -> Chaos:
    made = Chaos(ExchangeControl("http://127.0.0.1:9"), 10.0, lambda text: None)
    for share, what, fault in PLAN[:injected]:
        hit = {"drop": 9 if share < 0.5 else 50}.get(fault["kind"], 1)
        made.injected.append({"at_s": share * 10, "what": what, "hit": hit, **fault})
    return made


def missed(made: Chaos, **summary: Any) -> list[str]:  # Any: figures
    return list(made.report(GOOD | summary)["missed"])


def test_all_seen() -> None:
    report = chaos().report(GOOD)
    assert report["missed"] == []
    assert len(report["checks"]) == 5
    assert len(report["injected"]) == len(PLAN)


def test_each_miss_is_named() -> None:
    assert missed(chaos(), gaps=58) == ["every lost message was seen as a gap (59)"]
    assert missed(chaos(), reconnects=0) == ["every cut connection was replaced (1)"]
    assert missed(chaos(), stale_marks=0) == ["the silent symbol was marked stale"]
    assert missed(chaos(), reconciliations=1) == ["the ledger was reconciled after the private cut"]
    assert missed(chaos(3)) == [
        "every fault of the plan was injected",
    ]


def test_a_run_stopped_early_is_judged_by_what_was_done() -> None:
    early = {"seconds": 3.0, "gaps": 9, "reconnects": 0, "stale_marks": 0, "reconciliations": 1}
    assert missed(chaos(2), **early) == []
    assert missed(chaos(2), **(early | {"gaps": 8})) == ["every lost message was seen as a gap (9)"]
    assert missed(chaos(0), **early) == []


def test_a_refused_fault_is_a_miss_that_says_why() -> None:
    made = chaos(2)
    made.failure = "the exchange's control: gone"
    assert missed(made, seconds=3.0) == [
        "every fault of the plan was injected (the exchange's control: gone)"
    ]
