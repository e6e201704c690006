from typing import Self, final

@final
class MatchingBook:
    """Price-time priority book of one instrument: whole orders, exact 64-bit integers.

    Sides are +1 (buy, bids) and -1 (sell, asks); `fastbook.types.Side` fits. `px` and `qty`
    are fixed-point at the caller's scales, at least 1. Owner 0 is the anonymous market, any
    other owner an account. Never crossed: `match` first, then `rest` what is left.
    Not thread-safe.
    """

    def __new__(cls, capacity_orders: int = 65_536) -> Self:
        """Room for `capacity_orders` resting orders (1 to 2**24); memory is taken as it fills."""

    @property
    def capacity_orders(self) -> int: ...
    @property
    def order_count(self) -> int:
        """Orders resting."""

    @property
    def refused_full(self) -> int:
        """Orders refused because the pool was full."""

    def match(self, side: int, px: int, qty: int) -> list[tuple[int, int, int, int]]:
        """Fill a taker of `side` up to its limit `px`, best price first, oldest order first.

        Returns the fills (maker_order_id, maker_owner, px, qty), each at the maker's price.
        A maker that is used up leaves the book. Nothing rests: what was not filled is
        ``qty - sum(fill qty)``. The taker's own resting orders are not spared: the caller
        who wants self-match prevention cancels them first. O(fills).
        """

    def rest(self, order_id: int, side: int, px: int, qty: int, owner: int = 0) -> None:
        """Put an order at the back of the queue at `px`.

        Raises ValueError when the id is already resting or the price crosses, OverflowError
        when the side's total quantity would pass 64 bits, CapacityError when the pool is
        full; the book is then unchanged. Ids are the caller's: any positive number;
        `MarketFlow` uses the negative ones.
        """

    def cancel(self, order_id: int) -> int:
        """Take the order out; its remaining quantity, 0 when there is no such order."""

    def reduce(self, order_id: int, remaining: int) -> int:
        """Lower what remains of an order, which keeps its place in the queue.

        Returns the quantity taken off, 0 when there is no such order. `remaining` must be 1
        to what is there now, else ValueError.
        """

    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """(side, px, remaining qty, owner), or None."""

    def ahead(self, order_id: int) -> int:
        """Quantity that fills before this order at its price; -1 for an unknown id. O(queue)."""

    def best_bid(self) -> int:
        """Highest bid price, 0 when there is none."""

    def best_ask(self) -> int:
        """Lowest ask price, 0 when there is none."""

    def crosses(self, side: int, px: int) -> bool:
        """Whether an order of `side` at limit `px` would trade at once."""

    def available(self, side: int, px: int) -> int:
        """Quantity that a taker of `side` limited at `px` could fill now (for FOK). O(levels)."""

    def level_count(self, side: int) -> int: ...
    def levels(self, side: int, n: int | None = None) -> list[tuple[int, int]]:
        """The best `n` levels of one side (all of them by default) as (px, qty), best first."""

    def orders(self, side: int, px: int) -> list[tuple[int, int, int]]:
        """The queue at one price, first in line first: (order_id, remaining qty, owner)."""

    def owned_by(self, owner: int) -> list[int]:
        """Ids of the resting orders of one owner, in no particular order. O(capacity used)."""

    def check(self) -> None:
        """Raise BookInvariantError if any rule of the structure is broken. O(orders)."""
