"""A stop at the venue for every position: what holds when the program cannot act.

The venue's stops lie behind those that the strategy itself acts on, and cover the whole position
whatever its size becomes. What the venue has not shown is asked for again; a position that gets
no stop is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastbook.engine.desk import OPERATOR, Desk
from fastbook.engine.lanes import Lane
from fastbook.risk.protection import ProtectionParams
from fastbook.types import (
    Category,
    Command,
    OrderIntent,
    SetStops,
    StopsRejected,
    StopsSet,
    TimeInForce,
    TradingState,
)

_SHOWN_MS = 5_000
"""After the venue took the stops: how long until it must have shown them."""


@dataclass(slots=True)
class _Guard:
    """What was asked for one position."""

    sign: int
    stops: tuple[int, int]
    due_ns: int
    attempts: int = 0
    shown: bool = False


class Protection:
    """One guard for each open position."""

    def __init__(self, desk: Desk, params: ProtectionParams) -> None:
        self._desk = desk
        self._params = params
        self._guards: dict[int, _Guard] = {}

    def attach(self, lane: Lane, intent: OrderIntent) -> OrderIntent:
        """An entry that takes at once carries its stops, so that none is without for a moment.

        Resting quotes do not: on their fill the position may be on either side.
        """
        if intent.reduce_only or intent.tif is TimeInForce.POST_ONLY or intent.stop_loss_px:
            return intent
        if not self._applies(lane) or lane.view.qty * intent.side < 0 or intent.px <= 0:
            return intent
        loss_px, profit_px = self._stops(lane, float(intent.px), int(intent.side))
        return replace(intent, stop_loss_px=loss_px, take_profit_px=profit_px)

    def on_answer(self, event: StopsSet | StopsRejected, recv_ns: int) -> None:
        """A yes is believed when the position row shows it; a no is tried again, a few times."""
        guard = self._guards.get(event.instrument)
        if isinstance(event, StopsRejected):
            self._desk.stats.stops_rejected += 1
            return
        self._desk.stats.stops_set += 1
        if guard is not None:
            guard.due_ns = recv_ns + _SHOWN_MS * 1_000_000

    def on_timer(self, state: TradingState, linked: bool, recv_ns: int) -> list[Command]:
        """Ask for what the venue does not show; leave what it will not protect. O(positions)."""
        commands: list[Command] = []
        held = self._desk.portfolio.open_instruments
        for index in [i for i in self._guards if i not in held]:
            del self._guards[index]
        for index in sorted(held):
            lane = self._desk.lanes[index]
            if self._applies(lane):
                commands += self._guard(lane, state, linked, recv_ns)
        return commands

    def unprotected(self) -> list[int]:
        """Instruments with a position whose stop the venue has not shown yet."""
        return [i for i, guard in self._guards.items() if not guard.shown]

    def _guard(self, lane: Lane, state: TradingState, linked: bool, recv_ns: int) -> list[Command]:
        index, view = lane.instrument.index, lane.view
        sign = 1 if view.qty > 0 else -1
        wanted = self._stops(lane, view.entry_px * 10**lane.instrument.price_scale, sign)
        guard = self._guards.get(index)
        if guard is None or guard.sign != sign:
            guard = self._guards[index] = _Guard(sign, wanted, recv_ns)
        if self._moved(lane, guard.stops, wanted):
            guard.stops, guard.due_ns, guard.attempts = wanted, recv_ns, 0
        venue = self._desk.portfolio.stops(index)
        guard.shown = venue[0] > 0 and not self._moved(lane, venue, wanted)
        if guard.shown:
            guard.attempts = 0
            guard.due_ns = recv_ns
            return []
        if recv_ns < guard.due_ns:
            return []
        if guard.attempts >= self._params.attempts_max:
            return self._leave(lane, state, linked, guard, recv_ns)
        guard.attempts += 1
        guard.due_ns = recv_ns + self._params.repeat_ms * 1_000_000
        loss_px, profit_px = guard.stops
        leg = 0
        if self._desk.portfolio.hedged(index):
            leg = 1 if sign > 0 else 2
        command = SetStops(
            instrument=index, stop_loss_px=loss_px, take_profit_px=profit_px, position_idx=leg
        )
        return self._desk.noted([command], recv_ns)

    def _leave(
        self, lane: Lane, state: TradingState, linked: bool, guard: _Guard, recv_ns: int
    ) -> list[Command]:
        """No stop to be had. Without the private link the venue may show it and we not see it."""
        guard.due_ns = recv_ns + self._params.repeat_ms * 1_000_000
        index = lane.instrument.index
        if not linked:
            guard.attempts -= 1  # then one more attempt is worth more than an exit
            return []
        if any(o.strategy == OPERATOR for o in self._desk.orders.working(index)):
            return []
        self._desk.stats.unprotected += 1
        said = f"{lane.instrument.symbol}: no stop after {guard.attempts} attempts, leaving"
        self._desk.journal.append("unprotected", said, recv_ns)
        return self._desk.leave(index, "no stop at the venue", state, recv_ns)

    def _applies(self, lane: Lane) -> bool:
        return (
            self._params.enabled
            and lane.instrument.category is Category.LINEAR
            and self._loss_pct(lane) > 0
        )

    def _loss_pct(self, lane: Lane) -> float:
        own = lane.strategy.stop_loss_pct if lane.strategy is not None else 0.0
        return own * self._params.slack if own > 0 else self._params.stop_loss_pct

    def _stops(self, lane: Lane, entry: float, sign: int) -> tuple[int, int]:
        """Stop loss and take profit for an entry price in units of the instrument's scale.

        The loss is rounded towards the entry, the profit away from it, both onto the grid.
        """
        tick = lane.instrument.tick
        loss = entry * (1.0 - sign * self._loss_pct(lane) / 100.0)
        loss_px = _to_grid(loss, tick, up=sign > 0)
        own = lane.strategy.take_profit_pct if lane.strategy is not None else 0.0
        if own <= 0:
            return loss_px, 0
        profit = entry * (1.0 + sign * own * self._params.slack / 100.0)
        return loss_px, _to_grid(profit, tick, up=sign > 0)

    def _moved(self, lane: Lane, old: tuple[int, int], new: tuple[int, int]) -> bool:
        """Whether the entry price has moved so far that the stops have to follow."""
        entry = lane.view.entry_px * 10**lane.instrument.price_scale
        tolerance = max(abs(entry - new[0]) * self._params.move_share, lane.instrument.tick)
        return any(abs(a - b) > tolerance for a, b in zip(old, new, strict=True))


def _to_grid(exact: float, tick: int, *, up: bool) -> int:
    px = round(exact, 6)  # a product that misses a whole number by a bit is that number
    down_px = int(px // tick) * tick
    return max(down_px + tick if up and down_px < px else down_px, tick)
