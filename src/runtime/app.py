"""The composition root of a run: builds everything, owns the tasks and the order of the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fastbook import BookState
from fastbook.bybit.instruments import parse_instruments
from fastbook.bybit.limits import RateLimits
from fastbook.bybit.trades import parse_trades
from fastbook.clock import Clock
from fastbook.engine import PRIVATE_LINK, REST_LINK
from fastbook.errors import ConfigError, CredentialsError, FastbookError, WireError
from fastbook.replay.paper import PaperVenue
from fastbook.risk import Health
from fastbook.types import (
    CancelAll,
    Category,
    Command,
    Control,
    ControlKind,
    Execution,
    Instrument,
    OrderEvent,
    OrderUpdate,
    PlaceOrder,
    TradingState,
)

from .assembly import build_engine, build_market, build_strategies
from .bybit.disconnect_cancel import disconnect_cancel
from .bybit.private import PrivateStream
from .bybit.public import PublicFeed
from .bybit.rest import RestClient
from .bybit.trade_stream import TradeStream
from .config import Config, Credentials, Endpoints
from .custody import Custody
from .garbage import collector_tuned
from .history_bars import past_bars
from .latency import LatencyStages
from .memory import Memory
from .metrics_server import metrics_of
from .paper import PaperGateway
from .recording.tap import FrontDoor, RecordedClock, Tap, start_record
from .report import Json, Report
from .run_options import Gateway, RunOptions, presentable
from .sharding import Shares, shares_of
from .status import EventLines
from .venue_links import VenueLinks
from .world import World

log = logging.getLogger("fastbook.app")

TRADE_LINK = "trade"
TIMER_S = 0.05
STATUS_S = 0.25
RECONCILE_RETRY_S = 1.0
VENUE_CLOCK_S = 180.0
WIND_DOWN_S_EXTRA = 9.0
FATAL_WIND_DOWN_S_MAX = 2.0
SYNC_S_MAX = 2.0


def check_known(symbols: Sequence[str], known: set[object]) -> None:
    """ConfigError for a symbol that the exchange does not have."""
    unknown = [s for s in symbols if s not in known]
    if unknown:
        raise ConfigError(f"market_data.symbols: the exchange has no {', '.join(unknown[:5])}")


class App:
    """One engine against one venue, from connecting to the last order's end.

    Without credentials nothing is sent to the venue: orders fill on paper, in this process,
    against the books that its public stream keeps.
    """

    def __init__(
        self,
        config: Config,
        endpoints: Endpoints,
        credentials: Credentials | None,
        options: RunOptions,
        *,
        world: World | None = None,
        custody: Custody | None = None,
    ) -> None:
        if config.risk is None:
            raise ConfigError("no [risk] section: without limits there is no trading")
        build_strategies(config)  # what is wrong with them is told before anything is opened
        self.config = config
        self.endpoints = endpoints
        self.options = options
        self._world = world or World()
        self.clock = self._world.clock
        # Once measured, the venue's: this machine's may be an hour off, or jump, and then an
        # order would be proved absent an hour late, and the day begin at the wrong time.
        self._venue_clock: Clock = self.clock
        self._stamps = self._world.stamps
        self._now = self._stamps.now_ns
        self.category = Category(config.venue.category)
        self.latency = LatencyStages()
        self.unsynced_orders = 0
        """Orders that left while their book was not SYNCED: must stay 0."""
        self.fatal: BaseException | None = None
        self._credentials = credentials
        self._custody = custody
        self._rng = self._world.rng
        self._failed = asyncio.Event()
        self._reconcile_wanted = asyncio.Event()
        self._clock_wanted = asyncio.Event()
        self.started_ns = self._started_venue_ms = 0
        self._ending = False
        self._audit: Json | None = None
        self.report = Report(self)
        self.private: PrivateStream | None = None
        self.trade: TradeStream | None = None
        self._rest: RestClient | None = None
        self._rest_open = True
        self._private_gaps = 0
        self.disconnect_topic = ""
        """While we listen to it the venue leaves our orders alone; "" = it does so anyway."""
        self._paper: PaperGateway | None = None
        self.memory: Memory | None = None
        self.shares: Shares | None = None
        self.metrics_url = ""

    # --- life ---------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> Json:
        """Trade until `stop`, the end of `seconds`, or a fatal error; return the summary."""
        async with RestClient(
            self.endpoints.rest,
            self._credentials,
            self.clock,
            recv_window_ms=self.config.venue.recv_window_ms,
            ca_file=self.config.venue.ca_file,
            rng=self._rng,
            make_http=self._world.make_http,
            limits=RateLimits(self.category),
        ) as rest:
            await rest.sync_time()
            self._venue_clock = rest.venue_time
            rows = await rest.instruments(self.category)
            symbols = self.config.market_data.symbols
            check_known(symbols, {row.get("symbol") for row in rows})
            self.build(parse_instruments(rows, self.category, symbols))
            if self._custody is not None:
                keeper = self._custody.keeper
                rest.pacer.killed = lambda: keeper.killed
            await self._arm_disconnect_cancel(rest)
            self._open_account(rest)
            self.feed = self._make_feed()
            async with contextlib.AsyncExitStack() as stack:
                stack.enter_context(collector_tuned())
                await self._open_memory(stack)
                self.shares = await stack.enter_async_context(shares_of(self))
                if self.options.serve:
                    self.metrics_url = await stack.enter_async_context(metrics_of(self))
                return await self._trade(rest, stop)

    def build(self, instruments: list[Instrument]) -> None:
        """The synchronous part: decoder, books, signals, engine."""
        self.instruments = instruments
        self._by_symbol = {i.symbol: i for i in instruments}
        market = build_market(self.config, instruments)
        self.topics, self.decoder = market.topics, market.decoder
        self.books, self.signals = market.books, market.signals
        recorder, custody = self.options.recorder, self._custody
        token = self._world.token() if custody is None else custody.keeper.nonce
        self.engine = build_engine(
            self.config,
            instruments,
            self.books,
            self.signals,
            (
                self._venue_clock
                if recorder is None
                else RecordedClock(self._venue_clock, recorder.log)
            ),
            orders_epoch=token,
            sizing=self.options.sizing,
        )
        self._front: FrontDoor = self.engine
        self._tap: Tap | None = None
        if recorder is not None:
            start = start_record(self.config, instruments, token, self.options.sizing)
            self._front = self._tap = Tap(
                recorder.log, self.engine, self.decoder, self.books, self.signals, start
            )
        self.orders = self.engine.orders
        self.portfolio = self.engine.portfolio
        self.journal = self.engine.journal
        if custody is not None:
            custody.start(self.engine, instruments, self._command, self._take_in)
        self.events = EventLines(instruments)
        # Trades come as often as books: nobody reads them unless a strategy listens.
        self._trades_wanted = self.engine.listens_to_trades

    async def _open_memory(self, stack: contextlib.AsyncExitStack) -> None:
        if self.options.stores is None or not Memory.wanted(self.config):
            return
        self.memory = await stack.enter_async_context(
            Memory(
                self.config,
                self.options.stores,
                self.instruments,
                self.books,
                self.signals,
                self.engine,
                self.latency,
                run=self._world.token(),
                wall_ns=self.clock.now_ns,
            )
        )
        self._trades_wanted = self._trades_wanted or self.memory.wants_trades

    async def _arm_disconnect_cancel(self, rest: RestClient) -> None:
        execution = self.config.execution
        if execution.mode == "live" and execution.disconnect_cancel_s and self._credentials:
            self.disconnect_topic = await disconnect_cancel(
                rest, self.category, execution.disconnect_cancel_s
            )

    def _open_account(self, rest: RestClient) -> None:
        self.gateway: Gateway
        if self._credentials is None:
            balance = Decimal(self.config.execution.paper_balance)
            venue = PaperVenue(self.instruments, self.books, balance=balance)
            self.gateway = self._paper = PaperGateway(venue, self._on_events, self._stamps)
        else:
            links, credentials = self._links(), self._credentials
            self._rest = rest
            self.trade = links.trade(rest, credentials, self._on_trade_link)
            self.gateway = links.gateway(rest, self.trade, self._on_events, self.fail)
            self.private = links.private(
                rest,
                credentials,
                self._on_events,
                self._on_private_link,
                topic=self.disconnect_topic,
            )

    def _links(self) -> VenueLinks:
        return VenueLinks(
            config=self.config,
            endpoints=self.endpoints,
            world=self._world,
            instruments=self.instruments,
        )

    def _make_feed(self) -> PublicFeed:
        recorder = self.options.recorder
        return self._links().feed(
            self.topics,
            self.decoder,
            self._on_books,
            self._on_message,
            on_link=self._on_public_link,
            tape=None if recorder is None else recorder.tape,
            latency=self.latency.book,
        )

    async def _trade(self, rest: RestClient, stop: asyncio.Event) -> Json:
        self.started_ns = self.clock.monotonic_ns()
        self._started_venue_ms = self._agreed_venue_ms = rest.venue_time.now_ms()
        if self._custody is not None:
            now_ns = self._now()
            if self._tap is not None:
                self._tap.restored(self._custody.keeper.restored, now_ns)
            self._custody.open(now_ns)
            now_ms = self._started_venue_ms
            self._agreed_venue_ms = self._custody.keeper.since_ms(now_ms) or now_ms
        if self.private is not None:
            self._on_private_link(False)  # not up yet: nothing is known for sure
        await self._warm_up(rest)
        tasks = [
            asyncio.create_task(self.feed.run(), name="public feed"),
            asyncio.create_task(self._keep_reconciled(rest), name="reconciliation"),
            asyncio.create_task(self._keep_drop_copy(rest), name="drop copy"),
            asyncio.create_task(self._keep_time(rest), name="timer"),
            asyncio.create_task(self._keep_venue_clock(rest), name="venue clock"),
        ]
        if self.private is not None:
            tasks.append(asyncio.create_task(self.private.run(), name="private stream"))
            if self.trade is not None:
                tasks.append(asyncio.create_task(self.trade.run(), name="trade stream"))
        else:
            self._reconcile_wanted.set()
        for task in tasks:
            task.add_done_callback(self._on_task_done)
        try:
            await self._until_stopped(stop)
            self._command(ControlKind.PAUSE)
            if not self.options.flatten:
                self._command(ControlKind.CANCEL_ALL)  # at once; the rest of the end follows
            await self._until_synced()
            self.report.take_figures()
            await self._wind_down()
            if self.options.audit is not None and self.fatal is None:
                self._audit = await self.options.audit(self)
        finally:
            self._ending = True
            if self.private is not None:
                self.private.stop()
            self.feed.stop()
            await self.gateway.close()
            if self.trade is not None:
                self.trade.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._drain_journal()
            if self._tap is not None:
                self._tap.end()
            if self._custody is not None:
                self._custody.close(clean=not self.orders.working_count)
        if self.fatal is not None:
            raise presentable(self.fatal)
        return self.report.summary(self._audit)

    async def _until_synced(self) -> None:
        """A book may be on its way back just now: give it a moment."""
        for _ in range(int(SYNC_S_MAX / TIMER_S)):
            if self._failed.is_set() or all(b.state is BookState.SYNCED for b in self.books):
                return
            await asyncio.sleep(TIMER_S)

    async def _until_stopped(self, stop: asyncio.Event) -> None:
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(self._failed.wait())]
        try:
            await asyncio.wait(
                waits, timeout=self.options.seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()

    async def _wind_down(self) -> None:
        """Take no new risk, cancel what rests, close what is open if asked to; bounded.

        After a fatal error as well: whatever it was, orders must not be left behind. Then what
        cannot be done at once is not waited for.
        """
        failed = self.fatal
        flatten = self.options.flatten and failed is None
        self._command(ControlKind.PAUSE)
        self._command(ControlKind.FLATTEN if flatten else ControlKind.CANCEL_ALL)
        wait_s = FATAL_WIND_DOWN_S_MAX if failed else self._wind_down_s_max
        deadline_ns = self.clock.monotonic_ns() + int(wait_s * 1e9)
        while self.clock.monotonic_ns() < deadline_ns and self.fatal is failed:
            await asyncio.sleep(TIMER_S)
            left = len(self.portfolio.open_instruments) if flatten else 0
            if not left and not self.orders.working_count:
                return
        log.warning(
            "gave up waiting: %d orders and %d positions are open",
            self.orders.working_count,
            len(self.portfolio.open_instruments),
        )

    @property
    def _wind_down_s_max(self) -> float:
        """Long enough for an unknown create to be proved absent (see `Orders.apply`)."""
        return self.config.venue.recv_window_ms / 1000 + WIND_DOWN_S_EXTRA

    def _command(self, kind: ControlKind, reason: str = "end of run") -> None:
        commands = self._front.on_control(Control(kind, reason), self._now())
        if self.config.shard.count > 1 and kind is not ControlKind.KILL:
            # The sweep would take the other shards' orders too; ours are cancelled one by one.
            commands = [c for c in commands if not isinstance(c, CancelAll)]
        self._send(commands)

    def halt(self, reason: str) -> None:
        """The kill switch: HALTED until a person resumes, everything cancelled."""
        if self._custody is not None:
            self._custody.halt(reason)
        else:
            self._command(ControlKind.KILL, reason)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """No long-lived task may end by itself: the run ends with it, and says why."""
        if not self._ending:
            error = None if task.cancelled() else task.exception()
            self.fail(error or FastbookError(f"the {task.get_name()} ended by itself"))

    def fail(self, error: BaseException) -> None:
        """End the run as soon as can be; `run` raises the first error it was given."""
        if self.fatal is None:
            self.fatal = error
        self._failed.set()

    # --- what comes in ------------------------------------------------------------------------

    def _on_books(self, touched: list[int], recv_ns: int) -> None:
        commands = self._front.on_books(touched, recv_ns)
        if commands:
            self._send(commands)
            self.latency.order.record(self._now() - recv_ns)
        self.latency.decision.record(self._now() - recv_ns)
        if self._paper is not None:
            self._paper.on_books(touched)

    def _on_message(self, message: Any, recv_ns: int) -> None:  # Any: JSON from the venue
        topic = message.get("topic", "")
        if self._trades_wanted and topic.startswith("publicTrade."):
            try:
                trades = parse_trades(message, self._by_symbol)
            except WireError as e:
                log.warning("%s", e)
                return
            if self.memory is not None:
                self.memory.on_trades(trades)
            self._send(self._front.on_trades(trades, recv_ns))

    def _on_events(self, events: Sequence[OrderEvent], recv_ns: int) -> None:
        custody = self._custody
        for event in events:
            if self._is_old(event):
                continue
            commands = self._front.on_event(event, recv_ns)
            if custody is not None:
                custody.note(event)
            self._send(commands)

    def _take_in(self, events: list[OrderEvent]) -> None:
        self._on_events(events, self._now())

    def _on_private_link(self, up: bool) -> None:
        self._private_gaps += not up
        self._send(self._front.on_link(PRIVATE_LINK, up, self._now()))
        if up:
            self._reconcile_wanted.set()
        elif self._private_gaps > 1:  # the first is the start: measured just now
            self._clock_wanted.set()

    def _on_trade_link(self, up: bool) -> None:
        self._send(self._front.on_link(TRADE_LINK, up, self._now()))

    def _watch_rest(self) -> None:
        """Tell the engine when the venue closes REST to this address, and when it opens again."""
        is_open = self._rest is None or not self._rest.blocked_s
        if is_open != self._rest_open:
            self._rest_open = is_open
            self._send(self._front.on_link(REST_LINK, is_open, self._now()))

    def _on_public_link(self, name: str, up: bool, recv_ns: int) -> None:
        self._send(self._front.on_link(name, up, recv_ns))

    def _send(self, commands: Sequence[Command]) -> None:
        if commands and self._custody is not None:
            commands = self._custody.release(commands)
        if not commands:
            return
        for command in commands:
            if isinstance(command, PlaceOrder):
                synced = self.books[command.instrument].state is BookState.SYNCED
                self.unsynced_orders += not synced
        self.gateway.send(commands)

    # --- tasks --------------------------------------------------------------------------------

    async def _keep_reconciled(self, rest: RestClient) -> None:
        """After start, after each private gap, and when ledger and venue differ."""
        while True:
            await self._reconcile_wanted.wait()
            self._reconcile_wanted.clear()
            gaps, asked_ms = self._private_gaps, rest.venue_time.now_ms()
            try:
                events = await self.gateway.reconcile(self._agreed_venue_ms)
            except CredentialsError:
                raise  # no key, no account: trying again cannot help
            except FastbookError as e:
                log.warning("reconciliation: %s", e)
                await asyncio.sleep(RECONCILE_RETRY_S)
                self._reconcile_wanted.set()
                continue
            now_ns = self._now()
            if self._custody is not None:
                self._send(self._custody.strays(events))
            self._on_events(events, now_ns)
            if gaps != self._private_gaps:
                self._reconcile_wanted.set()  # asked before the link was lost: asked too early
                continue
            self._send(self._front.reconciled(now_ns, positions_complete=True))
            if not self.engine.needs_reconcile:
                self._agreed_venue_ms = asked_ms
                self._reconcile_wanted.clear()  # asked for meanwhile, by the timer: answered

    async def _keep_drop_copy(self, rest: RestClient) -> None:
        """The account read a second time, apart from the private stream, every few seconds."""
        while True:
            await asyncio.sleep(self.config.execution.reconcile_every_s)
            if self.engine.state is TradingState.RECONCILING:
                continue  # the whole of it is being asked for anyway
            gaps, asked_ms = self._private_gaps, rest.venue_time.now_ms()
            try:
                events = await self.gateway.reconcile(self._agreed_venue_ms)
            except CredentialsError:
                raise
            except FastbookError as e:
                log.warning("drop copy: %s", e)
                continue
            if gaps != self._private_gaps:
                continue
            now_ns = self._now()
            self._on_events(events, now_ns)
            listed = {e.client_id for e in events if isinstance(e, OrderUpdate)}
            self._send(self._front.drop_copied(listed, now_ns))
            self._agreed_venue_ms = asked_ms

    async def _warm_up(self, rest: RestClient) -> None:
        for instrument, bar_ms, count in self.engine.wanted_history():
            bars = await past_bars(rest, self.category, instrument, bar_ms, count)
            self._send(self._front.warm_up(instrument.index, bars, self._now()))

    def _is_old(self, event: OrderEvent) -> bool:
        """A fill of before this run: it is in the venue's positions and wallet already.

        REST has them because more is asked for than is needed; a stream may replay them.
        """
        if not isinstance(event, Execution) or event.ts_ms >= self._started_venue_ms:
            return False
        return self.orders.find(event.client_id, event.order_id) is None

    async def _keep_venue_clock(self, rest: RestClient) -> None:
        """Clocks drift; a stamp one second ahead is refused whatever the window.

        Also measured when the private link is lost: a jump of the clock looks like a bad key.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(VENUE_CLOCK_S):
                    await self._clock_wanted.wait()
            self._clock_wanted.clear()
            try:
                await rest.sync_time()
            except FastbookError as e:
                log.warning("the venue's clock: %s", e)

    def _tell_health(self, lag_ns: int, rest: RestClient) -> None:
        """Only what is beyond its limit is news; nearly always nothing is."""
        limits = self.engine.gate.limits
        lag_ms, unsure_ms = lag_ns / 1e6, max(0, rest.venue_time.uncertainty_ns) / 1e6
        health = Health(
            loop_lag_ms=lag_ms if lag_ms > limits.loop_lag_ms_max else 0.0,
            clock_uncertainty_ms=(
                unsure_ms if unsure_ms > limits.clock_uncertainty_ms_max else 0.0
            ),
            share=Decimal(1) if self.shares is None else self.shares.usable,
        )
        if health != self.engine.gate.health:
            self._front.on_health(health, self._now())

    async def _keep_time(self, rest: RestClient) -> None:
        status_due_ns = 0
        while True:
            due_ns = self.clock.monotonic_ns() + int(TIMER_S * 1e9)
            await asyncio.sleep(TIMER_S)
            lag_ns = max(0, self.clock.monotonic_ns() - due_ns)
            self.latency.loop_lag.record(lag_ns)
            if self._custody is not None:
                self._custody.on_timer(lag_ns / 1e6)
            self._watch_rest()
            self._tell_health(lag_ns, rest)
            self._send(self._front.on_timer(self._now()))
            if self.engine.needs_reconcile:
                self._reconcile_wanted.set()
            self._drain_journal()
            now_ns = self.clock.monotonic_ns()
            if now_ns >= status_due_ns and self.options.on_status is not None:
                status_due_ns = now_ns + int(STATUS_S * 1e9)
                self.options.on_status(self.report.status())

    def note(self, text: str) -> None:
        """A line for the screen."""
        if self.started_ns:
            self.events.add(text, self._now())

    def _drain_journal(self) -> None:
        records = self.journal.drain()
        for record in records:
            self.events.add_record(record)
            if self._custody is not None:
                self._custody.note_record(record)
        if self._tap is not None:
            self._tap.drained(records)
        if self.memory is not None and records:
            self.memory.on_records(records)

    # --- what goes out ------------------------------------------------------------------------

    @property
    def rest(self) -> RestClient | None:
        """The way to the account; None on paper."""
        return self._rest

    def stamp_ns(self) -> int:
        """Now, by the clock of the books' `recv_ns`."""
        return self._now()

    @property
    def messages(self) -> int:
        """Frames received on the public feed."""
        return int(self.feed.stats()["frames"])
