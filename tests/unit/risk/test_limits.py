"""Limits and sizing parameters that are missing or make no sense are refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support_decide import limits

from fastbook.errors import ConfigError
from fastbook.risk import Budget, RiskLimits, SizingParams, SymbolLimits


@pytest.mark.parametrize(
    "name", ["position_pct_max", "exposure_pct_max", "daily_loss_pct_max", "leverage_max"]
)
def test_without_a_required_limit_there_are_no_limits(name: str) -> None:
    given: dict[str, Any] = dict.fromkeys(  # Any: the point is that one is missing
        ("position_pct_max", "exposure_pct_max", "daily_loss_pct_max", "leverage_max"), 1.0
    )
    del given[name]
    with pytest.raises(TypeError, match=name):
        RiskLimits(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_pct_max", 0),
        ("position_pct_max", -1.0),
        ("exposure_pct_max", float("nan")),
        ("leverage_max", float("inf")),
        ("leverage_max", True),
        ("leverage_max", "10"),
        ("leverage_max", None),
        ("daily_loss_pct_max", 100.5),
        ("price_collar_bps", 10_000),
        ("stale_after_ms", 1.5),
        ("orders_per_day_max", 0),
        ("orders_per_day_max", 2.5),
        ("drawdown_pct_max", 100.1),
        ("margin_use_pct_max", 101),
        ("mark_collar_bps", 10_000),
        ("external_change", "panic"),
        ("external_change", 1),
    ],
)
def test_bad_limit_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        limits(**{name: value})


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigError, match=r"leverage_max.*stale_after_ms"):
        limits(leverage_max=-1, stale_after_ms=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kelly_fraction", 1.1),
        ("kelly_fraction", -0.1),
        ("probe", float("nan")),
        ("trades_min", 0),
        ("stake_max", "1"),
        ("volatility_bps_target", 0),
    ],
)
def test_bad_sizing_is_named(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}  # Any: wrong on purpose
    with pytest.raises(ConfigError, match=name):
        SizingParams(**given)


@pytest.mark.parametrize("value", [0, -1, float("nan"), True, "1"])
@pytest.mark.parametrize("name", ["order_qty_max", "order_notional_max", "position_notional_max"])
def test_bad_limit_of_a_symbol_is_named(name: str, value: object) -> None:
    values: dict[str, Any] = {name: value}  # Any: wrong on purpose
    with pytest.raises(ConfigError, match=rf"risk\.symbols: {name}"):
        SymbolLimits(**values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("equity_pct", 0),
        ("equity_pct", 100.5),
        ("exposure_pct_max", -1),
        ("daily_loss_pct_max", 101),
        ("daily_loss_pct_max", float("inf")),
    ],
)
def test_bad_budget_is_named(name: str, value: float) -> None:
    values: dict[str, Any] = {name: value}  # Any: wrong on purpose
    with pytest.raises(ConfigError, match=f"budget: {name}"):
        Budget(**values)


def test_the_edges_are_allowed() -> None:
    limits(
        daily_loss_pct_max=100,
        drawdown_pct_max=100,
        margin_use_pct_max=100,
        price_collar_bps=9_999,
        mark_collar_bps=9_999,
    )
    Budget(equity_pct=100, daily_loss_pct_max=100, exposure_pct_max=900)
