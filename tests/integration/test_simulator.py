"""The bundled exchange over real sockets: its dialects and its public data."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from tests.integration.simulator_client import (
    Client,
    PlainBook,
    Socket,
    auth_request,
    exchange,
    follow,
    run,
)

from fastbook.errors import ConfigError, TransportError
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator
from fastbook.types import Side

BOOK = "orderbook.50.BTCUSDT"
ORDER = {"category": "linear", "symbol": "BTCUSDT"}


# Control requests.


@pytest.mark.parametrize(
    ("category", "request_", "answer"),
    [
        (
            "linear",
            {"op": "subscribe", "args": [BOOK], "req_id": "s"},
            {"success": True, "ret_msg": "", "req_id": "s", "op": "subscribe"},
        ),
        (
            "linear",
            {"op": "subscribe", "args": [BOOK]},
            {"success": True, "ret_msg": "", "req_id": "", "op": "subscribe"},
        ),
        (
            "spot",
            {"op": "subscribe", "args": [BOOK]},
            {"success": True, "ret_msg": "subscribe", "op": "subscribe"},
        ),
        (
            "linear",
            {"op": "ping"},
            {"success": True, "ret_msg": "pong", "req_id": "", "op": "ping"},
        ),
        ("spot", {"op": "ping"}, {"success": True, "ret_msg": "pong", "op": "ping"}),
        (
            "spot",
            {"op": "ping", "req_id": "p"},
            {"success": True, "ret_msg": "pong", "req_id": "p", "op": "ping"},
        ),
        (
            "linear",
            {"op": "unsubscribe", "args": [BOOK]},
            {"success": True, "ret_msg": "", "req_id": "", "op": "unsubscribe"},
        ),
        (
            "linear",
            {"op": "subscribe", "args": ["orderbook.500.BTCUSDT"]},
            {
                "success": False,
                "ret_msg": "error:handler not found,topic:orderbook.500.BTCUSDT",
                "req_id": "",
                "op": "subscribe",
            },
        ),
        (
            "spot",
            {"op": "subscribe", "args": ["orderbook.50.XXXUSDT"]},
            {
                "success": False,
                "ret_msg": "Invalid symbol :[orderbook.50.XXXUSDT]",
                "op": "subscribe",
            },
        ),
        (
            "spot",
            {"op": "subscribe", "args": [f"tickers.{n}" for n in range(11)]},
            {"success": False, "ret_msg": "args size >10", "op": "subscribe"},
        ),
    ],
)
def test_control_dialects(category: str, request_: Any, answer: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.send(request_)
            got = await ws.answer(request_["op"])
            assert got.pop("conn_id")
            assert got == answer
            assert list(got)[-1] == "op"

    run(scenario, category=category)


def test_a_topic_is_subscribed_once_and_one_bad_topic_fails_the_request() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            assert (await ws.subscribe(BOOK))["success"]
            again = await ws.subscribe("tickers.BTCUSDT", BOOK)
            assert again["ret_msg"] == f"error:already subscribed,topic:{BOOK}"
            assert (await ws.subscribe("tickers.BTCUSDT"))["success"]
            await ws.send({"op": "unsubscribe", "args": [BOOK]})
            await ws.answer("unsubscribe")
            assert (await ws.subscribe(BOOK))["success"]

    run(scenario)


def test_args_of_a_connection_are_limited() -> None:
    async def scenario(client: Client) -> None:
        symbols = [i.symbol for i in client.sim.market.instruments]
        topics = [f"orderbook.{d}.{s}" for s in symbols for d in (1, 50, 200, 1000)]
        async with client.public() as ws:
            refused = await ws.subscribe(*topics)
            assert refused["success"] is False
            assert "21000" in refused["ret_msg"]
            assert (await ws.subscribe(*topics[:10]))["success"]

    run(scenario, symbols=400)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"ping"',
        b'{"op":5}',
        b'{"op":"subscribe"}',
        b'{"op":"subscribe","args":"x"}',
        b'{"op":"subscribe","args":[1]}',
        b'{"op":"subscribe","args":[{}]}',
        b'{"op":"auth","args":[]}',
        b'{"op":"ping","req_id":{}}' + b" " * 100,
        b"[" * 5000,
    ],
)
def test_malformed_requests_are_answered_and_nothing_else_happens(text: bytes) -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.send(text)
            await ws.next()
            assert (await ws.subscribe(BOOK))["success"]
            await ws.data(BOOK)
        async with client.http.ws_connect(client.endpoints.ws_private) as private:
            socket = Socket(private)
            await socket.send(text)
            await socket.next()
            await socket.send(auth_request(client.key))
            assert (await socket.answer("auth"))["success"]

    run(scenario)


def test_one_port_serves_several_categories_each_with_its_own_books() -> None:
    async def scenario(client: Client) -> None:
        ports = {
            url.split("/")[2]
            for url in (client.endpoints.rest, client.endpoints.ws_public,
                        client.endpoints.ws_private, client.endpoints.ws_trade)
        }  # fmt: skip
        assert len(ports) == 1
        async with client.public("linear") as linear, client.public("spot") as spot:
            for ws in (linear, spot):
                assert (await ws.subscribe(BOOK))["success"]
            one, two = await linear.data(BOOK), await spot.data(BOOK)
            assert list(one)[1:3] == ["type", "ts"]
            assert list(two)[1:3] == ["ts", "type"]
            for category, frame in (("linear", one), ("spot", two)):
                topic = client.sim.hub.find(BOOK, category)
                assert topic is not None
                assert len(topic.readers) == 1
                rest = await client.get(
                    "/v5/market/orderbook", category=category, symbol="BTCUSDT", limit=50
                )
                ours = {Decimal(px) for px, _ in frame["data"]["b"]}
                assert {Decimal(px) for px, _ in rest["result"]["b"]} & ours

    run(scenario, categories=("linear", "spot"))


def test_unknown_paths_are_not_found() -> None:
    async def scenario(client: Client) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with client.public("spot"):
                pass
        assert refused.value.status == 404
        async with client.http.get(f"{client.endpoints.rest}/v5/nothing") as response:
            assert response.status == 404

    run(scenario)


# Books and other data.


def as_published(client: Client, index: int, side: Side, depth: int) -> list[Any]:
    instrument = client.sim.market.instruments[index]
    return [
        (instrument.px_decimal(px), instrument.qty_decimal(qty))
        for px, qty in client.sim.market.books[index].levels(side, depth)
    ]


@pytest.mark.parametrize("category", ["linear", "spot"])
@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_snapshot_then_contiguous_deltas_equal_to_the_matching_book(
    category: str, depth: int
) -> None:
    async def scenario(client: Client) -> None:
        topic = f"orderbook.{depth}.ETHUSDT"
        async with client.public() as ws:
            await ws.subscribe(topic)
            book = await follow(ws, topic, 300)
            published = client.sim.hub.find(topic)
            while book.u < published.publisher.u:  # type: ignore[union-attr]
                book.apply(await ws.data(topic))
            # With a rate set, every step of the flow is followed by its frame.
            assert book.levels("b") == as_published(client, 1, Side.BUY, depth)
            assert book.levels("a") == as_published(client, 1, Side.SELL, depth)
            assert len(book.levels("b")) == depth

    run(scenario, category=category, rate=3000.0)


def test_two_readers_share_one_sequence() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as first, client.public() as second:
            await first.subscribe(BOOK)
            one = await follow(first, BOOK, 50)
            await second.subscribe(BOOK)
            two = await follow(second, BOOK, 50)
            while one.u < two.u:
                one.apply(await first.data(BOOK))
            while two.u < one.u:
                two.apply(await second.data(BOOK))
            assert one.sides == two.sides

    run(scenario, rate=2000.0)


def test_a_reader_who_comes_back_gets_a_fresh_snapshot() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            book = await follow(ws, BOOK, 20)
            await ws.send({"op": "unsubscribe", "args": [BOOK]})
            await ws.answer("unsubscribe")
            await ws.subscribe(BOOK)
            again = await follow(ws, BOOK, 20)
            assert again.u > book.u

    run(scenario, rate=2000.0)


def test_level_1_is_snapshots_only_and_repeats_itself() -> None:
    async def scenario(client: Client) -> None:
        topic = "orderbook.1.BTCUSDT"
        async with client.public() as ws:
            await ws.subscribe(topic)
            frames = [await ws.data(topic) for _ in range(5)]
            assert {frame["type"] for frame in frames} == {"snapshot"}
            assert list(frames[0]) == ["topic", "ts", "type", "data", "cts"]

    run(scenario)


def test_rest_book_is_the_1000_level_stream() -> None:
    async def scenario(client: Client) -> None:
        topic = "orderbook.1000.BTCUSDT"
        async with client.public() as ws:
            await ws.subscribe(topic)
            book = PlainBook()
            while True:
                book.apply(await ws.data(topic))
                answer = await client.get(
                    "/v5/market/orderbook", category="linear", symbol="BTCUSDT", limit=1000
                )
                result = answer["result"]
                while book.u < result["u"]:
                    book.apply(await ws.data(topic))
                if book.u == result["u"]:
                    break
            for side in ("b", "a"):
                rest = [(Decimal(px), Decimal(qty)) for px, qty in result[side]]
                assert rest == book.levels(side)
                assert not any(text.endswith("0") for row in result[side] for text in row
                               if "." in text)  # fmt: skip
            default = await client.get("/v5/market/orderbook", category="linear", symbol="BTCUSDT")
            assert len(default["result"]["b"]) == 25

    run(scenario)


def test_trades_and_tickers_flow() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe("publicTrade.BTCUSDT", "tickers.BTCUSDT", BOOK)
            trade = await ws.data("publicTrade.BTCUSDT")
            assert trade["type"] == "snapshot"
            assert list(trade["data"][0]) == [
                *("T", "s", "S", "v", "p", "L", "i", "BT", "RPI", "seq")
            ]
            tickers = [f for f in ws.frames if f.get("topic") == "tickers.BTCUSDT"]
            while len(tickers) < 3:
                tickers.append(await ws.data("tickers.BTCUSDT"))
            assert [t["type"] for t in tickers[:2]] == ["snapshot", "delta"]
            assert list(tickers[0]) == ["topic", "type", "data", "cs", "ts"]
            for delta in tickers[1:]:
                assert delta["data"].keys() <= tickers[0]["data"].keys()
                assert ("bid1Price" in delta["data"]) == ("bid1Size" in delta["data"])
                assert delta["data"]["symbol"] == "BTCUSDT"

    run(scenario)


def test_spot_frames_have_the_spot_shape() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe("publicTrade.BTCUSDT", "tickers.BTCUSDT", BOOK)
            trade = await ws.data("publicTrade.BTCUSDT")
            assert list(trade) == ["topic", "ts", "type", "data"]
            assert list(trade["data"][0]) == ["i", "T", "p", "v", "S", "seq", "s", "BT", "RPI"]
            ticker = next(f for f in ws.frames if f.get("topic") == "tickers.BTCUSDT")
            assert list(ticker) == ["topic", "ts", "type", "cs", "data"]
            assert "bid1Price" not in ticker["data"]

    run(scenario, category="spot")


def test_nobody_reads_no_frame_is_made() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            await follow(ws, BOOK, 5)
        await client.sim.public.all_gone.wait()
        before = client.sim.counters["book_frames"]
        await client.get("/v5/market/time")
        await asyncio.sleep(0.05)  # time in which frames would be made
        assert client.sim.counters["book_frames"] == before

    run(scenario, rate=5000.0)


def test_instruments_are_paged() -> None:
    async def scenario(client: Client) -> None:
        symbols: list[str] = []
        cursor = ""
        while True:
            url = "/v5/market/instruments-info?category=linear&limit=4"
            url += f"&cursor={cursor}" if cursor else ""
            result = (await client.get(url))["result"]
            symbols += [row["symbol"] for row in result["list"]]
            cursor = result["nextPageCursor"]
            if not cursor:
                break
        assert symbols == [i.symbol for i in client.sim.market.instruments]
        one = await client.get("/v5/market/instruments-info", category="linear", symbol="BTCUSDT")
        row = one["result"]["list"][0]
        assert row["priceFilter"]["tickSize"] == "0.10"
        assert row["lotSizeFilter"]["minNotionalValue"] == "5"

    run(scenario, symbols=10)


# Being a good guest.


def test_same_seed_same_market_and_keys() -> None:
    async def first_frames(seed: int) -> tuple[Any, Any]:
        async with exchange(seed=seed) as client, client.public() as ws:
            await ws.subscribe(BOOK)
            frame = await ws.data(BOOK)
            return frame["data"]["b"][:5], client.endpoints.accounts

    def both(seed: int) -> tuple[Any, Any]:
        return asyncio.run(asyncio.wait_for(first_frames(seed), 10))

    one, again, other = both(5), both(5), both(6)
    assert one[1] == again[1]
    assert one[1] != other[1]


def test_port_in_use_is_one_clear_error() -> None:
    async def scenario(client: Client) -> None:
        port = int(client.endpoints.rest.rpartition(":")[2])
        second = Simulator(SimulatorOptions(symbols=1, port=port))
        with pytest.raises(TransportError, match="cannot listen"):
            await second.start()

    run(scenario)


def test_stop_closes_everything_and_may_be_called_twice() -> None:
    async def main() -> None:
        sim = Simulator(SimulatorOptions(symbols=1))
        with pytest.raises(RuntimeError):
            _ = sim.endpoints
        endpoints = await sim.start()
        async with aiohttp.ClientSession() as http:
            client = Client(sim, endpoints, http)
            async with client.public() as ws, client.private("order") as private:
                await ws.subscribe(BOOK)
                await sim.stop()
                for socket in (ws, private):
                    await socket.until_cut()
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get("/v5/market/time")
        await sim.stop()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_dead_clockwork_breaks_connections_instead_of_pretending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with exchange() as client, client.public() as ws:
            await ws.subscribe(BOOK)

            def broken(*_: object) -> None:
                raise RuntimeError("for the test")

            monkeypatch.setattr(client.sim.hub, "tick", broken)
            await ws.until_cut()
            assert "for the test" in (await client.state())["failure"]

    asyncio.run(asyncio.wait_for(main(), 10))


def test_secrets_are_not_in_reprs_and_options_are_checked() -> None:
    sim = Simulator(SimulatorOptions(symbols=1))
    for key in sim.keys:
        assert key.api_secret not in repr(key)
    with pytest.raises(ConfigError) as refused:
        SimulatorOptions(host="8.8.8.8", categories=("option",), symbols=0, rate=-1.0)
    for word in ("host", "categories", "symbols", "rate"):
        assert word in str(refused.value)
