"""What stands between the engine's commands and the gateway: written down, or not sent.

Also where a person's marks (KILL, RESUME) and the watchdog's silence become the engine's state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from fastbook.clock import Clock
from fastbook.engine import Engine
from fastbook.errors import StateError
from fastbook.types import (
    AmendOrder,
    AmendRejected,
    CancelOrder,
    Command,
    ControlKind,
    Instrument,
    OrderEvent,
    OrderRejected,
    PlaceOrder,
    Record,
)

from .guard import Guard
from .keeper import Keeper
from .output import counted

log = logging.getLogger("fastbook.state")

LOCAL = 0


class Custody:
    """One for a run. Without a store (a demo) there is none, and nothing is kept.

    Parameters
    ----------
    at_venue : bool
        Orders rest at an exchange that outlives this process.
    """

    def __init__(
        self, keeper: Keeper, guard: Guard | None, clock: Clock, *, at_venue: bool
    ) -> None:
        self.keeper = keeper
        self._guard = guard
        self._clock = clock
        self._at_venue = at_venue
        self.halted = ""
        """Why, since a mark, a full disk or a silent watchdog halted the engine; "" = it is not."""
        self._opened = False

    def start(
        self,
        engine: Engine,
        instruments: Sequence[Instrument],
        control: Callable[[ControlKind, str], None],
        tell: Callable[[list[OrderEvent]], None],
    ) -> None:
        """Restore everything; `control` and `tell` are the engine's front door, with sending."""
        self._control, self._tell = control, tell
        self.keeper.begin(engine, instruments, at_venue=self._at_venue)

    def open(self, now_ns: int) -> None:
        """The gateway is there: restored orders count, and the marks speak."""
        engine = self.keeper.engine
        self.keeper.give_back(engine.orders, now_ns)
        self._opened = True
        if self.keeper.restored:
            log.warning(
                "%s of the last run may be open", counted(len(self.keeper.restored), "order")
            )
        self._heed_marks()

    # --- commands ----------------------------------------------------------------------------

    def release(self, commands: Sequence[Command]) -> Sequence[Command]:
        """What may leave now. Orders that may not are refused, and the engine halts."""
        risky = [c for c in commands if isinstance(c, (PlaceOrder, AmendOrder))]
        if not risky:
            return commands
        why = "the kill switch" if self.keeper.killed else ""
        if not why:
            try:
                self.keeper.record(risky)
                return commands
            except StateError as e:
                why = str(e)
        self.halt(why)
        self._tell([_refusal(command, why) for command in risky])
        return [c for c in commands if not isinstance(c, (PlaceOrder, AmendOrder))]

    def halt(self, why: str) -> None:
        """HALTED, now and after every restart, until a person resumes. Again is nothing."""
        if self.halted:
            return
        try:
            self.keeper.kill.make(why, self._utc())
        except StateError as e:
            log.error("%s", e)  # halted all the same, as long as this process lives
        if self._opened:  # else the mark is heeded when it is
            self.halted = why
            log.error("halted, until `fastbook resume` lifts it: %s", why)
            self._control(ControlKind.KILL, why)

    # --- events, time ------------------------------------------------------------------------

    def note(self, event: OrderEvent) -> None:
        self.keeper.note(event)

    def note_record(self, record: Record) -> None:
        self.keeper.note_record(record)

    def on_timer(self, lag_ms: float) -> None:
        """Heartbeat, marks, and what has changed to disk."""
        if self._guard is not None:
            problem = self._guard.on_timer(self._clock.monotonic_ns(), lag_ms)
            if problem:
                self.halt(problem)
        self._heed_marks()
        try:
            self.keeper.tick(self._clock.now_ns() // 1_000_000)
        except StateError as e:
            self.halt(str(e))

    def _heed_marks(self) -> None:
        if self.keeper.killed:
            self.halt(self.keeper.kill.reason() or "the kill mark")
            return
        if self.keeper.resume.there:
            try:
                self.keeper.resume.clear()
            except StateError as e:
                log.error("%s", e)
                return
            self.halted = ""
            self._control(ControlKind.RESUME, "by a person")

    def strays(self, events: Iterable[OrderEvent]) -> list[Command]:
        """Cancels for open orders of earlier starts that no note knows."""
        found = self.keeper.stray_orders(events)
        if found:
            some = ", ".join(order.client_id for order in found[:3])
            log.error("%s of no start known here: %s", counted(len(found), "open order"), some)
        return [CancelOrder(client_id=o.client_id, instrument=o.instrument) for o in found]

    def close(self, *, clean: bool) -> None:
        """`clean`: no order of ours is left at the venue."""
        try:
            self.keeper.tick(self._clock.now_ns() // 1_000_000, last=True)
        except StateError as e:
            log.error("%s", e)
        if self._guard is not None:
            self._guard.close(self._clock.monotonic_ns(), clean=clean)

    def _utc(self) -> str:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC).isoformat(timespec="seconds")


def _refusal(command: PlaceOrder | AmendOrder, why: str) -> OrderEvent:
    if isinstance(command, PlaceOrder):
        return OrderRejected(client_id=command.client_id, code=LOCAL, reason=why)
    return AmendRejected(client_id=command.client_id, code=LOCAL, reason=why)
