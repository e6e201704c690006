"""One account's risk budget over several processes: each shard holds a share, kept in Redis.

The whole is 1. A shard begins with an equal part; what it does not need it gives back, and from
what lies in the pool others may take. What holds at every instant, whatever dies:

- the shares in use never sum to more than 1: a share grows only by a transaction that saw every
  shard's, and only after that transaction is known to have succeeded; it shrinks here first and
  there afterwards;
- without the server (or with one that came back empty, until every shard has said again what it
  holds) a shard uses at most an equal part, and nothing that it had given away.

A shard that is gone keeps its share: its positions are still on the account. `fastbook` cannot know
better; a person who has closed them removes its field from the hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from fastbook.clock import Clock

from .cache import connect

log = logging.getLogger("fastbook.shares")

EXCHANGE_S = 0.5
LEASE_S = 3.0
"""An exchange that is older than this counts for nothing: as if there were no server."""
HEADROOM = Decimal("1.25")
"""A shard holds a quarter more than it uses, so that its next order need not wait."""
LEAST_OF_EQUAL = Decimal("0.25")
"""Of an equal part; an idle shard gives the rest back, and keeps this for its first order."""
_STEP = Decimal("0.000001")
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one exchange would write: this shard's new share, and what it may use until told."""

    share: Decimal
    usable_meanwhile: Decimal


def floor(value: Decimal) -> Decimal:
    return value.quantize(_STEP, rounding=ROUND_FLOOR)


def plan(
    shard: int, shards: int, held: Decimal, used: Decimal, said: Mapping[int, Decimal]
) -> Plan:
    """The rule, without any server. `said` is what the hash has, by shard.

    `used` is what the shard's worst case takes of the whole now; it is never given back.
    """
    equal = floor(ONE / shards)
    mine = said.get(shard, held)
    others = {n: share for n, share in said.items() if n != shard}
    if len(others) < shards - 1:
        # Who has not spoken may hold anything: nothing is taken, nothing need be given.
        return Plan(mine, min(held, mine))
    pool = ONE - sum(others.values()) - mine
    if pool < 0:
        # Somebody lost his memory and claimed his part anew: back to equal parts, as far as can be.
        less = max(min(mine, equal), min(used, mine))
        return Plan(less, min(held, less))
    wanted = floor(min(ONE, max(equal * LEAST_OF_EQUAL, used * HEADROOM)))
    if wanted > mine:
        return Plan(mine + min(floor(pool), wanted - mine), min(held, mine))
    keep = max(wanted, min(used, mine))
    return Plan(keep, min(held, keep))


class ShareKeeper:
    """Keeps one shard's share. `usable` is what the gate may use at this moment.

    Parameters
    ----------
    used : callable() -> Decimal
        What the shard's positions and orders, in their worst case, take of the whole limit: 0 to 1.
    file : Path
        Where the share is remembered over restarts, written before it may be used.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        shard: int,
        shards: int,
        used: Callable[[], Decimal],
        file: Path,
        clock: Clock,
    ) -> None:
        self._url = url
        self._key = key
        self._shard = shard
        self._shards = shards
        self._used = used
        self._file = file
        self._clock = clock
        self._equal = floor(ONE / shards)
        self._remembered = self._load()
        self._held = self._equal if self._remembered is None else self._remembered
        self._exchanged_ns: int | None = None
        self.exchanges = 0
        self.failures = 0
        self.reason = ""

    @property
    def usable(self) -> Decimal:
        """Share of every account-wide limit on exposure."""
        if self._shards == 1:
            return ONE
        at = self._exchanged_ns
        fresh = at is not None and self._clock.monotonic_ns() - at < int(LEASE_S * 1e9)
        return self._held if fresh else min(self._held, self._equal)

    async def run(self, stop: asyncio.Event) -> None:
        """Exchange twice a second until `stop`; what is held then stays held."""
        client = connect(self._url)
        try:
            while not stop.is_set():
                try:
                    await self.exchange(client)
                    self.reason = ""
                except (RedisError, OSError, TimeoutError) as e:
                    self.failures += 1
                    self.reason = f"{type(e).__name__}: {e}"[:200]
                    # A reply may still be on its way in that connection.
                    await client.aclose()
                    client = connect(self._url)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EXCHANGE_S):
                        await stop.wait()
        finally:
            await client.aclose()

    async def exchange(self, client: Redis) -> None:
        """One transaction. Raises redis-py's errors; then only a shrinking has taken effect."""
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch(self._key)
            said = _read(await pipe.hgetall(self._key))
            told = said.get(self._shard)
            if told is not None and told < self._held:
                self._hold(told)  # somebody gave it back for us, by hand
            wish = plan(self._shard, self._shards, self._held, self._used(), said)
            if wish.usable_meanwhile < self._held:
                self._hold(wish.usable_meanwhile)
            if told != wish.share:
                pipe.multi()  # type: ignore[no-untyped-call]  # redis-py has no type for it
                pipe.hset(self._key, str(self._shard), str(wish.share))
                try:
                    await pipe.execute()
                except WatchError:
                    return  # somebody was faster; the next one sees it
        if wish.share > self._held:
            self._hold(wish.share)
        self.exchanges += 1
        self._exchanged_ns = self._clock.monotonic_ns()

    def _hold(self, share: Decimal) -> None:
        """On disk before it is used; a shrinking counts at once."""
        self._held = min(self._held, share)
        temporary = self._file.with_suffix(".new")
        temporary.write_text(str(share), "ascii")
        temporary.replace(self._file)
        self._held = share

    def _load(self) -> Decimal | None:
        try:
            share = Decimal(self._file.read_text("ascii"))
        except FileNotFoundError:
            return None
        except ArithmeticError:
            log.warning("%s is damaged: nothing is used until the server says what is ours",
                        self._file)  # fmt: skip
            return Decimal(0)
        return min(max(share, Decimal(0)), ONE)


def _read(found: dict[Any, Any]) -> dict[int, Decimal]:
    """The hash as numbers. Any: bytes, as redis-py gives them. What is no share counts as all."""
    said: dict[int, Decimal] = {}
    for name, value in found.items():
        try:
            said[int(name)] = Decimal(value.decode())
        except (ValueError, ArithmeticError):
            said[-1] = ONE
    return said
