"""The exchange over sockets with a recorded market in it."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from tests.integration.command import Running, fastbook, one_sentence
from tests.integration.simulator_client import Client, PlainBook, run

T0 = 1_772_694_600_000


def record(path: Path, *, frames: int = 60, every_ms: int = 20, symbol: str = "OWNUSDT") -> Path:
    """Write a seeded recording of one symbol: a book of four levels a side that drifts."""
    rng = random.Random(5)
    middle, lines = 1000, []
    held: dict[str, dict[int, int]] = {"b": {}, "a": {}}
    for number in range(frames):
        middle += rng.choice((-1, 0, 0, 1))
        frame: dict[str, object] = {"s": symbol}
        for name, side in (("b", -1), ("a", 1)):
            now = {middle + side * n: rng.randint(1, 9) for n in range(1, 5)}
            changes = now | {px: 0 for px in held[name] if px not in now}
            held[name] = now
            frame[name] = [
                [f"{px / 100:.2f}", str(changes[px])] for px in sorted(changes, reverse=side < 0)
            ]
        ts = T0 + number * every_ms
        kind = "delta" if number else "snapshot"
        body = {
            "topic": f"orderbook.50.{symbol}",
            "type": kind,
            "ts": ts,
            "data": {**frame, "u": 50 + number, "seq": 100 + number},
            "cts": ts - 1,
        }
        lines.append(b"%d %s\n" % (ts * 1_000_000, orjson.dumps(body)))
    path.write_bytes(b"".join(lines))
    return path


def test_books_and_orders(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        info = await client.get("/v5/market/instruments-info", category="linear", symbol="OWNUSDT")
        (row,) = info["result"]["list"]
        assert row["priceFilter"]["tickSize"] == "0.01"
        assert row["lotSizeFilter"]["qtyStep"] == "1"
        async with client.public() as ws, client.private("execution") as private:
            topic = "orderbook.50.OWNUSDT"
            await ws.subscribe(topic, "publicTrade.OWNUSDT")
            book = PlainBook()
            book.apply(await ws.data(topic))
            mine = await client.post(
                "/v5/order/create",
                category="linear",
                symbol="OWNUSDT",
                side="Buy",
                qty="2",
                orderType="Limit",
                price="9.80",
            )
            assert mine["retCode"] == 0
            while book.levels("b")[-1][0] > Decimal("9.80"):
                book.apply(await ws.data(topic))
            assert book.levels("b")[-1] == (Decimal("9.80"), Decimal(2))
            taken = await client.post(
                "/v5/order/create",
                category="linear",
                symbol="OWNUSDT",
                side="Buy",
                qty="1",
                orderType="Market",
            )
            assert taken["retCode"] == 0
            (fill,) = (await private.data("execution"))["data"]
            trade = await ws.data("publicTrade.OWNUSDT")
            assert trade["data"][0]["p"] == f"{float(fill['execPrice']):.2f}"
            while book.frames < 40:
                book.apply(await ws.data(topic))
            state = await client.state()
            assert state["recording"]["refused"] == 0

    run(scenario, symbols=0, replay=(record(tmp_path / "own.txt"),), replay_loop=True)


def test_it_says_that_the_recording_has_ended(tmp_path: Path) -> None:
    path = record(tmp_path / "own.txt", frames=3)
    with Running("simulate", "--replay", path) as exchange:
        assert orjson.loads(exchange.out.next())["rest"]
        assert exchange.process.wait(30) == 0
        assert exchange.err.rest()[-1] == (
            "fastbook: the recording has ended after 3 frames (--loop begins it again)"
        )


@pytest.mark.parametrize(
    ("content", "said", "code"),
    [
        (None, "No such file", 2),
        (b"", "the recording has no order book", 2),
        (b'1 {"topic":"orderbook.50.X","data":{}}\n', "not a v5 frame", 1),
        (b"hello\n", "not a recorded frame", 1),
    ],
)
def test_what_is_no_recording(tmp_path: Path, content: bytes | None, said: str, code: int) -> None:
    path = tmp_path / "no.txt"
    if content is not None:
        path.write_bytes(content)
    assert said in one_sentence(fastbook("simulate", "--replay", path), code)
