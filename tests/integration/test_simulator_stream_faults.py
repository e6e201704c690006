"""Faults of streams: spoilt books, raw frames, lost acknowledgements, rows out of order."""

from __future__ import annotations

import math
from decimal import Decimal

import aiohttp
import orjson
import pytest
from tests.integration.simulator_client import Client, Socket, auth_request, follow, run

from fastbook.runtime.simulator.garble import GARBLED
from fastbook.runtime.simulator.raw_frames import ENDING, RAW

BOOK = "orderbook.50.BTCUSDT"
LEGAL = ("fragmented", "ping", "unasked_pong", "pong_flood", "ping_flood", "long_length")
MARKET = {"category": "linear", "symbol": "BTCUSDT", "orderType": "Market", "qty": "0.001"}
PAYLOAD = orjson.dumps(
    {
        "topic": BOOK, "type": "delta", "ts": 1_772_694_601_512, "data": {
            "s": "BTCUSDT", "b": [["69033.70", "0.147"], ["69033.30", "0"]],
            "a": [["69033.80", "1.5"]], "u": 18_521_289, "seq": 7_961_638_725,
        }, "cts": 1_772_694_601_510,
    }
)  # fmt: skip


@pytest.mark.parametrize("how", sorted(GARBLED))
def test_a_spoilt_frame_is_another_one(how: str) -> None:
    spoilt = GARBLED[how](PAYLOAD)
    assert spoilt != PAYLOAD
    same = how in ("shuffled", "spaced", "escaped", "oversized", "repeated_keys")
    try:
        frame = orjson.loads(spoilt)
    except orjson.JSONDecodeError:
        assert how in ("truncated", "garbage")
        return
    assert (frame["data"]["b"] == orjson.loads(PAYLOAD)["data"]["b"]) >= same
    if how == "locked":
        assert frame["data"]["b"][0][0] == frame["data"]["a"][0][0]
    if how == "u_back":
        assert frame["data"]["u"] == 18_521_279


@pytest.mark.parametrize("how", ["nothing", "no_bids", "no_asks", "one_level", "halved", "raised"])
def test_an_odd_book_is_followed_by_the_true_one(how: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            book = await follow(ws, BOOK, 5)
            best = max(book.sides["b"])
            await client.fault(kind="odd_book", topic=BOOK, how=how, seconds=0.1)
            frame = await ws.data(BOOK)
            while frame["type"] == "delta":
                frame = await ws.data(BOOK)
            counts = [len(frame["data"][side]) for side in "ba"]
            assert counts == {"nothing": [0, 0], "no_bids": [0, 50], "no_asks": [50, 0],
                              "one_level": [1, 1]}.get(how, [50, 50])  # fmt: skip
            if counts == [50, 50]:
                shown = Decimal(frame["data"]["b"][0][0]) / best
                assert math.isclose(shown, 0.5 if how == "halved" else 1.5, rel_tol=0.01)
            book.apply(frame)
            frame = await ws.data(BOOK)
            assert frame["type"] == "snapshot"
            while book.frames < 30:
                book.apply(frame)
                frame = await ws.data(BOOK)

    run(scenario, rate=500.0)


@pytest.mark.parametrize("stream", ["public", "private", "trade"])
@pytest.mark.parametrize("how", sorted(RAW))
def test_raw_frames_reach_the_client(how: str, stream: str) -> None:
    """A strict client of ours reads what is legal and ends where it is not."""

    async def scenario(client: Client) -> None:
        url = {
            "public": f"{client.endpoints.ws_public}/linear",
            "private": client.endpoints.ws_private,
            "trade": client.endpoints.ws_trade,
        }[stream]
        async with client.http.ws_connect(url, max_msg_size=1 << 20, autoping=True) as raw:
            ws = Socket(raw)
            assert (await client.fault(kind="raw", how=how, stream=stream))["hit"] == 1
            if how in LEGAL:
                await ws.send({"op": "ping", "req_id": "x", "reqId": "x"})
                frames = [
                    await ws.next() for _ in range(2 if how in ("fragmented", "long_length") else 1)
                ]
                assert frames[-1]["op"] in ("ping", "pong")
                return
            # Broken ones: this library closes at most of them, and reads some all the same.
            if how in ENDING or how in ("huge_header", "text_in_fragment", "bad_utf8", "rsv2"):
                message = await raw.receive(timeout=5)
                assert message.type in (
                    aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE,
                )  # fmt: skip
        assert client.sim.failure is None

    run(scenario, symbols=1)


def test_acknowledgements_are_lost_on_every_stream() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await client.fault(kind="mute_acks")
            await ws.send({"op": "subscribe", "args": [BOOK]})
            assert (await ws.next())["topic"] == BOOK
            answer = await ws.subscribe(BOOK)
            assert answer["ret_msg"] == f"error:already subscribed,topic:{BOOK}"
        for stream, url in (
            ("private", client.endpoints.ws_private), ("trade", client.endpoints.ws_trade),
        ):  # fmt: skip
            async with client.http.ws_connect(url) as raw:
                ws = Socket(raw)
                await client.fault(kind="mute_acks", stream=stream)
                await ws.send(auth_request(client.key))
                await ws.send({"op": "ping"})
                assert (await ws.next())["op"] == "pong"
                await ws.send(auth_request(client.key))
                assert (await ws.next())["op"] == "auth"

    run(scenario)


def test_trades_come_in_thousands_and_twice() -> None:
    async def scenario(client: Client) -> None:
        name = "publicTrade.BTCUSDT"
        which = {"category": "linear", "symbol": "BTCUSDT"}
        async with client.public() as ws:
            assert (await client.fault(kind="trade_burst", **which))["status"] == 400
            await ws.subscribe(name)
            assert (await client.fault(kind="trade_burst", **which, n=1500))["hit"] == 1500
            frame = await ws.until(lambda f: len(f.get("data", ())) == 1024)
            rest = await ws.until(lambda f: len(f.get("data", ())) == 1500 - 1024)
            assert {row["seq"] for row in frame["data"] + rest["data"]} == {frame["data"][0]["seq"]}
            await client.fault(kind="repeat_trades", **which)
            last = rest["data"]
            while True:
                data = (await ws.data(name))["data"]
                if data == last:
                    break
                last = data

    run(scenario)


def test_rows_again_late_and_by_chance() -> None:
    async def scenario(client: Client) -> None:
        topics = ("order", "execution", "position", "wallet")
        async with client.private(*topics) as ws:
            await client.post("/v5/order/create", **MARKET, side="Buy")
            first = [await ws.next() for _ in range(4)]
            assert (await client.fault(kind="replay_private", n=4))["hit"] == 4
            again = [await ws.next() for _ in range(4)]
            assert [f["data"] for f in again] == [f["data"] for f in first]
            await client.fault(kind="private_delay", ms=100, topic="execution")
            await client.post("/v5/order/create", **MARKET, side="Sell")
            assert [(await ws.next())["topic"] for _ in range(4)] == [
                "order", "position", "wallet", "execution",
            ]  # fmt: skip
            await client.fault(kind="private_delay", ms=0, topic="execution")
            await client.fault(kind="event_order", topics="random")
            orders = set()
            for n in range(12):
                await client.post("/v5/order/create", **MARKET, side="Buy" if n % 2 else "Sell")
                orders.add(tuple([(await ws.next())["topic"] for _ in range(4)]))
            assert len(orders) > 3
            assert {frozenset(order) for order in orders} == {frozenset(topics)}

    run(scenario)
