"""The histogram against the list of everything it was given."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.histogram import ExactDurations

from fastbook.core.histogram import Histogram

NS = st.one_of(
    st.integers(0, 300), st.integers(0, 10**6), st.integers(0, 2**43 - 1), st.integers(-50, 0)
)
SHARES = (0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0)


def filled(durations: list[int]) -> tuple[Histogram, ExactDurations]:
    histogram, exact = Histogram(), ExactDurations()
    for ns in durations:
        histogram.record(ns)
        exact.record(ns)
    return histogram, exact


@given(st.lists(NS, min_size=1, max_size=200))
def test_quantiles_are_at_most_one_percent_above(durations: list[int]) -> None:
    histogram, exact = filled(durations)

    for q in SHARES:
        true = exact.quantile(q)
        assert true <= histogram.quantile(q) <= true * (1 + 1 / 128)
    assert histogram.count == len(durations)
    assert histogram.negative == sum(ns < 0 for ns in durations)
    assert histogram.least == min(exact.durations)
    assert histogram.most == max(exact.durations)
    assert histogram.mean == pytest.approx(sum(exact.durations) / len(durations))


@given(st.lists(NS, max_size=100), st.lists(NS, max_size=100))
def test_merging_is_recording_both(left: list[int], right: list[int]) -> None:
    merged, other = filled(left)[0], filled(right)[0]
    merged.merge(other)
    together = filled(left + right)[0]

    assert merged.buckets() == together.buckets()
    assert (merged.count, merged.negative) == (together.count, together.negative)
    if left or right:
        assert (merged.least, merged.most) == (together.least, together.most)


@given(st.lists(NS, max_size=100))
def test_buckets_hold_every_duration_once(durations: list[int]) -> None:
    histogram, exact = filled(durations)

    edges = [edge for edge, _ in histogram.buckets()]
    assert edges == sorted(set(edges))
    assert sum(count for _, count in histogram.buckets()) == len(exact.durations)


def test_nothing_counted_is_no_answer() -> None:
    histogram = Histogram()

    assert math.isnan(histogram.quantile(0.5))
    assert math.isnan(histogram.most)
    assert math.isnan(histogram.mean)
    assert histogram.buckets() == []


def test_beyond_the_last_bucket_is_counted_and_not_lost() -> None:
    histogram = Histogram()
    histogram.record(2**62)

    assert (histogram.count, histogram.over) == (1, 1)
    assert histogram.quantile(1.0) == 2.0**62


def test_reset_forgets() -> None:
    histogram, _ = filled([1, 2, 3])
    histogram.reset()

    assert histogram.count == 0
    assert math.isnan(histogram.least)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_share_is_between_0_and_1(q: float) -> None:
    with pytest.raises(ValueError, match="q must be"):
        Histogram().quantile(q)
