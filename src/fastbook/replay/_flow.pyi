from collections.abc import Sequence
from typing import Self, final

from fastbook.replay._matching import MatchingBook
from fastbook.replay.universe import Market

@final
class MarketFlow:
    """Everybody else in the market: seeded orders, cancels and trades on every book.

    Each market follows its own fair price: a slow trend, plus a displacement that is pulled
    back to zero within seconds and that now and then jumps. The resting sizes lean towards
    where the displacement is going, so the imbalance near the touch says something true about
    the next move. Orders of accounts (owner above 0) are never cancelled, only traded with.

    Same seed, markets and sequence of calls: the same books, byte for byte. One market does
    not depend on how the others are stepped.
    """

    def __new__(
        cls,
        books: Sequence[MatchingBook],
        markets: Sequence[Market],
        *,
        seed: int,
        events_per_s: float = 300.0,
    ) -> Self:
        """Fills every book to some 1,300 levels a side.

        `books` are empty, stand in the order of `markets`, and have room for 12,288 orders
        or more, else ValueError. `seed` is any integer.
        `events_per_s` is how many events of one market make a second of its life: at 300,
        ``step(i, 6)`` every 20 ms plays in real time.
        """

    def step(
        self, index: int, n_events: int
    ) -> tuple[list[tuple[int, int, int, int, int]], list[tuple[int, int, int]]]:
        """Play `n_events` events of market `index`. Call it at least once a frame.

        Returns the fills of account orders as (order_id, owner, taker_side, px, qty), and all
        public trades as (taker_side, px, qty), both in the order they happened. The book is
        uncrossed, both sides have orders, and unless accounts took them more than 1,000
        levels each. About 0.3 µs an event.
        """

    def live(
        self, index: int, seconds: float
    ) -> tuple[list[tuple[int, int, int, int, int]], list[tuple[int, int, int]]]:
        """Let `seconds` (0 to 60) of market `index` pass, calmly and with bursts.

        How many events that are is the market's: its `activity` says how many of
        `events_per_s` it has, and a burst multiplies them for a while. Returns what `step` does.
        """

    def fair_px(self, index: int) -> int:
        """The hidden fair price, rounded to the tick: a mark price that no order can push."""

    @property
    def events(self) -> int: ...
    @property
    def refused(self) -> int:
        """Orders of the flow that a book refused because its pool was full."""
