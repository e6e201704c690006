"""The slower public topics of the bundled exchange."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.integration.simulator_client import Client, run


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_candles_flow_and_rest_has_the_same(category: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe("kline.1.BTCUSDT", "kline.D.BTCUSDT", "orderbook.50.BTCUSDT")
            first = await ws.data("kline.1.BTCUSDT")
            (row,) = first["data"]
            assert row["end"] - row["start"] == 59_999
            assert row["confirm"] is False
            while Decimal(row["volume"]) == 0:
                row = (await ws.data("kline.1.BTCUSDT"))["data"][-1]
            assert Decimal(row["low"]) <= Decimal(row["open"]) <= Decimal(row["high"])
            answer = await client.get(
                "/v5/market/kline", category=category, symbol="BTCUSDT", interval="1"
            )
            newest = answer["result"]["list"][0]
            assert len(newest) == 7
            if int(newest[0]) == row["start"]:
                assert newest[1] == row["open"]
                assert Decimal(newest[2]) >= Decimal(row["high"])
                assert Decimal(newest[5]) >= Decimal(row["volume"])
            daily = (await ws.data("kline.D.BTCUSDT"))["data"][-1]
            assert daily["end"] - daily["start"] == 86_399_999
            bad = await ws.subscribe("kline.2.BTCUSDT")
            assert bad["ret_msg"] == "error:handler not found,topic:kline.2.BTCUSDT"

    run(scenario, category=category, rate=500.0)


def test_a_minute_that_ends_is_confirmed_once() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe("kline.1.BTCUSDT", "orderbook.50.BTCUSDT")
            running = (await ws.data("kline.1.BTCUSDT"))["data"][0]
            await client.fault(kind="skew", ms=60_000)
            frame = await ws.data("kline.1.BTCUSDT")
            while len(frame["data"]) == 1:
                frame = await ws.data("kline.1.BTCUSDT")
            closed, now = frame["data"]
            assert (closed["start"], closed["confirm"]) == (running["start"], True)
            assert (now["start"], now["confirm"]) == (running["start"] + 60_000, False)
            assert now["open"] == closed["close"]

    run(scenario, rate=200.0)


async def check_band(client: Client, limits: dict[str, str]) -> None:
    """The band is that of the published ratios around the mark, but for what it moved since."""
    which = {"category": "linear", "symbol": "BTCUSDT"}
    (ticker,) = (await client.get("/v5/market/tickers", **which))["result"]["list"]
    (info,) = (await client.get("/v5/market/instruments-info", **which))["result"]["list"]
    ratio = Decimal(info["riskParameters"]["priceLimitRatioX"])
    assert ratio < Decimal(info["riskParameters"]["priceLimitRatioY"])
    for name, sign in (("buyLmt", 1), ("sellLmt", -1)):
        found = Decimal(limits[name]) / Decimal(ticker["markPrice"]) - 1
        assert abs(found - sign * ratio) < Decimal("0.001")


def test_liquidations_and_price_limits() -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            await ws.subscribe(
                "allLiquidation.BTCUSDT", "priceLimit.BTCUSDT", "orderbook.50.BTCUSDT"
            )
            frame = await ws.data("allLiquidation.BTCUSDT")
            assert list(frame) == ["topic", "type", "ts", "data"]
            assert list(frame["data"][0]) == ["T", "s", "S", "v", "p"]
            limits = await ws.data("priceLimit.BTCUSDT")
            assert list(limits) == ["topic", "data", "ts"]
            rest = await client.get("/v5/market/price-limit", symbol="BTCUSDT")
            for data in (limits["data"], rest["result"]):
                assert Decimal(data["sellLmt"]) < Decimal(data["buyLmt"])
            await check_band(client, rest["result"])
        async with client.public("spot") as spot:
            refused = await spot.subscribe("allLiquidation.BTCUSDT")
            assert refused["success"] is False

    run(scenario, categories=("linear", "spot"), rate=5000.0)


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_the_rpi_book_is_the_book(category: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.public() as ws:
            topic = "orderbook.rpi.BTCUSDT"
            await ws.subscribe(topic)
            frame = await ws.data(topic)
            assert list(frame) == ["topic", "ts", "type", "data", "cts"]
            assert frame["type"] == "snapshot"
            assert len(frame["data"]["b"]) == len(frame["data"]["a"]) == 50
            u, ts = frame["data"]["u"], frame["ts"]
            deleted = 0
            for number in range(8):
                frame = await ws.data(topic)
                assert (frame["type"], frame["data"]["u"]) == ("delta", u + 1)
                assert number == 0 or frame["ts"] - ts >= 90
                u, ts = u + 1, frame["ts"]
                for px, qty, rpi in frame["data"]["b"] + frame["data"]["a"]:
                    assert (Decimal(px) > 0, rpi) == (True, "0")
                    deleted += qty == "0"
            assert deleted > 0
            ask = {"category": category, "symbol": "BTCUSDT"}
            answer = (await client.get("/v5/market/rpi_orderbook", **ask, limit=20))["result"]
            assert [len(answer["b"]), len(answer["a"]), len(answer["a"][0])] == [20, 20, 3]
            assert answer["u"] >= u
            refused = await client.get("/v5/market/rpi_orderbook", **ask)
            assert refused["retCode"] == 10001

    run(scenario, category=category, events_per_s=2000.0)
