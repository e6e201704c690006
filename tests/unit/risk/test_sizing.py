"""Stakes: Kelly where there is a record, a probe where there is none, never above the cap."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook.risk import Sizer, SizingParams, TrackRecord, kelly

CALM = 1.0


def test_kelly_of_known_bets() -> None:
    assert kelly(0.5, 1.0) == 0.0
    assert kelly(0.6, 1.0) == pytest.approx(0.2)
    assert kelly(0.5, 2.0) == pytest.approx(0.25)
    assert kelly(0.4, 1.0) == pytest.approx(-0.2)
    assert math.isnan(kelly(math.nan, 1.0))
    assert math.isnan(kelly(0.5, 0.0))


@given(st.floats(0.05, 0.95), st.floats(0.2, 5.0))
def test_kelly_is_where_expected_log_growth_is_highest(p: float, b: float) -> None:
    best = kelly(p, b)
    if not 0.001 < best < 0.999:
        return

    def growth(f: float) -> float:
        return p * math.log(1 + b * f) + (1 - p) * math.log(1 - f)

    step = min(best, 1 - best) / 2
    assert growth(best) > growth(best - step)
    assert growth(best) > growth(best + step)


def test_stake_by_record() -> None:
    sizer = Sizer(SizingParams(kelly_fraction=0.5, trades_min=10, probe=0.01, stake_max=0.05))

    def stake(record: TrackRecord) -> float:
        return sizer.stake(record, confidence=1.0, volatility_bps=CALM)

    assert stake(TrackRecord()) == 0.01
    assert stake(TrackRecord(9, 1.0, math.nan)) == 0.01
    assert stake(TrackRecord(10, 1.0, math.nan)) == 0.01  # no loss yet: no ratio
    assert stake(TrackRecord(10, 0.54, 1.0)) == pytest.approx(0.04)
    assert stake(TrackRecord(10, 0.9, 3.0)) == 0.05
    assert stake(TrackRecord(10, 0.4, 1.0)) == 0.0
    assert stake(TrackRecord(10, 0.0, 0.0)) == 0.0


def test_confidence_and_volatility_only_shrink() -> None:
    sizer = Sizer(SizingParams(probe=0.02, stake_max=0.02, volatility_bps_target=10.0))

    def stake(confidence: float, volatility_bps: float) -> float:
        return sizer.stake(TrackRecord(), confidence=confidence, volatility_bps=volatility_bps)

    assert stake(1.0, 10.0) == 0.02
    assert stake(0.25, 10.0) == pytest.approx(0.005)
    assert stake(5.0, 10.0) == 0.02
    assert stake(1.0, 40.0) == pytest.approx(0.005)
    assert stake(1.0, math.nan) == pytest.approx(0.01)
    assert stake(0.0, 10.0) == stake(-1.0, 10.0) == stake(math.nan, 10.0) == 0.0


@given(
    st.builds(TrackRecord, st.integers(0, 100), st.floats(0, 1), st.floats(0, 100)),
    st.floats(allow_nan=True),
    st.floats(allow_nan=True),
)
def test_stake_is_never_outside_its_cap(
    record: TrackRecord, confidence: float, volatility_bps: float
) -> None:
    sizer = Sizer()
    stake = sizer.stake(record, confidence=confidence, volatility_bps=volatility_bps)
    assert 0.0 <= stake <= sizer.params.stake_max
