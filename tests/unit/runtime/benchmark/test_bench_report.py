"""Rows, targets and verdicts."""

from __future__ import annotations

import pytest

from fastbook.runtime.benchmark.results import Report, Target, interleave, load_targets
from fastbook.runtime.benchmark.table import markdown_table, number, text_table

TARGETS = {
    "fast": Target(what="a ratio", unit="x", at_most=0.5),
    "far": Target(what="another", unit="x", at_least=60),
}


def test_shipped_targets_are_one_sided_and_explained() -> None:
    targets = load_targets()
    assert targets["core_vs_orjson_50"].at_most == 0.125
    assert targets["loopback_vs_article"].at_least == 60
    for name, target in targets.items():
        assert (target.at_most is None) != (target.at_least is None), name
        assert target.what, name


@pytest.mark.parametrize(
    ("name", "value", "ok"),
    [("fast", 0.5, True), ("fast", 0.51, False), ("far", 60.0, True), ("far", 59.9, False)],
)
def test_a_row_is_judged_by_the_target_of_its_name(name: str, value: float, ok: bool) -> None:
    report = Report(TARGETS)
    report.add(name, value, "x")
    assert report.results[0].ok is ok
    assert [r.name for r in report.missed] == ([] if ok else [name])


def test_a_row_without_target_is_not_judged() -> None:
    report = Report(TARGETS)
    report.add("other", 1.0, "ns", "something")
    assert report.results[0].ok is None
    assert not report.missed


def test_nan_misses() -> None:
    report = Report(TARGETS)
    report.add("fast", float("nan"), "x")
    assert report.missed


def test_unit_of_row_and_target_must_agree() -> None:
    with pytest.raises(ValueError, match="measured in ms"):
        Report(TARGETS).add("fast", 1.0, "ms")


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    report = Report(TARGETS)
    report.add_ratio("fast", [1.0, 8.0, 1.0], [4.0, 16.0, 1.0])
    assert report.results[0].value == 0.5  # of 0.25, 0.5, 1: not the ratio of the medians, 1/4
    assert report.results[0].spread == (0.375, 0.75)


def test_interleave_goes_round_by_round() -> None:
    order: list[str] = []
    contenders = {name: lambda name=name: lambda: order.append(name) for name in "ab"}
    taken = interleave(contenders, 3)
    assert order == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 3, "b": 3}


def test_tables_say_what_was_missed() -> None:
    report = Report(TARGETS)
    report.add("fast", 0.7, "x", spread=(0.6, 0.8))
    report.add("far", 61.0, "x")
    plain, page = text_table(report.results), markdown_table(report.results)
    assert "0.7 x" in plain
    assert "0.6 to 0.8" in plain
    assert plain.count("MISSED") == page.count("MISSED") == 1
    assert "≤ 0.5" in page
    assert number(1234.5) == "1,234"
    assert number(float("nan")) == "-"
