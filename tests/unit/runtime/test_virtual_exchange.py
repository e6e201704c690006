"""The exchange in virtual time: callbacks, requests, timers, and the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastbook import ApplyStatus, BookDecoder, BookState
from fastbook.errors import ConfigError
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.virtual import START_MS, VirtualExchange

ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}
TRACE = "from tests.unit.runtime.test_virtual_exchange import trace; print(trace(5))"


def exchange(**options: Any) -> VirtualExchange:
    return VirtualExchange(SimulatorOptions(**({"symbols": 2} | options)))


def trace(seed: int) -> str:
    """Digest of everything that a program hears which trades on what it hears."""
    digest = hashlib.sha256()
    sim = exchange(seed=seed, categories=("linear", "spot"))
    heard = 0

    def on_frame(frame: bytes) -> None:
        nonlocal heard
        heard += 1
        digest.update(frame)
        if heard % 40 == 0:
            side = "Buy" if heard % 80 else "Sell"
            answer = sim.request("/v5/order/create", ORDER | {"side": side, "qty": "0.003"})
            digest.update(orjson.dumps(answer))

    for topic in ("orderbook.50.BTCUSDT", "orderbook.1.ETHUSDT", "publicTrade.BTCUSDT"):
        sim.subscribe(topic, on_frame)
    sim.subscribe("tickers.BTCUSDT", on_frame)
    sim.subscribe("orderbook.200.BTCUSDT", on_frame, category="spot")
    sim.listen(lambda message: digest.update(orjson.dumps(message)))
    sim.run_for(5.0)
    assert heard > 200
    return digest.hexdigest()


def test_same_seed_same_trace_in_other_processes_and_with_other_hashes() -> None:
    here = trace(5)
    assert here != trace(6)
    for hash_seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", TRACE],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[3],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
        )
        assert out.stdout.strip() == here


def test_a_minute_passes_at_once() -> None:
    sim = exchange()
    decoder = BookDecoder()
    statuses: list[ApplyStatus] = []
    stamps: list[int] = []

    def on_frame(frame: bytes) -> None:
        statuses.append(decoder.apply(frame))
        stamps.append(orjson.loads(frame)["ts"])

    sim.subscribe("orderbook.50.BTCUSDT", on_frame)
    sim.run_until(START_MS + 60_000)
    assert sim.now_ms == START_MS + 60_000
    assert statuses[0] is ApplyStatus.SNAPSHOT
    assert set(statuses[1:]) == {ApplyStatus.APPLIED}
    assert 1_500 < len(stamps) <= 3_001
    assert stamps == sorted(stamps)
    assert {(b - a) % 20 for a, b in pairwise(stamps[1:])} == {0}
    book = decoder.book("BTCUSDT")
    assert book.state is BookState.SYNCED
    assert book.levels() == tuple(sim.market.books[0].levels(side, 50) for side in (1, -1))


def test_orders_and_their_rows() -> None:
    sim = exchange()
    messages: list[dict[str, Any]] = []
    trades: list[dict[str, Any]] = []
    sim.listen(messages.append)
    sim.subscribe("publicTrade.BTCUSDT", lambda frame: trades.extend(orjson.loads(frame)["data"]))
    sim.run_for(0.5)
    trades.clear()
    answer = sim.request("/v5/order/create", ORDER | {"qty": "0.010"})
    assert answer["retCode"] == 0
    assert [m["topic"] for m in messages] == ["order", "execution", "position", "wallet"]
    assert messages[0]["data"][0]["orderId"] == answer["result"]["orderId"]
    assert sum(Decimal(t["v"]) for t in trades) == Decimal("0.010")
    (position,) = sim.request("/v5/position/list", {"category": "linear", "symbol": "BTCUSDT"})[
        "result"
    ]["list"]
    assert (position["side"], position["size"]) == ("Buy", "0.01")
    assert sim.request("/v5/market/time")["result"]["timeSecond"] == str(sim.now_ms // 1000)
    assert sim.request("/v5/order/create", ORDER | {"qty": "0"})["retCode"] == 10001
    assert (
        sim.request("/v5/market/orderbook", {"category": "linear", "symbol": "NO"})["retCode"]
        == 10001
    )
    done = sim.request("/v5/order/cancel-all", {"category": "linear", "settleCoin": "USDT"})
    assert done["result"]["success"] == "1"
    assert sim.request("/v5/position/set-leverage", {"category": "linear"})["retCode"] == 10001
    assert sim.request("/v5/user/query-api")["result"]["apiKey"] == sim.keys[0].api_key
    with pytest.raises(ValueError, match="no such endpoint"):
        sim.request("/v5/no/such")


def test_requests_of_callbacks_are_told_after_what_was_under_way() -> None:
    sim = exchange()
    heard: list[str] = []

    def on_frame(frame: bytes) -> None:
        heard.append("book")
        if len(heard) == 1:
            assert sim.request("/v5/order/create", ORDER | {"qty": "0.001"})["retCode"] == 0
            heard.append("asked")

    sim.listen(lambda message: heard.append(message["topic"]))
    sim.subscribe("orderbook.50.BTCUSDT", on_frame)
    assert heard == ["book", "asked", "order", "execution", "position", "wallet"]


def test_timers_and_subscriptions_end() -> None:
    sim = exchange()
    calls: list[tuple[str, int]] = []
    sim.call_at(START_MS + 7, lambda: calls.append(("b", sim.now_ms)))
    sim.call_at(START_MS + 3, lambda: calls.append(("a", sim.now_ms)))
    frames: list[bytes] = []
    sim.subscribe("orderbook.1.BTCUSDT", frames.append)
    sim.run_for(0.1)
    assert calls == [("a", START_MS + 3), ("b", START_MS + 7)]
    seen = len(frames)
    sim.unsubscribe("orderbook.1.BTCUSDT")
    sim.unsubscribe("orderbook.1.BTCUSDT")
    sim.run_for(1.0)
    assert len(frames) == seen
    with pytest.raises(ConfigError, match=r"no topic orderbook\.7"):
        sim.subscribe("orderbook.7.BTCUSDT", frames.append)


def test_what_a_callback_raises_comes_out() -> None:
    sim = exchange()
    sim.call_at(START_MS + 10, lambda: orjson.loads(b"?"))
    with pytest.raises(orjson.JSONDecodeError):
        sim.run_for(1.0)
    sim.run_for(1.0)
    assert sim.now_ms == START_MS + 1010


def test_nobody_stands_still_while_nobody_listens() -> None:
    sim = exchange(symbols=40)
    before = [book.levels(1, 50) for book in sim.market.books]
    sim.run_for(2.0)
    assert all(
        book.levels(1, 50) != was for book, was in zip(sim.market.books, before, strict=True)
    )
    assert sim.venue.prices.mark(0) > 0
