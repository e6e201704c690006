"""Bars by exchange time."""

from __future__ import annotations

import math

import pytest

from fastbook.strategy import Bar, BarBuilder, Strategy
from fastbook.types import Side, Trade


def test_a_bar_is_given_out_by_the_first_sample_of_a_later_one() -> None:
    builder = BarBuilder(3, 1_000)
    assert builder.push(1_500, 10.0, 1.0) is None
    assert builder.push(1_600, 12.0, 2.0) is None
    assert builder.push(1_999, 9.0) is None
    assert builder.push(1_999, 11.0) is None
    bar = builder.push(4_000, 20.0, 5.0)
    assert bar == Bar(3, 1_000, 10.0, 12.0, 9.0, 11.0, 3.0, 4)
    assert builder.push(5_000, 1.0) == Bar(3, 4_000, 20.0, 20.0, 20.0, 20.0, 5.0, 1)


def test_what_comes_late_counts_into_the_running_bar_and_nan_not_at_all() -> None:
    builder = BarBuilder(0, 1_000)
    assert builder.push(500, math.nan) is None
    builder.push(2_000, 10.0)
    assert builder.push(1_000, 8.0) is None
    assert builder.push(2_500, math.nan) is None
    bar = builder.push(3_000, 10.0)
    assert bar is not None
    assert (bar.start_ms, bar.low, bar.count) == (2_000, 8.0, 2)


def test_a_bar_has_a_length() -> None:
    with pytest.raises(ValueError, match="1 ms or more: 0"):
        BarBuilder(0, 0)


def test_the_base_of_strategies_wants_nothing() -> None:
    idle = Strategy()
    trade = Trade(0, Side.BUY, 1, 1, 1, "a", 1)
    idle.on_start([])
    idle.warm_up(None, [])  # type: ignore[arg-type]  # it looks at nothing
    idle.restore({})
    answers = [
        idle.on_book(None, None, None),  # type: ignore[arg-type]  # as above
        idle.on_trade(trade, None),  # type: ignore[arg-type]  # as above
        idle.on_bar(None, None, None),  # type: ignore[arg-type]  # as above
        idle.on_fill(None, None),  # type: ignore[arg-type]  # as above
        idle.on_timer(0),
    ]
    assert answers == [()] * 5
    assert idle.state() is None
