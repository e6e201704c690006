"""Commands on their way to the venue, and its answers on their way back. Time in, events out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from fastbook.replay.backtest.latency import Latency
from fastbook.replay.backtest.venue import SimVenue
from fastbook.types import Command, OrderEvent, Trade

NEVER_NS = 2**62


class Wire:
    """One connection to one `SimVenue`: what is sent arrives in order.

    All times are those at which we see things. A command sent at t reaches the venue at
    t + order latency; we see the book that it met there only when that book has travelled to us,
    so it is matched at t + order latency + feed delay, against the book as we have it then. The
    answer is here at the later of that and t + order latency + answer latency: an answer does
    not overtake the market data of its own moment.
    """

    def __init__(
        self,
        venue: SimVenue,
        entry: Latency,
        answer: Latency,
        feed_delay_ns: Callable[[], int],
    ) -> None:
        self.venue = venue
        self.due_ns = NEVER_NS
        """When something happens next."""
        self._entry = entry
        self._answer = answer
        self._feed_delay_ns = feed_delay_ns
        self._numbers = count()
        self._heap: list[tuple[int, int, Command | None, list[OrderEvent], int]] = []
        self._arrived_ns = 0

    def send(self, commands: Sequence[Command], now_ns: int) -> None:
        """Commands leave now."""
        for command in commands:
            at_venue_ns = max(now_ns + self._entry.draw(), self._arrived_ns)
            self._arrived_ns = at_venue_ns
            seen_ns = at_venue_ns + self._feed_delay_ns()
            self._push(seen_ns, command, [], at_venue_ns)

    def on_books(self, touched: Sequence[int], now_ns: int) -> None:
        self._answer_later(self.venue.on_books(touched, now_ns // 1_000_000), now_ns)

    def on_trades(self, trades: Sequence[Trade], now_ns: int) -> None:
        self._answer_later(self.venue.on_trades(trades, now_ns // 1_000_000), now_ns)

    def tell(self, events: list[OrderEvent], now_ns: int) -> None:
        """The venue says something of its own."""
        self._answer_later(events, now_ns)

    def take(self) -> tuple[int, list[OrderEvent]]:
        """The next happening: its time, and what we are told by it (perhaps nothing)."""
        at_ns, _, command, events, at_venue_ns = heappop(self._heap)
        self.due_ns = self._heap[0][0] if self._heap else NEVER_NS
        if command is None:
            return at_ns, events
        answers = self.venue.execute(command, at_venue_ns // 1_000_000)
        if answers:
            self._push(max(at_ns, at_venue_ns + self._answer.draw()), None, answers, 0)
        return at_ns, []

    def _answer_later(self, events: list[OrderEvent], now_ns: int) -> None:
        """What we see now happened a feed delay ago; its answer left then."""
        if events:
            left_ns = now_ns - self._feed_delay_ns()
            self._push(max(now_ns, left_ns + self._answer.draw()), None, events, 0)

    def _push(
        self, at_ns: int, command: Command | None, events: list[OrderEvent], at_venue_ns: int
    ) -> None:
        heappush(self._heap, (at_ns, next(self._numbers), command, events, at_venue_ns))
        self.due_ns = self._heap[0][0]
