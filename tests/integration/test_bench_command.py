"""`fastbook bench`: the document it prints, and the exit code."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from fastbook.runtime.benchmark import command, core
from fastbook.runtime.benchmark.exchange import measure_exchange
from fastbook.runtime.benchmark.loopback import Plan, measure_loopback
from fastbook.runtime.benchmark.results import Report, Target

TINY = Plan(frames_each=4, rounds=1, fast_cycles=2, slow_cycles=1, paced_rounds=1, paced_s=0.01)


def measure_tiny(report: Report, *, quick: bool) -> None:
    core.measure_core(report, rounds=1, count=20, count_1000=5, times=1)
    core.measure_mixed(report, rounds=1, frames_each=2)
    core.measure_short(report, rounds=1, count=20, times=1)
    core.measure_allocation(report)
    measure_loopback(report, TINY)
    measure_exchange(report, seconds=0.3)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "measure", measure_tiny)


@pytest.mark.usefixtures("tiny")
def test_json_document(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code = command.bench(quick=True, as_json=True)
    document = orjson.loads(capfdbinary.readouterr().out)
    rows = {row["name"]: row for row in document["results"]}
    assert {"core_vs_orjson_50", "python_vs_orjson_50", "loopback_fastbook"} <= rows.keys()
    for row in rows.values():
        assert {"name", "value", "unit", "target", "ok"} <= row.keys()
        assert isinstance(row["value"], int | float)
    missed = [name for name, row in rows.items() if row["ok"] is False]
    assert document["missed"] == missed
    assert code == (4 if missed else 0)
    assert rows["decode_bytes"]["value"] == 0
    assert document["machine"]["python"]


def test_exit_code_follows_the_targets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_target(at_most: float) -> int:
        target = {"row": Target(what="a row", unit="x", at_most=at_most)}
        monkeypatch.setattr(command, "Report", lambda: Report(target))
        monkeypatch.setattr(command, "measure", lambda r, quick: r.add("row", 1.0, "x"))
        return command.bench(quick=True, as_json=False)

    assert with_target(1.0) == 0
    assert with_target(0.9) == 4
    assert "MISSED" in capsys.readouterr().out


def test_help_names_quick() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "fastbook.runtime", "bench", "--help"),
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "--quick" in done.stdout
    assert "--json" in done.stdout
