"""One run: a world from a seed, a safety phase in which anything breaks, a phase in which it heals.

In the first phase nothing that must never be may be seen. In the second the faults stop, and
within thirty seconds everything has to be in step again: books, orders, positions, cash.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections import deque
from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any

from fastbook.runtime import app as app_module
from fastbook.runtime import strategies as strategies_module
from fastbook.runtime.config import Config
from fastbook.runtime.demo import make_config
from fastbook.runtime.simulator import rest as rest_module
from fastbook.runtime.simulator import trade as trade_module
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.server import Simulator
from fastbook.types import Control, ControlKind, Side

from .checks import Checks
from .disk import Disk
from .faults import FaultPlan
from .loop import Universe
from .net import Net, Wire
from .options import Options
from .process import Process
from .strategy import Mood, Wanton
from .trace import Trace
from .truth import BookTruth

STARTED_S = 1_000.0
DAY_S = 1_700_006_400  # midnight, UTC
HEAL_S = 30.0
ASKED_AGAIN_S = {"subscription refused": 65.0, "bad public link": 35.0, "book garbled": 35.0}
"""Faults after which a topic is left alone for a while on purpose (see `subscriptions.py`)."""
SETTLE_S = 3.0  # of trading in a healthy world, before the strategies fall silent
LOOK_S = 0.25
BAN_S = 640.0  # REST is silent for ten minutes after one 403: the venue's own rule
RESTART_S = 1.0
TIDY_S = 30.0


class Simulation:
    """The world of one seed."""

    def __init__(self, options: Options, *, verbose: bool = False) -> None:
        self.options = options
        self.universe = Universe(STARTED_S)
        self.trace = Trace(lambda: self.universe.now_s, verbose=verbose)
        self.loop = self.universe.new_loop("exchange")
        seed = options.seed
        self._dice = Random(f"world-{seed}")
        self.epoch_ns = int((DAY_S + options.start_of_day_s - self.universe.now_s) * 1e9)
        ids = Random(f"ids-{seed}")
        token = SimpleNamespace(token_hex=lambda n: f"{ids.getrandbits(8 * n):0{2 * n}x}")
        rest_module.secrets = trade_module.secrets = token  # type: ignore[attr-defined,assignment]
        self.exchange = Simulator(
            SimulatorOptions(
                symbols=options.symbols,
                seed=seed,
                rate=options.frames_per_s,
                events_per_frame=4,
                start_balance=Decimal(100_000),
                ip_requests_max=0,
                connects_max=0,
            ),
            now_ns=lambda: self.epoch_ns + int(self.universe.now_s * 1e9),
            monotonic_s=lambda: self.universe.now_s,
        )
        self.net = Net(
            self.universe,
            self.loop,
            self.exchange,
            Random(f"net-{seed}"),
            self.trace,
            latency_ms=options.latency_ms,
        )
        self.outside = False
        self.truths: dict[str, BookTruth] = {}
        self.mids: dict[str, deque[tuple[float, float]]] = {}
        self._watch_exchange()
        self.checks = Checks(self)
        self.net.before_request = self.checks.on_request
        self.net.after_read = self._after_read
        self.disk = Disk(Random(f"disk-{seed}"))
        self.faults = FaultPlan(self, Random(f"faults-{seed}"))
        self.moods: list[Mood] = []
        self.config = self._make_config()
        self.process: Process | None = None
        self._processes = 0
        self._healing = self._over = False
        app_module.TIMER_S = options.timer_s

    # Made.

    def _make_config(self) -> Config:
        options = self.options
        where = {
            "rest": "http://127.0.0.1:1",
            "ws_public": "ws://127.0.0.1:1/v5/public",
            "ws_private": "ws://127.0.0.1:1/v5/private",
        }
        symbols = [i.symbol for i in self.exchange.market.instruments]
        config = make_config(where, symbols)
        assert config.risk is not None
        quiet_s = 6 * options.symbols / options.frames_per_s
        return dataclasses.replace(
            config,
            venue=dataclasses.replace(config.venue, recv_window_ms=options.recv_window_ms),
            execution=dataclasses.replace(config.execution, entry=options.entry),
            market_data=dataclasses.replace(
                config.market_data,
                depth=options.depth,
                stale_after_s=max(options.stale_after_ms / 1000, quiet_s),
            ),
            risk=dataclasses.replace(
                config.risk,
                position_pct_max=options.position_pct_max,
                exposure_pct_max=50.0,
                daily_loss_pct_max=options.daily_loss_pct,
                leverage_max=options.leverage_max,
                stale_after_ms=options.stale_after_ms,
                price_collar_bps=options.price_collar_bps,
                orders_per_day_max=options.orders_per_day_max,
                entries_per_minute_max=options.entries_per_minute_max,
                rejections_in_a_row_max=options.rejections_max,
            ),
        )

    def _strategies(self, config: Config) -> list[Any]:
        """One strategy a symbol, with a budget; new ones for every process."""
        options, made = self.options, []
        self.moods = []
        for number, symbol in enumerate(config.market_data.symbols):
            mood = Mood(
                eager=options.eager,
                resting=options.resting,
                silly=options.silly,
                notional=options.notional,
                raises=options.raises,
            )
            self.moods.append(mood)
            dice = Random(f"strategy-{options.seed}-{number}-{self._processes}")
            strategy = Wanton(f"s{number}", mood, dice, frozenset({symbol}))
            made.append((strategy, config.strategy.mean_reversion))
        return made

    def _watch_exchange(self) -> None:
        exchange = self.exchange
        for instrument in exchange.market.instruments:
            topic = exchange.hub.book(self.options.depth, instrument)
            truth = BookTruth(
                topic.publisher,
                instrument.price_scale,
                instrument.qty_scale,
                lambda: self.universe.now_s,
            )
            topic.publisher = truth  # type: ignore[assignment]
            self.truths[topic.name] = truth
            self.mids[instrument.symbol] = deque(maxlen=256)
        place = exchange.venue.place

        def watched(number: int, params: Any, now_ms: int, **more: Any) -> Any:
            if self._placing_outside:
                return place(number, params, now_ms, **more)
            self.checks.on_create(dict(params))
            order = place(number, params, now_ms, **more)
            self.checks.after_create(dict(params))
            return order

        self._placing_outside = False
        exchange.venue.place = watched  # type: ignore[method-assign]

    # Life.

    def start_process(self) -> None:
        self._processes += 1
        strategies_module._strategies = self._strategies
        self.process = Process(
            self._processes,
            self.net,
            self.config,
            self.checks,
            self.disk,
            epoch_ns=self.epoch_ns,
            wall_off_ns=self.options.clock_off_ms * 1_000_000,
            seed=f"process-{self.options.seed}-{self._processes}",
        )
        process = self.process
        process.on_death = lambda: self._died(process)
        process.task.add_done_callback(lambda _: self.loop.call_soon(self._ended, process))

    def on_built(self, process: Process) -> None:
        """The engine of a process has been put together."""

    def _ended(self, process: Process) -> None:
        """It ended by itself, or was told to: a supervisor starts it again."""
        if self._over:
            return
        self.trace.note("ended", str(process.number).encode())
        process.end()
        self.checks.process_ended(process)
        self.loop.call_later(RESTART_S, self._restart, process)

    def kill(self, restart_after_s: float, *, power_lost: bool = False) -> bool:
        process = self.process
        if process is None or not process.alive:
            return False
        process.kill(power_lost=power_lost)
        self.loop.call_later(restart_after_s, self._restart, process)
        return True

    def _died(self, process: Process) -> None:
        """Inside a call, at a kill point."""
        self.net.count(f"killed {process.dies_at}")
        self.kill(RESTART_S)

    def _restart(self, old: Process) -> None:
        if self.process is old and not self._over:
            self.start_process()

    def control(self, process: Process, control: Control) -> None:
        """An operator's word, spoken inside the process."""
        if process.alive and process.built:
            process.loop.call_soon(self._obey, process, control)

    def _obey(self, process: Process, control: Control) -> None:
        app, keeper = process.app, process.custody.keeper
        if not hasattr(app, "gateway") or not process.alive:
            return
        if control.kind is ControlKind.KILL:
            app.halt(control.reason)
        elif control.kind is ControlKind.RESUME:
            keeper.kill.clear()
            keeper.resume.make(control.reason, "")
            self.checks.resumed()
        else:
            app._command(control.kind, control.reason)

    def trade_outside(self, dice: Random) -> bool:
        """The account's owner trades by hand."""
        exchange = self.exchange
        instrument = dice.choice(exchange.market.instruments)
        account = exchange.venue.account(1)
        held = account.position(instrument).qty
        side = Side.SELL if held > 0 else Side.BUY
        qty = abs(held) or instrument.qty_min * 20
        text = format(instrument.qty_decimal(qty), "f")
        self.outside = True
        self._placing_outside = True
        try:
            exchange.faults.outside(instrument.symbol, side.wire, text)
        finally:
            self._placing_outside = False
        return True

    # Time.

    def _step_exchange(self) -> None:
        if self._over:
            return
        self.exchange.step()
        self.loop.call_later(self.options.tick_s, self._step_exchange)

    def _look(self) -> None:
        """What is looked at every quarter of a second."""
        if self._over:
            return
        self.checks.periodic()
        for instrument in self.exchange.market.instruments:
            book = self.exchange.market.books[instrument.index]
            bid, ask = book.best_bid(), book.best_ask()
            mid = (bid + ask) / 2 if bid and ask else 0.0
            self.mids[instrument.symbol].append((self.universe.now_s, mid))
        self.loop.call_later(LOOK_S, self._look)

    def _after_read(self, wire: Wire) -> None:
        pass

    @property
    def failed(self) -> bool:
        if self.universe.errors and not self.checks.violations:
            self.checks.fail("I24", self.universe.errors[0])
        return bool(self.checks.violations)

    def run(self) -> Report:
        """Both phases. Stops at the first violation."""
        log = logging.getLogger("fastbook")
        level, collecting = log.level, gc.isenabled()
        log.setLevel(logging.CRITICAL + 1)
        gc.disable()
        try:
            self._run()
        finally:
            digest, ended_s = self.trace.digest(), self.universe.now_s
            self._forget()
            log.setLevel(level)
            if collecting:
                gc.enable()
            strategies_module._strategies = STRATEGIES
            app_module.TIMER_S = TIMER_S
        return Report(
            seed=self.options.seed,
            violations=self.checks.violations,
            digest=digest,
            virtual_s=ended_s - STARTED_S,
            steps=self.universe.steps,
            checks=self.checks.done,
            hits=dict(self.net.hits),
            orders=self.exchange.counters["orders"],
            executions=len(self.exchange.venue.account(1).executions),
            processes=self._processes,
        )

    def _run(self) -> None:
        universe = self.universe
        self.loop.call_soon(self._step_exchange)
        self.loop.call_soon(self._look)
        self.loop.call_soon(self.start_process)
        self.loop.call_soon(self.faults.start)
        started_s = universe.now_s
        universe.run_until(started_s + self.options.minutes * 60, lambda: self.failed)
        if self.failed:
            return
        self._heal()

    def _heal(self) -> None:
        universe = self.universe
        self._healing = True
        self.faults.heal()
        self.trace.note("healed")
        universe.run_until(universe.now_s + SETTLE_S, lambda: self.failed)
        wait_s = max([HEAL_S, *(s for f, s in ASKED_AGAIN_S.items() if self.net.hits[f])])
        wait_s += BAN_S if self.faults.rest_banned else 0.0
        deadline_s = universe.now_s + wait_s
        wrong = ["nothing was looked at"]
        quiet: Process | None = None
        while not self.failed and universe.now_s < deadline_s:
            process = self.process
            if process is not None and process.alive and process.built and quiet is not process:
                quiet = process
                self._silence(process)
            universe.run_until(universe.now_s + LOOK_S, lambda: self.failed)
            process = self.process
            wrong = self.checks.unbalanced(process) if process is not None else ["no process"]
            if not wrong:
                self._end_of_run()
                return
        if not self.failed:
            for text in wrong:
                self.checks.fail("liveness", f"not within {wait_s:.0f} s: {text}")

    def _silence(self, process: Process) -> None:
        """No new wishes; what rests is withdrawn; whatever was halted is let go on."""
        for mood in self.moods:
            mood.eager = 0.0
        self.control(process, Control(ControlKind.RESUME, "healed"))
        self.control(process, Control(ControlKind.CANCEL_ALL, "healed"))

    def _end_of_run(self) -> None:
        process = self.process
        assert process is not None
        self.checks.at_end(process)

    def _forget(self) -> None:
        """Let what is left end without a word, so that the next run starts clean."""
        self._over = self.checks.closed = True
        if self.process is not None and not self.process.killed:
            self.process.kill()
        for loop in self.universe.loops:
            loop.tidy()
        self.universe.run_until(self.universe.now_s + TIDY_S)
        self.universe.close()
        self.disk.remove()


@dataclasses.dataclass(slots=True)
class Report:
    """What one run came to."""

    seed: int
    violations: list[str]
    digest: str
    virtual_s: float
    steps: int
    checks: int
    hits: dict[str, int]
    orders: int
    executions: int
    processes: int


STRATEGIES = strategies_module._strategies
TIMER_S = app_module.TIMER_S
