"""What one level update costs, by where it lands and how deep the book is. Run: make bench"""

from __future__ import annotations

import random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastbook import Book

from .conftest import SEED

UPDATES = 10_000
BEST = 1_000_000


def updates(depth: int, mean_level: float) -> list[tuple[int, int]]:
    """(px, qty) on the bid side; every sixth or so deletes, if there is what it names."""
    rng = random.Random(SEED)
    return [
        (BEST - min(int(rng.expovariate(1 / mean_level)), depth - 1), rng.randrange(6))
        for _ in range(UPDATES)
    ]


@pytest.mark.parametrize("depth", [50, 200, 1000])
@pytest.mark.parametrize("share", [0.02, 0.5], ids=["near-touch", "deep"])
def test_set_bid(benchmark: BenchmarkFixture, depth: int, share: float) -> None:
    changes = updates(depth, max(1.0, depth * share))
    benchmark.group = f"set_bid, depth {depth}"
    benchmark.extra_info["updates_per_call"] = UPDATES

    def apply() -> Book:
        book = Book(depth, price_scale=2, qty_scale=3)
        set_bid = book.set_bid
        for px, qty in changes:
            set_bid(px, qty)
        return book

    book = benchmark(apply)

    book.check()
    held = dict(changes)
    expected = sorted(((px, qty) for px, qty in held.items() if qty), reverse=True)
    assert book.levels()[0] == expected


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_imbalance(benchmark: BenchmarkFixture, depth: int) -> None:
    book = Book(depth, price_scale=2, qty_scale=3)
    for i in range(depth):
        book.set_bid(BEST - i, 1 + i)
        book.set_ask(BEST + 1 + i, 2 + i)
    benchmark.group = "readings"

    imbalance = benchmark(book.imbalance, 10)

    bids, asks = sum(range(1, 11)), sum(range(2, 12))
    assert imbalance == pytest.approx((bids - asks) / (bids + asks))
