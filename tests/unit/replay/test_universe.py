"""The table of simulated instruments holds what the rest relies on."""

from __future__ import annotations

import pytest

from fastbook.replay.matching import universe
from fastbook.types import Category


@pytest.mark.parametrize("category", [Category.LINEAR, Category.SPOT])
def test_every_market_is_consistent(category: Category) -> None:
    markets = universe(150, category)

    assert len({m.instrument.symbol for m in markets}) == 150
    for index, market in enumerate(markets):
        unit = market.instrument
        assert unit.index == index
        assert unit.category is category
        assert market.start_px % unit.tick == 0
        assert market.start_px // unit.tick >= 4000
        assert market.typical_qty % unit.lot == 0
        assert market.typical_qty >= 2 * unit.lot
        assert unit.qty_min == unit.lot
        assert unit.qty_max % unit.lot == 0
        assert unit.qty_max_market % unit.lot == 0
        assert unit.qty_min < market.typical_qty < unit.qty_max_market < unit.qty_max
        value = unit.notional(market.start_px, market.typical_qty)
        assert 100 < value < 100_000


def test_first_markets_are_the_well_known_ones() -> None:
    btc, eth = universe(2)

    assert btc.instrument.symbol == "BTCUSDT"
    assert str(btc.instrument.px_decimal(btc.start_px)) == "65114.20"
    assert (btc.instrument.price_scale, btc.instrument.tick) == (2, 10)
    assert (btc.instrument.qty_scale, btc.instrument.lot) == (3, 1)
    assert eth.instrument.symbol == "ETHUSDT"
    assert universe(2) == universe(60)[:2]


def test_past_the_table_come_made_up_names() -> None:
    assert universe(200)[199].instrument.symbol == "SIM200USDT"


def test_refuses_what_it_does_not_have() -> None:
    with pytest.raises(ValueError, match="count"):
        universe(0)


def test_inverse_markets_count_dollars_and_settle_in_the_coin() -> None:
    btc, eth = universe(2, Category.INVERSE)
    unit = btc.instrument
    assert (unit.symbol, unit.base, unit.quote, unit.settle) == ("BTCUSD", "BTC", "USD", "BTC")
    assert (unit.qty_scale, unit.lot, unit.qty_min, int(unit.notional_min)) == (0, 1, 1, 0)
    assert eth.instrument.symbol == "ETHUSD"
    assert 100 < btc.typical_qty < unit.qty_max_market < unit.qty_max
