"""Faults of connections, rows and gateways, by request and by script; and TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.simulator_client import Client, Socket, auth_request, exchange, follow, run
from tests.integration.test_simulator_trade import ORDER, ask, trading

from fastbook.errors import ConfigError
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.script import FaultScript, parse_script, read_script
from fastbook.runtime.simulator.server import Simulator

BOOK = "orderbook.50.BTCUSDT"
MARKET = {"category": "linear", "symbol": "BTCUSDT", "orderType": "Market"}


def test_every_stream_can_be_closed_frozen_and_refused() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as public, client.private() as private, trading(client) as trade:
            for ws, stream in ((public, "public"), (private, "private"), (trade, "trade")):
                assert (await client.fault(kind="freeze", stream=stream, n=5))["hit"] == 1
                await ws.send({"op": "ping"})
                assert (await client.fault(kind="close", stream=stream, code=1012))["hit"] == 1
                message = await ws.ws.receive()
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        for stream, url in (
            ("public", f"{client.endpoints.ws_public}/linear"),
            ("private", client.endpoints.ws_private),
            ("trade", client.endpoints.ws_trade),
        ):
            await client.fault(kind="refuse_upgrade", stream=stream, status=503)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.http.ws_connect(url)
            assert refused.value.status == 503
        async with client.http.ws_connect(client.endpoints.ws_private) as raw:
            await client.fault(kind="auth_error")
            ws = Socket(raw)
            for success in (False, True):
                await ws.send(auth_request(client.key))
                assert (await ws.answer("auth"))["success"] is success

    run(scenario)


def test_too_many_connections_are_refused() -> None:
    async def scenario(client: Client) -> None:
        async with client.public(), client.public():
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with client.public():
                    pass
        await client.sim.public.all_gone.wait()
        async with client.public():
            pass

    run(scenario, connections_max=2)


def test_a_book_is_shown_whole_delisted_crossed_and_shuffled() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(BOOK)
            await follow(ws, BOOK, 5)
            await client.fault(kind="snapshot", topic=BOOK)
            frame = await ws.data(BOOK)
            while frame["type"] == "delta":
                frame = await ws.data(BOOK)
            assert len(frame["data"]["b"]) == 50
            await client.fault(kind="garble", topic=BOOK, how="shuffled")
            frame = await ws.data(BOOK)
            while next(iter(frame)) == "topic":
                frame = await ws.data(BOOK)
            assert "news" in frame["data"]
            await client.fault(kind="garble", topic=BOOK, how="crossed")
            while not (frame["data"]["b"] and float(frame["data"]["b"][0][0]) > 900_000):
                frame = await ws.data(BOOK)
            await client.fault(kind="delist", topic=BOOK)
            while frame["type"] == "delta":
                frame = await ws.data(BOOK)
            assert (frame["data"]["b"], frame["data"]["a"], frame["data"]["u"]) == ([], [], 1)

    run(scenario, rate=1000.0)


def test_rows_come_twice_and_in_any_order() -> None:
    async def scenario(client: Client) -> None:
        topics = ("order", "execution", "position", "wallet")
        async with client.private(*topics, "execution.fast") as ws:
            order = "wallet,execution,order,position"
            await client.fault(kind="event_order", topics=order)
            await client.fault(kind="outside", symbol="BTCUSDT", side="Buy", qty="0.01")
            seen: list[str] = []
            while len(seen) < 5:
                seen.append((await ws.next())["topic"])
            assert seen == ["wallet", "execution.fast", "execution", "order", "position"]
            await client.fault(kind="double_private", n=2)
            await client.post("/v5/order/create", **MARKET, side="Sell", qty="0.01")
            first, again = await ws.next(), await ws.next()
            assert first == again
        refused = await client.fault(kind="outside", symbol="NOTHING", side="Buy", qty="1")
        assert refused["status"] == 400

    run(scenario)


def test_a_cancel_that_loses_the_race_is_told_as_a_second_fill() -> None:
    async def scenario(client: Client) -> None:
        async with client.private("order") as ws:
            made = await client.post("/v5/order/create", **MARKET, side="Buy", qty="0.01")
            name: dict[str, Any] = {
                "category": "linear", "symbol": "BTCUSDT", "orderId": made["result"]["orderId"],
            }  # fmt: skip
            assert (await ws.data("order"))["data"][0]["orderStatus"] == "Filled"
            await client.fault(kind="cancel_race")
            assert (await client.post("/v5/order/cancel", **name))["retCode"] == 0
            row = (await ws.data("order"))["data"][0]
            assert row["orderStatus"] == "Filled"
            assert row["rejectReason"] == "EC_OrigClOrdIDDoesNotExist"
            assert (await client.post("/v5/order/cancel", **name))["retCode"] == 110001

    run(scenario)


def test_gateways_fail_and_announce() -> None:
    async def scenario(client: Client) -> None:
        async with trading(client) as ws:
            await client.fault(kind="gateway_error", code=10016)
            assert (await ask(ws, "1", **ORDER))["retCode"] == 10016
            await client.fault(kind="gateway_error", code=10429, named=False)
            await ws.send({"reqId": "2"} | {})  # refused by itself, with its name
            assert (await ws.next())["reqId"] == "2"
        await client.fault(kind="maintenance", state="ongoing", title="upgrade")
        (notice,) = (await client.get("/v5/system/status"))["result"]["list"]
        assert notice["state"] == "ongoing"
        await client.fault(kind="ban", seconds=60)
        async with client.http.get(f"{client.endpoints.rest}/v5/market/time") as response:
            assert response.status == 403
        await client.fault(kind="ban", seconds=0)
        assert (await client.get("/v5/market/time"))["retCode"] == 0

    run(scenario)


def test_a_script_plays_by_its_times(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        '[[fault]]\nat_s = 2\nkind = "skew"\nms = 5\n'
        '[[fault]]\nat_s = 1.5\nevery_s = 1\nkind = "drop"\ntopic = "x"\n'
    )
    done: list[object] = []

    def apply(fault: Any) -> int:
        done.append(fault["kind"])
        if fault["kind"] == "drop":
            raise ConfigError("nobody reads it")
        return 1

    script = FaultScript(read_script(path), apply)
    for now_s in (100.0, 101.0, 101.6, 102.1, 102.6):
        script.tick(now_s)
    assert done == ["drop", "skew", "drop"]
    assert (script.played, script.missed) == (1, ["nobody reads it"] * 2)
    path.write_text("[[fault]]\n")
    with pytest.raises(ConfigError, match="fault 1: at_s"):
        read_script(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_script(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="kind must be"):
        Simulator(SimulatorOptions(symbols=1), script=parse_script([{"at_s": 0, "kind": "x"}], ""))


def test_a_scripted_exchange_does_what_the_script_says() -> None:
    async def scenario() -> None:
        script = parse_script([{"at_s": 0.05, "kind": "refuse_upgrade", "stream": "trade"}], "")
        sim = Simulator(SimulatorOptions(symbols=1), script=script)
        endpoints = await sim.start()
        try:
            async with aiohttp.ClientSession() as http:
                client = Client(sim, endpoints, http)
                while (await client.state())["script"]["played"] == 0:
                    pass
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await http.ws_connect(endpoints.ws_trade)
        finally:
            await sim.stop()

    import asyncio

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_tls_with_an_authority_of_its_own() -> None:
    async def scenario(client: Client) -> None:
        assert client.endpoints.rest.startswith("https://")
        assert client.endpoints.ws_public.startswith("wss://")
        assert client.endpoints.as_json()["ca_file"] == client.endpoints.ca_file
        trust = ssl.create_default_context(cafile=client.endpoints.ca_file)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(connector=connector) as http:
            ours = Client(client.sim, client.endpoints, http)
            assert (await ours.ask("/v5/account/info"))["retCode"] == 0
            async with ours.public() as ws, ours.private("order"):
                await ws.subscribe(BOOK)
                await follow(ws, BOOK, 20)
            for host in ("localhost", "127.0.0.1"):
                url = client.endpoints.rest.replace("127.0.0.1", host)
                async with http.get(f"{url}/v5/market/time") as response:
                    assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.get("/v5/market/time")
        folder = Path(client.endpoints.ca_file).parent
        assert folder.stat().st_mode & 0o077 == 0
        assert not (folder / "ca.key").exists()

    run(scenario, tls=True, rate=1000.0)


def test_the_authority_is_gone_with_the_exchange() -> None:
    async def scenario() -> Path:
        async with exchange(tls=True, symbols=1) as client:
            return Path(client.endpoints.ca_file)

    import asyncio

    assert not asyncio.run(asyncio.wait_for(scenario(), 60)).exists()
