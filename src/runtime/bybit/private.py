"""The authenticated stream of orders, fills, positions and balances, kept up until told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from picows import ws_connect

from fastbook.bybit.private import PrivateDecoder
from fastbook.clock import Clock
from fastbook.errors import VenueError
from fastbook.types import OrderEvent

from ..config import Credentials
from .backoff import Backoff, WindowBudget
from .feed_config import ATTEMPTS_WINDOW_S, BACKOFF_BASE_S
from .http import tls_context
from .private_config import PrivateStats, PrivateStreamConfig
from .private_connection import PrivateConnection, PrivateContext, Stage
from .transport import ConnectWs

__all__ = ["PrivateStats", "PrivateStream", "PrivateStreamConfig"]

log = logging.getLogger("fastbook.private")


class PrivateStream:
    """Connects, authenticates, subscribes; reconnects with backoff.

    Parameters
    ----------
    decoder : PrivateDecoder
        Knows the engine's instruments; also counts rows that could not be read.
    on_events : callable(list[OrderEvent], int)
        From inside the socket callback, with the receive time in ns (wall clock).
    on_link : callable(bool)
        True: authenticated and subscribed. What happened before is not replayed, so this is when
        to reconcile by REST. False: events are being missed from now on.
    venue_now_ms : callable() -> int, optional
        The venue's clock for the expiry of our signature; else this machine's.
    ca_file : str, optional
        PEM file trusted besides the system's.
    connect_ws : callable, optional
        Another way to the venue than a socket.
    """

    def __init__(
        self,
        config: PrivateStreamConfig,
        credentials: Credentials,
        decoder: PrivateDecoder,
        on_events: Callable[[list[OrderEvent], int], None],
        on_link: Callable[[bool], None],
        clock: Clock,
        *,
        venue_now_ms: Callable[[], int] | None = None,
        ca_file: str = "",
        rng: Random | None = None,
        connect_ws: ConnectWs = ws_connect,
    ) -> None:
        self._config = config
        self._rng = rng or Random()
        self._budget = WindowBudget(config.attempts_per_5min, ATTEMPTS_WINDOW_S)
        self._stopping = asyncio.Event()
        self._connection: PrivateConnection | None = None
        self._context = PrivateContext(
            config=config,
            credentials=credentials,
            decoder=decoder,
            clock=clock,
            venue_now_ms=venue_now_ms or (lambda: clock.now_ns() // 1_000_000),
            on_events=on_events,
            on_link=on_link,
            connect_ws=connect_ws,
            tls=tls_context(ca_file) if config.url.startswith("wss://") else None,
        )

    @property
    def stats(self) -> PrivateStats:
        return self._context.stats

    @property
    def up(self) -> bool:
        """Authenticated and subscribed."""
        connection = self._connection
        return connection is not None and connection.stage is Stage.LIVE and not connection.reason

    async def run(self) -> None:
        """Returns after `stop`; until then network faults only lead to the next attempt.

        Raises `CredentialsError` when the venue refuses the key: trying again cannot help. (A key
        that it has taken before is tried again a few times: a clock may have jumped.)
        Raises `VenueError` when it refuses the subscription again and again, and whatever a
        callback raises.
        """
        backoff = Backoff(base_s=BACKOFF_BASE_S, cap_s=self._config.backoff_cap_s, rng=self._rng)
        refusals = 0
        while not self._stopping.is_set():
            await self._wait_for_budget()
            if self._stopping.is_set():
                return
            connection = PrivateConnection(self.stats.attempts + 1, self._context)
            self._connection = connection
            await connection.run()
            if connection.error is not None:
                raise connection.error
            if self._stopping.is_set():
                return
            refusals = refusals + 1 if connection.refused else 0
            if refusals >= self._config.refusals_max:
                raise connection.refusal or VenueError(
                    0, connection.reason, request="private stream"
                )
            delay_s = backoff.failed(was_stable=self._was_stable(connection))
            log.warning("ended (%s), again in %.1f s", connection.reason, delay_s)
            await self._pause(delay_s)

    def stop(self) -> None:
        """Close the connection; `run` returns within `close_timeout_s`."""
        self._stopping.set()
        if self._connection is not None:
            self._connection.finish("stopped")

    def _was_stable(self, connection: PrivateConnection) -> bool:
        if connection.opened_s is None:
            return False
        return self._context.now_s() - connection.opened_s >= self._config.stable_after_s

    async def _wait_for_budget(self) -> None:
        while not self._stopping.is_set():
            now_s = self._context.now_s()
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
