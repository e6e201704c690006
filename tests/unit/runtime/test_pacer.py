"""Waiting for one's turn, in virtual time: who goes first, who gives up, what wakes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from fastbook.bybit.limits import SECOND_NS, Ask, RateLimits
from fastbook.clock import ManualClock
from fastbook.errors import TransportError
from fastbook.runtime.bybit.pacer import LOOK_S, Pacer, said_of_limits

CREATE = "/v5/order/create"
ASK = Ask(CREATE)
_real_sleep = asyncio.sleep


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Moves by what is slept."""
    clock = ManualClock()

    async def sleep(seconds: float) -> None:
        clock.advance(int(seconds * 1e9))
        await _real_sleep(0)

    monkeypatch.setattr("fastbook.runtime.bybit.pacer.asyncio.sleep", sleep)
    return clock


def pacer(clock: ManualClock) -> Pacer:
    return Pacer(RateLimits(), clock, Random(1))


def run(story: Coroutine[Any, Any, None]) -> None:  # Any: as asyncio has it
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await story

    asyncio.run(bounded())


def test_who_asked_first_goes_first(clock: ManualClock) -> None:
    pace = pacer(clock)
    gone: list[int] = []

    async def one(n: int) -> None:
        permit = await pace.permit(ASK)
        gone.append(n)
        permit.done(clock.monotonic_ns())

    async def story() -> None:
        await asyncio.gather(*(one(n) for n in range(25)))

    run(story())
    assert gone == list(range(25))
    assert 2 * SECOND_NS <= clock.monotonic_ns() < 2.2 * SECOND_NS  # ten a second
    assert pace.waits > 0


def test_who_cannot_have_a_turn_in_time_is_told_at_once(clock: ManualClock) -> None:
    pace = pacer(clock)

    async def story() -> None:
        for _ in range(10):
            await pace.permit(ASK)
        with pytest.raises(TransportError, match="no turn in time") as caught:
            await pace.permit(ASK, not_after_ns=SECOND_NS // 2)
        assert not caught.value.sent
        # Under way for ever: after PATIENCE_S nobody waits longer.
        with pytest.raises(TransportError):
            await pace.permit(ASK)

    run(story())
    assert pace.given_up == 2
    assert clock.monotonic_ns() <= 5 * SECOND_NS


def test_limit_that_is_raised_meanwhile_ends_the_wait(clock: ManualClock) -> None:
    pace = pacer(clock)

    async def story() -> None:
        for _ in range(10):
            await pace.permit(ASK)
        waits = asyncio.create_task(pace.permit(ASK))
        await _real_sleep(0)
        pace.answered(ASK, 0, 600, 590, -1)
        await waits

    run(story())
    assert clock.monotonic_ns() <= 2 * LOOK_S * 1e9


def test_refusal_is_waited_out_and_urgent_calls_have_a_line_of_their_own(
    clock: ManualClock,
) -> None:
    pace = pacer(clock)

    async def story() -> None:
        pace.answered(ASK, 10006, 10, 0, 400)
        await pace.permit(Ask("/v5/order/cancel", urgent=True))
        assert clock.monotonic_ns() == 0
        await pace.permit(ASK)

    run(story())
    assert 0.4 * SECOND_NS <= clock.monotonic_ns() <= 1.1 * SECOND_NS


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, (-1, -1, -1)),
        ({"x-bapi-limit": "10", "x-bapi-limit-status": "x"}, (10, -1, -1)),
        ({"x-bapi-limit": "9" * 19}, (-1, -1, -1)),
        (
            {
                "x-bapi-limit": "10",
                "x-bapi-limit-status": "9",
                "x-bapi-limit-reset-timestamp": "1500",
            },
            (10, 9, 500),
        ),
    ],
)
def test_what_headers_say(headers: dict[str, str], said: tuple[int, int, int]) -> None:
    assert said_of_limits(headers, 1000) == said
