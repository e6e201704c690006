"""Reconnects: at once, then with full jitter under a cap, and never above the budget."""

from random import Random

import pytest

from fastbook.runtime.bybit.backoff import Backoff, WindowBudget


def test_first_retry_comes_at_once_and_the_others_grow_to_the_cap() -> None:
    backoff = Backoff(base_s=0.5, cap_s=30.0, rng=Random(1))

    delays = [backoff.failed(was_stable=False) for _ in range(200)]

    assert delays[0] == 0.0
    assert all(0.0 <= d <= min(30.0, 0.5 * 2**i) for i, d in enumerate(delays[1:]))
    assert max(delays) > 25.0  # the cap is reached
    assert min(delays[20:]) < 5.0  # and the jitter is full: from zero up


def test_a_stable_connection_is_retried_at_once_again() -> None:
    backoff = Backoff(base_s=0.5, cap_s=30.0, rng=Random(1))
    for _ in range(5):
        backoff.failed(was_stable=False)

    assert backoff.failed(was_stable=True) == 0.0
    assert 0.0 < backoff.failed(was_stable=False) <= 0.5


def test_delays_repeat_with_the_seed() -> None:
    def delays(seed: int) -> list[float]:
        backoff = Backoff(base_s=0.5, cap_s=30.0, rng=Random(seed))
        return [backoff.failed(was_stable=False) for _ in range(20)]

    assert delays(3) == delays(3)
    assert delays(3) != delays(4)


def test_budget_never_gives_more_than_its_limit_in_any_window() -> None:
    budget, rng = WindowBudget(5, 10.0), Random(7)
    now_s, taken_s = 0.0, list[float]()
    for _ in range(500):
        now_s += rng.uniform(0.0, 2.0)
        if budget.take(now_s):
            taken_s.append(now_s)

    assert all(later - first >= 10.0 for first, later in zip(taken_s, taken_s[5:], strict=False))
    assert len(taken_s) > 200


def test_budget_says_how_long_to_wait() -> None:
    budget = WindowBudget(3, 10.0)
    for now_s in (0.0, 1.0, 2.0):
        assert budget.take(now_s)

    assert budget.room(3.0) == 0
    assert budget.wait_s(3.0) == pytest.approx(7.0)
    assert budget.wait_s(3.0, 2) == pytest.approx(8.0)
    assert not budget.take(9.9)
    assert budget.wait_s(10.0) == 0.0
    assert budget.take(10.0)
