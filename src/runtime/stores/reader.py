"""For other programs: read what a running fastbook keeps in Redis or Valkey.

    reader = CacheReader("redis://127.0.0.1:6379", environment="mainnet", category="linear")
    book = reader.l2("BTCUSDT")
    if book is not None and book.state is BookState.SYNCED:
        print(book.bids[0], book.asks[0])

None is the answer for whatever is not there: an engine that has stopped, or a symbol it does not
follow. Keys of a stopped engine vanish after the writer's `cache.ttl_ms`.
"""

from __future__ import annotations

from typing import Any, Self

import orjson
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .keys import Keys
from .layout import CachedBook, unpack


class CacheReader:
    """Synchronous; each method is one call. Raises redis-py's errors when there is no server."""

    def __init__(
        self, url: str, *, environment: str, category: str = "linear", timeout_s: float = 1.0
    ) -> None:
        self._keys = Keys(environment, category)
        self._redis = Redis.from_url(
            url.replace("valkey://", "redis://", 1),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def l1(self, symbol: str) -> CachedBook | None:
        """The touch: at most one level a side."""
        return self._book(self._keys.l1(symbol))

    def l2(self, symbol: str) -> CachedBook | None:
        """The book, as deep as `cache.levels` of the writer."""
        return self._book(self._keys.l2(symbol))

    def orders(self) -> dict[str, dict[str, Any]]:
        """Open orders by client id. Any: JSON values, the columns of the table `orders`."""
        return self._hash(self._keys.orders)

    def positions(self) -> dict[str, dict[str, Any]]:
        """Open positions by symbol. Any: JSON values, the columns of `positions`."""
        return self._hash(self._keys.positions)

    def last(self, stream: str, count: int = 100) -> list[dict[str, Any]]:
        """The newest entries of `fills`, `risk` or `states`, newest first. Any: JSON values."""
        found: Any = self._redis.xrevrange(self._keys.stream(stream), count=count)
        return [orjson.loads(fields[b"row"]) for _, fields in found]

    def close(self) -> None:
        self._redis.close()

    def _book(self, key: str) -> CachedBook | None:
        data: Any = self._redis.get(key)
        return None if data is None else unpack(data)

    def _hash(self, key: str) -> dict[str, dict[str, Any]]:
        found: Any = self._redis.hgetall(key)
        return {name.decode(): orjson.loads(data) for name, data in found.items()}
