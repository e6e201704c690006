"""Whoever applies the published frames holds the top of the matching book, at every `u`."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.depth import DullBook

from fastbook.replay.matching import DepthPublisher, MarketFlow, MatchingBook, universe
from fastbook.types import Category

DEPTHS = (1, 50, 200, 1000)


@pytest.mark.parametrize("category", [Category.LINEAR, Category.SPOT])
@pytest.mark.parametrize("index", [0, 3], ids=["sparse", "dense"])
def test_client_book_follows_the_flow_at_every_depth(category: Category, index: int) -> None:
    market = universe(index + 1, category)[index]
    unit = market.instrument
    book = MatchingBook()
    flow = MarketFlow([book], [market], seed=11, events_per_s=20.0)
    publishers = [
        DepthPublisher(
            book, d, f"orderbook.{d}.{unit.symbol}", category, unit.price_scale, unit.qty_scale
        )
        for d in DEPTHS
    ]
    clients = [DullBook() for _ in DEPTHS]

    for step in range(120):
        flow.step(0, 6)
        for publisher, client in zip(publishers, clients, strict=True):
            last_u = client.u
            frame = publisher.delta(step, step, step)
            if frame is not None:
                kind = client.apply(frame)
                assert kind == ("snapshot" if step == 0 or publisher.depth == 1 else "delta")
                assert client.u == publisher.u
                assert step == 0 or client.u == last_u + 1
            for side in (1, -1):
                held = client.levels(side, unit.price_scale, unit.qty_scale)
                assert len(held) == publisher.depth
                assert held == book.levels(side, publisher.depth)

    assert all(client.u > 1010 for client in clients)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    depth=st.sampled_from([1, 50]),
    width=st.integers(1, 90),
    changes=st.integers(1, 60),
    spot=st.booleans(),
)
def test_client_book_follows_any_orders(
    seed: int, depth: int, width: int, changes: int, spot: bool
) -> None:
    """Orders at random over prices near the depth: windows fill, empty and slide."""
    rng = random.Random(seed)
    book, client = MatchingBook(1 << 12), DullBook()
    publisher = DepthPublisher(
        book, depth, f"orderbook.{depth}.ANY", "spot" if spot else "linear", 2, 1
    )
    next_id = 1
    for step in range(8):
        for _ in range(changes):
            side, px, qty = rng.choice((1, -1)), 1000 + rng.randrange(width), rng.randrange(1, 30)
            left = qty - sum(fill[3] for fill in book.match(side, px, qty))
            if left:
                book.rest(next_id, side, px, left)
            book.cancel(rng.randrange(1, next_id + 1))
            next_id += 1
        if rng.random() < 0.1:
            publisher.restart()
        frame = publisher.delta(step, step, step)
        if frame is not None:
            client.apply(frame)
        for side in (1, -1):
            assert client.levels(side, 2, 1) == book.levels(side, depth)
    book.check()
