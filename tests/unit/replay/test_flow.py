"""The market flow: repeatable, never crossed, deep enough, fair to accounts, worth trading."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from statistics import correlation

import pytest
from tests.reference.depth import DullBook

from fastbook.replay.matching import DepthPublisher, MarketFlow, MatchingBook, universe

PRINT_TRACE = "from tests.unit.replay.test_flow import trace; print(trace(3, 200))"


def flow_of(
    n: int, *, seed: int = 7, events_per_s: float = 300.0
) -> tuple[MarketFlow, list[MatchingBook]]:
    books = [MatchingBook() for _ in range(n)]
    return MarketFlow(books, universe(n), seed=seed, events_per_s=events_per_s), books


def trace(seed: int, steps: int, *, markets: int = 2) -> str:
    """Digest of the depth-50 frames and trades of market 0."""
    flow, books = flow_of(markets, seed=seed)
    publisher = DepthPublisher(books[0], 50, "orderbook.50.BTCUSDT", "linear", 2, 3)
    digest = hashlib.sha256()
    for step in range(steps):
        for index in range(markets):
            played = flow.step(index, 6)
            if index == 0:
                digest.update(repr(played).encode())
        digest.update(publisher.delta(step, step, step) or b"-")
    return digest.hexdigest()


def test_same_seed_same_bytes() -> None:
    assert trace(3, 200) == trace(3, 200)
    assert trace(3, 200) != trace(4, 200)


def test_same_seed_same_bytes_in_another_process() -> None:
    out = subprocess.run(
        [sys.executable, "-c", PRINT_TRACE],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert out.stdout.strip() == trace(3, 200)


def test_a_market_does_not_depend_on_the_others() -> None:
    assert trace(3, 100, markets=1) == trace(3, 100, markets=4)


def test_books_stay_whole_through_wild_moves() -> None:
    """Four steps a second, so that jumps and trends of many minutes pass."""
    flow, books = flow_of(4, events_per_s=24.0)

    for _ in range(1500):
        for index, book in enumerate(books):
            flow.step(index, 6)
            assert 0 < book.best_bid() < book.best_ask()
            assert book.level_count(1) >= 1000
            assert book.level_count(-1) >= 1000
    for book in books:
        book.check()
        assert max(book.level_count(1), book.level_count(-1)) < 2500
        assert book.order_count < 20_000
    assert flow.refused == 0
    assert flow.events == 4 * 1500 * 6


def test_account_orders_are_traded_with_but_never_cancelled() -> None:
    flow, (book,) = flow_of(1, events_per_s=60.0)
    left: dict[int, int] = {}
    filled = 0
    for step in range(3000):
        for side in (1, -1):
            order_id = 2 * step + 1 + (side > 0)
            px = book.best_bid() if side == 1 else book.best_ask()
            if len(left) < 40:
                book.rest(order_id, side, px, 5, 9)
                left[order_id] = 5
        fills, trades = flow.step(0, 6)
        for order_id, owner, taker_side, px, qty in fills:
            assert owner == 9
            assert (taker_side, px, qty) in trades
            left[order_id] -= qty
            filled += qty
            if left[order_id] == 0:
                del left[order_id]
        for order_id, qty in left.items():
            order = book.order(order_id)
            assert order is not None
            assert order[2] == qty
    assert filled > 500
    assert sorted(left) == sorted(book.owned_by(9))


def test_levels_left_behind_are_dropped_but_not_those_of_accounts() -> None:
    """A minute a step: the price wanders by thousands of ticks and leaves old levels behind."""
    flow, (book,) = flow_of(1, seed=2, events_per_s=0.1)
    book.rest(1, 1, 10, 5, 9)
    book.rest(2, -1, 100 * book.best_ask(), 5, 9)
    counts, drops = (0, 0), 0
    for _ in range(3000):
        flow.step(0, 6)
        last, counts = counts, (book.level_count(1), book.level_count(-1))
        drops += any(was - now > 200 for was, now in zip(last, counts, strict=True))
        assert max(counts) < 2000
    assert drops > 0
    assert book.order(1) == (1, 10, 5, 9)
    assert book.order(2) is not None
    book.check()


@pytest.mark.parametrize("side", [1, -1])
def test_recovers_from_an_account_that_takes_everything(side: int) -> None:
    flow, (book,) = flow_of(1)
    far = 2**62 if side == 1 else 1

    book.match(side, far, 2**62)
    assert book.level_count(-side) == 0
    for _ in range(50):
        flow.step(0, 6)
    book.check()
    assert book.level_count(-side) >= 1000
    assert 0 < book.best_bid() < book.best_ask()
    tick = universe(1)[0].instrument.tick
    assert abs(flow.fair_px(0) - book.best_ask()) < 200 * tick


def test_a_pool_filled_by_an_account_is_counted_and_survived() -> None:
    book = MatchingBook(12_288)
    flow = MarketFlow([book], universe(1), seed=1)
    order_id = 0
    while book.order_count < book.capacity_orders:
        order_id += 1
        book.rest(order_id, 1, 1, 1, 9)

    for _ in range(200):
        flow.step(0, 6)
    book.check()
    assert flow.refused > 0
    assert len(book.owned_by(9)) == order_id
    assert book.best_bid() > 1
    assert book.best_ask() > 0


def test_deltas_look_like_recorded_ones() -> None:
    """Against the recordings' shape: some 6 changed levels a delta, spread of one tick."""
    markets = universe(6)
    flow, books = flow_of(6)
    changed, frames, one_tick = 0, 0, 0
    for market, book, index in zip(markets, books, range(6), strict=True):
        unit = market.instrument
        publisher = DepthPublisher(
            book, 50, f"orderbook.50.{unit.symbol}", "linear", unit.price_scale, unit.qty_scale
        )
        publisher.snapshot(0, 0, 0)
        for _ in range(500):
            flow.step(index, 6)
            frame = publisher.delta(0, 0, 0)
            if frame is not None:
                frames += 1
                changed += frame.count(b'"]')
            one_tick += book.best_ask() - book.best_bid() == unit.tick
    assert frames > 2900
    assert 4.0 < changed / frames < 9.0
    assert one_tick > 0.85 * 3000


def test_imbalance_says_something_about_the_next_two_seconds() -> None:
    flow, books = flow_of(12, events_per_s=60.0)
    imbalances, moves = [], []
    for index, book in enumerate(books):
        mids, seen = [], []
        for _ in range(400):  # 0.1 s each
            flow.step(index, 6)
            bids, asks = book.levels(1, 10), book.levels(-1, 10)
            bid_qty, ask_qty = sum(q for _, q in bids), sum(q for _, q in asks)
            mids.append((bids[0][0] + asks[0][0]) / 2)
            seen.append((bid_qty - ask_qty) / (bid_qty + ask_qty))
        assert len(set(mids)) > 10
        imbalances += seen[:-20]
        moves += [after / now - 1 for now, after in zip(mids, mids[20:], strict=False)]
    assert 0.1 < correlation(imbalances, moves) < 0.6


def test_fair_price_is_on_the_grid_and_moves() -> None:
    flow, _ = flow_of(1, events_per_s=10.0)
    tick = universe(1)[0].instrument.tick
    seen = set()
    for _ in range(100):
        flow.step(0, 1)
        seen.add(flow.fair_px(0))
    assert len(seen) > 50
    assert all(px % tick == 0 for px in seen)


def test_a_client_can_follow_from_the_repeat() -> None:
    flow, (book,) = flow_of(1)
    publisher = DepthPublisher(book, 50, "orderbook.50.BTCUSDT", "linear", 2, 3)
    publisher.snapshot(0, 0, 0)
    for _ in range(20):
        flow.step(0, 6)
        publisher.delta(0, 0, 0)
    flow.step(0, 6)
    client = DullBook()
    client.apply(publisher.repeat(1))
    frame = publisher.delta(1, 1, 1)
    assert frame is not None
    client.apply(frame)
    assert client.levels(1, 2, 3) == book.levels(1, 50)


def test_refuses_bad_arguments() -> None:
    with pytest.raises(ValueError, match="books for"):
        MarketFlow([MatchingBook()], universe(2), seed=1)
    with pytest.raises(ValueError, match="events_per_s"):
        flow_of(1, events_per_s=0.0)
    used = MatchingBook()
    used.rest(1, 1, 1, 1)
    with pytest.raises(ValueError, match="not empty"):
        MarketFlow([used], universe(1), seed=1)
    with pytest.raises(ValueError, match="room for 100"):
        MarketFlow([MatchingBook(100)], universe(1), seed=1)
    flow, _ = flow_of(1)
    with pytest.raises(IndexError):
        flow.step(1, 1)
    with pytest.raises(IndexError):
        flow.fair_px(-1)
    with pytest.raises(ValueError, match="n_events"):
        flow.step(0, -1)
