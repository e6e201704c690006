"""Tables and choices from records: independent of their order, blind to what comes later."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from fastbook.runtime.sweeps.figures import Moments
from fastbook.runtime.sweeps.page import page
from fastbook.runtime.sweeps.params import Point
from fastbook.runtime.sweeps.results import OBJECTIVES, Results, columns, csv_text
from fastbook.runtime.sweeps.windows import Window

Records = dict[tuple[int, int], dict[str, Any]]  # Any: JSON
WINDOWS = [Window(f"w{n}", n, n + 1, 9) for n in range(4)]
POINTS: list[Point] = [{"risk.leverage_max": str(n), "sizing.kelly": "word"} for n in range(8)]


def figures(rng: Random) -> dict[str, Any]:  # Any: JSON
    values = [rng.gauss(0, 1e-4) for _ in range(40)]
    m = Moments.of(values)
    moments = [m.n, m.mean, m.m2, m.m3, m.m4, m.down2]
    pnl = f"{sum(values):.9f}"
    return {
        "orders": 3,
        "fills": 2,
        "traded": 1.0,
        "fees": "0.10",
        "net_pnl": pnl,
        "pessimistic_pnl": pnl,
        "optimistic_pnl": pnl,
        "max_drawdown": rng.random(),
        "returns": {"60": [0, 0.0, 0.0, 0.0, 0.0, 0.0], "1": moments},
    }


def record(p: int, w: int, rng: Random) -> dict[str, Any]:  # Any: JSON
    return {"point": p, "window": w, "figures": figures(rng)}


@pytest.fixture
def records() -> Records:
    rng = Random(4)
    return {(p, w): record(p, w, rng) for p in range(8) for w in range(4)}


def results(records: Records, objective: str = "sharpe", *, anchored: bool = False) -> Results:
    return Results(POINTS, WINDOWS, records, objective=objective, anchored=anchored)


def test_the_order_of_records_is_nothing(records: Records) -> None:
    shuffled = list(records.items())
    Random(1).shuffle(shuffled)
    one, two = results(records), results(dict(shuffled))
    assert csv_text(one.rows()) == csv_text(two.rows())
    assert str(one.summary()) == str(two.summary())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("anchored", [False, True])
def test_a_choice_does_not_see_its_test(records: Records, objective: str, anchored: bool) -> None:
    walk = results(records, objective, anchored=anchored).walk_forward()
    assert walk is not None
    rng = Random(99)
    for fold in walk["folds"]:
        changed = {
            key: record(*key, rng) if key[1] >= fold["test"] else one
            for key, one in records.items()
        }
        again = results(changed, objective, anchored=anchored).walk_forward()
        assert again is not None
        same = again["folds"][fold["test"] - 1]
        assert (same["point"], same["train_score"]) == (fold["point"], fold["train_score"])
        assert same["test_score"] != fold["test_score"]
    assert [f["train"] for f in walk["folds"]] == (
        [[0], [0, 1], [0, 1, 2]] if anchored else [[0], [1], [2]]
    )


def test_figures_of_all_windows_are_those_of_their_returns_together(records: Records) -> None:
    made = results(records)
    row = made.rows()[3]
    parts = [Moments(*records[3, w]["figures"]["returns"]["1"]) for w in range(4)]
    whole = parts[0] + parts[1] + parts[2] + parts[3]
    assert row["sharpe"] == pytest.approx(whole.sharpe * math.sqrt(365.25 * 86_400))
    assert float(row["net_pnl"]) == pytest.approx(160 * whole.mean)
    assert str(row["fees"]) == "0.40"


def test_failed_points_have_a_reason_and_no_say(records: Records) -> None:
    best = results(records).best(range(4))
    assert best is not None
    records[best.number, 2] = {"point": best.number, "window": 2, "failed": 'why, "so"'}
    made = results(records)
    assert made.best(range(4)) is not best
    assert made.summary()["failed"] == 1
    assert made.summary()["trials"] == 7
    row = made.rows()[best.number]
    assert (row["status"], row["reason"], row["net_pnl"]) == ("failed", 'why, "so"', None)
    assert '"why, ""so"""' in csv_text(made.rows())
    assert "why, &quot;so&quot;" in page(made, made.summary(), made.rows(), "t")


def test_when_nothing_can_be_told(records: Records) -> None:
    for one in records.values():
        one["figures"]["returns"]["1"] = [40, 0.0, 0.0, 0.0, 0.0, 0.0]  # never traded
    made = results(records)
    summary = made.summary()
    assert summary["best"] is None
    assert summary["trials"] == 0
    assert all(f["point"] is None for f in summary["walk_forward"]["folds"])
    assert "nothing to choose from" in page(made, summary, made.rows(), "t")
    assert csv_text(made.rows()).splitlines()[1].startswith("0,0,word,done,")
    failed: Records = {k: {"point": k[0], "window": k[1], "failed": "no"} for k in records}
    nothing = results(failed)
    assert nothing.done == []
    assert "<html" in page(nothing, nothing.summary(), nothing.rows(), "t")


def test_columns_for_parquet(records: Records) -> None:
    table = columns(results(records).rows())
    assert table["risk.leverage_max"] == [float(n) for n in range(8)]
    assert table["sizing.kelly"] == ["word"] * 8
    assert all(isinstance(v, float) for v in table["net_pnl"])
