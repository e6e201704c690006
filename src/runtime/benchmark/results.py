"""What a benchmark says, the targets it is held to, and how time is taken."""

from __future__ import annotations

import gc
import statistics
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from fastbook.errors import FastbookError


class WrongAnswerError(FastbookError):
    """What was measured did not come to the right books: its time means nothing."""


Run = Callable[[], object]
Prepare = Callable[[], Run]
"""Everything that is not to be timed; what it returns is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    what: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    def met_by(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def __str__(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"


def load_targets() -> dict[str, Target]:
    """`bench_targets.toml` of the installed package, by name."""
    text = resources.files("fastbook.runtime").joinpath("bench_targets.toml").read_text()
    return {name: Target(**row) for name, row in tomllib.loads(text).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row. `spread` is the middle half of the rounds, in the unit of `value`."""

    name: str
    value: float
    unit: str
    what: str = ""
    target: str | None = None
    ok: bool | None = None  # None: nothing was promised
    spread: tuple[float, float] | None = None
    detail: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        return asdict(self)


class Report:
    """Collects rows, judging each by the target of its name."""

    def __init__(self, targets: Mapping[str, Target] | None = None) -> None:
        self.targets = load_targets() if targets is None else targets
        self.results: list[Result] = []
        self.skipped: dict[str, str] = {}

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        what: str = "",
        *,
        spread: tuple[float, float] | None = None,
        detail: dict[str, float] | None = None,
    ) -> None:
        target = self.targets.get(name)
        if target is not None and target.unit != unit:
            raise ValueError(f"{name} is measured in {unit}, its target in {target.unit}")
        self.results.append(
            Result(
                name=name,
                value=value,
                unit=unit,
                what=what or (target.what if target else ""),
                target=str(target) if target else None,
                ok=target.met_by(value) if target else None,
                spread=spread,
                detail=detail or {},
            )
        )

    def add_ratio(
        self, name: str, top: list[float], bottom: list[float], what: str = "", **detail: float
    ) -> None:
        """Median over the rounds of `top / bottom`, round by round."""
        ratios = [a / b for a, b in zip(top, bottom, strict=True)]
        self.add(
            name,
            statistics.median(ratios),
            "x",
            what,
            spread=middle_half(ratios),
            detail=detail,
        )

    @property
    def missed(self) -> list[Result]:
        return [r for r in self.results if r.ok is False]


def middle_half(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def interleave(contenders: Mapping[str, Prepare], rounds: int) -> dict[str, list[float]]:
    """Seconds of CPU that each contender took in each round, all in turn within a round.

    CPU time of the process, not the wall's: a neighbour on the machine delays us and is not
    our cost. It still shares caches with us, which is why ratios are taken within a round.
    The collector is off while the clock runs.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, prepare in contenders.items():
            run = prepare()
            gc.collect()
            gc.disable()
            try:
                started = time.process_time_ns()
                run()
                taken[name].append((time.process_time_ns() - started) / 1e9)
            finally:
                gc.enable()
    return taken
