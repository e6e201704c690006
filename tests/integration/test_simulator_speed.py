"""The exchange over sockets on a clock that runs faster than the client's."""

from __future__ import annotations

import time

from tests.integration.simulator_client import Client, PlainBook, run


def test_ten_times_as_fast() -> None:
    async def scenario(client: Client) -> None:
        topic = "orderbook.200.BTCUSDT"
        async with client.public() as ws, client.private("order") as private:
            await ws.subscribe(topic)
            began_s = time.monotonic()
            book = PlainBook()
            first = await ws.data(topic)
            book.apply(first)
            last = first
            while last["ts"] - first["ts"] < 9_000:
                last = await ws.data(topic)
                book.apply(last)
            # Nine of its seconds take nearly one of ours, on a busy machine too.
            passed_s = time.monotonic() - began_s
            assert passed_s > 0.8
            assert last["ts"] / 1000 > time.time()
            # Requests with the client's own time stamps are good, whatever that clock says.
            answer = await client.post(
                "/v5/order/create",
                category="linear",
                symbol="BTCUSDT",
                side="Buy",
                qty="0.001",
                orderType="Market",
            )
            assert answer["retCode"] == 0
            assert answer["time"] / 1000 > time.time() + 6
            (row,) = (await private.data("order"))["data"]
            assert int(row["createdTime"]) / 1000 > time.time() + 6
            _, late = await client.signed("GET", "/v5/account/info", b"", ahead_ms=-60_000)
            assert late["retCode"] == 10002

    run(scenario, speed=10.0)
