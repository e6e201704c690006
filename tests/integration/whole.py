"""The whole system in one loop: bundled exchange, real sockets, the runtime; and its ledgers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from fastbook import BookState
from fastbook.runtime.app import App
from fastbook.runtime.audit import compare
from fastbook.runtime.config import Config, Credentials
from fastbook.runtime.demo import make_config
from fastbook.runtime.report import Json
from fastbook.runtime.run import endpoints_of
from fastbook.runtime.run_options import RunOptions
from fastbook.runtime.secret import Secret
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator
from fastbook.types import Command, PlaceOrder, TradingState

SYMBOLS = 10
RATE = 2_000.0
DEADLINE_S = 90.0
SETTLE_S_MAX = 15.0
POLL_S = 0.005

Trouble = Callable[["Whole"], Awaitable[None]]


class Whole:
    """One run. `trouble` begins once the engine has traded; the run ends `after_s` behind it."""

    def __init__(
        self,
        *,
        seed: int = 3,
        limits: dict[str, Any] | None = None,  # Any: risk limits of different types
        flatten: bool = True,
        recv_window_ms: int = 1_000,
        ws_private: str = "",
    ) -> None:
        self.simulator = Simulator(SimulatorOptions(symbols=SYMBOLS, rate=RATE, seed=seed))
        self.summary: Json = {}
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.sent: list[PlaceOrder] = []
        self.wrongs: list[str] = []
        """Whatever must never be, seen while it ran."""
        self._limits = limits or {}
        self._flatten = flatten
        self._recv_window_ms = recv_window_ms  # short: it bounds how soon a create is proved absent
        self._ws_private = ws_private
        self.app: App

    @property
    def faults(self) -> Any:  # Any: the faults' methods differ
        return self.simulator.faults

    @property
    def account(self) -> Json:
        account: Json = self.simulator.state()["accounts"][0]
        return account

    async def run(self, trouble: Trouble, *, after_s: float, orders_before: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.wrongs.append(str(context)))
        where = (await self.simulator.start()).as_json()
        self.app = self._make_app(where)
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(self._make_trouble(trouble, after_s, orders_before, stop)),
            asyncio.create_task(self._watch()),
        ]
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE_S):
                self.summary = await self.app.run(stop)
        except Exception as error:  # noqa: BLE001 - what a run ends with is what is tested
            self.error = error
        finally:
            self.seconds = time.monotonic() - started_s
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self.wrongs += [repr(e) for e in ended if isinstance(e, Exception)]
            self.end = self.account
            self.resting, self.protected = self._left_at_the_venue()
            await self.simulator.stop()
        await asyncio.sleep(0)
        self.left = [t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()]

    def _make_app(self, where: Json) -> App:
        symbols = [i.symbol for i in self.simulator.market.instruments]
        account = where["accounts"][0]
        if self._ws_private:
            where = where | {"ws_private": self._ws_private}
        app = App(
            self._config(where, symbols),
            endpoints_of(where),
            Credentials(Secret(account["api_key"]), Secret(account["api_secret"])),
            RunOptions(
                title="test", audit=None if self._ws_private else self._audit, flatten=self._flatten
            ),
        )
        return app

    def _config(self, where: Json, symbols: list[str]) -> Config:
        config = make_config(where, symbols)
        assert config.risk is not None
        return dataclasses.replace(
            config,
            venue=dataclasses.replace(config.venue, recv_window_ms=self._recv_window_ms),
            risk=dataclasses.replace(config.risk, **self._limits),
        )

    def _left_at_the_venue(self) -> tuple[list[str], list[str]]:
        """Orders that rest; and the symbols of the stops that protect a position: no orders."""
        left = self.simulator.venue.account(1).open_orders.values()
        resting = [order.order_id for order in left if order.stop_type in ("", "Stop")]
        return resting, [o.instrument.symbol for o in left if o.order_id not in resting]

    async def _audit(self, app: App) -> Json:
        """As `audit_against`, without a process between."""
        with contextlib.suppress(AssertionError):
            await self.until(lambda: not compare(app, self.account), "agrees", SETTLE_S_MAX)
        differences = compare(app, self.account)
        return {"agrees": not differences, "differences": differences}

    async def until(self, condition: Callable[[], object], what: str, within_s: float = 30) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not condition():  # noqa: ASYNC110 - of another's state: it has no event
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s: {what}") from None

    def synced(self) -> bool:
        return all(b.state is BookState.SYNCED for b in self.app.books)

    async def _make_trouble(
        self, trouble: Trouble, after_s: float, orders_before: int, stop: asyncio.Event
    ) -> None:
        try:
            await self.until(lambda: hasattr(self.app, "gateway"), "built")
            send = self.app.gateway.send

            def spy(commands: Sequence[Command]) -> None:
                self._look_at(commands)
                send(commands)

            self.app.gateway.send = spy  # type: ignore[method-assign]
            await self.until(lambda: self.app.engine.stats.orders >= orders_before, "it trades")
            await trouble(self)
            await asyncio.sleep(after_s)
        finally:
            stop.set()

    def _look_at(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, PlaceOrder):
                self.sent.append(command)
                book = self.app.books[command.instrument]
                if book.state is not BookState.SYNCED:
                    self.wrongs.append(f"an order from a book that is {book.state.name}")
                if not command.reduce_only and self.app.engine.state is not TradingState.ACTIVE:
                    self.wrongs.append(f"an entry while {self.app.engine.state.value}")

    async def _watch(self) -> None:
        """Between any two steps of the loop: no trading on an account that nobody hears of."""
        await self.until(lambda: hasattr(self.app, "gateway"), "built")
        while True:
            private = self.app.private
            active = self.app.engine.state is TradingState.ACTIVE
            if active and (private is None or not private.up):
                self.wrongs.append("ACTIVE without a private stream")
                return
            await asyncio.sleep(0)

    # --- what every run has to show -----------------------------------------------------------

    def check(self) -> None:
        """The ledgers balance, every story is over, nothing is left."""
        assert self.error is None, repr(self.error)
        assert self.summary["audit"]["differences"] == []
        assert self.summary["orders_from_unsynced_books"] == 0
        assert self.summary["open_positions"] == 0 or not self._flatten
        self.check_orders()
        self.check_nothing_left()

    def check_orders(self) -> None:
        app = self.app
        assert app.orders.working_count == 0, [o.client_id for o in app.orders.all_working()]
        named = [order.client_id for order in self.sent]
        assert len(named) == len(set(named)) == app.engine.stats.orders
        known = set(self.simulator.venue.account(1).links)
        created = self.simulator.counters["orders"]
        assert created == len(known), "one create a client id"
        assert known <= set(named)
        assert self.resting == []

    def check_nothing_left(self) -> None:
        assert not self.wrongs, self.wrongs
        assert self.left == []
        held = [p["symbol"] for p in self.end["positions"] if Decimal(p["qty"])]
        assert set(self.protected) <= set(held), "a stop ends with its position"
        assert self.simulator.failure is None
        assert len(self.app.journal) == 0
        assert self.app.journal.orders_dropped == 0
        assert self.app.orders.parked_count == 0
        assert self.end["events_dropped"] == 0

    def states(self) -> Counter[str]:
        orders = (self.app.orders.get(order.client_id) for order in self.sent)
        return Counter(order.state.value for order in orders if order is not None)


def run(whole: Whole, trouble: Trouble, *, after_s: float = 0.5, orders_before: int = 2) -> Whole:
    asyncio.run(whole.run(trouble, after_s=after_s, orders_before=orders_before))
    return whole
