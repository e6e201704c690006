"""Engines in processes that are to be killed: restless strategy, named points to die at.

    python -m tests.kill.engine_process

For every line of JSON on stdin (`config`, `ledger`, `point`) it forks one engine; what that says
comes as lines of JSON on stdout, and how it ended. Production code runs; the points, as in
"intent:before:3", are wrapped around it from here. Every order id that was recorded is also
appended to the ledger, which is the test's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import orjson

from fastbook.bybit.limits import RateLimits
from fastbook.engine import Engine
from fastbook.execution import Executor
from fastbook.execution.executor import ExecutorParams
from fastbook.runtime import app as app_module
from fastbook.runtime import assembly, run
from fastbook.runtime.app import App
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.config import Config, load
from fastbook.runtime.custody import Custody
from fastbook.runtime.custody_open import open_custody
from fastbook.runtime.loop import run_until_stopped
from fastbook.runtime.output import to_json
from fastbook.runtime.run_options import RunOptions
from fastbook.runtime.state import Store
from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.types import (
    Execution,
    OrderAccepted,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
)

SECONDS_MAX = 900.0
"""An engine whose test has gone ends by itself."""


class Restless(Strategy):
    """Orders of every kind, without an opinion."""

    name = "restless"

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[OrderIntent]:
        instrument = position.instrument
        if position.working or self._rng.random() > 0.2:
            return ()
        bid, ask = touch(book, instrument)
        if not bid or not ask:
            return ()
        side = self._rng.choice((Side.BUY, Side.SELL))
        held = position.qty * side
        resting = self._rng.random() < 0.3
        away = (bid // 500) // instrument.tick * instrument.tick
        if resting:
            px = bid - away if side is Side.BUY else ask + away
        else:
            px = ask if side is Side.BUY else bid
        unit = 10 ** (instrument.price_scale + instrument.qty_scale)
        least = max(instrument.qty_min, -(-20 * unit // bid))  # worth 20 or more
        qty = -(-least // instrument.lot) * instrument.lot
        return (
            OrderIntent(
                instrument=instrument.index,
                side=side,
                px=px,
                qty=qty * self._rng.randrange(1, 4),
                order_type=OrderType.LIMIT,
                tif=TimeInForce.GTC if resting else TimeInForce.IOC,
                reduce_only=held < 0 and self._rng.random() < 0.8,
                strategy=self.name,
                reason="restless",
                book_u=book.u,
                book_ts_ms=book.ts_ms,
            ),
        )


# --- where to die ---


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Point:
    """Dies before or after the Nth call of what it is wrapped around."""

    def __init__(self, text: str) -> None:
        self.name, self.when, number = text.split(":")
        self.number = int(number)
        self._calls = 0

    def _due(self, when: str) -> bool:
        return when == self.when and self._calls == self.number

    def around(
        self, function: Callable[..., Any], wanted: Callable[..., bool]
    ) -> Any:  # Any: wraps
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:  # Any: whatever it wraps
            if not wanted(*args):
                return function(*args, **kwargs)
            self._calls += 1
            if self._due("before"):
                die()
            answer = function(*args, **kwargs)
            if self._due("after"):
                die()
            return answer

        @functools.wraps(function)
        async def wrapped_async(*args: Any, **kwargs: Any) -> Any:  # Any: whatever it wraps
            self._calls += 1
            if self._due("before"):
                die()
            answer = await function(*args, **kwargs)
            if self._due("after"):
                die()
            return answer

        return wrapped_async if asyncio.iscoroutinefunction(function) else wrapped


def always(*args: object) -> bool:
    return True


def event_is(kind: type) -> Callable[..., bool]:
    return lambda engine, event, *rest: isinstance(event, kind)


PLACES: dict[str, tuple[Any, str, Callable[..., bool]]] = {  # Any: classes of production code
    "epoch": (Store, "begin_epoch", always),
    "intent": (Store, "intents", always),
    "facts": (Store, "facts", always),
    "upkeep": (Store, "maintain", always),
    "send": (App, "_send", lambda app, commands: bool(commands)),
    "ack": (Engine, "on_event", event_is(OrderAccepted)),
    "fill": (Engine, "on_event", event_is(Execution)),
    "reconciled": (Engine, "reconciled", always),
    "cancel_all": (RestClient, "cancel_all", always),
    "shutdown": (Custody, "close", always),
}


def arm(point: Point) -> None:
    owner, name, wanted = PLACES[point.name]
    setattr(owner, name, point.around(getattr(owner, name), wanted))


def keep_ledger(path: Path) -> None:
    """Note every id that the store has taken, as a line of one write."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    intents = Store.intents

    def noting(store: Store, orders: Any, documents: Any = None) -> None:  # Any: passed through
        intents(store, orders, documents)
        os.write(fd, b"".join(o.client_id.encode() + b"\n" for o in orders))

    setattr(Store, "intents", noting)  # noqa: B010 - for the type checker it stays what it is


# --- the run ---


class Said:
    """Lines for the test; the clock starts with the process."""

    started_ns = 0

    @classmethod
    def say(cls, what: str, **more: object) -> None:
        ms = (time.monotonic_ns() - cls.started_ns) / 1e6
        os.write(1, to_json({"said": what, "ms": ms, **more}) + b"\n")


async def until(reached: Callable[[], bool], task: asyncio.Task[Any]) -> bool:
    """Look every 2 ms; False when `task` ended first. Any: its result."""
    while not reached() and not task.done():  # noqa: ASYNC110 - production code has no event for tests
        await asyncio.sleep(0.002)
    return not task.done()


async def trade(config: Config, stop: asyncio.Event) -> int:
    async with contextlib.AsyncExitStack() as stack:
        endpoints, credentials = await run.find_exchange(config, os.environ, None)
        custody = open_custody(
            config, stack.enter_context(contextlib.ExitStack()), at_venue=credentials is not None
        )
        options = RunOptions(title="killed", flatten=False, seconds=SECONDS_MAX)
        app = App(config, endpoints, credentials, options, custody=custody)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, app.halt, "SIGUSR1")
        running = asyncio.create_task(app.run(stop))
        if await until(lambda: app.started_ns > 0, running) and await until(
            lambda: app.engine.state is TradingState.ACTIVE, running
        ):
            trips = {name: r.total for name, r in app.portfolio.records.items()}
            Said.say("active", restored=len(custody.keeper.restored), trips=trips)
        summary = await running
        held = {i.symbol: i.qty_decimal(app.portfolio.qty(i.index)) for i in app.instruments}
        Said.say(
            "ended",
            working=app.orders.working_count,
            positions={symbol: str(qty) for symbol, qty in held.items() if qty},
            strays=custody.keeper.strays,
            orders=summary["orders"],
            fills=summary["fills"],
            unknown=app.engine.stats.unknown,
            never_accepted=app.engine.stats.never_accepted,
            rejected=Counter(
                order.reason[:60]
                for order in app.orders._orders.values()
                if order.state is OrderState.REJECTED
            ).most_common(3),
        )
    return 0


def engine(config: str, ledger: str, point: str, address_limit: int = 0) -> int:
    keep_ledger(Path(ledger))
    if point:
        arm(Point(point))
    if address_limit:  # of an exchange that has none
        limited = functools.partial(RateLimits, address_limit=address_limit)
        setattr(app_module, "RateLimits", limited)  # noqa: B010
    seed = int.from_bytes(os.urandom(4), "big")
    setattr(assembly, "build_with_budgets", lambda config: ([Restless(seed)], {}))  # noqa: B010
    params = ExecutorParams(order_ttl_ms=1_000, commands_per_second_max=200)
    setattr(assembly, "Executor", functools.partial(Executor, params=params))  # noqa: B010
    return run_until_stopped(lambda stop: trade(load(config), stop), hard=True)


def main() -> None:
    os.write(1, b'{"said": "ready"}\n')
    for line in sys.stdin:
        wanted = orjson.loads(line)
        Said.started_ns = time.monotonic_ns()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            try:
                code = engine(**wanted)
            except Exception:  # noqa: BLE001 - the end of a process: it says why, and is one
                traceback.print_exc()
                code = 1
            os._exit(code)
        Said.say("forked", pid=pid)
        _, status = os.waitpid(pid, 0)
        Said.say("exited", code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
