"""Points of a sweep: grids, ranges, draws, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fastbook.errors import ConfigError
from fastbook.runtime.sweeps.params import at_random, grid, plain, read_axes, read_axis, variables

Z = "strategy.mean_reversion.entry_z"
N = "strategy.mean_reversion.lookback"


def test_grid_in_order() -> None:
    points = grid(read_axes([f"{Z}=1.5, 2", f"{N}=10,20"], at_random=False))
    assert points == [{Z: z, N: n} for z in ("1.5", "2") for n in ("10", "20")]
    assert variables(points[0]) == {
        "FASTBOOK__STRATEGY__MEAN_REVERSION__ENTRY_Z": "1.5",
        "FASTBOOK__STRATEGY__MEAN_REVERSION__LOOKBACK": "10",
    }


def test_steps_are_exact_and_the_end_is_in() -> None:
    assert read_axis(f"{Z}=1:1.5:0.1").values == ("1", "1.1", "1.2", "1.3", "1.4", "1.5")
    assert read_axis(f"{Z}=0.1:0.35:0.1").values == ("0.1", "0.2", "0.3")
    assert read_axis(f"{N}=10:30:10").values == ("10", "20", "30")
    assert plain(Decimal("1E+2")) == "100"


def test_draws_are_different_within_range_and_repeat() -> None:
    axes = read_axes([f"{Z}=1.0:3", f"{N}=10:12", "risk.leverage_max=5,10"], at_random=True)
    points = at_random(axes, 200, 7)
    assert points == at_random(axes, 200, 7) != at_random(axes, 200, 8)
    assert points[:50] == at_random(axes, 50, 7), "a longer search goes on with a shorter one"
    assert len({tuple(p.values()) for p in points}) == 200
    assert {p[N] for p in points} == {"10", "11", "12"}
    assert {p["risk.leverage_max"] for p in points} == {"5", "10"}
    assert all(1 <= Decimal(p[Z]) <= 3 for p in points)
    assert all(len(p[Z].replace(".", "")) <= 6 for p in points)


def test_a_finite_space_runs_dry() -> None:
    axes = read_axes([f"{N}=10:12"], at_random=True)
    assert {p[N] for p in at_random(axes, 3, 1)} == {"10", "11", "12"}
    with pytest.raises(ConfigError, match="only 3 different points were found"):
        at_random(axes, 4, 1)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["entry_z"], "--param entry_z: must be key=a,b,c"),
        ([f"{Z}="], "must be key=a,b,c"),
        (["entry_z=1"], "--param entry_z: must be a dotted key"),
        ([f"{Z}=1,,2"], "has an empty value"),
        ([f"{Z}=1,2,1"], "has the value 1 twice"),
        ([f"{Z}=1", f"{Z}=2"], "is given twice"),
        ([f"{Z}=1:3"], "a grid needs a step"),
        ([f"{Z}=3:1:1"], "ends below where it begins"),
        ([f"{Z}=1:3:0"], "the step must be above 0"),
        ([f"{Z}=0:1000:0.001"], "more than 100,000 values"),
        (["market_data.symbols=BTCUSDT"], "is the same for every point"),
        (["venue.environment=mainnet"], "is the same for every point"),
    ],
)
def test_refused(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_axes(texts, at_random=False)
    assert said in str(caught.value)


def test_a_grid_has_a_bound() -> None:
    axes = read_axes([f"a.b{n}=0:99:1".replace("a.", "risk.") for n in range(3)], at_random=False)
    with pytest.raises(ConfigError, match=r"1,000,000 points.*--random"):
        grid(axes)
