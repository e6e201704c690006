"""The public feed through the fault proxy: every toxic, nothing lost uncounted, the book right after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from tests.integration.feed_harness import BTC, ETH, Setup, Watched, running
from tests.integration.simulator_client import Client, PlainBook, Socket, exchange

from fastbook.core.book import Book
from fastbook.errors import TransportError
from fastbook.runtime.bybit.listener import Listener
from fastbook.runtime.faultproxy.proxy import FaultProxy
from fastbook.runtime.simulator.keys import Endpoints
from fastbook.runtime.simulator.topics import BookTopic

SETUP = Setup(Listener, uv=False)
Scenario = Callable[["Rig"], Coroutine[Any, Any, None]]


def is_book(payload: bytes) -> bool:
    return payload.startswith(b'{"topic":"orderbook')


def is_delta(payload: bytes) -> bool:
    return is_book(payload) and b'"type":"delta"' in payload


class Rig:
    """An exchange, the proxy before its public port, and the way through it."""

    def __init__(self, client: Client, proxy: FaultProxy, port: int) -> None:
        self.client = client
        self.proxy = proxy
        self.url = f"ws://127.0.0.1:{port}/v5/public"

    @asynccontextmanager
    async def feed(self, *topics: str, **settings: Any) -> AsyncIterator[Watched]:
        settings = {"backoff_cap_s": 0.01, "resyncs_per_min_before_reconnect": 1000} | settings
        async with running(SETUP, f"{self.url}/linear", *topics, **settings) as seen:
            await seen.until(lambda: seen.synced(*topics))
            yield seen

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Socket]:
        async with self.client.http.ws_connect(f"{self.url}/linear") as ws:
            yield Socket(ws)

    def ledger_holds(self) -> bool:
        """Of ended connections: what came in went out, or is accounted for."""
        for way in (self.proxy.to_client, self.proxy.to_server):
            c = way.counters
            if c["messages_in"] + c["duplicated"] != c["messages_out"] + c["dropped"] + c["lost"]:
                return False
            if not c["duplicated"] and c["bytes_in"] != c["bytes_out"] + c["bytes_lost"]:
                return False
        return True


def run(scenario: Scenario, **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), exchange(**({"rate": 300.0} | options)) as client:
            port = int(client.endpoints.ws_public.split(":")[2].partition("/")[0])
            proxy = FaultProxy("127.0.0.1", port, seed=7)
            rig = Rig(client, proxy, await proxy.start())
            try:
                await scenario(rig)
            finally:
                await proxy.stop()
            assert rig.ledger_holds(), (proxy.to_client.counters, proxy.to_server.counters)
            assert proxy.connections == 0

    asyncio.run(main())


async def equals_the_exchange(rig: Rig, seen: Watched, topic: str) -> None:
    """The feed's book is that of the exchange, at one and the same `u`."""
    published = rig.client.sim.hub.find(topic)
    assert isinstance(published, BookTopic)
    symbol = topic.rpartition(".")[2]
    book = seen.book(topic)

    def same() -> bool:
        frame = orjson.loads(published.publisher.repeat(0))
        if not seen.synced(topic) or frame["data"]["u"] != book.u:
            return False
        expected = PlainBook()
        expected.apply(frame | {"type": "snapshot"})
        assert book.symbol == symbol
        assert levels(book) == [
            [(float(p), float(q)) for p, q in expected.levels(side)] for side in "ba"
        ]
        return True

    await seen.until(same)


def levels(book: Book) -> list[list[tuple[float, float]]]:
    return [[(p, q) for p, q in side.tolist()] for side in (book.bids(), book.asks())]


# Frames.


def test_every_message_sent_is_received_or_was_dropped() -> None:
    async def scenario(rig: Rig) -> None:
        toxics = rig.proxy.to_client.frames
        toxics.only = is_book
        toxics.drop = 0.3
        async with rig.socket() as ws:
            await ws.subscribe(BTC, ETH)
            for _ in range(150):
                ws.frames.append(await ws.next())
            await ws.send({"op": "unsubscribe", "args": [BTC, ETH]})
            await ws.answer("unsubscribe")  # nothing comes after it
        received = sum("topic" in frame for frame in ws.frames)
        dropped = rig.proxy.to_client.counters["dropped"]
        sent = sum(topic.frames for topic in rig.client.sim.hub.topics.values())
        assert dropped > 20
        assert sent == received + dropped

    run(scenario)


@pytest.mark.parametrize(
    ("harm", "counted", "told_by"),
    [
        ("drop", "dropped", "gaps"),
        ("duplicate", "duplicated", "stale"),
        ("reorder", "reordered", "gaps"),
        ("delay", "delayed", "gaps"),
        ("truncate", "truncated", "malformed"),
    ],
)
def test_the_feed_sees_a_harmed_message_and_recovers(harm: str, counted: str, told_by: str) -> None:
    async def scenario(rig: Rig) -> None:
        way = rig.proxy.to_client
        way.frames.only = is_delta
        # One topic: of two that take turns, neighbours changing places would disturb neither.
        async with rig.feed(BTC) as seen:
            setattr(way.frames, harm, 0.05)
            await seen.until(lambda: way.counters[counted] >= 3 and told(seen, told_by) >= 1)
            setattr(way.frames, harm, 0.0)
            await equals_the_exchange(rig, seen, BTC)

    run(scenario)


def told(seen: Watched, name: str) -> int:
    return int(seen.decoder.counters[name])


# Bytes.


def test_latency_holds_everything_back_in_its_order() -> None:
    async def scenario(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        rig.proxy.to_server.bytes.latency_s = 0.05
        rig.proxy.to_client.bytes.latency_s = 0.05
        rig.proxy.to_client.bytes.jitter_s = 0.05
        async with rig.feed(BTC) as seen:
            await equals_the_exchange_later(seen)
            assert told(seen, "gaps") == told(seen, "stale") == 0
        async with rig.socket() as ws:
            before_s = loop.time()
            await ws.send({"op": "ping"})
            await ws.answer("ping")
            assert loop.time() - before_s >= 0.1

    run(scenario)


async def equals_the_exchange_later(seen: Watched) -> None:
    """Behind by the latency: it is enough that frames follow on one another."""
    u = seen.book(BTC).u
    await seen.until(lambda: seen.book(BTC).u > u + 20)


def test_slices_change_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        rig.proxy.to_client.bytes.slice_bytes = 5
        rig.proxy.to_server.bytes.slice_bytes = 1
        async with rig.feed(BTC) as seen:
            await equals_the_exchange_later(seen)
            assert told(seen, "gaps") == told(seen, "malformed") == 0

    run(scenario, rate=50.0)


@pytest.mark.parametrize("fault", ["cut", "limit"])
def test_a_broken_connection_is_made_anew(fault: str) -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.feed(BTC) as seen:
            if fault == "cut":
                assert rig.proxy.cut() == 1
            else:
                rig.proxy.to_client.bytes.limit_bytes = 1
                await seen.until(lambda: rig.proxy.to_client.counters["limited"] >= 1)
                rig.proxy.to_client.bytes.limit_bytes = 0
            await seen.until(lambda: ("public-0", False) in seen.links)
            await equals_the_exchange(rig, seen, BTC)
            assert rig.proxy.counters["connections"] >= 2

    run(scenario)


def test_lost_bytes_break_the_stream_and_the_feed_starts_over() -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.feed(BTC, ETH) as seen:
            rig.proxy.to_client.bytes.truncate = 0.2
            await seen.until(lambda: ("public-0", False) in seen.links)
            rig.proxy.to_client.bytes.truncate = 0.0
            await equals_the_exchange(rig, seen, BTC)
            await equals_the_exchange(rig, seen, ETH)

    run(scenario)


def test_a_stall_holds_back_and_loses_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.feed(BTC) as seen:
            assert rig.proxy.stall() == 1
            out = rig.proxy.to_client.counters["messages_out"]
            await seen.until(lambda: rig.proxy.to_client.counters["messages_in"] > out + 20)
            assert rig.proxy.to_client.counters["messages_out"] <= out + 1
            assert rig.proxy.resume() == 1
            await equals_the_exchange(rig, seen, BTC)
            assert told(seen, "gaps") == 0

    run(scenario)


def test_a_half_open_connection_says_nothing_and_is_given_up() -> None:
    async def scenario(rig: Rig) -> None:
        quick = {"ping_interval_s": 0.05, "pong_timeout_s": 0.2}
        async with rig.feed(BTC, **quick) as seen:
            assert rig.proxy.half_open() == 1
            assert seen.links == [("public-0", True)]  # nobody has told the client
            await seen.until(lambda: ("public-0", False) in seen.links)
            await equals_the_exchange(rig, seen, BTC)

    run(scenario)


# Life.


def test_rest_passes_through_as_it_is() -> None:
    async def main() -> None:
        async with asyncio.timeout(10), exchange() as client:
            port = int(client.endpoints.rest.rpartition(":")[2])
            proxy = FaultProxy("127.0.0.1", port)
            through = f"http://127.0.0.1:{await proxy.start()}"
            ends = client.endpoints
            client.endpoints = Endpoints(
                rest=through,
                ws_public=ends.ws_public,
                ws_private=ends.ws_private,
                ws_trade=ends.ws_trade,
                accounts=ends.accounts,
            )
            assert (await client.get("/v5/market/time"))["retCode"] == 0
            proxy.cut()
            proxy.to_client.bytes.limit_bytes = 10
            with pytest.raises(aiohttp.ClientError):
                await client.get("/v5/market/time")
            await proxy.stop()

    asyncio.run(main())


def test_a_server_that_is_not_there_and_a_port_that_is_taken() -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            nowhere = FaultProxy("127.0.0.1", 1)
            port = await nowhere.start()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.close()
            assert nowhere.counters["unreachable"] == 1
            with pytest.raises(TransportError, match="cannot listen"):
                await FaultProxy("127.0.0.1", 1).start(port)
            await nowhere.stop()
            await nowhere.stop()

    asyncio.run(main())
