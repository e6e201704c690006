"""The bundled exchange, put together: start it, talk v5 to it, stop it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from fastbook.errors import TransportError
from fastbook.replay.money import wire_text

from .answers import Answers
from .auth import Keys
from .desk import OrderDesk
from .fast_clock import FastClock
from .fault_fields import checked
from .faults import Faults, Skew, add_control_routes
from .hub import TopicHub
from .keys import ApiKey, Endpoints, make_keys
from .market import SimulatedMarket
from .market_answers import MarketAnswers
from .options import SimulatorOptions
from .private import PrivateExchange
from .public import PublicExchange
from .rest import BODY_BYTES_MAX, RestExchange
from .script import FaultScript, ScriptedFault
from .tls import LocalAuthority
from .topics import BookTopic
from .trade import TradeExchange

log = logging.getLogger(__name__)

TICK_S = 0.002
VENUE_TICK_S = 0.050  # triggers, and what else time brings about
HOUSEKEEPING_S = 1.0


class Simulator:
    """One exchange in this process. `start` binds its ports, `stop` closes everything."""

    def __init__(
        self,
        options: SimulatorOptions,
        *,
        script: Sequence[ScriptedFault] = (),
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`script`: faults by their times; ConfigError when one of them is none."""
        self.options = options
        peer_ns = None if options.speed == 1.0 else now_ns
        keys = Keys(make_keys(options), peer_ns)
        if options.speed != 1.0:
            fast = FastClock(options.speed, now_ns, monotonic_s)
            now_ns, monotonic_s = fast.now_ns, fast.monotonic_s
        # Of connections, not of the market: as long as the peer's clock says.
        idle_timeout_s = options.idle_timeout_s * options.speed
        self._idle_timeout_s = idle_timeout_s
        self.counters: Counter[str] = Counter()
        self.failure: BaseException | None = None  # what ended the clockwork, if anything did
        self.recording_ended = asyncio.Event()  # and its market stands still
        self.keys = make_keys(options)
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._venue_due_s = 0.0
        self._housekeeping_due_s = 0.0
        self._skew = Skew()
        self.market = SimulatedMarket(options, self._note_trades)
        self.venue = self.market.venue
        self.hub = TopicHub(options, self.market, self.counters)
        self.market.open_accounts(options)
        self.public = PublicExchange(
            self.hub,
            options.categories,
            self.counters,
            self._clock,
            slow_reader_bytes_max=options.slow_reader_bytes_max,
            connects_max=options.connects_max,
            connections_max=options.connections_max,
        )
        self.private = PrivateExchange(
            keys,
            self.counters,
            self._clock,
            queue_max=options.private_queue_max,
            delay_s=options.private_delay_s,
            idle_timeout_s=idle_timeout_s,
            dcp=self.venue.dcp,
            event_order=options.event_order,
        )
        self.desk = OrderDesk(options, self.venue, self.counters, self._now_ms, self._after_orders)
        self.trade = TradeExchange(
            keys,
            self.desk,
            self.counters,
            self._clock,
            queue_max=options.private_queue_max,
            idle_timeout_s=idle_timeout_s,
        )
        answers = Answers(self.market, options.rules)
        self.rest = RestExchange(
            options,
            self.venue,
            self.desk,
            MarketAnswers(self.market, self.hub),
            answers,
            keys,
            self.counters,
            self._clock,
            self._after_orders,
        )
        self.faults = Faults(
            self.hub,
            self.public,
            self.private,
            self.trade,
            self.rest,
            self.desk,
            answers,
            self._skew,
            self._clock,
        )
        for scripted in script:
            checked(scripted.fault)
        self.script = FaultScript(script, self.faults.apply)
        self._endpoints: Endpoints | None = None
        self._authority: LocalAuthority | None = None
        self._runner: web.AppRunner | None = None
        self._clockwork: asyncio.Task[None] | None = None

    # Time.

    def _now_ms(self) -> int:
        return self._now_ns() // 1_000_000 + self._skew.ms

    def _clock(self) -> tuple[float, int]:
        return self._monotonic_s(), self._now_ms()

    # Life.

    @property
    def endpoints(self) -> Endpoints:
        if self._endpoints is None:
            raise RuntimeError("the simulator has not been started")
        return self._endpoints

    async def start(self) -> Endpoints:
        """Bind, and begin to trade. TransportError when a port cannot be had."""
        options = self.options
        if options.tls:
            self._authority = await LocalAuthority.make(options.host)
        try:
            port = await self._start_http()
        except OSError as e:
            await self.stop()
            why = os.strerror(e.errno) if e.errno else str(e)
            raise TransportError(f"cannot listen on {options.host}:{options.port}: {why}") from e
        self._endpoints = self._make_endpoints(port)
        self._clockwork = asyncio.create_task(self._run(), name="simulator-clockwork")
        self._clockwork.add_done_callback(self._clockwork_ended)
        return self._endpoints

    async def _start_http(self) -> int:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        self.rest.add_routes(app)
        app.router.add_get(
            "/v5/public/{category:[a-z]+|misc/status}", self.public.serve, allow_head=False
        )
        app.router.add_get("/v5/private", self.private.serve, allow_head=False)
        app.router.add_get("/v5/trade", self.trade.serve, allow_head=False)
        add_control_routes(app, self.faults, self.state, self._published_book)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            self.options.host,
            self.options.port,
            ssl_context=self._authority.server_context() if self._authority else None,
        )
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    def _make_endpoints(self, port: int) -> Endpoints:
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        s = "s" if self.options.tls else ""
        return Endpoints(
            rest=f"http{s}://{host}:{port}",
            ws_public=f"ws{s}://{host}:{port}/v5/public",
            ws_private=f"ws{s}://{host}:{port}/v5/private",
            ws_trade=f"ws{s}://{host}:{port}/v5/trade",
            accounts=self.keys,
            ca_file=str(self._authority.ca_file) if self._authority else "",
        )

    async def stop(self) -> None:
        """Close every connection and port. Safe to call twice."""
        if self._clockwork is not None:
            self._clockwork.cancel()
            await asyncio.wait([self._clockwork])  # how it ended is in `failure`
            self._clockwork = None
        await asyncio.gather(self.private.close(), self.trade.close())
        self.public.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._authority is not None:
            self._authority.remove()
            self._authority = None

    # The clockwork: one task moves the market and sends what is due.

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S / max(1.0, self.options.speed))
            self.step()

    def step(self) -> None:
        """Do what is due now: move the market, send what there is to tell."""
        now_s, now_ms = self._clock()
        self.hub.tick(now_s, now_ms)
        if self.market.recorded is not None and self.market.recorded.ended:
            self.recording_ended.set()
        if now_s >= self._venue_due_s:
            self._venue_due_s = now_s + VENUE_TICK_S
            self.script.tick(now_s)
            self.venue.tick(now_ms)
            self.market.note_liquidations()
            self.hub.flush_trades(now_ms)
        self._publish_private()
        self.public.flush()
        if now_s >= self._housekeeping_due_s:
            self._housekeeping_due_s = now_s + HOUSEKEEPING_S
            self.public.close_idle(now_s - self._idle_timeout_s)
            self.private.close_idle(now_s)
            self.trade.close_idle(now_s)

    def _clockwork_ended(self, task: asyncio.Task[None]) -> None:
        """The market stands still: say so, and break every connection rather than pretend."""
        if task.cancelled():
            return
        self.failure = task.exception()
        log.critical("the simulated market stopped", exc_info=self.failure)
        self.recording_ended.set()
        self.public.cut()
        self.private.cut()
        self.trade.cut()

    def _note_trades(self, index: int) -> None:
        self.hub.note_trades(index)

    def _after_orders(self) -> None:
        """An order request was carried out: its trades and rows go out at once."""
        self.hub.flush_trades(self._now_ms())
        self._publish_private()
        self.public.flush()

    def _publish_private(self) -> None:
        for account in range(1, self.options.accounts + 1):
            events = self.venue.take_events(account)
            if events:
                self.private.publish(account, events)

    # For whoever checks the exchange from outside.

    def _published_book(self, category: str, name: str) -> bytes | None:
        """What every reader of this topic holds now; None when no book is published there."""
        topic = self.hub.find(name, category)
        if not isinstance(topic, BookTopic) or topic.publisher.u == 0:
            return None
        return topic.publisher.repeat(self._now_ms())

    def state(self) -> dict[str, Any]:
        """Counters, topics and every account to the last digit. Any: it is JSON."""
        return {
            "seed": self.options.seed,
            "category": self.options.categories[0],
            "categories": list(self.options.categories),
            "symbols": [i.symbol for i in self.market.in_category(self.options.categories[0])],
            "script": {"played": self.script.played, "missed": self.script.missed},
            "recording": self._recording_state(),
            "failure": repr(self.failure) if self.failure else "",
            "counters": dict(self.counters) | {"rate_limited": self.desk.limits.refused},
            "public_sessions": len(self.public.sessions),
            "private_sessions": len(self.private.sessions),
            "trade_sessions": len(self.trade.sessions),
            "topics": {
                self._label(*key): {"readers": len(topic.readers), "frames": topic.frames}
                for key, topic in self.hub.topics.items()
            },
            "accounts": [self._account_state(key) for key in self.keys[: self.options.accounts]],
        }

    def _recording_state(self) -> dict[str, Any]:
        recorded = self.market.recorded
        if recorded is None:
            return {}
        names = ("frames", "loops", "gaps", "refused", "ended")
        return {name: getattr(recorded, name) for name in names}

    def _label(self, category: str, name: str) -> str:
        """A topic's name; those of all but the first category begin with theirs."""
        return name if category == self.options.categories[0] else f"{category}/{name}"

    def _account_state(self, key: ApiKey) -> dict[str, Any]:
        account = self.venue.account(key.account)
        figures = self.venue.figures(key.account)
        return {
            "api_key": key.api_key,
            "uid": account.uid,
            "start": {coin: wire_text(value) for coin, value in account.start.items()},
            "balances": {coin: wire_text(value) for coin, value in account.balances.items()},
            "realized": {coin: wire_text(value) for coin, value in account.realized.items()},
            "fees": {coin: wire_text(value) for coin, value in account.fees.items()},
            "equity": wire_text(figures.account["equity"]),
            "open_orders": len(account.open_orders),
            "executions": len(account.executions),
            "events_dropped": account.events_dropped,
            "positions": [
                {
                    "category": str(p.instrument.category),
                    "symbol": p.instrument.symbol,
                    "qty": wire_text(p.instrument.qty_decimal(p.qty)),
                    "cost": wire_text(p.cost),
                    "realized": wire_text(p.realized),
                    "fees": wire_text(p.fees),
                }
                for p in account.positions.values()
            ],
        }
