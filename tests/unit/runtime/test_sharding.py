"""Whose symbols are whose, and what a share leaves room for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbook.errors import ConfigError
from fastbook.runtime.config import Config, parse
from fastbook.runtime.sharding import EqualParts, of_this_shard
from fastbook.runtime.state import place_of

RISK = """
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
"""
SYMBOLS = [f"S{n}USDT" for n in range(8)]


def config(count: int, index: int) -> Config:
    text = f"[market_data]\nsymbols = {SYMBOLS}\n[shard]\ncount = {count}\nindex = {index}\n{RISK}"
    return parse(text.replace("'", '"'), name="test", environ={})


def test_every_symbol_has_one_owner() -> None:
    parts = [of_this_shard(config(3, n)).market_data.symbols for n in range(3)]
    assert sorted(s for part in parts for s in part) == SYMBOLS
    assert {len(part) for part in parts} == {2, 3}


def test_alone_it_has_them_all() -> None:
    whole = config(1, 0)
    assert of_this_shard(whole) is whole


def test_shards_share_no_state() -> None:
    places = {place_of(config(3, n)) for n in range(3)} | {place_of(config(1, 0))}
    assert len(places) == 4
    assert all(isinstance(place, Path) for place in places)


def test_more_shards_than_symbols_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="nothing is left"):
        of_this_shard(config(9, 8))


def test_an_index_beyond_the_count_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"shard\.index is 3"):
        config(3, 3)


def test_equal_parts_are_rounded_down() -> None:
    assert EqualParts(3).usable * 3 < 1
