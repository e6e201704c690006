"""The bundled exchange over real sockets: every fault does what it says."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from tests.integration.simulator_client import (
    Client,
    follow,
    run,
)

BOOK = "orderbook.50.BTCUSDT"
ORDER = {"category": "linear", "symbol": "BTCUSDT"}


# Faults.


def test_dropped_delta_is_a_gap_that_resubscribing_heals() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            book = await follow(ws, BOOK, 5)
            assert (await client.fault(kind="drop", topic=BOOK))["hit"] == 1
            frame = await ws.data(BOOK)
            while frame["data"]["u"] == book.u + 1:
                book.apply(frame)
                frame = await ws.data(BOOK)
            assert (frame["type"], frame["data"]["u"]) == ("delta", book.u + 2)
            await ws.send({"op": "unsubscribe", "args": [BOOK]})
            await ws.answer("unsubscribe")
            await ws.subscribe(BOOK)
            await follow(ws, BOOK, 50)

    run(scenario, rate=2000.0)


def test_restart_is_a_snapshot_with_u_1() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            book = await follow(ws, BOOK, 5)
            assert client.sim.faults.restart("orderbook.*") == 1
            while book.u != 1:
                frame = await ws.data(BOOK)
                book.apply(frame)
            assert frame["type"] == "snapshot"
            while book.u < 20:
                book.apply(await ws.data(BOOK))

    run(scenario, rate=2000.0)


def test_stalled_topic_is_silent_until_it_is_subscribed_again() -> None:
    async def scenario(client: Client) -> None:
        other = "orderbook.50.ETHUSDT"
        async with client.public() as ws:
            await ws.subscribe(BOOK, other)
            await ws.data(BOOK)
            await client.fault(kind="stall", topic=BOOK, seconds=60)
            await ws.send({"op": "ping"})  # what was on its way has arrived with the pong
            await ws.answer("ping")
            ws.frames.clear()
            for _ in range(50):
                await ws.data(other)
            assert [f for f in ws.frames if f.get("topic") == BOOK] == []
            await ws.send({"op": "unsubscribe", "args": [BOOK]})
            await ws.answer("unsubscribe")
            await ws.subscribe(BOOK)
            await follow(ws, BOOK, 10)

    run(scenario, rate=2000.0)


def test_short_stall_goes_on_without_a_gap() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            book = await follow(ws, BOOK, 5)
            await client.fault(kind="stall", topic=BOOK, seconds=0.1)
            while book.frames < 100:
                book.apply(await ws.data(BOOK))

    run(scenario, rate=2000.0)


def test_empty_side_and_back() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            book = await follow(ws, BOOK, 5)
            await client.fault(kind="empty", topic=BOOK, side="a", seconds=0.1)
            while book.sides["a"]:
                book.apply(await ws.data(BOOK))
            assert book.sides["b"]
            while book.frames < 100 or not book.sides["a"]:
                book.apply(await ws.data(BOOK))
            assert len(book.levels("a")) == 50

    run(scenario, rate=2000.0)


def test_duplicate_reject_and_data_before_ack() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await client.fault(kind="reject", topic=BOOK)
            assert (await ws.subscribe(BOOK))["success"] is False
            await client.fault(kind="data_before_ack")
            assert (await ws.subscribe(BOOK))["success"]
            assert ws.frames[-1]["type"] == "snapshot"
            await client.fault(kind="duplicate", topic=BOOK)
            last = 0
            while True:
                u = (await ws.data(BOOK))["data"]["u"]
                if u == last:
                    break
                last = u

    run(scenario, rate=2000.0)


def test_cut_connections_break_without_a_close_frame() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws, client.private("order") as private:
            await ws.subscribe(BOOK)
            assert (await client.fault(kind="cut"))["hit"] == 1
            await ws.until_cut()
            assert ws.ws.close_code == 1006
            assert (await client.fault(kind="cut", stream="private"))["hit"] == 1
            with pytest.raises(ConnectionError):
                await private.next()
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            await follow(ws, BOOK, 5)

    run(scenario)


def test_order_faults() -> None:
    async def scenario(client: Client) -> None:
        limit = dict(side="Buy", orderType="Limit", qty="0.01", price="40000", **ORDER)
        await client.fault(kind="order_error", code=10016)
        assert (await client.post("/v5/order/create", **limit))["retCode"] == 10016
        await client.fault(kind="http_error", status=502)
        response, _ = await client.signed("GET", "/v5/order/realtime", b"category=linear")
        assert (response.status, response.content_type) == (502, "text/html")
        await client.fault(kind="lost_answer")
        with pytest.raises(aiohttp.ClientError):
            await client.post("/v5/order/create", **limit, orderLinkId="lost-1")
        listed = await client.ask("/v5/order/realtime", **ORDER)
        assert [row["orderLinkId"] for row in listed["result"]["list"]] == ["lost-1"]
        await client.fault(kind="skew", ms=6000)
        assert (await client.ask("/v5/order/realtime", **ORDER))["retCode"] == 10002

    run(scenario)


def test_private_faults() -> None:
    async def scenario(client: Client) -> None:
        limit = dict(side="Buy", orderType="Limit", qty="0.01", price="40000", **ORDER)
        async with client.private("order", "position", "wallet") as ws:
            await client.fault(kind="reverse_private")
            await client.post("/v5/order/create", **limit)
            assert [(await ws.next())["topic"] for _ in range(3)] == [
                "wallet",
                "position",
                "order",
            ]
            await client.fault(kind="mute_private")
            await client.post("/v5/order/create", **limit)
            await client.fault(kind="mute_private", on=False)
            await client.post("/v5/order/create", **limit, orderLinkId="heard")
            await ws.data("wallet")
            frame = await ws.data("order")
            assert frame["data"][0]["orderLinkId"] == "heard"

    run(scenario)


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"kind": "explode"},
        {"kind": "apply"},
        {"kind": ["drop"]},
        {"kind": "drop"},
        {"kind": "drop", "topic": BOOK},  # nobody reads it
        {"kind": "drop", "topic": BOOK, "n": 0},
        {"kind": "drop", "topic": BOOK, "n": True},
        {"kind": "stall", "topic": BOOK, "seconds": -1},
        {"kind": "cut", "stream": "both"},
        {"kind": "cut", "color": "red"},
        {"kind": "http_error", "status": 200},
    ],
)
def test_bad_faults_are_refused(fault: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.fault(**fault))["status"] == 400

    run(scenario)


def test_slow_reader_is_cut_and_others_are_not() -> None:
    async def scenario(client: Client) -> None:
        topics = [f"orderbook.50.{i.symbol}" for i in client.sim.market.instruments]
        async with client.public() as slow, client.public() as quick:
            await slow.subscribe(*topics)
            await quick.subscribe(BOOK)
            transport = slow.ws._response.connection.transport  # type: ignore[union-attr]
            transport.pause_reading()  # type: ignore[union-attr]
            while not client.sim.counters["slow_readers"]:
                await quick.data(BOOK)
            for _ in range(20):
                await quick.data(BOOK)
            transport.abort()  # type: ignore[union-attr]  # or closing would wait for an answer

    run(scenario, symbols=20, rate=40_000.0, slow_reader_bytes_max=1 << 16)
