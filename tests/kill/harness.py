"""Kill engines, start them again, and compare what they wrote down with what the exchange has."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Self

import orjson
from tests.integration.command import environment

from fastbook.bybit import requests
from fastbook.bybit.instruments import parse_instruments
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.config import Credentials, load
from fastbook.runtime.secret import Secret
from fastbook.runtime.state import StoredOrder, place_of, read_open_orders
from fastbook.runtime.system_clock import SystemClock
from fastbook.types import Category, OrderType, PlaceOrder, Side, TimeInForce

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_S = 90.0
SYMBOLS = 12
Json = dict[str, Any]  # Any: JSON

CONFIG = """
[venue]
rest_url = "{rest}"
ws_public_url = "{ws_public}"
ws_private_url = "{ws_private}"
ws_trade_url = "{ws_trade}"
recv_window_ms = 1000

[state]
dir = "{state}"

[market_data]
symbols = {symbols}
depth = 50

[risk]
position_pct_max = 1000.0
exposure_pct_max = 5000.0
daily_loss_pct_max = 90.0
leverage_max = 50.0
orders_per_second_max = 200
entries_per_minute_max = 100000
orders_open_max = 1000
"""


class Exchange:
    """`fastbook simulate` in a process of its own, and its account as REST shows it."""

    def __init__(self, *, symbols: int = SYMBOLS, rate: int = 1000, tier: str = "pro3") -> None:
        self._args = ["--symbols", str(symbols), "--rate", str(rate), "--ip-requests", "0"]
        self._args += ["--tier", tier]

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fastbook.runtime", "simulate", *self._args),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
        )
        assert self._process.stdout is not None
        self.where: Json = orjson.loads(await self._process.stdout.readline())
        account = self.where["accounts"][0]
        self.keys = {
            "FASTBOOK_API_KEY": account["api_key"],
            "FASTBOOK_API_SECRET": account["api_secret"],
        }
        credentials = Credentials(Secret(account["api_key"]), Secret(account["api_secret"]))
        self.rest = RestClient(self.where["rest"], credentials, SystemClock())
        rows = await self.rest.instruments(Category.LINEAR)
        self.symbols = [row["symbol"] for row in rows]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.rest.close()
        self._process.terminate()
        await self._process.wait()

    def freeze(self) -> None:
        """It answers nothing any more, until `thaw`; its connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def rest_orders(self, count: int, tag: str = "resting-P1_abcdef") -> list[StoredOrder]:
        """Place `count` bids far below the market; as an engine would have noted them."""
        units = parse_instruments(
            await self.rest.instruments(Category.LINEAR), Category.LINEAR, self.symbols
        )
        noted = []
        bids = {}
        for unit in units:
            book = await self.rest.orderbook(Category.LINEAR, unit.symbol)
            px = int(Decimal(book["b"][0][0]).scaleb(unit.price_scale)) * 9 // 10
            bids[unit.symbol] = px // unit.tick * unit.tick
        for start in range(0, count, 10):
            unit = units[start // 10 % len(units)]
            px = bids[unit.symbol]
            scale = 10 ** (unit.price_scale + unit.qty_scale)
            qty = max(unit.qty_min, -(-6 * scale // px // unit.lot) * unit.lot)
            rows = []
            for n in range(start, min(start + 10, count)):
                order = PlaceOrder(
                    client_id=f"{tag}-{n}",
                    instrument=unit.index,
                    side=Side.BUY,
                    px=px,
                    qty=qty,
                    order_type=OrderType.LIMIT,
                    tif=TimeInForce.GTC,
                    reduce_only=False,
                )
                rows.append(requests.create_row(unit, order))
                noted.append(
                    StoredOrder(
                        client_id=order.client_id,
                        strategy=tag,
                        symbol=unit.symbol,
                        side=1,
                        px=px,
                        qty=qty,
                        price_scale=unit.price_scale,
                        qty_scale=unit.qty_scale,
                        order_type="Limit",
                        tif="GTC",
                        reduce_only=False,
                        sent_ms=int(time.time() * 1000),
                    )
                )
            body = requests.batch_body(Category.LINEAR, rows)
            await self.rest.order("order.create-batch", body, units=len(rows))
        assert len(await self.open_ids()) == count
        return noted

    async def open_ids(self) -> list[str]:
        """Of orders; the stops that a position has at the venue are no orders of anybody's."""
        rows = await self.rest.cancellable_orders(Category.LINEAR, ["USDT"])
        return [row["orderLinkId"] for row in rows]

    async def all_ids(self) -> list[str]:
        page = await self.rest.order_history(Category.LINEAR)
        closed = [row["orderLinkId"] for row in page.rows if row["orderLinkId"]]
        return [*await self.open_ids(), *closed]

    async def positions(self) -> dict[str, Decimal]:
        rows = await self.rest.positions(Category.LINEAR, ["USDT"])
        sign = {"Buy": 1, "Sell": -1}
        held = {row["symbol"]: sign.get(row["side"], 0) * Decimal(row["size"]) for row in rows}
        return {symbol: qty for symbol, qty in held.items() if qty}


def config_text(exchange: Exchange, folder: Path) -> str:
    return CONFIG.format(
        **exchange.where,
        state=folder / "state",
        symbols=orjson.dumps(exchange.symbols).decode(),
    )


class Engines:
    """Starts engines, one at a time, in forks of one process that has everything loaded."""

    def __init__(
        self, exchange: Exchange, folder: Path, more: str = "", *, address_limit: int = 0
    ) -> None:
        """`address_limit`: REST calls in 5 s that the engines allow themselves; 0: as ever."""
        self.exchange = exchange
        self.address_limit = address_limit
        self.config = folder / "c.toml"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.config.write_text(config_text(exchange, folder) + more)
        self.place = place_of(load(self.config, {}))
        self.program = ("-m", "tests.kill.engine_process")
        self.pid = 0
        self.kills = 0
        self.active_ms: list[float] = []
        self.restored: list[int] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self.program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(self.exchange.keys | {"FASTBOOK__STATE__DIR": str(self.place.parent)}),
            cwd=ROOT,
        )
        await self.until("ready")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._process.returncode is None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            self._process.kill()
            await self._process.wait()

    async def start(self, point: str = "") -> None:
        wanted: Json = {"config": str(self.config), "ledger": str(self.ledger), "point": point}
        wanted |= {"address_limit": self.address_limit}
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(wanted) + b"\n")
        self.pid = (await self.until("forked"))["pid"]

    async def said(self) -> Json:
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = await self._process.stdout.readline()
        said: Json = orjson.loads(line)
        return said

    async def until(self, *what: str) -> Json:
        """The next line that says one of `what`."""
        while True:
            said = await self.said()
            if said["said"] == "active":
                self.active_ms.append(said["ms"])
                self.restored.append(said["restored"])
            if said["said"] == "exited":
                self.pid = 0
            if said["said"] in what:
                return said

    async def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        said = await self.until("exited")
        assert said["code"] == -signal.SIGKILL, said

    # --- what must hold ---

    async def check_after_kill(self) -> None:
        """Everything that is open at the exchange was written down."""
        self.kills += 1
        kept = {order.client_id for order in read_open_orders(self.place)}
        lost = set(await self.exchange.open_ids()) - kept
        assert not lost, f"open at the exchange, and in no note: {sorted(lost)}"

    async def check_end_of_running(self) -> Json:
        """SIGTERM, and what it said at its end."""
        os.kill(self.pid, signal.SIGTERM)
        ended = await self.until("ended", "exited")
        assert ended["said"] == "ended", ended
        await self.until("exited")
        return ended

    async def check_end(self) -> Json:
        """A clean run and its end: nothing open, nothing double, positions agree."""
        await self.start()
        assert (await self.until("active", "exited"))["said"] == "active"
        await asyncio.sleep(0.5)
        ended = await self.check_end_of_running()
        return await self.check_books(ended)

    async def check_books(self, ended: Json) -> Json:
        """Notes, exchange and engine at the end of everything: the same, and nothing open."""
        assert ended["working"] == 0, ended
        assert await self.exchange.open_ids() == []
        assert read_open_orders(self.place) == []
        ids = await self.exchange.all_ids()
        assert len(ids) == len(set(ids)), "an id was used twice"
        written = self.ledger.read_text().split()
        assert len(written) == len(set(written)), "an id was given out twice"
        assert all(client_id.startswith("restless-") for client_id in written)
        unknown = set(ids) - set(written)
        assert not unknown, f"sent and never written down: {sorted(unknown)}"
        here = {symbol: Decimal(qty) for symbol, qty in ended["positions"].items()}
        assert here == await self.exchange.positions()
        return ended | {"ids": len(written), "at_exchange": len(ids)}


POINTS = (
    *("epoch:before:1", "epoch:after:1", "intent:before:1", "intent:after:1"),
    *("intent:before:9", "intent:after:9", "facts:before:3", "facts:after:3"),
    *("upkeep:before:5", "upkeep:after:5", "send:before:4", "send:after:4"),
    *("ack:before:2", "ack:after:2", "fill:before:2", "fill:after:2"),
    *("reconciled:before:1", "reconciled:after:1"),
    *("cancel_all:before:1", "cancel_all:after:1", "shutdown:before:1", "shutdown:after:1"),
)
AT_THE_END = ("cancel_all", "shutdown")


async def kill_at_random(engines: Engines, rng: Random) -> None:
    """At any moment of the start, and some while after it."""
    await engines.start()
    if rng.random() < 0.25:
        await asyncio.sleep(rng.uniform(0.0, 0.5))
    else:
        assert (await engines.until("active", "exited"))["said"] == "active"
        await asyncio.sleep(rng.uniform(0.0, 0.6))
    await engines.kill()
    await engines.check_after_kill()


async def kill_at(engines: Engines, point: str) -> None:
    await engines.start(point)
    if point.partition(":")[0] in AT_THE_END:
        said = await engines.until("active", "exited")
        assert said["said"] == "active", said
        await asyncio.sleep(0.2)
        os.kill(engines.pid, signal.SIGTERM)
    try:
        said = await engines.until("exited")
    except TimeoutError:
        raise AssertionError(f"{point} was not reached in {DEADLINE_S:g} s") from None
    assert said["code"] == -signal.SIGKILL, f"{point} was not reached: {said}"
    await engines.check_after_kill()


async def kill_many(folder: Path, count: int, *, seed: int = 7, seconds: float = 1e9) -> Json:
    """Every named point, then random moments until `count` or the time is over; then the end."""
    started = time.monotonic()
    rng = Random(seed)
    async with Exchange() as exchange, Engines(exchange, folder) as engines:
        for point in POINTS * max(1, count // (3 * len(POINTS))):
            await kill_at(engines, point)
        while engines.kills < count and time.monotonic() - started < seconds:
            await kill_at_random(engines, rng)
        ended = await engines.check_end()
        active = sorted(engines.active_ms)
        return ended | {
            "kills": engines.kills,
            "restored": sum(engines.restored),
            "active_ms_p50": active[len(active) // 2],
            "active_ms_p99": active[int(len(active) * 0.99)],
            "seconds": time.monotonic() - started,
        }


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        print(asyncio.run(kill_many(Path(name), int(sys.argv[1]))))
