"""When the bundled strategy wants in, when it wants out, and at what price."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.support_decide import INSTRUMENT, SECOND, FakeBook, FakeSignals, instrument

from fastbook.core.states import BookState
from fastbook.errors import ConfigError
from fastbook.strategy import MeanReversion, MeanReversionParams, PositionView
from fastbook.types import Category, Instrument, OrderIntent, Side, TimeInForce


def position(
    qty: int = 0, entry_px: float = 500.0, working: int = 0, unit: Instrument = INSTRUMENT
) -> PositionView:
    return PositionView(unit, qty, entry_px if qty else math.nan, working)


def ask(
    strategy: MeanReversion,
    z: float,
    imbalance: float,
    held: PositionView | None = None,
    *,
    samples: float = 20,
    **book: Any,  # Any: fields of different types
) -> OrderIntent | None:
    signals = FakeSignals()
    signals.set(z, imbalance, samples=samples)
    intents = tuple(strategy.on_book(FakeBook(**book), signals.row(0), held or position()))
    assert len(intents) <= 1
    return intents[0] if intents else None


@pytest.mark.parametrize(
    ("z", "imbalance", "side"),
    [
        (-2.0, 0.1, Side.BUY),
        (2.0, -0.1, Side.SELL),
        (-1.99, 0.9, None),
        (1.99, -0.9, None),
        (-2.0, 0.09, None),
        (-2.0, -0.5, None),  # the book leans the other way
        (2.0, 0.5, None),
        (math.nan, 0.5, None),
        (-2.5, math.nan, None),
    ],
)
def test_entries(z: float, imbalance: float, side: Side | None) -> None:
    wanted = ask(MeanReversion(), z, imbalance)
    assert (wanted.side if wanted else None) is side


def test_entry_is_an_immediate_order_just_through_the_touch() -> None:
    wanted = ask(MeanReversion(MeanReversionParams(slippage_bps_max=5.0)), -2.5, 0.3, u=9, ts_ms=8)
    assert wanted is not None
    # 5 bps of 500.10 is 0.25: two ticks of 0.10.
    assert (wanted.px, wanted.qty, wanted.reduce_only) == (50_030, 0, False)
    assert wanted.tif is TimeInForce.IOC
    assert (wanted.book_u, wanted.book_ts_ms) == (9, 8)
    assert wanted.strategy == "meanrev"
    sell = ask(MeanReversion(MeanReversionParams(slippage_bps_max=0.0)), 2.5, -0.3)
    assert sell is not None
    assert sell.px == 50_000


def test_confidence_grows_with_both_conditions() -> None:
    asked = [ask(MeanReversion(), z, i) for z, i in ((-2.0, 0.1), (-3.0, 0.1), (-9.0, 1.0))]
    confidences = [a.confidence for a in asked if a is not None]
    assert confidences == sorted(confidences)
    assert confidences[0] == pytest.approx(0.525)
    assert confidences[-1] == 1.0


@pytest.mark.parametrize(
    "book",
    [
        {"best_ask_px": 50_060},  # 12 bps wide
        {"best_ask_px": 0},
        {"state": BookState.STALE},
    ],
)
def test_no_entry_on_a_book_like_this(book: dict[str, Any]) -> None:
    assert ask(MeanReversion(), -3.0, 0.5, **book) is None


def test_no_entry_with_an_order_under_way_or_too_few_samples() -> None:
    assert ask(MeanReversion(), -3.0, 0.5, position(working=1)) is None
    assert ask(MeanReversion(), -3.0, 0.5, samples=19) is None
    assert ask(MeanReversion(), -3.0, 0.5, samples=20) is not None


def test_cooldown_is_per_symbol() -> None:
    strategy = MeanReversion(MeanReversionParams(cooldown_ms=1_000))
    other = position(unit=instrument(index=1))
    assert ask(strategy, -3.0, 0.5, recv_ns=SECOND) is not None
    assert ask(strategy, -3.0, 0.5, recv_ns=2 * SECOND - 1) is None
    assert ask(strategy, -3.0, 0.5, other, recv_ns=2 * SECOND - 1) is not None
    assert ask(strategy, -3.0, 0.5, recv_ns=2 * SECOND) is not None


@pytest.mark.parametrize(
    ("qty", "z", "entry_px", "reason"),
    [
        (100, -2.5, 500.0, None),
        (100, -0.51, 500.0, None),
        (100, -0.5, 500.0, "reverted"),
        (100, 1.0, 500.0, "reverted"),  # past the mean
        (-100, 0.51, 500.1, None),
        (-100, 0.5, 500.1, "reverted"),
        (-100, -1.0, 500.1, "reverted"),
        # Judged at the price one could leave at: bid 500.00, ask 500.10.
        (100, -3.0, 502.52, "stop loss"),
        (100, -3.0, 502.50, None),
        (-100, 3.0, 497.60, "stop loss"),
        (-100, 3.0, 497.62, None),
        (100, -3.0, 492.6, "take profit"),
        (100, -3.0, 492.7, None),
        (-100, 3.0, 507.8, "take profit"),
        (100, math.nan, 500.0, None),
    ],
)
def test_exits(qty: int, z: float, entry_px: float, reason: str | None) -> None:
    wanted = ask(MeanReversion(), z, 0.0, position(qty, entry_px))

    if reason is None:
        assert wanted is None
        return
    assert wanted is not None
    assert wanted.reason.startswith(reason)
    assert wanted.reduce_only
    assert wanted.qty == 100
    assert wanted.side is (Side.SELL if qty > 0 else Side.BUY)
    # Four times the slippage of an entry: 20 bps, whole ticks.
    assert wanted.px == (49_900 if qty > 0 else 50_110)


def test_exit_waits_for_its_order_and_between_attempts() -> None:
    strategy = MeanReversion(MeanReversionParams(exit_retry_ms=250, cooldown_ms=1_000))
    held = position(100)
    assert ask(strategy, 0.0, 0.0, position(100, working=1), recv_ns=0) is None
    assert ask(strategy, 0.0, 0.0, held, recv_ns=0) is not None
    assert ask(strategy, 0.0, 0.0, held, recv_ns=249_999_999) is None
    assert ask(strategy, 0.0, 0.0, held, recv_ns=250_000_000) is not None
    # Just left: not in again at once.
    assert ask(strategy, -3.0, 0.5, recv_ns=SECOND) is None


def test_spot_never_sells_what_it_does_not_hold() -> None:
    spot = instrument(category=Category.SPOT)
    assert ask(MeanReversion(), 3.0, -0.5, position(unit=spot)) is None
    assert ask(MeanReversion(), -3.0, 0.5, position(unit=spot)) is not None
    leave = ask(MeanReversion(), 0.0, 0.0, position(100, unit=spot))
    assert leave is not None
    assert leave.side is Side.SELL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lookback", 1),
        ("lookback", 20.5),
        ("entry_z", 0.0),
        ("entry_z", math.nan),
        ("exit_z", 2.0),
        ("imbalance_min", 1.0),
        ("imbalance_min", "0.1"),
        ("stop_loss_pct", 0.0),
        ("stop_loss_pct", 100.0),
        ("take_profit_pct", -1.0),
        ("slippage_bps_max", 101.0),
        ("cooldown_ms", -1),
        ("exit_retry_ms", True),
    ],
)
def test_bad_parameter_is_named(name: str, value: Any) -> None:  # Any: wrong on purpose
    with pytest.raises(ConfigError, match=name):
        MeanReversionParams(**{name: value})
