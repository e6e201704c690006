"""A recorded book with orders of accounts in it: never crossed, and else as recorded."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook.replay._matching import MatchingBook
from fastbook.replay._recorded import RecordedBook

ACCOUNT = 1
Fill = tuple[int, int, int, int, int]
prices = st.integers(90, 110)
sides = st.sampled_from((1, -1))


@dataclass
class Twin:
    """What must be so, kept slowly: recorded levels, and what is left of each account order."""

    said: dict[int, dict[int, int]] = field(default_factory=lambda: {1: {}, -1: {}})
    left: dict[int, int] = field(default_factory=dict)

    def frame(self, middle: int, sizes: list[int], snapshot: bool) -> list[list[tuple[int, int]]]:
        """A recorded frame around `middle`: bids at and below it, asks above."""
        levels: list[list[tuple[int, int]]] = []
        for side in (1, -1):
            now = {middle - side * (n + (side < 0)): q for n, q in enumerate(sizes[::side]) if q}
            named = dict(now)
            if not snapshot:
                named |= {px: 0 for px in self.said[side] if px not in now}
            self.said[side] = now
            levels.append(sorted(named.items(), reverse=side > 0))
        return levels


def check(book: MatchingBook, twin: Twin, fills: list[Fill]) -> None:
    book.check()
    for side in (1, -1):
        mine = [order for order in twin.left if order in book.owned_by(ACCOUNT)]
        shown = {px: 0 for px, _ in book.levels(side)}
        for px in shown:
            shown[px] = sum(qty for _, qty, owner in book.orders(side, px) if owner == 0)
        for px in set(shown) | set(twin.said[side]):
            said = twin.said[side].get(px, 0)
            order_in_way = any(
                (found := book.order(order)) is not None
                and found[0] == -side
                and (px - found[1]) * side >= 0
                for order in mine
            )
            if shown.get(px, 0) != said:
                # Only where an account stands in the way, or took some of it just now.
                assert shown.get(px, 0) < said
                taken = any(taker == side and (px - at) * side >= 0 for *_, taker, at, _ in fills)
                assert order_in_way or taken
    for order, qty in twin.left.items():
        found = book.order(order)
        assert (found[2] if found is not None else 0) == qty


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_book_is_as_recorded_whatever_accounts_do(data: st.DataObject) -> None:
    book, twin = MatchingBook(capacity_orders=512), Twin()
    recorded = RecordedBook(book)
    number = 0
    for _ in range(data.draw(st.integers(1, 25))):
        what = data.draw(st.sampled_from(("frame", "frame", "trade", "rest", "take", "cancel")))
        fills: list[Fill] = []
        if what == "frame":
            sizes = data.draw(st.lists(st.integers(0, 9), min_size=4, max_size=4))
            snapshot = data.draw(st.booleans())
            bids, asks = twin.frame(data.draw(prices), sizes, snapshot)
            fills, trades = recorded.apply(bids, asks, snapshot)
            assert [(s, px, qty) for _, _, s, px, qty in fills] == trades
        elif what == "trade":
            side, px, qty = data.draw(sides), data.draw(prices), data.draw(st.integers(1, 20))
            fills, trades = recorded.trade(side, px, qty, data.draw(st.booleans()))
            assert sum(q for *_, q in trades) == qty
        elif what == "rest":
            side, px, qty = data.draw(sides), data.draw(prices), data.draw(st.integers(1, 9))
            if not book.crosses(side, px):
                number += 1
                book.rest(number, side, px, qty, ACCOUNT)
                twin.left[number] = qty
        elif what == "take":
            side, px, qty = data.draw(sides), data.draw(prices), data.draw(st.integers(1, 30))
            fills = [(m, o, side, p, q) for m, o, p, q in book.match(side, px, qty) if o]
        elif twin.left:
            gone = data.draw(st.sampled_from(sorted(twin.left)))
            book.cancel(gone)
            del twin.left[gone]
        for maker, _, _, _, qty in fills:
            twin.left[maker] -= qty
            assert twin.left[maker] >= 0
        twin.left = {order: qty for order, qty in twin.left.items() if qty}
        if what == "frame":
            check(book, twin, fills)
        else:
            book.check()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(prices, st.lists(st.integers(0, 9), min_size=4, max_size=4)), max_size=20)
)
def test_without_accounts_the_book_is_the_recorded_one(
    frames: list[tuple[int, list[int]]],
) -> None:
    book, twin = MatchingBook(capacity_orders=512), Twin()
    recorded = RecordedBook(book)
    for number, (middle, sizes) in enumerate(frames):
        bids, asks = twin.frame(middle, sizes, number == 0)
        fills, trades = recorded.apply(bids, asks, number == 0)
        assert (fills, trades) == ([], [])
        book.check()
        for side in (1, -1):
            best_first = sorted(twin.said[side].items(), reverse=side > 0)
            assert book.levels(side) == best_first
