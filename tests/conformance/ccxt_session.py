"""ccxt, async and pro, unmodified, with other URLs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import ccxt.async_support
import ccxt.pro
import pytest
from tests.conformance.local_exchange import Key, LocalExchange

# Any in this file: ccxt's structures are plain dicts.

DEADLINE_S = 60.0
SWAP, SPOT, INVERSE = "BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC"
Day = Callable[[Any], Coroutine[Any, Any, None]]


def point_at(client: Any, venue: LocalExchange) -> None:
    """Other URLs, and nothing else."""
    api = client.urls["api"]
    for name in ("spot", "futures", "v2", "public", "private"):
        api[name] = venue.rest
    if "ws" not in api:
        return
    for category in api["ws"]["public"]:
        api["ws"]["public"][category] = f"{venue.ws_public}/{category}"
    private = api["ws"]["private"]
    private["spot"]["unified"] = private["contract"] = venue.ws_private
    private["trade"] = venue.ws_trade


@asynccontextmanager
async def connected(make: Any, venue: LocalExchange, key: Key | None) -> AsyncIterator[Any]:
    config: dict[str, Any] = {
        "enableRateLimit": False,  # ccxt's own brake: a minute more of waiting
        "options": {"defaultType": "swap"},
    }
    if venue.ca_file:
        config["cafile"] = venue.ca_file
    if key is not None:
        config |= {"apiKey": key.api_key, "secret": key.api_secret}
    client = make(config)
    point_at(client, venue)
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()


def trade(make: Any, venue: LocalExchange, day: Day, *, anonymous: bool = False) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S):
            key = None if anonymous else venue.next_key()
            async with connected(make, venue, key) as client:
                await day(client)

    asyncio.run(main())


async def until(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """The first of what `watch` brings that is wanted."""
    while not wanted(answer := await watch()):
        pass
    return answer


async def trading(client: Any, *watches: Awaitable[Any]) -> tuple[list[Any], set[str]]:
    """What each watch brings first, and the orders made meanwhile.

    Nothing is told again to whoever subscribes late: it buys until all of them have heard.
    """
    watching = [asyncio.ensure_future(watch) for watch in watches]
    placed: set[str] = set()
    while not all(watch.done() for watch in watching):
        placed.add((await client.create_order(SWAP, "market", "buy", 0.01))["id"])
        await asyncio.wait(watching, timeout=0.1)
    return [await watch for watch in watching], placed


async def far_bid(client: Any, symbol: str) -> float:
    book = await client.fetch_order_book(symbol, 1)
    return float(client.price_to_precision(symbol, book["bids"][0][0] * 0.995))


EITHER = pytest.mark.parametrize("make", [ccxt.async_support.bybit, ccxt.pro.bybit])
MARKETS = pytest.mark.parametrize("symbol", [SWAP, SPOT])
