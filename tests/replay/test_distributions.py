"""The simulated feed looks like the recorded one, in the measures that the documents show."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench.distribution_chart import draw
from bench.distributions import SYMBOLS, recorded, simulated, value_of

ROOT = Path(__file__).parents[2]


def test_simulated_frames_are_like_recorded_ones(data_dir: Path) -> None:
    ours, theirs = simulated(20.0, seed=3), recorded(data_dir / "feed-statistics.json")
    assert set(ours) == set(theirs) == set(SYMBOLS)
    for symbol in SYMBOLS:
        for path, at_most in (
            (("frame_bytes", "delta", "mean"), 1.5),
            (("levels_per_delta", "total", "p50"), 1.8),
            (("inter_frame_ms", "ts", "mean"), 1.3),
            (("snapshot_level_size", "p50"), 4.0),
        ):
            ratio = value_of(ours[symbol], path) / value_of(theirs[symbol], path)
            assert 1 / at_most < ratio < at_most, (symbol, path)
        assert value_of(ours[symbol], ("spread_ticks", "mean")) < 1.5
        assert value_of(ours[symbol], ("levels_per_delta", "lag1_autocorrelation_of_total")) > 0.1
    picture = draw(ours, theirs, SYMBOLS)
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_the_picture_is_small() -> None:
    size = (ROOT / "docs" / "distributions.svg").stat().st_size
    assert 10_000 < size < 200_000


@pytest.mark.parametrize("seed", [3])
def test_the_same_seed_is_the_same_feed(seed: int) -> None:
    assert simulated(2.0, seed) == simulated(2.0, seed)
