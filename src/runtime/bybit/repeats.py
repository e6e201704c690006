"""Repeating what may safely be done twice, a bounded number of times."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastbook.bybit import verdicts
from fastbook.errors import TransportError, VenueError

T = TypeVar("T")

REPEATS_MAX = 3
REPEAT_WAIT_S = 0.2


class Repeater:
    """Twice cancelled is cancelled, and stops set twice stand: so while the outcome is unknown,
    they are asked for again. `possible()` says whether anything can be sent at all."""

    def __init__(self, possible: Callable[[], bool]) -> None:
        self._possible = possible
        self.repeats = 0

    async def until_known(self, request: Callable[[], Awaitable[T]]) -> T:
        """The first answer that settles it; raises the last error."""
        for attempt in range(1, REPEATS_MAX + 1):
            try:
                return await request()
            except (TransportError, VenueError) as e:
                again = verdicts.worth_repeating(e) and self._possible()
                if attempt == REPEATS_MAX or not again:
                    raise
            await self.wait(attempt)
        raise AssertionError("unreachable")

    async def wait(self, attempt: int) -> None:
        self.repeats += 1
        await asyncio.sleep(REPEAT_WAIT_S * attempt)
