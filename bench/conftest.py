"""What the pytest-benchmark files share: the machine in the report, frames made once."""

from __future__ import annotations

from typing import Any

import pytest

from fastbook.runtime.benchmark.core import check_answers
from fastbook.runtime.benchmark.machine import machine_facts

from .frames import recorded, stream

SEED = 20_240_101
COUNT = 1000

SHAPES = {
    "linear-1": ("linear", 1),
    "linear-50": ("linear", 50),
    "linear-200": ("linear", 200),
    "linear-1000": ("linear", 1000),
    "spot-50": ("spot", 50),
    "spot-200": ("spot", 200),
}
RECORDED = recorded()


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    machine_info["fastbook"] = machine_facts()
    machine_info["seed"] = SEED


@pytest.fixture(scope="session", params=[*SHAPES, *RECORDED])
def frames(request: pytest.FixtureRequest) -> tuple[str, list[bytes]]:
    """(name, frames): generated ones of every kind, then recorded ones where there are any."""
    name: str = request.param
    if name in RECORDED:
        made = RECORDED[name]
    else:
        category, depth = SHAPES[name]
        made = stream(COUNT, depth=depth, category=category, seed=SEED)
    check_answers(made, {})
    return name, made
