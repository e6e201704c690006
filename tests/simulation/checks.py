"""The invariants, looked at from outside after every event. Names as in the catalogue: I1 to I24.

What needs the truth takes it from the exchange's side: the published books, the requests that
arrived, the account. Nothing here asks the engine whether the engine is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fastbook.core.states import BookState
from fastbook.errors import FastbookError
from fastbook.execution import Order
from fastbook.execution.portfolio import MOVES_QUANTITY
from fastbook.types import (
    Command,
    Execution,
    OrderEvent,
    OrderState,
    PlaceOrder,
    Side,
    TradingState,
)

from .truth import checksum_of

if TYPE_CHECKING:
    from .net import Request
    from .process import Process, WatchedApp
    from .simulation import Simulation

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}\Z")
MONEY_SLACK = Decimal("1.15")
"""Marks and equity move between the engine's decision and the exchange's look at it."""

CASH_SLACK = Decimal("1e-8")
"""What a position cost that was held before the process started is known rounded only."""

PARKED_MAX, JOURNAL_MAX, QUEUE_MAX = 256, 75_000, 1_100


class Violation(AssertionError):
    """An invariant did not hold."""


@dataclass(slots=True)
class Told:
    """What one process has been told, counted by our own rule."""

    app: WatchedApp
    process: Process
    qty: dict[int, int] = field(default_factory=dict)
    executions: set[str] = field(default_factory=set)
    orders: dict[str, tuple[OrderState, int]] = field(default_factory=dict)
    adopted_at: tuple[int, int] = (0, 0)


class Checks:
    """Of one simulation. The first violation is kept, and ends the run."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.violations: list[str] = []
        self.done = 0
        """Checks made."""
        self.closed = False
        self.told: Told | None = None
        self._contents: dict[str, str] = {}
        self._epochs: set[str] = set()
        self._rate_refusals = 0
        self._latched = ""
        """Why nobody may enter until a person says so; over every restart."""

    def fail(self, invariant: str, text: str) -> None:
        if self.closed:
            return
        now_s = self._simulation.universe.now_s
        self.violations.append(f"{invariant} at {now_s:.3f} s: {text}")

    # --- market data ---------------------------------------------------------------------------

    def on_built(self, process: Process, app: WatchedApp) -> None:
        process.built = True
        # What the store remembers as booked is in the positions that the venue will tell.
        self.told = Told(app, process, executions=set(app.orders._exec_ids))
        nonce = app.orders.nonce
        if nonce in self._epochs:
            self.fail("I9", f"epoch {nonce} used twice")
        self._epochs.add(nonce)
        self._watch_orders(app)
        self._simulation.on_built(process)

    def after_books(self, process: Process, touched: Sequence[int]) -> None:
        """I1, I4: what is SYNCED equals what was published, level for level."""
        app = process.app
        for index in touched:
            self.check_book(app, index)

    def check_book(self, app: WatchedApp, index: int) -> None:
        book = app.books[index]
        if book.state is not BookState.SYNCED:
            return
        self.done += 1
        truth = self._simulation.truths[book.topic]
        known = truth.states.get((book.u, book.seq))
        if known is None:
            self.fail("I1", f"{book.topic}: SYNCED at u {book.u}, which was never published")
            return
        bids, asks = book.levels()
        sums = (checksum_of(bids), checksum_of(asks))
        if sums not in (known.checksums, known.expected()):
            self.fail(
                "I1",
                f"{book.topic}: SYNCED at u {book.u} but not as published: "
                f"{len(bids)}/{len(asks)} levels, published {known.bids}/{known.asks}",
            )
        if bids and asks and bids[0][0] >= asks[0][0]:
            self.fail("I4", f"{book.topic}: SYNCED and crossed, {bids[0]} {asks[0]}")
        if len(bids) > book.depth or len(asks) > book.depth:
            self.fail("I4", f"{book.topic}: more levels than its depth")
        if any(bids[i][0] <= bids[i + 1][0] for i in range(len(bids) - 1)) or any(
            asks[i][0] >= asks[i + 1][0] for i in range(len(asks) - 1)
        ):
            self.fail("I4", f"{book.topic}: sides are not sorted")

    # --- what the engine is told ---------------------------------------------------------------

    def before_events(self, process: Process, events: Sequence[OrderEvent]) -> None:
        told = self.told
        if told is None or told.process is not process:
            return
        for event in events:
            if not isinstance(event, Execution) or event.exec_id in told.executions:
                continue
            if process.app._is_old(event):
                continue  # of before: in the positions that it found
            told.executions.add(event.exec_id)
            if event.exec_type in MOVES_QUANTITY:
                held = told.qty.get(event.instrument, 0)
                told.qty[event.instrument] = held + event.side * event.qty

    def after_events(self, process: Process) -> None:
        """I5: the ledger is what it was told, counted once by execution id."""
        told = self.told
        if told is None or told.process is not process:
            return
        if not process.app.engine.stats.reconciliations:
            return  # it has not found out yet what it holds
        self.done += 1
        portfolio = process.app.portfolio
        for index, qty in told.qty.items():
            if portfolio.qty(index) != qty:
                self.fail(
                    "I5",
                    f"position of instrument {index} is {portfolio.qty(index)}, its executions "
                    f"say {qty}",
                )

    def _watch_orders(self, app: WatchedApp) -> None:
        """I7, I8 on every order, at every fact; and the ledger's own adoptions."""
        orders, portfolio = app.orders, app.portfolio
        apply, book, adopt = orders.apply, orders.book, portfolio.adopt
        told = self.told
        assert told is not None

        def watched_apply(fact: Any, now_ns: int) -> Any:
            change = apply(fact, now_ns)
            if change is not None:
                self._check_order(told, change.order, ghost=change.ghost)
            return change

        def watched_book(execution: Execution, now_ns: int) -> Any:
            booking, order = book(execution, now_ns)
            if order is not None:
                self._check_order(told, order, ghost=False)
            return booking, order

        def watched_adopt(*args: Any, **kwargs: Any) -> Any:
            before = dict(portfolio.counters)
            answer = adopt(*args, **kwargs)
            for index in range(len(app.instruments)):
                told.qty[index] = portfolio.qty(index)
            if app.engine.stats.reconciliations:
                self._check_adopted(before, portfolio.counters)
            return answer

        orders.apply = watched_apply  # type: ignore[method-assign]
        orders.book = watched_book  # type: ignore[method-assign]
        portfolio.adopt = watched_adopt  # type: ignore[method-assign]

    def _check_adopted(self, before: dict[str, int], after: dict[str, int]) -> None:
        """I5, I12: after the first look at the account, nothing has to be taken on trust."""
        for name in ("adopted_positions", "adopted_balances"):
            if after[name] > before[name]:
                self.fail("I12", f"{name}: the ledger had lost track of the account")

    def _check_order(self, told: Told, order: Order, *, ghost: bool) -> None:
        self.done += 1
        state, cum = told.orders.get(order.client_id, (OrderState.SENT, 0))
        name = order.client_id
        if state.terminal and order.state is not state:
            if state is not OrderState.NEVER_ACCEPTED:
                self.fail("I7", f"{name} was {state.value} and is {order.state.value}")
            else:
                self.fail("I7", f"{name} was given up as never accepted, and exists")
        if max(order.cum_qty, order.booked_qty) > order.qty:
            self.fail("I8", f"{name} has traded {order.cum_qty} of {order.qty}")
        if order.cum_qty < cum:
            self.fail("I8", f"{name}: cumulative quantity fell from {cum} to {order.cum_qty}")
        told.orders[name] = (order.state, order.cum_qty)

    # --- what leaves the engine ----------------------------------------------------------------

    def before_send(self, process: Process, commands: Sequence[Command]) -> None:
        """I2, I3, I13, I17 on every order, before it leaves."""
        app = process.app
        self._note_latches(process)
        trace = self._simulation.trace
        for command in commands:
            trace.note("command", repr(command).encode())
            if isinstance(command, PlaceOrder):
                self._check_order_out(app, command)

    def _note_latches(self, process: Process) -> None:
        if process.custody.keeper.resume.there:
            return  # a person has just said so, and it has not been read yet
        if not self._latched and (process.app.engine.gate.latched or process.custody.halted):
            self._latched = f"the latch {process.app.engine.gate.latched or 'halted'!r}"

    def _check_order_out(self, app: WatchedApp, order: PlaceOrder) -> None:
        self.done += 1
        engine, name = app.engine, order.client_id
        book = app.books[order.instrument]
        if book.state is not BookState.SYNCED:
            self.fail("I2", f"{name}: from a book that is {book.state.name}")
        wires = self._simulation.net.of("public")
        if not any(wire.process.app is app and not wire.client.closed for wire in wires):
            self.fail("I2", f"{name}: without any connection to the market")
        options = self._simulation.options
        stale_s = options.stale_after_ms / 1000
        if (app._now() - book.recv_ns) / 1e9 > stale_s:
            self.fail("I2", f"{name}: from a book older than {stale_s} s")
        published = self._simulation.truths[book.topic].states.get((book.u, book.seq))
        if published is not None and not order.reduce_only:
            age_s = self._simulation.universe.now_s - published.at_s
            allowed_s = 2 * stale_s + 2 * options.latency_ms[1] / 1000 + 0.01
            if age_s > allowed_s:
                self.fail("I3", f"{name}: on data {age_s:.3f} s old, {allowed_s:.3f} at most")
        if engine.state is TradingState.HALTED:
            self.fail("I17", f"{name} left while HALTED")
        if not order.reduce_only:
            if engine.state is not TradingState.ACTIVE:
                self.fail("I13", f"{name}: an entry while {engine.state.value}")
            if app.private is not None and not app.private.up:
                self.fail("I13", f"{name}: an entry while nobody hears of the account")
            if self._latched:
                self.fail("I13", f"{name}: an entry after {self._latched}")

    def resumed(self) -> None:
        """A person has lifted latches and halt."""
        self._latched = ""

    # --- what arrives at the exchange ----------------------------------------------------------

    def on_create(self, params: dict[str, Any]) -> None:
        """I9, I11, I15: before the exchange looks at it."""
        self.done += 1
        link = params.get("orderLinkId", "")
        if not isinstance(link, str) or not LINK_ID.match(link):
            self.fail("I9", f"client id {link!r}")
            return
        content = json.dumps(params, sort_keys=True)
        if link in self._contents:
            self.fail("I11", f"{link} was created twice")
        elif self._contents.setdefault(link, content) != content:
            self.fail("I9", f"{link} was sent with another content")
        self._check_grid(params)
        process = self._simulation.process
        order = process.app.orders.get(link) if process is not None and process.built else None
        if order is not None and process is not None and process.alive:
            self._check_written(process, link)
        if order is not None and order.reduce_only is not (params.get("reduceOnly") is True):
            self.fail("I18", f"{link}: reduce-only {order.reduce_only} there is not {params}")

    def _check_written(self, process: Process, link: str) -> None:
        """I20: what arrives is in the store already, so that kill -9 at any instant finds it."""
        kept = process.custody.keeper.store._db
        if kept.execute("SELECT 1 FROM orders WHERE client_id = ?", (link,)).fetchone() is None:
            self.fail("I20", f"{link} arrived and was not written down")

    def _check_grid(self, params: dict[str, Any]) -> None:
        simulation = self._simulation
        exchange = simulation.exchange
        market = exchange.market
        instrument = market.by_symbol[params["category"], params["symbol"]]
        name = params["orderLinkId"]
        px = Decimal(params.get("price") or "0").scaleb(instrument.price_scale)
        qty = Decimal(params["qty"]).scaleb(instrument.qty_scale)
        if px % instrument.tick or qty % instrument.lot or qty <= 0:
            self.fail("I15", f"{name}: off the grid: {params}")
        options = simulation.options
        if px:
            mids = [m for m in simulation.mids[instrument.symbol] if m[1]]
            off = min((abs(float(px) / mid - 1) for _, mid in mids), default=0.0)
            if off * 10_000 > options.price_collar_bps * 1.1 + 5:  # looked at four times a second
                self.fail("I15", f"{name}: {off * 10_000:.1f} bps off every mid of late")
        account = exchange.venue.account(1)
        side = Side.BUY if params["side"] == "Buy" else Side.SELL
        for order in account.open_orders.values():
            if order.instrument is not instrument or order.side is side or order.waiting:
                continue
            crosses = px >= order.px if side is Side.BUY else px <= order.px
            if px and crosses:
                self.fail("I15", f"{name} would meet our own {order.link_id}")

    def after_create(self, params: dict[str, Any]) -> None:
        """I14: what the account can come to, by the exchange's own orders and marks."""
        simulation = self._simulation
        venue = simulation.exchange.venue
        account = venue.account(1)
        self.done += 1
        equity = venue.figures(1).account["equity"]
        total = Decimal(0)
        for instrument in simulation.exchange.market.instruments:
            held = account.position(instrument).qty
            buys = sells = 0
            top = 0
            for order in account.open_orders.values():
                if order.instrument is not instrument or order.waiting:
                    continue
                top = max(top, order.px)
                if order.side is Side.BUY:
                    buys += order.leaves
                elif not order.reduce_only or held > 0:
                    sells += order.leaves
            worst = max(abs(held + buys), abs(held - sells), abs(held))
            mark = venue.prices.mark(instrument.index)
            px = max(top, int(Decimal(mark).scaleb(instrument.price_scale)) if mark else 0)
            notional = instrument.notional(px, worst)
            total += notional
            limit = equity * Decimal(str(simulation.options.position_pct_max)) / 100
            if notional > limit * MONEY_SLACK and not simulation.outside:
                self.fail(
                    "I14", f"{instrument.symbol}: {notional:.2f} can come about, {limit:.2f} may"
                )
        limit = equity * Decimal(str(simulation.options.leverage_max))
        if total > limit * MONEY_SLACK and not simulation.outside:
            self.fail("I14", f"{total:.2f} in all can come about, {limit:.2f} may")

    def on_request(self, request: Request) -> None:
        """I16: the exchange never has to say that we ask too often."""
        refused = self._simulation.exchange.desk.limits.refused
        if refused > self._rate_refusals:
            self._rate_refusals = refused
            self.fail("I16", f"rate limit at {request.path}")

    # --- every now and then --------------------------------------------------------------------

    def periodic(self) -> None:
        """I23, I24: bounds, and that nothing died unheard."""
        self.done += 1
        simulation = self._simulation
        if simulation.universe.errors:
            self.fail("I24", simulation.universe.errors[0])
        process = simulation.process
        if process is None or not process.built or process.loop.dead:
            return
        app = process.app
        self._note_latches(process)
        if app.orders.parked_count > PARKED_MAX or len(app.journal) > JOURNAL_MAX:
            self.fail("I23", "parked fills or journal over their bound")
        if app.journal.orders_dropped:
            self.fail("I23", "the journal dropped orders")
        if app.engine.disabled and not simulation.options.raises:
            self.fail("I24", f"a strategy was put out of action: {app.engine.disabled}")
        if app.unsynced_orders:
            self.fail("I2", f"{app.unsynced_orders} orders left from books that are not SYNCED")

    def process_ended(self, process: Process) -> None:
        """I24: a run may end by the network's fault, or the key's; never by a mistake of ours."""
        error = process.task.exception()
        if error is not None and (
            not isinstance(error, FastbookError) or str(error).startswith("internal error")
        ):
            self.fail("I24", f"the process ended: {error!r}")

    # --- when everything has healed ------------------------------------------------------------

    def unbalanced(self, process: Process) -> list[str]:
        """What keeps the run from being at rest: books, orders, ledgers; empty when nothing."""
        if not process.alive or not process.built:
            return ["the process is not up"]
        app = process.app
        simulation = self._simulation
        engine, account = app.engine, simulation.exchange.venue.account(1)
        wrong = [
            f"I5a {book.topic} is {book.state.name}"
            for book in app.books
            if book.state is not BookState.SYNCED
        ]
        if engine.state not in (TradingState.ACTIVE, TradingState.REDUCE_ONLY) or (
            engine._reconciling
        ):
            wrong.append(f"the engine is {engine.state.value}, reconciling {engine._reconciling}")
        if app.private is None or not app.private.up:
            wrong.append("the private stream is not up")
        working = {order.client_id for order in app.orders.all_working()}
        wrong += [
            f"I7 {order.client_id} is {order.state.value}"
            for order in app.orders.all_working()
            if order.state in (OrderState.UNKNOWN, OrderState.SENT)
        ]
        theirs = {o.link_id for o in account.open_orders.values() if not o.waiting}
        if theirs != working:
            wrong.append(
                f"I10 open there and not known here: {sorted(theirs - working)}; known as "
                f"working and not open there: {sorted(working - theirs)}"
            )
        for instrument in simulation.exchange.market.instruments[: len(app.instruments)]:
            ours = app.portfolio.qty(instrument.index)
            held = account.position(instrument).qty
            if held and account.position(instrument).stop_loss is None:
                wrong.append(f"I21 {instrument.symbol}: {held} held, and no stop at the venue")
            if ours != held:
                wrong.append(f"I5 {instrument.symbol}: {ours} here, {held} there")
        coin = app.portfolio.coin
        cash = account.balances.get(coin, Decimal(0))
        if app.portfolio.balance is None or abs(app.portfolio.balance - cash) > CASH_SLACK:
            wrong.append(f"I12 cash: {app.portfolio.balance} here, {cash} there")
        since_ms = getattr(app, "_started_venue_ms", 0) + 1_000
        unseen = [
            row["execId"]
            for row in account.executions
            if int(row["execTime"]) > since_ms and not app.orders.seen(row["execId"])
        ]
        if unseen:
            wrong.append(f"I6 executions never applied: {unseen[:3]}")
        parked = app.orders._parking._parked.values()
        wrong += [f"I6 fill of no order: {p.execution}" for p in parked if not p.told_stranger]
        return wrong

    def at_end(self, process: Process) -> None:
        """What is looked at once, when everything balances."""
        for index in range(len(process.app.books)):
            self.check_book(process.app, index)
