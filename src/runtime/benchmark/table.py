"""Rows as one table: for a terminal, and for a page."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from .results import Result


def number(value: float) -> str:
    if isnan(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def spread_text(result: Result) -> str:
    if result.spread is None:
        return ""
    low, high = result.spread
    return f"{number(low)} to {number(high)}"


def verdict(result: Result) -> str:
    if result.ok is None:
        return ""
    return "met" if result.ok else "MISSED"


def text_table(results: Iterable[Result]) -> str:
    rows = [("", "value", "", "middle half", "target", "")]
    rows += [
        (r.name, number(r.value), r.unit, spread_text(r), r.target or "", verdict(r))
        for r in results
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = []
    for name, value, unit, spread, target, said in rows:
        lines.append(
            f"{name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}"
            f"  {spread:<{widths[3]}}  {target:<{widths[4]}}  {said}".rstrip()
        )
    return "\n".join(lines)


def markdown_table(results: Iterable[Result]) -> str:
    lines = [
        "| what | value | middle half of the rounds | target | |",
        "|---|---:|---|---|---|",
    ]
    lines += [
        f"| `{r.name}`: {r.what} | {number(r.value)} {r.unit} | {spread_text(r)}"
        f" | {(r.target or '').replace('<', '≤').replace('>', '≥').replace('=', '')}"
        f" | {verdict(r)} |"
        for r in results
    ]
    return "\n".join(lines)
