"""The bundled market maker: where it quotes, how it leans, and when it leaves."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.support_decide import SECOND, FakeBook, FakeSignals, fill, instrument

from fastbook.core.signals import Signal
from fastbook.errors import ConfigError
from fastbook.strategy import MarketMaker, MarketMakerParams, PositionView
from fastbook.types import Category, Intent, OrderIntent, Quote, Side


class Maker:
    """One symbol at 500.00 / 500.10, lots of 0.001."""

    def __init__(self, category: Category = Category.LINEAR, **params: Any) -> None:
        self.unit = instrument(category=category)
        self.maker = MarketMaker(MarketMakerParams(**params))
        self.maker.on_start([self.unit])
        self.book = FakeBook(recv_ns=10 * SECOND)
        self.signals = FakeSignals()
        self.signals.set(0.0, 0.0)
        self.qty, self.entry = 0, math.nan

    def ask(self, wait_ms: int = 1_000) -> list[Intent]:
        self.book.recv_ns += wait_ms * 1_000_000
        view = PositionView(self.unit, self.qty, self.entry, 0)
        return list(self.maker.on_book(self.book, self.signals.row(0), view))

    def quotes(self, wait_ms: int = 1_000) -> tuple[Quote, Quote]:
        bid, ask = self.ask(wait_ms)
        assert isinstance(bid, Quote)
        assert isinstance(ask, Quote)
        assert (bid.side, ask.side) == (Side.BUY, Side.SELL)
        return bid, ask

    def hold(self, qty: int, entry: float = 500.05) -> None:
        self.qty, self.entry = qty, entry


def test_quotes_lie_around_the_fair_price_on_the_grid_and_outwards() -> None:
    bid, ask = Maker(half_spread_bps=10).quotes()
    # 500.05 less and more 0.50005: outwards to ticks of 0.10.
    assert (bid.px, ask.px) == (49_950, 50_060)
    assert bid.qty == ask.qty == 1_999  # 1,000 at 500.05


def test_a_tight_quote_never_crosses() -> None:
    world = Maker(half_spread_bps=0.001, imbalance_bps=50)
    world.signals.set(0.0, 1.0)  # the fair price goes up, beyond the ask
    bid, ask = world.quotes()
    assert bid.px == 50_000, "a tick below the ask"
    assert ask.px > bid.px
    world.signals.set(0.0, -1.0)
    bid, ask = world.quotes()
    assert ask.px == 50_010


def test_inventory_moves_both_quotes_against_itself_and_then_stops_a_side() -> None:
    level = Maker(half_spread_bps=10).quotes()
    world = Maker(half_spread_bps=10, skew_bps=20)
    world.hold(5_000)  # 2,500 of 5,000
    bid, ask = world.quotes()
    assert bid.px < level[0].px
    assert ask.px < level[1].px
    assert bid.qty > 0
    world.hold(10_100)
    bid, ask = world.quotes()
    assert (bid.qty, ask.qty) == (0, 2_003)  # sold cheaper, so a little more for the money
    world = Maker(half_spread_bps=10, skew_bps=20)
    world.hold(-10_100, entry=500.0)
    bid, ask = world.quotes()
    assert (bid.qty > 0, ask.qty) == (True, 0)
    assert bid.px > level[0].px


def test_volatility_widens_and_nan_does_not() -> None:
    world = Maker(half_spread_bps=10, volatility_share=2)
    world.signals.rows[0][Signal.IMBALANCE] = math.nan
    world.signals.rows[0][Signal.VOLATILITY] = math.nan
    assert world.quotes()[0].px == 49_950
    world.signals.rows[0][Signal.VOLATILITY] = 0.001
    assert world.quotes()[0].px == 49_900


def test_quotes_stay_until_they_are_off_or_old() -> None:
    world = Maker(requote_bps=5, requote_ms=100, refresh_ms=1_000)
    first = world.quotes()
    assert world.ask(99) == [], "too soon to look"
    assert world.ask(100) == [], "as before"
    world.book.best_bid_px += 20
    world.book.best_ask_px += 20
    assert world.ask(200) == [], "off by 4 bps"
    again = world.quotes(601)
    assert [(q.px, q.qty) for q in again] == [(q.px, q.qty) for q in first], "said again"
    world.book.best_bid_px += 20
    world.book.best_ask_px += 20
    assert world.quotes(100)[0].px > first[0].px


def test_a_fill_brings_new_quotes_at_once() -> None:
    world = Maker(requote_ms=500)
    world.quotes()
    assert world.ask(1) == []
    view = PositionView(world.unit, 0, math.nan, 0)
    assert list(world.maker.on_fill(fill("e"), view)) == []
    assert len(world.ask(1)) == 2


@pytest.mark.parametrize("side", ["best_bid_px", "best_ask_px"])
def test_a_book_without_a_side_takes_the_quotes_away(side: str) -> None:
    world = Maker()
    world.quotes()
    setattr(world.book, side, 0)
    assert [q.qty for q in world.quotes()] == [0, 0]


def test_spot_sells_only_what_it_has() -> None:
    world = Maker(Category.SPOT)
    assert world.quotes()[1].qty == 0
    world.hold(700)
    assert world.quotes()[1].qty == 700


@pytest.mark.parametrize(
    ("qty", "entry", "said"), [(1_000, 503.0, "stop loss"), (-1_000, 497.0, "stop loss")]
)
def test_a_loss_is_left_into_the_book(qty: int, entry: float, said: str) -> None:
    world = Maker(stop_loss_pct=0.5, slippage_bps_max=20)
    world.hold(qty, entry)
    *quotes, leave = world.ask()
    assert [(q.qty, isinstance(q, Quote)) for q in quotes] == [(0, True), (0, True)]
    assert isinstance(leave, OrderIntent)
    assert (leave.side, leave.qty, leave.reduce_only) == (
        Side.SELL if qty > 0 else Side.BUY,
        *(1_000, True),
    )
    assert leave.px == (49_900 if qty > 0 else 50_110)
    assert leave.reason.startswith(said)
    assert world.ask(100) == [], "not at every book"
    assert len(world.ask(500)) == 3


def test_what_is_held_too_long_is_left_and_a_turn_starts_anew() -> None:
    world = Maker(holding_s_max=10)
    world.hold(1_000)
    assert len(world.ask()) == 2
    world.hold(500)
    assert len(world.ask(9_000)) == 2
    world.hold(-500)
    assert len(world.ask(9_000)) == 2
    *_, leave = world.ask(10_000)
    assert isinstance(leave, OrderIntent)
    assert leave.reason == "held for 10 s"
    never = Maker(holding_s_max=0)
    never.hold(1_000)
    never.ask()
    assert len(never.ask(3_600_000)) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size_notional", 0),
        ("half_spread_bps", -1),
        ("requote_ms", float("nan")),
        ("skew_bps", -0.1),
        ("stop_loss_pct", 100),
        ("stop_loss_pct", "1"),
        ("inventory_notional_max", 999),
        ("holding_s_max", True),
    ],
)
def test_bad_parameters_are_named(name: str, value: Any) -> None:  # Any: wrong on purpose
    with pytest.raises(ConfigError, match=rf"strategy\.market_maker: .*{name}"):
        MarketMakerParams(**{name: value})
