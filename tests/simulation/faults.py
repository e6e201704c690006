"""The faults of a run: when each comes is drawn from the seed, and what it does is here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from fastbook.errors import ConfigError
from fastbook.runtime.simulator.garble import GARBLED
from fastbook.runtime.simulator.options import EVENT_TOPICS
from fastbook.types import Control, ControlKind

from .net import STREAMS, LinkFaults

if TYPE_CHECKING:
    from .simulation import Simulation

UNNOTICEABLE = {"oversized", "same_px_twice", "unknown_delete", "off_tick", "seq_back"}
"""Too slow for a simulation, or lies in the form of a good frame: no reader could tell."""

SLOW_INSIDE_MS = 2_000
"""The longest that an exchange takes from looking at a request's stamp to carrying it out."""

REFUSALS = (110003, 110004, 110007, 110017, 110020, 110094, 10001, 10000, 10016, 10006, 110079)


class FaultPlan:
    """Schedules and applies the faults of one simulation until it is told to heal."""

    def __init__(self, simulation: Simulation, dice: Random) -> None:
        self._simulation = simulation
        self._dice = dice
        self.healed = False
        self.rest_banned = False
        kinds = {name: getattr(self, "_" + name.replace(" ", "_").replace("-", "_"))
                 for name in (*simulation.options.rates, "rest banned")}  # fmt: skip
        self._kinds: dict[str, Callable[[], bool | None]] = kinds

    def start(self) -> None:
        options = self._simulation.options
        for name, per_minute in options.rates.items():
            self._plan(name, per_minute)
        if "rest banned" in options.rare:
            at_s = self._dice.uniform(0, options.minutes * 60)
            self._loop.call_later(at_s, self._once, "rest banned")

    @property
    def _loop(self):  # type: ignore[no-untyped-def]  # the exchange's
        return self._simulation.loop

    def _plan(self, name: str, per_minute: float) -> None:
        self._loop.call_later(
            self._dice.expovariate(per_minute / 60), self._strike, name, per_minute
        )

    def _strike(self, name: str, per_minute: float) -> None:
        if self.healed:
            return
        self._once(name)
        self._plan(name, per_minute)

    def _once(self, name: str) -> None:
        if self.healed:
            return
        hit = True
        with contextlib.suppress(ConfigError):  # nobody reads such a topic now
            hit = self._kinds[name]() is not False
            if hit:
                self._simulation.net.count(name)
                self._simulation.trace.note("fault", name.encode())

    def heal(self) -> None:
        """Nothing new breaks, what was broken is whole again."""
        if self._simulation.process is not None:
            self._simulation.process.dies_at = ""
        self.healed = True
        simulation = self._simulation
        net, exchange, faults = simulation.net, simulation.exchange, simulation.exchange.faults
        net.links.update({name: LinkFaults() for name in net.links})
        net.rest_down_until_s = 0.0
        for wire in list(net.wires):
            wire.held_until_s = 0.0
            if wire.half_open:
                wire.reset()
        for host in (exchange.public, exchange.private, exchange.trade):
            host.upgrade_errors.clear()
            host.mute_pongs = False
        exchange.public.rejected_topics.clear()
        exchange.public.data_before_ack = False
        exchange.private.mute = exchange.private.reverse = False
        exchange.private.doubled = 0
        exchange.private.delay_s = 0.0
        exchange.private.order_events(EVENT_TOPICS)
        exchange.private.topic_delays_s.clear()
        rest, desk = exchange.rest, exchange.desk.faults
        for waiting in (
            *(rest.http_errors, rest.key_errors, rest.spoilt, exchange.trade.gateway_errors),
            *(desk.order_errors, desk.lost, desk.lost_requests, desk.late_creates),
            *(desk.rate_limits, exchange.rest._answers.page_errors),
        ):
            waiting.clear()
        desk.late_rejects = desk.cancel_races = 0
        desk.slow_in_s = desk.slow_out_s = 0.0
        exchange.private.keys.auths_to_refuse = 0
        for instrument in exchange.market.instruments:
            faults.reduce_only(instrument.symbol, on=False)
        faults.skew(0)
        faults.ban(0)
        for topic in exchange.hub.matching("*"):
            topic.lose = topic.double = topic.garble = 0

    # Network.

    def _link(self, name: str, faults: LinkFaults, seconds: float) -> None:
        net = self._simulation.net
        net.links[name] = faults

        def over() -> None:
            if net.links[name] is faults:
                net.links[name] = LinkFaults()

        self._loop.call_later(seconds, over)

    def _chance(self, most: float = 0.5) -> float:
        """Half of the time 0."""
        return self._dice.random() * most if self._dice.random() < 0.5 else 0.0

    def _cut(self, stream: str) -> bool:
        wires = self._simulation.net.of(stream)
        for wire in wires:
            wire.reset(up_lost=self._dice.random() < 0.5)
        return bool(wires)

    def _cut_public(self) -> bool:
        return self._cut("public")

    def _cut_private(self) -> bool:
        return self._cut("private")

    def _cut_trade(self) -> bool:
        return self._cut("trade")

    def _half_open(self, stream: str) -> bool:
        wires = self._simulation.net.of(stream)
        for wire in wires:
            wire.half_open = True
        return bool(wires)

    def _half_open_public(self) -> bool:
        return self._half_open("public")

    def _half_open_private(self) -> bool:
        return self._half_open("private")

    def _half_open_trade(self) -> bool:
        return self._half_open("trade")

    def _stall(self, stream: str) -> bool:
        wires = self._simulation.net.of(stream)
        until_s = self._simulation.universe.now_s + self._dice.uniform(0.1, 6)
        for wire in wires:
            wire.held_until_s = max(wire.held_until_s, until_s)
        return bool(wires)

    def _stall_public(self) -> bool:
        return self._stall("public")

    def _stall_private(self) -> bool:
        return self._stall("private")

    def _stall_trade(self) -> bool:
        return self._stall("trade")

    def _bad_public_link(self) -> None:
        most = self._dice.choice([0.02, 0.2, 0.5])
        faults = LinkFaults(
            drop=self._chance(most),
            double=self._chance(most),
            swap=self._chance(most),
            delay=self._chance(most),
        )
        self._link("public", faults, self._dice.uniform(0.5, 10))

    def _bad_private_link(self) -> None:
        # Its messages come late, twice and out of order; what gets lost is lost with a cut.
        faults = LinkFaults(
            double=self._chance(), swap=self._chance(), delay=self._chance(), delay_s_max=1.5
        )
        self._link("private", faults, self._dice.uniform(0.5, 10))

    def _bad_trade_link(self) -> None:
        # What it says is lost with it in truth; here also alone, as when an answer never comes.
        faults = LinkFaults(
            drop=self._chance(), double=self._chance(), swap=self._chance(), delay=self._chance()
        )
        self._link("trade", faults, self._dice.uniform(0.5, 10))

    def _trade_unreachable(self) -> None:
        self._link("trade", LinkFaults(refuse=1.0), self._dice.uniform(1, 20))
        self._cut("trade")

    def _trade_gateway_error(self) -> None:
        code = self._dice.choice([10016, 10019, 10000, 20003, 10429, 10001])
        named = self._dice.random() < 0.8
        self._simulation.exchange.faults.gateway_error(code, 1, "fault", named)

    def _trade_answer_astray(self) -> None:
        self._simulation.exchange.faults.stray_answer(self._dice.randint(1, 3))

    def _bad_rest(self) -> None:
        faults = LinkFaults(
            refuse=self._chance(),
            hang=self._chance(),
            lost_answer=self._chance(),
            late=self._chance(),
            bad_status=self._chance(),
            garbled=self._chance(),
            delay=self._chance(),
        )
        self._link("rest", faults, self._dice.uniform(0.5, 10))

    def _rest_down(self) -> None:
        net = self._simulation.net
        net.rest_down_until_s = net.now_s + self._dice.uniform(0.5, 8)

    def _public_unreachable(self) -> None:
        self._link("public", LinkFaults(refuse=1.0), self._dice.uniform(1, 8))
        self._cut("public")

    def _private_unreachable(self) -> None:
        hang = self._dice.random() < 0.5
        faults = LinkFaults(refuse=0.0 if hang else 1.0, hang=1.0 if hang else 0.0)
        self._link("private", faults, self._dice.uniform(1, 8))
        self._cut("private")

    # The venue's market data.

    def _topic(self) -> str:
        return str(self._dice.choice(sorted(self._simulation.truths)))

    def _book_restart(self) -> None:
        self._simulation.exchange.faults.restart(self._topic())

    def _book_snapshot(self) -> None:
        self._simulation.exchange.faults.snapshot(self._topic())

    def _book_gap(self) -> None:
        self._simulation.exchange.faults.drop(self._topic(), self._dice.randint(1, 3))

    def _book_repeated(self) -> None:
        self._simulation.exchange.faults.duplicate(self._topic(), self._dice.randint(1, 3))

    def _book_garbled(self) -> None:
        how = self._dice.choice([name for name in GARBLED if name not in UNNOTICEABLE])
        if how == "u_back" and self._simulation.options.depth == 1:
            return  # every frame is a whole book there, of whatever number
        self._simulation.exchange.faults.garble(self._topic(), 1, how)

    def _book_stall(self) -> None:
        self._simulation.exchange.faults.stall(self._topic(), self._dice.uniform(0.2, 8))

    def _book_side_empty(self) -> None:
        side, topic = self._dice.choice("ab"), self._topic()
        self._simulation.exchange.faults.empty(topic, side, self._dice.uniform(0.2, 4))
        last = self._simulation.truths[topic].last
        assert last is not None  # it was published just now
        last.hidden = side

    def _subscription_refused(self) -> None:
        self._simulation.exchange.faults.reject(self._topic(), 1)
        self._cut("public")

    # The venue's orders and account.

    def _order_refused(self) -> None:
        code = self._dice.choice(REFUSALS)
        self._simulation.exchange.faults.order_error(code, self._dice.randint(1, 4))

    def _order_answer_lost(self) -> None:
        self._simulation.exchange.faults.lost_answer(self._dice.randint(1, 3), "create", "cut")

    def _orders_slow(self) -> None:
        faults, way = self._simulation.exchange.faults, self._dice.choice(["in", "out"])
        faults.slow_orders(self._dice.randint(50, SLOW_INSIDE_MS if way == "in" else 7_000), way)
        self._loop.call_later(self._dice.uniform(1, 8), faults.slow_orders, 0, way)

    def _order_request_lost(self) -> None:
        self._simulation.exchange.faults.lost_request(self._dice.randint(1, 3), self._operation())

    def _answer_lost(self) -> None:
        how = self._dice.choice(["cut", "silent"])
        self._simulation.exchange.faults.lost_answer(1, self._operation(), how)

    def _operation(self) -> str:
        return self._dice.choice(["create", "create", "cancel"])

    def _order_carried_out_late(self) -> None:
        faults = self._simulation.exchange.faults
        faults.late_create(self._dice.randint(10, SLOW_INSIDE_MS))

    def _order_refused_by_stream(self) -> None:
        self._simulation.exchange.faults.late_reject(self._dice.randint(1, 3))

    def _rate_limited(self) -> None:
        self._simulation.exchange.faults.rate_limited(
            self._dice.randint(1, 3), self._dice.randint(-500, 3_000), self._operation()
        )

    def _private_rows_replayed(self) -> None:
        self._simulation.exchange.faults.replay_private(1, self._dice.randint(1, 40))

    def _closed_orders_forgotten(self) -> None:
        self._simulation.exchange.faults.forget_closed()

    def _list_page_wrong(self) -> None:
        how = self._dice.choice(["repeat", "lose"])
        self._simulation.exchange.faults.page_error(how, self._dice.randint(1, 2))

    def _symbol(self) -> str:
        return str(self._dice.choice(self._simulation.exchange.market.instruments).symbol)

    def _position_liquidated(self) -> None:
        self._simulation.exchange.faults.liquidate(self._symbol())
        self._simulation.outside = True

    def _position_deleveraged(self) -> None:
        self._simulation.exchange.faults.adl(self._symbol())
        self._simulation.outside = True

    def _symbol_reduce_only(self) -> None:
        faults, symbol = self._simulation.exchange.faults, self._symbol()
        faults.reduce_only(symbol)
        self._loop.call_later(
            self._dice.uniform(1, 10), lambda: faults.reduce_only(symbol, on=False)
        )

    def _cancel_races(self) -> None:
        self._simulation.exchange.faults.cancel_race(self._dice.randint(1, 3))

    def _private_rows_out_of_order(self) -> None:
        faults, dice = self._simulation.exchange.faults, self._dice
        if dice.random() < 0.5:
            faults.reverse_private(dice.random() < 0.5)
        else:
            faults.event_order(",".join(dice.sample(EVENT_TOPICS, len(EVENT_TOPICS))))

    def _private_rows_doubled(self) -> None:
        self._simulation.exchange.faults.double_private(self._dice.randint(1, 10))

    def _private_rows_late(self) -> None:
        faults = self._simulation.exchange.faults
        faults.private_delay(self._dice.randint(1, 3_000))
        self._loop.call_later(self._dice.uniform(1, 10), faults.private_delay, 0)

    def _http_5xx(self) -> None:
        status = self._dice.choice([500, 502, 503, 504])
        self._simulation.exchange.faults.http_error(status, self._dice.randint(1, 4))

    def _rest_banned(self) -> None:
        self.rest_banned = True
        self._simulation.exchange.faults.ban(self._dice.uniform(1, 30))

    def _auth_refused(self) -> bool:
        self._simulation.exchange.faults.auth_error(1)
        return self._cut("private")

    def _upgrade_refused(self) -> bool:
        stream = self._dice.choice(["public", "private", "trade"])
        self._simulation.exchange.faults.refuse_upgrade(stream, 502, self._dice.randint(1, 3))
        return self._cut(stream)

    def _pongs_muted(self) -> None:
        faults, stream = self._simulation.exchange.faults, self._dice.choice(STREAMS)
        faults.mute_pongs(True, stream)
        self._loop.call_later(self._dice.uniform(5, 40), faults.mute_pongs, False, stream)

    def _server_closes(self) -> bool:
        stream = self._dice.choice(["public", "private", "trade"])
        for wire in self._simulation.net.of(stream):
            self._loop.create_task(wire.server.close(self._dice.choice([1000, 1001, 1012])))
        return True

    def _venue_clock_skew(self) -> None:
        skew_ms = self._dice.choice([0, self._dice.randint(-2_000, 2_000)])
        self._simulation.exchange.faults.skew(skew_ms)

    def _traded_outside(self) -> bool:
        return self._simulation.trade_outside(self._dice)

    # The process.

    def _process_killed(self) -> bool:
        return self._simulation.kill(self._dice.uniform(0.0, 5.0))

    def _killed_at_a_point(self) -> bool:
        process = self._simulation.process
        if process is None or not process.alive:
            return False
        process.dies_at = self._dice.choice(["before recording", "recorded"])
        return True

    def _power_lost(self) -> bool:
        return self._simulation.kill(self._dice.uniform(1.0, 8.0), power_lost=True)

    def _process_stopped(self) -> bool:
        """As by SIGTERM; a supervisor starts it again."""
        process = self._simulation.process
        if process is None or not process.alive:
            return False
        process.stop.set()
        return True

    def _loop_stalls(self) -> bool:
        process = self._simulation.process
        if process is None or not process.alive:
            return False
        process.loop.stop_for(self._dice.choice([0.3, 1.0, self._dice.uniform(0, 12)]))
        return True

    def _wall_clock_jumps(self) -> bool:
        process = self._simulation.process
        if process is None or not process.alive:
            return False
        seconds = self._dice.choice([-3600.0, 3600.0, -1.0, 1.0, self._dice.uniform(-5, 5)])
        process.clock.wall_off_ns += int(seconds * 1e9)
        return True

    def _operator(self) -> bool:
        """A person: pauses, kills, cancels everything, and lets go on."""
        process = self._simulation.process
        if process is None or not process.alive or not process.built:
            return False
        kind = self._dice.choice(
            [ControlKind.PAUSE, ControlKind.KILL, ControlKind.CANCEL_ALL, ControlKind.FLATTEN]
        )
        simulation = self._simulation
        simulation.control(process, Control(kind, "simulation"))
        resume = Control(ControlKind.RESUME, "simulation")
        self._loop.call_later(self._dice.uniform(0.5, 10), simulation.control, process, resume)
        return True
