"""Cancel everything of an account, over connections of its own, until the venue reports none.

For the kill switch and the watchdog: processes that share nothing with the engine but its notes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

import orjson

from fastbook.bybit.codes import Outcome, classify
from fastbook.clock import Clock
from fastbook.errors import CredentialsError, FastbookError, StateError, TransportError, VenueError
from fastbook.types import Category

from .bybit.rest import RestClient
from .bybit.trade_stream import TradeStream, TradeStreamConfig
from .config import Config, Credentials, Endpoints
from .state import StoredOrder, read_open_orders

log = logging.getLogger("fastbook.sweep")

QUIET_LOOKS = 2
"""Looks without an open order, one after the other, until there is none: one may be on its way."""
LOOK_S = 0.25
RETRY_S = 0.2
UP_S_MAX = 5.0
BATCH = 10


@dataclass(slots=True)
class Swept:
    """What came of it."""

    open_orders: int = -1
    """That the venue showed last; 0 = proven, -1 = it could not be asked."""
    by_socket: int = 0
    """Orders of the notes that were cancelled one by one: REST was closed."""
    left: list[str] = field(default_factory=list)
    """Of those, the ones whose cancel was not confirmed."""
    problem: str = ""

    @property
    def done(self) -> bool:
        return self.open_orders == 0


def settles_of(category: Category, symbols: Sequence[str]) -> tuple[str, ...]:
    """The settle coins in which a category may hold orders."""
    if category is Category.SPOT:
        return ("",)
    if category is Category.LINEAR:
        return ("USDT", "USDC")
    return tuple(sorted({symbol.partition("USD")[0] for symbol in symbols}))


class Sweeper:
    """One account, its own REST session and trade stream. Use as a context manager.

    Opened ahead of its use (by the watchdog) it has its clock measured and its stream up.
    """

    def __init__(
        self,
        config: Config,
        endpoints: Endpoints,
        credentials: Credentials,
        folder: Path,
        clock: Clock,
        *,
        rng: Random | None = None,
    ) -> None:
        self._category = Category(config.venue.category)
        self._settles = settles_of(self._category, config.market_data.symbols)
        self._folder = folder
        rng = rng or Random()
        self.rest = RestClient(
            endpoints.rest,
            credentials,
            clock,
            recv_window_ms=config.venue.recv_window_ms,
            ca_file=config.venue.ca_file,
            rng=rng,
        )
        self._trade: TradeStream | None = None
        if endpoints.ws_trade:
            self._trade = TradeStream(
                TradeStreamConfig(url=endpoints.ws_trade),
                credentials,
                clock,
                self.rest.pacer,
                venue_now_ms=self.rest.venue_time.now_ms,
                resync=self.rest.sync_time,
                ca_file=config.venue.ca_file,
                rng=rng,
            )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with contextlib.suppress(TransportError, VenueError):  # then by this machine's clock
            await self.rest.sync_time(1)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._trade is not None:
            self._trade.stop()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.rest.close()

    async def sweep(self, seconds_max: float) -> Swept:
        """Cancel all, look, and again, until two looks found nothing or the time is over."""
        swept = Swept()
        try:
            async with asyncio.timeout(seconds_max):
                await self._sweep(swept)
        except TimeoutError:
            swept.problem = swept.problem or f"not done in {seconds_max:g} s"
        except CredentialsError as e:
            swept.problem = str(e)
        return swept

    async def _sweep(self, swept: Swept) -> None:
        quiet = 0
        while quiet < QUIET_LOOKS:
            if self.rest.blocked_s:
                swept.problem = f"REST is closed for {self.rest.blocked_s:.0f} s"
                await self._by_socket(swept)
                return
            try:
                if not quiet:
                    await self.rest.cancel_all(self._category, self._settles)
                rows = await self.rest.cancellable_orders(self._category, self._settles)
            except (TransportError, VenueError) as e:
                swept.problem = str(e)
                log.warning("cancel all: %s", e)
                quiet = 0
                await asyncio.sleep(RETRY_S)
                continue
            swept.open_orders, swept.problem = len(rows), ""
            quiet = quiet + 1 if not rows else 0
            if quiet < QUIET_LOOKS:
                await asyncio.sleep(LOOK_S)

    async def _by_socket(self, swept: Swept) -> None:
        """What is in the engine's notes, by the trade stream: it has no list and no cancel-all."""
        try:
            orders = read_open_orders(self._folder)
        except StateError as e:
            swept.problem += f"; {e}"
            return
        if self._trade is None:
            swept.problem += "; there is no trade stream here"
            swept.left = [order.client_id for order in orders]
            return
        if self._running is None:
            self._running = asyncio.create_task(self._trade.run(), name="trade stream")
        async with asyncio.timeout(UP_S_MAX):
            while not self._trade.ready:
                if self._running.done():
                    await self._running
                await asyncio.sleep(0.01)
        groups = [orders[i : i + BATCH] for i in range(0, len(orders), BATCH)]
        left = await asyncio.gather(*(self._cancel(group) for group in groups))
        swept.left = [client_id for group in left for client_id in group]
        swept.by_socket = len(orders) - len(swept.left)

    async def _cancel(self, orders: Sequence[StoredOrder]) -> list[str]:
        """Cancel each; the ids of those that may still be open."""
        assert self._trade is not None
        left = []
        for order in orders:
            body = orjson.dumps(
                {
                    "category": self._category.value,
                    "symbol": order.symbol,
                    "orderLinkId": order.client_id,
                }
            )
            try:
                await self._trade.order("order.cancel", body, urgent=True)
            except VenueError as e:
                if classify(e.code) is not Outcome.IDEMPOTENT:  # "gone" is as good as cancelled
                    left.append(order.client_id)
            except FastbookError as e:
                log.warning("cancel of %s: %s", order.client_id, e)
                left.append(order.client_id)
        return left
