"""Gateway, both ways in, private stream and the bundled exchange: all real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

import aiohttp
import orjson
from tests.support_rest import RealClock

from fastbook.bybit.instruments import parse_instruments
from fastbook.bybit.limits import ADDRESS_LIMIT, RateLimits
from fastbook.bybit.private import PrivateDecoder
from fastbook.runtime.bybit.gateway import RestGateway
from fastbook.runtime.bybit.private import PrivateStream, PrivateStreamConfig
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.bybit.trade_stream import TradeStream, TradeStreamConfig
from fastbook.runtime.config import Credentials
from fastbook.runtime.secret import Secret
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator
from fastbook.types import (
    Category,
    Instrument,
    OrderEvent,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    Side,
    TimeInForce,
)

DEADLINE_S = 90.0
E = TypeVar("E")


class Heard:
    """All that the application hears, from every way."""

    def __init__(self) -> None:
        self.events: list[OrderEvent] = []
        self.fatal: list[BaseException] = []
        self.up: dict[str, bool] = {}
        self._changed = asyncio.Event()

    def on_events(self, events: list[OrderEvent], recv_ns: int) -> None:
        self.events += events
        self._changed.set()

    def on_fatal(self, error: BaseException) -> None:
        self.fatal.append(error)
        self._changed.set()

    def on_link(self, name: str) -> Callable[[bool], None]:
        def told(up: bool) -> None:
            self.up[name] = up
            self._changed.set()

        return told

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def of(self, kind: type[E]) -> list[E]:
        return [e for e in self.events if isinstance(e, kind)]

    def ids(self, kind: type) -> list[str]:
        return [getattr(e, "client_id", "") for e in self.events if isinstance(e, kind)]

    def statuses(self, client_id: str) -> list[str]:
        return [e.status for e in self.of(OrderUpdate) if e.client_id == client_id]


@dataclass
class World:
    simulator: Simulator
    heard: Heard
    rest: RestClient
    trade: TradeStream
    gateway: RestGateway
    instruments: list[Instrument]
    http: aiohttp.ClientSession
    url: str
    low: list[int]
    """A price far below the market, an instrument each; nobody sells there."""
    high: list[int]
    qty: list[int]
    """The least that may be ordered at `low`."""

    async def fault(self, **fault: object) -> int:
        async with self.http.post(
            f"{self.url}/_control/fault", data=orjson.dumps(fault)
        ) as response:
            answer = await response.json(loads=orjson.loads)
            assert response.status == 200, answer
            return int(answer["hit"])

    def place(self, client_id: str, instrument: int = 0, **changes: Any) -> PlaceOrder:
        """A buy that rests. Changes (Any) are fields of PlaceOrder."""
        values: dict[str, Any] = {
            "client_id": client_id,
            "instrument": instrument,
            "side": Side.BUY,
            "px": self.low[instrument],
            "qty": self.qty[instrument],
            "order_type": OrderType.LIMIT,
            "tif": TimeInForce.GTC,
            "reduce_only": False,
        }
        return PlaceOrder(**values | changes)

    def buy_now(self, client_id: str, instrument: int = 0, **changes: Any) -> PlaceOrder:
        now = {"px": self.high[instrument], "tif": TimeInForce.IOC}
        return self.place(client_id, instrument, **now | changes)

    async def open_ids(self) -> list[str]:
        rows = await self.rest.all_open_orders(self.instruments[0].category, ["USDT"])
        return sorted(str(row["orderLinkId"]) for row in rows)


@asynccontextmanager
async def world(
    *,
    category: Category = Category.LINEAR,
    symbols: int = 1,
    trade: dict[str, Any] | None = None,
    gateway: dict[str, Any] | None = None,
    address_limit: int = ADDRESS_LIMIT,
    **options: Any,
) -> AsyncIterator[World]:
    """Options (Any) are those of the exchange, of the trade stream and of the gateway."""
    chosen: dict[str, Any] = {"symbols": max(symbols, 2), "seed": 7} | options
    simulator = Simulator(SimulatorOptions(categories=(category.value,), **chosen))
    endpoints = await simulator.start()
    key = endpoints.accounts[0]
    credentials = Credentials(Secret(key.api_key), Secret(key.api_secret))
    clock, heard = RealClock(), Heard()
    try:
        async with (
            aiohttp.ClientSession() as http,
            RestClient(
                endpoints.rest,
                credentials,
                clock,
                rng=Random(1),
                limits=RateLimits(category, address_limit=address_limit),
            ) as rest,
        ):
            await rest.sync_time()
            rows = await rest.instruments(category)
            names = [str(row["symbol"]) for row in rows][:symbols]
            instruments = parse_instruments(rows, category, names)
            private = PrivateStream(
                PrivateStreamConfig(url=endpoints.ws_private),
                credentials,
                PrivateDecoder(instruments, category),
                heard.on_events,
                heard.on_link("private"),
                clock,
                venue_now_ms=rest.venue_time.now_ms,
            )
            stream = TradeStream(
                TradeStreamConfig(
                    url=endpoints.ws_trade, **{"backoff_cap_s": 0.05} | (trade or {})
                ),
                credentials,
                clock,
                rest.pacer,
                venue_now_ms=rest.venue_time.now_ms,
                resync=rest.sync_time,
                on_link=heard.on_link("trade"),
                rng=Random(1),
            )
            tasks = [asyncio.create_task(private.run()), asyncio.create_task(stream.run())]
            desk = RestGateway(
                rest,
                instruments,
                category,
                heard.on_events,
                clock,
                on_fatal=heard.on_fatal,
                trade=stream,
                **gateway or {},
            )
            await heard.until(lambda: heard.up == {"private": True, "trade": True})
            made = World(
                simulator, heard, rest, stream, desk, instruments, http, endpoints.rest, [], [], []
            )
            for instrument in instruments:
                await _note_prices(made, instrument)
            try:
                yield made
            finally:
                await desk.close(0.5)
                stream.stop()
                private.stop()
                await asyncio.gather(*tasks)
    finally:
        await simulator.stop()


async def _note_prices(made: World, instrument: Instrument) -> None:
    levels = await made.rest.orderbook(instrument.category, instrument.symbol)
    bid, ask = Decimal(levels["b"][0][0]), Decimal(levels["a"][0][0])
    scale, tick = 10**instrument.price_scale, instrument.tick
    low = int(bid * scale) * 97 // 100 // tick * tick
    qty = max(instrument.qty_min, instrument.lot)
    if instrument.category is not Category.INVERSE:
        least = int(instrument.notional_min / instrument.notional(low, 1)) + 1
        qty = max(qty, -(-least // instrument.lot) * instrument.lot)
    made.low.append(low)
    made.high.append(int(ask * scale) * 101 // 100 // tick * tick)
    made.qty.append(qty)


def play(story: Callable[[World], Awaitable[None]], **options: Any) -> World:
    """Options (Any) are those of `world`."""

    async def run() -> World:
        async with asyncio.timeout(DEADLINE_S), world(**options) as made:
            await story(made)
            assert made.simulator.failure is None
        return made

    return asyncio.run(run())
