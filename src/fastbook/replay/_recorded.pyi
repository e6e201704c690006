from collections.abc import Iterable
from typing import Self, final

from fastbook.replay._matching import MatchingBook

@final
class RecordedBook:
    """Sets the anonymous orders of one matching book from recorded levels and trades.

    After every `apply` the anonymous quantity at each price is the recorded one, except where
    an order of an account stands in the way, which recorded orders then trade with. What
    accounts took is back when the recording next speaks of that price.
    """

    def __new__(cls, book: MatchingBook) -> Self:
        """`book` must be empty, else ValueError. Its anonymous orders are this object's."""

    def apply(
        self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], snapshot: bool
    ) -> tuple[list[tuple[int, int, int, int, int]], list[tuple[int, int, int]]]:
        """Take one recorded frame: (px, quantity there now) of each level that it names.

        Returns what orders that came meanwhile took from accounts, as (order_id, owner,
        taker_side, px, qty), and the public trades (taker_side, px, qty) of that. The book is never crossed.
        About 0.3 µs a level.
        """

    def trade(
        self, side: int, px: int, qty: int, late: bool = False
    ) -> tuple[list[tuple[int, int, int, int, int]], list[tuple[int, int, int]]]:
        """Take one recorded trade of a taker on `side`.

        It consumes the queue at `px`, and account orders at better prices first. `late`: the
        recorded book shows this trade already, so only accounts' places in the queue change.
        ValueError unless `side` is 1 or -1, and `px` and `qty` are positive.
        """

    def recorded(self, side: int, px: int) -> int:
        """What the recording last said of a price, 0 when nothing is there."""

    @property
    def refused(self) -> int:
        """Levels that the book refused because its pool was full."""
