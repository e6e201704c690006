"""Waiting for one's turn: the venue's rate limits in time, for every request whichever way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from fastbook.bybit.codes import RATE_LIMIT
from fastbook.bybit.limits import Ask, Permit, RateLimits
from fastbook.clock import Clock
from fastbook.errors import TransportError

PATIENCE_S = 5.0
"""Who would have to wait longer is told so at once, and has sent nothing."""

JITTER_NS = 20_000_000
LOOK_S = 0.05
"""Who waits looks again this often: an answer may have raised the limit meanwhile."""

RISKY = frozenset(
    f"/v5/order/{name}" for name in ("create", "create-batch", "amend", "amend-batch")
)
"""What does not leave once the kill switch is pressed, however long it has waited here."""


class Pacer:
    """Hands out permits in the order asked, one line an endpoint; urgent ones have their own."""

    def __init__(self, limits: RateLimits, clock: Clock, rng: Random) -> None:
        self.limits = limits
        self._clock = clock
        self._rng = rng
        self._lines: dict[tuple[str, bool], asyncio.Lock] = {}  # endpoints are fixed
        self.waits = 0
        self.given_up = 0
        self.killed: Callable[[], bool] = lambda: False
        """Asked right before a create or an amend leaves; True: it does not."""

    async def permit(self, ask: Ask, not_after_ns: int | None = None) -> Permit:
        """Leave to send one request now; its `done` must be called however it ends.

        Raises `TransportError` with `sent` False when that could not be by `not_after_ns`
        (monotonic; `PATIENCE_S` from now where it is not given), and after the kill switch for
        whatever could add risk.
        """
        if not_after_ns is None:
            not_after_ns = self._clock.monotonic_ns() + int(PATIENCE_S * 1e9)
        async with self._lines.setdefault((ask.endpoint, ask.urgent), asyncio.Lock()):
            while True:
                now_ns = self._clock.monotonic_ns()
                wait_ns = self.limits.wait_ns(now_ns, ask)
                if now_ns + wait_ns > not_after_ns:
                    self.given_up += 1
                    raise TransportError(
                        f"{ask.endpoint}: no turn in time under the rate limit", sent=False
                    )
                if ask.endpoint in RISKY and self.killed():
                    raise TransportError(f"{ask.endpoint}: the kill switch", sent=False)
                if wait_ns == 0:
                    return self.limits.take(ask)
                self.waits += 1
                await asyncio.sleep(min(wait_ns / 1e9, LOOK_S))

    def answered(self, ask: Ask, code: int, limit: int, remaining: int, reset_in_ms: int) -> None:
        """What an answer said of the limits; -1 for what it did not say."""
        now_ns = self._clock.monotonic_ns()
        if limit >= 0 and remaining >= 0:
            self.limits.learn(now_ns, ask.endpoint, limit, remaining)
        if code in RATE_LIMIT:
            jitter_ns = self._rng.randrange(JITTER_NS)
            self.limits.refused(now_ns, ask, code, reset_in_ms * 1_000_000, jitter_ns)


def said_of_limits(headers: dict[str, str], venue_now_ms: int) -> tuple[int, int, int]:
    """(limit, remaining, ms until reset) of an answer's headers, names in lower case; -1 = unsaid."""
    limit, remaining, reset_ms = (
        int(text) if text.isdecimal() and len(text) <= 18 else -1
        for text in (
            headers.get("x-bapi-limit", ""),
            headers.get("x-bapi-limit-status", ""),
            headers.get("x-bapi-limit-reset-timestamp", ""),
        )
    )
    return limit, remaining, reset_ms - venue_now_ms if reset_ms >= 0 else -1
