"""One engine process: the production application in a world of its own, that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from fastbook.runtime import app as app_module
from fastbook.runtime.app import App
from fastbook.runtime.bybit.listener_py import PythonListener
from fastbook.runtime.bybit.transport import HttpExchange
from fastbook.runtime.config import Config, Credentials, Endpoints
from fastbook.runtime.custody_open import open_custody
from fastbook.runtime.run_options import RunOptions
from fastbook.runtime.secret import Secret
from fastbook.runtime.world import World

from .net import MemoryHttp, Net

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbook.types import Command, Instrument, OrderEvent

    from .checks import Checks
    from .disk import Disk

# Collections over everything that was imported, twice a run, cost more than a virtual minute.
app_module.collector_tuned = contextlib.nullcontext  # type: ignore[attr-defined,assignment]


class ProcessClock:
    """The clocks of one machine: the wall clock can be set, the monotonic one cannot."""

    def __init__(self, process: Process, epoch_ns: int) -> None:
        self._universe = process.net.universe
        self._epoch_ns = epoch_ns
        self.wall_off_ns = 0

    def now_ns(self) -> int:
        return self._epoch_ns + int(self._universe.now_s * 1e9) + self.wall_off_ns

    def monotonic_ns(self) -> int:
        return int(self._universe.now_s * 1e9)


class ProcessStamps(ProcessClock):
    """The wall clock as it was at start, carried on by the monotonic one."""


class WatchedApp(App):
    """The production application; `checks` sees what goes in and out."""

    def __init__(self, process: Process, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._process = process
        self._checks = process.checks

    def build(self, instruments: list[Instrument]) -> None:
        super().build(instruments)
        self._checks.on_built(self._process, self)

    def _on_books(self, touched: list[int], recv_ns: int) -> None:
        super()._on_books(touched, recv_ns)
        self._checks.after_books(self._process, touched)

    def _on_events(self, events: Sequence[OrderEvent], recv_ns: int) -> None:
        self._checks.before_events(self._process, events)
        super()._on_events(events, recv_ns)
        self._checks.after_events(self._process)

    def _send(self, commands: Sequence[Command]) -> None:
        if commands:
            self._checks.before_send(self._process, commands)
        super()._send(commands)


class Killed(BaseException):
    """The process died inside a call: nothing of it may run on."""


class Process:
    """Started, killed, started again: each time a new `Process`, with the same disk."""

    def __init__(
        self,
        number: int,
        net: Net,
        config: Config,
        checks: Checks,
        disk: Disk,
        *,
        epoch_ns: int,
        wall_off_ns: int,
        seed: str,
    ) -> None:
        self.number = number
        self.net = net
        self.checks = checks
        self.disk = disk
        self.dies_at = ""
        """The kill point at which it is to die: "recorded" = written down, and not sent."""
        self._held = contextlib.ExitStack()
        self.loop = net.universe.new_loop(f"engine-{number}")
        self.clock = ProcessClock(self, epoch_ns)
        self.clock.wall_off_ns = wall_off_ns
        stamps = ProcessStamps(self, epoch_ns)
        stamps.wall_off_ns = wall_off_ns
        self.dice = Random(seed)
        self.started_s = net.now_s
        self.world = World(
            clock=self.clock,
            stamps=stamps,
            rng=Random(seed + "-rng"),
            token=lambda: f"{self.dice.getrandbits(40):010x}",
            connect_ws=self._connect_ws,
            make_http=self._make_http,
            make_listener=partial(PythonListener, now_ns=stamps.now_ns),
        )
        key = net.exchange.keys[0]
        config = disk.mounted(config)
        self.custody = open_custody(config, self._held, at_venue=True, world=self.world)
        self.app = WatchedApp(
            self,
            config,
            Endpoints(
                rest="http://127.0.0.1:1",
                ws_public="ws://127.0.0.1:1/v5/public",
                ws_private="ws://127.0.0.1:1/v5/private",
                ws_trade="ws://127.0.0.1:1/v5/trade",
            ),
            Credentials(Secret(key.api_key), Secret(key.api_secret)),
            RunOptions(title="simulation", flatten=False),
            world=self.world,
            custody=self.custody,
        )
        self._arm_kill_points()
        self.built = False
        self.killed = False
        self.stop = asyncio.Event()
        self.task = self.loop.create_task(self.app.run(self.stop), name=f"engine-{number}")

    @property
    def ended(self) -> bool:
        return self.task.done()

    @property
    def alive(self) -> bool:
        return not self.loop.dead and not self.task.done()

    async def _connect_ws(self, make_listener: Any, url: str, **_: Any) -> Any:
        return await self.net.connect_ws(self, make_listener, url)

    def _make_http(self, base_url: str, *, ca_file: str, timeout_s: float) -> HttpExchange:
        return MemoryHttp(self.net, self, timeout_s)

    def _arm_kill_points(self) -> None:
        keeper = self.custody.keeper
        record = keeper.record

        def record_and_die(commands: Any) -> None:
            if self.dies_at == "before recording":
                self.on_death()
                raise Killed
            record(commands)
            if self.dies_at == "recorded":
                self.on_death()
                raise Killed

        keeper.record = record_and_die  # type: ignore[method-assign]

    on_death: Callable[[], None]

    def end(self) -> None:
        """It has ended by itself: its files are closed as a process closes them."""
        self._held.close()

    def kill(self, *, power_lost: bool = False) -> None:
        """Signal 9: memory is gone, the kernel resets the connections and keeps what was written.

        With `power_lost` the disk loses the end of what was not forced to it.
        """
        self.killed = True
        self.disk.image(power_lost=power_lost)
        self._held.close()  # to the old files, which nobody sees again; the lock is given back
        self.loop.kill()
        for wire in list(self.net.wires):
            if wire.process is self:
                wire.reset(up_lost=False)
