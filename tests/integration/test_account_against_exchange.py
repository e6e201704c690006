"""Gateway, private stream and bundled exchange together: orders live, trade and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from tests.support_rest import RealClock

from fastbook.bybit.instruments import parse_instruments
from fastbook.bybit.private import PrivateDecoder
from fastbook.runtime.bybit.gateway import RestGateway
from fastbook.runtime.bybit.private import PrivateStream, PrivateStreamConfig
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.config import Credentials
from fastbook.runtime.secret import Secret
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator
from fastbook.types import (
    CancelOrder,
    Category,
    Execution,
    OrderAbsent,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    OrderType,
    OrderUnknown,
    OrderUpdate,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    Side,
    TimeInForce,
    WalletSnapshot,
)

SYMBOL = "BTCUSDT"


class Book:
    """All that the application hears, from both ways."""

    def __init__(self) -> None:
        self.events: list[OrderEvent] = []
        self.up = asyncio.Event()
        self._changed = asyncio.Event()

    def on_events(self, events: list[OrderEvent], recv_ns: int) -> None:
        self.events += events
        self._changed.set()

    def on_link(self, up: bool) -> None:
        if up:
            self.up.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def statuses(self, client_id: str) -> list[str]:
        return [
            e.status for e in self.events if isinstance(e, OrderUpdate) and e.client_id == client_id
        ]

    def fills(self, client_id: str) -> list[Execution]:
        return [e for e in self.events if isinstance(e, Execution) and e.client_id == client_id]

    def kinds(self, client_id: str) -> list[type]:
        return [type(e) for e in self.events if getattr(e, "client_id", "") == client_id]


def place(client_id: str, side: Side, px: int, qty: int, tif: TimeInForce) -> PlaceOrder:
    return PlaceOrder(
        client_id=client_id,
        instrument=0,
        side=side,
        px=px,
        qty=qty,
        order_type=OrderType.LIMIT,
        tif=tif,
        reduce_only=False,
    )


async def story(simulator: Simulator) -> None:
    endpoints = await simulator.start()
    key = endpoints.accounts[0]
    credentials = Credentials(Secret(key.api_key), Secret(key.api_secret))
    clock, book = RealClock(), Book()
    async with RestClient(endpoints.rest, credentials, clock) as rest:
        await rest.sync_time()
        assert abs(rest.venue_time.ahead_ms) < 1_000
        rows = await rest.instruments(Category.LINEAR)
        instruments = parse_instruments(rows, Category.LINEAR, [SYMBOL])
        instrument = instruments[0]
        stream = PrivateStream(
            PrivateStreamConfig(url=endpoints.ws_private),
            credentials,
            PrivateDecoder(instruments, Category.LINEAR),
            book.on_events,
            book.on_link,
            clock,
            venue_now_ms=rest.venue_time.now_ms,
        )
        listening = asyncio.create_task(stream.run())
        await book.up.wait()
        gateway = RestGateway(rest, instruments, Category.LINEAR, book.on_events, clock)

        before = await gateway.reconcile()
        (flat,) = (e for e in before if isinstance(e, PositionSnapshot))
        assert flat.qty == 0

        levels = await rest.orderbook(Category.LINEAR, SYMBOL)
        bid, ask = Decimal(levels["b"][0][0]), Decimal(levels["a"][0][0])
        scale = 10**instrument.price_scale
        tick = instrument.tick
        low = int(bid * scale) * 98 // 100 // tick * tick
        high = int(ask * scale) * 101 // 100 // tick * tick
        qty = max(instrument.qty_min, instrument.lot)
        while instrument.notional(low, qty) < instrument.notional_min:
            qty += instrument.lot

        # Rests, is found, is cancelled.
        gateway.send([place("t-1", Side.BUY, low, qty, TimeInForce.GTC)])
        await book.until(lambda: "New" in book.statuses("t-1"))
        gateway.send([QueryOrder(client_id="t-1", instrument=0)])
        await book.until(lambda: len(book.statuses("t-1")) >= 2)
        gateway.send([CancelOrder(client_id="t-1", instrument=0)])
        await book.until(lambda: "Cancelled" in book.statuses("t-1"))
        assert OrderAccepted in book.kinds("t-1")

        # Trades at once, with a fee, and shows in position and wallet.
        gateway.send([place("t-2", Side.BUY, high, qty, TimeInForce.IOC)])
        await book.until(lambda: sum(f.qty for f in book.fills("t-2")) == qty)
        assert all(f.fee > 0 and f.fee_coin == "USDT" for f in book.fills("t-2"))
        await book.until(lambda: "Filled" in book.statuses("t-2"))
        after = await gateway.reconcile()
        (position,) = (e for e in after if isinstance(e, PositionSnapshot))
        assert position.qty == qty
        known = {e.exec_id for e in after if isinstance(e, Execution)}
        assert {f.exec_id for f in book.fills("t-2")} <= known
        paid = sum((f.fee for f in book.fills("t-2")), Decimal(0))
        start = next(e.balance for e in before if isinstance(e, WalletSnapshot))
        now = next(e.balance for e in after if isinstance(e, WalletSnapshot))
        assert start - now == paid

        # The same id again is not a second order, and not a rejection.
        gateway.send([place("t-2", Side.BUY, high, qty, TimeInForce.IOC)])
        await book.until(lambda: OrderUnknown in book.kinds("t-2"))
        assert OrderRejected not in book.kinds("t-2")

        # A definite no, and an id that nobody knows.
        gateway.send([place("t-3", Side.BUY, low, instrument.qty_max * 1000, TimeInForce.GTC)])
        await book.until(lambda: OrderRejected in book.kinds("t-3"))
        gateway.send([QueryOrder(client_id="t-4", instrument=0)])
        await book.until(lambda: OrderAbsent in book.kinds("t-4"))

        await rest.cancel_all(Category.LINEAR, ["USDT"])
        await gateway.close()
        stream.stop()
        await listening
        assert stream.stats.malformed == 0


def test_orders_live_their_lives() -> None:
    async def run() -> None:
        simulator = Simulator(SimulatorOptions(symbols=2, seed=7))
        try:
            async with asyncio.timeout(20):
                await story(simulator)
        finally:
            await simulator.stop()

    asyncio.run(run())
