"""Signals: all of one book's in one call, and the kernels on their own. Run: make bench"""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastbook import Book, SignalSet
from fastbook.core.kernels import RollingZScore
from fastbook.core.signals import Signal

from .conftest import SEED

SAMPLES = 10_000
WINDOW = 256


def samples() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rng = random.Random(SEED)
    price, out = 65_114.2, []
    for _ in range(SAMPLES):
        price += rng.choice((-0.1, 0.0, 0.1))
        out.append(price)
    return np.array(out)


def test_zscore(benchmark: BenchmarkFixture) -> None:
    made = samples()
    benchmark.group = "z-score, 10,000 samples"
    rolling = RollingZScore(WINDOW)

    last = benchmark(rolling.push_many, made)

    window = [float(x) for x in made[-WINDOW:]]
    expected = (window[-1] - statistics.fmean(window)) / statistics.pstdev(window)
    assert last == pytest.approx(expected, rel=1e-6)


def test_zscore_from_python(benchmark: BenchmarkFixture) -> None:
    made = [float(x) for x in samples()]
    benchmark.group = "z-score, 10,000 samples"
    rolling = RollingZScore(WINDOW)

    def push() -> float:
        last = math.nan
        for x in made:
            last = rolling.push(x)
        return last

    window = made[-WINDOW:]
    expected = (window[-1] - statistics.fmean(window)) / statistics.pstdev(window)
    assert benchmark(push) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_all_signals_of_a_book(benchmark: BenchmarkFixture, depth: int) -> None:
    book = Book(depth, price_scale=1, qty_scale=3, index=0)
    levels = [(str(65_000 - i), "1.5") for i in range(depth)]
    asks = [(str(65_001 + i), "0.5") for i in range(depth)]
    book.apply_snapshot(levels, asks, 1)
    signals = SignalSet(1, sample_ms=0)
    benchmark.group = "signals of one book, one call"

    benchmark(signals.update, book)

    row = signals.row(0)
    assert row[Signal.MID] == book.mid == 65_000.5
    assert row[Signal.IMBALANCE] == pytest.approx(0.5)
    assert row[Signal.MICROPRICE] == pytest.approx(book.microprice)
