"""The rate limiter against a venue that counts what arrives, in virtual time."""

from __future__ import annotations

import heapq
import os
from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook.bybit.limits import (
    ADDRESS_LIMIT,
    ADDRESS_WINDOW_NS,
    MARGIN_NS,
    OVERLOAD_CALM_NS,
    OVERLOAD_FIRST_NS,
    OVERLOAD_MAX_NS,
    RESERVE,
    SECOND_NS,
    Ask,
    Budget,
    RateLimits,
    Way,
    default_limit,
)
from fastbook.types import Category

MS = 1_000_000
CREATE, CANCEL, AMEND, OPEN = (
    "/v5/order/create",
    "/v5/order/cancel",
    "/v5/order/amend",
    "/v5/order/realtime",
)
START = 5 * SECOND_NS
LOOK_NS = 50 * MS


class CountingVenue:
    """Counts arrivals in any second, by a clock that ticks in milliseconds and trembles."""

    def __init__(self, limits: dict[str, int], rng: Random) -> None:
        self._limits = limits
        self._seen: dict[str, deque[int]] = {endpoint: deque() for endpoint in limits}
        self._rng = rng
        self._last_ms = 0
        self.rejects = 0
        self.granted = 0

    def arrive(self, endpoint: str, now_ns: int, units: int = 1) -> tuple[int, int]:
        """(limit, remaining), as the answer's headers say."""
        now_ms = max(self._last_ms, (now_ns + self._rng.randrange(-MS, MS)) // MS)
        self._last_ms = now_ms
        seen, limit = self._seen[endpoint], self._limits[endpoint]
        while seen and seen[0] <= now_ms - 1000:
            seen.popleft()
        if len(seen) + units > limit:
            self.rejects += 1
        else:
            seen.extend([now_ms] * units)
            self.granted += units
        return limit, limit - len(seen)


def drive(
    requests: int, limits: dict[str, int], rng: Random
) -> tuple[CountingVenue, RateLimits, dict[str, float]]:
    """As many requests as the limiter lets go, to all endpoints at once; seconds that each took."""
    # The address would be what binds with limits as high as these; it has a test of its own.
    limiter = RateLimits(address_limit=1_000_000)
    venue = CountingVenue(limits, rng)
    asks = {endpoint: Ask(endpoint) for endpoint in limits}
    ended_ns = dict.fromkeys(limits, START)
    share = requests // len(limits)
    left = dict.fromkeys(limits, share)
    # Events: (when, order, what, endpoint, permit, learnt)
    count = 0
    events: list[tuple[int, int, str, str, object, tuple[int, int]]] = []

    def later(at_ns: int, what: str, endpoint: str, extra: object, said: tuple[int, int]) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (at_ns, count, what, endpoint, extra, said))

    for endpoint in limits:
        later(START, "ask", endpoint, None, (0, 0))
    now_ns = START
    while events:
        now_ns, _, what, endpoint, permit, said = heapq.heappop(events)
        # Our clock runs 100 ppm fast, and is read late by up to 50 us.
        ours_ns = now_ns + now_ns // 10_000 + rng.randrange(50_000)
        if what == "ask":
            wait_ns = limiter.wait_ns(ours_ns, asks[endpoint])
            if wait_ns:
                later(now_ns + min(wait_ns, LOOK_NS), "ask", endpoint, None, (0, 0))
                continue
            taken = limiter.take(asks[endpoint])
            left[endpoint] -= 1
            later(now_ns + rng.randrange(MS, 12 * MS), "arrive", endpoint, taken, (0, 0))
            if left[endpoint]:
                later(now_ns, "ask", endpoint, None, (0, 0))
        elif what == "arrive":
            seen = venue.arrive(endpoint, now_ns)
            later(now_ns + rng.randrange(MS, 12 * MS), "answer", endpoint, permit, seen)
        else:
            ended_ns[endpoint] = now_ns
            permit.done(ours_ns)  # type: ignore[attr-defined]  # a Permit
            limiter.learn(ours_ns, endpoint, *said)
    return venue, limiter, {e: (at - START) / SECOND_NS for e, at in ended_ns.items()}


def use(requests: int, limit: int, seconds: float) -> float:
    """Of a budget. The first second is a gift, as its window is empty; and the limit is learnt."""
    return (requests - limit) / (limit * (seconds - 0.05))


REQUESTS = int(os.environ.get("FASTBOOK_LIMITER_REQUESTS", "60000"))
"""The million of the release takes a minute."""


def test_no_request_is_rejected_and_hardly_any_budget_is_wasted() -> None:
    limits = {CREATE: 600, AMEND: 400, CANCEL: 800, OPEN: 200}
    venue, _, seconds = drive(REQUESTS, limits, Random(19))
    assert (venue.granted, venue.rejects) == (REQUESTS, 0)
    for endpoint, limit in limits.items():
        assert use(REQUESTS // 4, limit, seconds[endpoint]) >= 0.95, endpoint


@pytest.mark.parametrize("limit", [10, 20, 50, 600])
def test_use_of_a_budget_is_above_95_percent(limit: int) -> None:
    rng = Random(limit)
    requests = 60 * limit
    venue, _, seconds = drive(requests, {CREATE: limit}, rng)
    assert venue.rejects == 0
    assert use(requests, limit, seconds[CREATE]) >= 0.95


@given(
    st.lists(st.integers(0, 2 * SECOND_NS), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(0, 400 * MS),
)
def test_budget_never_lets_more_than_its_limit_into_a_window(
    gaps: list[int], limit: int, delay_ns: int
) -> None:
    budget = Budget(limit, SECOND_NS)
    now_ns, ends, sent = 0, deque[int](), deque[int]()
    for gap_ns in gaps:
        now_ns += gap_ns // 10
        while ends and ends[0] <= now_ns:
            budget.done(ends.popleft(), 1)
        if budget.wait_ns(now_ns, 1) == 0:
            budget.take(1)
            ends.append(now_ns + delay_ns)
            sent.append(now_ns)
    for i, first_ns in enumerate(sent):
        # Wherever in (sent, answered] each arrived, no window of a second holds more.
        inside = [s for s in list(sent)[i:] if s < first_ns + SECOND_NS + delay_ns]
        assert len(inside) <= limit


def test_wait_is_the_least_that_can_help() -> None:
    budget = Budget(3, SECOND_NS)
    for at_ns in (0, 10, 20):
        budget.take(1)
        budget.done(at_ns, 1)
    assert budget.wait_ns(30, 1) == SECOND_NS - 30
    assert budget.wait_ns(30, 2) == SECOND_NS + 10 - 30
    assert budget.wait_ns(30, 9) == SECOND_NS + 20 - 30  # all there is
    assert budget.wait_ns(SECOND_NS, 1) == 0
    budget.take(1)
    assert budget.used(2 * SECOND_NS) == 1  # under way: no time frees it
    assert budget.wait_ns(2 * SECOND_NS, 3) == SECOND_NS


def test_reserve_is_left_to_urgent_calls() -> None:
    limits = RateLimits(address_limit=10)
    ask, urgent = Ask("/v5/market/time"), Ask(CANCEL, urgent=True)
    for _ in range(10 - 10 // RESERVE):
        assert limits.wait_ns(START, ask) == 0
        limits.take(ask).done(START)
    assert limits.wait_ns(START, ask) == ADDRESS_WINDOW_NS + MARGIN_NS
    assert limits.wait_ns(START, Ask("/v5/market/time", Way.SOCKET)) == 0  # not of the address
    for _ in range(10 // RESERVE):
        assert limits.wait_ns(START, urgent) == 0
        limits.take(urgent).done(START)
    assert limits.wait_ns(START, urgent) > 0


def test_limits_are_learnt() -> None:
    limits = RateLimits()
    assert limits.limit(CREATE) == 10
    limits.learn(START, CREATE, 60, 60)
    assert limits.limit(CREATE) == 60
    for nonsense in (0, -1, 10**9):
        limits.learn(START, CREATE, nonsense, 5)
        assert limits.limit(CREATE) == 60
    limits.learn(START, "/v5/market/time", 60, 60)
    assert limits.limit("/v5/market/time") == 0


def test_room_is_left_to_others_of_the_account() -> None:
    limits = RateLimits()
    limits.learn(START, CREATE, 10, 3)  # somebody else used 7
    assert limits.others == 7
    ask = Ask(CREATE)
    for _ in range(3):
        assert limits.wait_ns(START, ask) == 0
        limits.take(ask)
    assert limits.wait_ns(START, ask) == SECOND_NS + MARGIN_NS
    limits.learn(START, CREATE, 10, 0)
    assert limits.others == 7  # our own three
    limits.learn(START, CREATE, 10, -4)
    assert limits.others == 7


@pytest.mark.parametrize(
    ("reset_in_ms", "pause_ms"), [(-5_000, 50), (0, 50), (400, 400), (3_600_000, 1_000)]
)
def test_refusal_pauses_the_endpoint_until_its_reset(reset_in_ms: int, pause_ms: int) -> None:
    limits = RateLimits()
    limits.refused(START, Ask(CREATE), 10006, reset_in_ms * MS, 7)
    assert limits.wait_ns(START, Ask(CREATE)) == pause_ms * MS + 7
    assert limits.wait_ns(START, Ask(CANCEL)) == 0
    limits.refused(START, Ask(CREATE), 10006, 0, 0)  # a shorter one takes nothing back
    assert limits.wait_ns(START, Ask(CREATE)) == max(pause_ms * MS + 7, 50 * MS)
    assert limits.refusals == 2


@pytest.mark.parametrize("code", [429, 10403, 10429, 20003])
def test_overload_slows_everything_and_more_while_it_goes_on(code: int) -> None:
    limits = RateLimits()
    now_ns, pauses = START + OVERLOAD_CALM_NS, []
    for _ in range(8):
        limits.refused(now_ns, Ask(CREATE), code, 0, 0)
        pause_ns = limits.wait_ns(now_ns, Ask(OPEN))
        assert limits.wait_ns(now_ns, Ask(CANCEL, urgent=True)) == 50 * MS
        pauses.append(pause_ns)
        now_ns += pause_ns
    assert pauses[0] == OVERLOAD_FIRST_NS
    assert pauses[1] == 2 * OVERLOAD_FIRST_NS
    assert max(pauses) == OVERLOAD_MAX_NS
    assert limits.overloads == 8
    now_ns += OVERLOAD_CALM_NS
    limits.refused(now_ns, Ask(CREATE), code, 0, 0)
    assert limits.wait_ns(now_ns, Ask(OPEN)) == OVERLOAD_FIRST_NS


def test_permit_ends_once() -> None:
    limits = RateLimits()
    ask = Ask(CREATE, units=4)
    permit = limits.take(ask)
    permit.done(START)
    permit.done(START + 10)
    assert limits.wait_ns(START, Ask(CREATE, units=6)) == 0
    assert limits.wait_ns(START, Ask(CREATE, units=7)) == SECOND_NS + MARGIN_NS


def test_limits_of_an_account_without_a_tier() -> None:
    assert default_limit(CREATE, Category.LINEAR) == 10
    assert default_limit(CREATE, Category.SPOT) == 20
    assert default_limit(AMEND, Category.SPOT) == 10
    assert default_limit(OPEN, Category.INVERSE) == 50
    assert default_limit("/v5/market/instruments-info", Category.LINEAR) == 0
    assert (ADDRESS_LIMIT, ADDRESS_WINDOW_NS) == (600, 5 * SECOND_NS)
