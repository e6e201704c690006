"""Decimal text to fixed-point integers and back. Run: make bench"""

from __future__ import annotations

import random
from decimal import Decimal

from pytest_benchmark.fixture import BenchmarkFixture

from fastbook.core.fixed import format_fixed, parse_fixed

from .conftest import SEED

COUNT = 1000
SCALE = 3


def texts() -> list[str]:
    rng = random.Random(SEED)
    return [f"{rng.randrange(1, 10**9) / 1000:.{rng.randrange(4)}f}" for _ in range(COUNT)]


def test_parse(benchmark: BenchmarkFixture) -> None:
    made = texts()
    benchmark.group = "fixed, 1,000 texts"
    values = benchmark(lambda: [parse_fixed(text, SCALE) for text in made])
    assert values == [int(Decimal(text).scaleb(SCALE)) for text in made]


def test_float_of_the_same(benchmark: BenchmarkFixture) -> None:
    made = texts()
    benchmark.group = "fixed, 1,000 texts"
    values = benchmark(lambda: [float(text) for text in made])
    assert len(values) == COUNT


def test_format(benchmark: BenchmarkFixture) -> None:
    values = [parse_fixed(text, SCALE) for text in texts()]
    benchmark.group = "fixed, 1,000 values"
    made = benchmark(lambda: [format_fixed(value, SCALE) for value in values])
    assert [parse_fixed(text, SCALE) for text in made] == values
