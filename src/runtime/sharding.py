"""Several processes on one account: whose symbols, and how much of its limits each may use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Protocol

from fastbook.errors import ConfigError

from .config import Config
from .state import place_of, prepare

if TYPE_CHECKING:
    from .app import App

log = logging.getLogger("fastbook.shares")
_STEP = Decimal("0.000001")


class Shares(Protocol):
    """What the gate is told."""

    @property
    def usable(self) -> Decimal: ...


class EqualParts:
    """Without a server to agree by."""

    def __init__(self, count: int) -> None:
        self.usable = (Decimal(1) / count).quantize(_STEP, rounding=ROUND_FLOOR)


def of_this_shard(config: Config) -> Config:
    """The configuration with this shard's symbols alone: every `count`-th, from `index` on.

    Every shard is given the same list, so that each symbol has one owner. ConfigError when there
    are fewer symbols than shards.
    """
    shard, market = config.shard, config.market_data
    if shard.count == 1:
        return config
    mine = market.symbols[shard.index :: shard.count]
    if not mine:
        raise ConfigError(
            f"shard.count is {shard.count}, and market_data.symbols has {len(market.symbols)}:"
            f" nothing is left for shard.index {shard.index}"
        )
    return replace(config, market_data=replace(market, symbols=mine))


@asynccontextmanager
async def shares_of(app: App) -> AsyncIterator[Shares | None]:
    """The keeper of this process's share, at work; None for a process that is alone."""
    config = app.config
    shard = config.shard
    if shard.count == 1:
        yield None
        return
    if not shard.url:
        yield EqualParts(shard.count)
        return
    try:
        from .stores.shares import ShareKeeper
    except ImportError as e:
        raise ConfigError(
            "shard.url is set, and redis is not installed: pip install 'fastbook-engine[redis]'"
        ) from e
    venue = config.venue
    account = venue.account_uid or "account"
    keeper = ShareKeeper(
        shard.url,
        f"fb:{venue.environment}:shares:{venue.category}:{account}",
        shard=shard.index,
        shards=shard.count,
        used=lambda: app.engine.exposure_used,
        file=prepare(place_of(config)) / "share",
        clock=app.clock,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(keeper.run(stop), name="shares")
    try:
        yield keeper
    finally:
        stop.set()
        await task
