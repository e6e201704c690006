"""The paper gateway: commands to a `PaperVenue` after a delay, its events back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fastbook.clock import Clock
from fastbook.replay.paper import PaperVenue
from fastbook.types import Command, OrderEvent, OrderRejected, PlaceOrder

LATENCY_S = 0.02
"""From a decision to the venue: what an order by REST from another data centre may take."""

IN_FLIGHT_MAX = 256
"""Commands on their way; one more create is refused, cancels always go."""


class PaperGateway:
    """Implements `app.Gateway`; one event loop, no sockets."""

    def __init__(
        self,
        venue: PaperVenue,
        on_events: Callable[[list[OrderEvent], int], None],
        clock: Clock,
        *,
        latency_s: float = LATENCY_S,
    ) -> None:
        self._venue = venue
        self._on_events = on_events
        self._clock = clock
        self._latency_s = latency_s
        self._in_flight: set[asyncio.TimerHandle] = set()
        self.refused = 0

    def send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, PlaceOrder) and len(self._in_flight) >= IN_FLIGHT_MAX:
                self.refused += 1
                reason = "paper gateway full"
                self._tell([OrderRejected(client_id=command.client_id, code=0, reason=reason)])
                continue
            self._later(command)

    def _later(self, command: Command) -> None:
        def arrive() -> None:
            self._in_flight.discard(handle)
            self._tell(self._venue.execute(command, self._now_ms()))

        handle = asyncio.get_running_loop().call_later(self._latency_s, arrive)
        self._in_flight.add(handle)

    def on_books(self, touched: Sequence[int]) -> None:
        """The books have changed: what rests may trade."""
        self._tell(self._venue.on_books(touched, self._now_ms()))

    async def reconcile(self, since_ms: int = 0) -> list[OrderEvent]:
        return self._venue.snapshot(self._now_ms())

    async def close(self, grace_s: float = 3.0) -> None:
        for handle in self._in_flight:
            handle.cancel()
        self._in_flight.clear()

    def _tell(self, events: list[OrderEvent]) -> None:
        if events:
            self._on_events(events, self._clock.now_ns())

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000
