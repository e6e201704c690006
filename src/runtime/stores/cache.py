"""The cache: the newest books, open orders and positions, and the last happenings, in Redis.

Runs in the stores' process. Whatever happens to the server, nothing here is waited for by the
process that trades: books are conflated on the board, events are bounded and dropped by age, and
after an outage everything is written anew from what is held here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from .board import BoardReader
from .history import StoreError, StoreUnavailable
from .keys import Keys
from .layout import l1_of
from .schema import BY_NAME
from .spool import Row

CALL_S_MAX = 0.1
RETRY_S = 0.5
RETRY_S_MAX = 5.0
EVENTS_MAX = 10_000
"""Waiting for the server; beyond it the oldest goes, counted."""
STREAM_MAX = 10_000
"""Entries a stream keeps, about."""
COMMANDS_MAX = 500
"""In one pipeline: what can be written well within the time limit of a call."""

_STREAMS = {"executions": "fills", "denials": "risk", "states": "states"}
_CLOSED = frozenset({"Filled", "Cancelled", "Rejected", "Deactivated", "PartiallyFilledCanceled"})


@dataclass(slots=True)
class CacheStats:
    """Counts since the start; `lag_ms` is of the last write, from the engine's stamp."""

    writes: int = 0
    failures: int = 0
    dropped: int = 0
    repeats: int = 0
    connects: int = 0
    lag_ms: float = 0.0
    up: bool = False
    reason: str = ""


@dataclass(slots=True)
class _Open:
    """What a rebuilt cache has to hold."""

    orders: dict[str, bytes] = field(default_factory=dict)
    positions: dict[str, bytes] = field(default_factory=dict)


def connect(url: str) -> Redis:
    """A client that tries once and gives up after a tenth of a second; the caller decides."""
    # valkey:// is the same protocol; the client knows it by its older name only.
    said = url.replace("valkey://", "redis://", 1).replace("valkeys://", "rediss://", 1)
    return Redis.from_url(
        said,
        socket_timeout=CALL_S_MAX,
        socket_connect_timeout=CALL_S_MAX,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        single_connection_client=True,
    )


class CacheWriter:
    """Carries the board and the rows to the server, every `tick_ms`."""

    def __init__(
        self,
        url: str,
        keys: Keys,
        symbols: list[str],
        board: Path,
        *,
        ttl_ms: int,
        tick_ms: int,
    ) -> None:
        self._url = url
        self._keys = keys
        self._symbols = symbols
        self._board = BoardReader(board)
        self._ttl_ms = ttl_ms
        self.tick_s = tick_ms / 1000
        self._held: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        self._open = _Open()
        self._hashes_dirty = True
        self._events: deque[tuple[str, str, bytes]] = deque()
        self.stats = CacheStats()

    # --- what comes in -------------------------------------------------------------------------

    def take(self, rows: Iterable[Row]) -> None:
        """Rows of the spool: orders and positions to be held, happenings to be told."""
        for name, values in rows:
            if name not in _STREAMS and name not in ("orders", "positions"):
                continue
            row = dict(zip(BY_NAME[name].names, values, strict=True))
            data = orjson.dumps(row)
            if name == "orders":
                self._note(self._open.orders, row["client_id"] or row["order_id"], data,
                           gone=row["status"] in _CLOSED)  # fmt: skip
            elif name == "positions":
                leg = f"/{row['position_idx']}" if row["position_idx"] else ""
                self._note(self._open.positions, f"{row['symbol']}{leg}", data,
                           gone=float(str(row["qty"])) == 0)  # fmt: skip
            else:
                self._tell(name, row, data)

    def _note(self, held: dict[str, bytes], key: Any, data: bytes, *, gone: bool) -> None:
        if gone:
            held.pop(str(key), None)
        else:
            held[str(key)] = data
        self._hashes_dirty = True

    def _tell(self, name: str, row: dict[str, Any], data: bytes) -> None:
        """An entry whose id is its own: the same one twice is refused by the server."""
        number = row.get("seq")
        at = f"{row['ts'] // 1_000_000}-{number if number is not None else '*'}"
        if len(self._events) >= EVENTS_MAX:
            self._events.popleft()
            self.stats.dropped += 1
        self._events.append((self._keys.stream(_STREAMS[name]), at, data))

    def _look(self) -> None:
        for slot, symbol in enumerate(self._symbols):
            data = self._board.read(slot)
            if data is not None:
                self._held[symbol] = data
                self._dirty.add(symbol)

    # --- what goes out -------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a server that is away is tried again, ever less often."""
        wait_s = RETRY_S
        client = connect(self._url)
        try:
            while not stop.is_set():
                self._look()
                try:
                    await self._write(client)
                    wait_s = RETRY_S
                    await _sleep(stop, self.tick_s)
                except (RedisError, OSError, TimeoutError) as e:
                    self._failed(e)
                    # Replies may be left in that connection: it is never used again.
                    await client.aclose()
                    client = connect(self._url)
                    await _sleep(stop, wait_s)
                    wait_s = min(2 * wait_s, RETRY_S_MAX)
        finally:
            await client.aclose()
            self._board.close()

    def _failed(self, error: BaseException) -> None:
        self.stats.failures += 1
        self.stats.up = False
        self.stats.reason = f"{type(error).__name__}: {error}"[:200]
        # It may come back empty.
        self._dirty = set(self._held)
        self._hashes_dirty = True

    async def _write(self, client: Redis) -> None:
        if not self.stats.up:
            await client.ping()
            self.stats.connects += 1
        while self._dirty or self._events or self._hashes_dirty:
            symbols = sorted(self._dirty)[: COMMANDS_MAX // 4]
            events = [self._events[i] for i in range(min(len(self._events), COMMANDS_MAX // 2))]
            hashes = self._hashes_dirty
            pipe = client.pipeline(transaction=False)
            for symbol in symbols:
                l2 = self._held[symbol]
                pipe.set(self._keys.l1(symbol), l1_of(l2), px=self._ttl_ms)
                pipe.set(self._keys.l2(symbol), l2, px=self._ttl_ms)
            if hashes:
                self._add_hashes(pipe)
            for stream, at, data in events:
                pipe.xadd(stream, {"row": data}, id=at, maxlen=STREAM_MAX, approximate=True)
            answers = await pipe.execute(raise_on_error=False)
            self._check(answers, len(events))
            self._dirty.difference_update(symbols)
            self._hashes_dirty = self._hashes_dirty and not hashes
            for _ in events:
                self._events.popleft()
            self.stats.writes += len(answers)
            self._note_lag(symbols)
        self.stats.up = True
        self.stats.reason = ""

    def _add_hashes(self, pipe: Any) -> None:  # Any: redis-py's pipeline has no useful type
        for key, held in (
            (self._keys.orders, self._open.orders),
            (self._keys.positions, self._open.positions),
        ):
            pipe.delete(key)
            if held:
                pipe.hset(key, mapping=held)

    def _check(self, answers: list[Any], events: int) -> None:
        """A repeated entry of a stream is no failure; any other refusal is."""
        for answer in answers[len(answers) - events :] if events else []:
            if isinstance(answer, ResponseError) and "equal or smaller" in str(answer):
                self.stats.repeats += 1
            elif isinstance(answer, Exception):
                raise answer
        for answer in answers[: len(answers) - events]:
            if isinstance(answer, Exception):
                raise answer

    def _note_lag(self, symbols: list[str]) -> None:
        if symbols:
            newest = max(int.from_bytes(self._held[s][48:56], "little") for s in symbols)
            self.stats.lag_ms = max(0.0, time.time() * 1000 - newest)


async def check(url: str) -> str:
    """What answers at `url`, in words. `StoreUnavailable` when nothing does, `StoreError` when it
    is too old."""
    client = connect(url)
    try:
        about = await client.info("server")
    except (RedisError, OSError, TimeoutError) as e:
        raise StoreUnavailable(f"cache: {type(e).__name__}: {e}") from e
    finally:
        await client.aclose()
    version = str(about.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < (6, 2):
        raise StoreError(f"cache: Redis 6.2 or newer is needed, this is {version}")
    return f"{about.get('server_name', 'redis')} {about.get('valkey_version', version)}"


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
