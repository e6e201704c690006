"""An authenticated connection, kept up until told to stop."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from random import Random

from fastbook.errors import VenueError

from .backoff import Backoff, WindowBudget
from .feed_config import ATTEMPTS_WINDOW_S, BACKOFF_BASE_S
from .link_connection import LinkConnection, LinkContext, Stage

log = logging.getLogger("fastbook.link")


class KeptLink(ABC):
    """Connects, authenticates, reconnects with backoff. What it is for, a subclass says."""

    def __init__(self, context: LinkContext, rng: Random) -> None:
        self._kept = context
        self._rng = rng
        self._budget = WindowBudget(context.config.attempts_per_5min, ATTEMPTS_WINDOW_S)
        self._stopping = asyncio.Event()
        self._connection: LinkConnection | None = None

    @abstractmethod
    def make_connection(self, epoch: int) -> LinkConnection:
        """A fresh connection, not yet begun."""

    @property
    def up(self) -> bool:
        """Authenticated, and subscribed where there is something to subscribe to."""
        connection = self._connection
        return connection is not None and connection.stage is Stage.LIVE and not connection.reason

    async def run(self) -> None:
        """Returns after `stop`; until then network faults only lead to the next attempt.

        Raises `CredentialsError` when the venue refuses the key: trying again cannot help. (A key
        that it has taken before is tried again a few times: a clock may have jumped.)
        Raises `VenueError` when it refuses what is asked for again and again, and whatever a
        callback raises.
        """
        config = self._kept.config
        backoff = Backoff(base_s=BACKOFF_BASE_S, cap_s=config.backoff_cap_s, rng=self._rng)
        refusals = 0
        while not self._stopping.is_set():
            await self._wait_for_budget()
            if self._stopping.is_set():
                return
            connection = self.make_connection(self._kept.stats.attempts + 1)
            self._connection = connection
            await connection.run()
            if connection.error is not None:
                raise connection.error
            if self._stopping.is_set():
                return
            refusals = refusals + 1 if connection.refused else 0
            if refusals >= config.refusals_max:
                raise connection.refusal or VenueError(
                    0, connection.reason, request=self._kept.name
                )
            delay_s = backoff.failed(was_stable=self._was_stable(connection))
            log.warning(
                "%s: ended (%s), again in %.1f s", self._kept.name, connection.reason, delay_s
            )
            await self._pause(delay_s)

    def stop(self) -> None:
        """Close the connection; `run` returns within `close_timeout_s`."""
        self._stopping.set()
        if self._connection is not None:
            self._connection.finish("stopped")

    def _was_stable(self, connection: LinkConnection) -> bool:
        if connection.opened_s is None:
            return False
        return self._kept.now_s() - connection.opened_s >= self._kept.config.stable_after_s

    async def _wait_for_budget(self) -> None:
        while not self._stopping.is_set():
            now_s = self._kept.now_s()
            if self._budget.take(now_s):
                return
            await self._pause(self._budget.wait_s(now_s))

    async def _pause(self, delay_s: float) -> None:
        if delay_s <= 0.0:
            return
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            pass  # waited as long as asked
