"""A strategy of your own: one class. It says what it wants; limits and orders are others' work.

Buys when bids far outweigh asks and leaves when that is over. It is here to be read, not to
earn: give it to an `Engine` in place of the bundled one, as tests/test_examples.py does.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastbook.strategy import BookView, PositionView, Row, Strategy, touch
from fastbook.types import OrderIntent, Side


class BidWall(Strategy):
    name = "bidwall"

    def __init__(self, enter: float = 0.6, leave: float = 0.0) -> None:
        self.enter, self.leave = enter, leave

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[OrderIntent]:
        imbalance = book.imbalance(5)  # nan when the book is empty: no comparison is true
        bid, ask = touch(book, position.instrument)
        if position.working:
            return ()  # an order is on its way; wait for what becomes of it
        if position.qty == 0 and imbalance > self.enter:
            side, px = Side.BUY, ask
        elif position.qty > 0 and imbalance < self.leave:
            side, px = Side.SELL, bid
        else:
            return ()
        return (
            OrderIntent(
                instrument=position.instrument.index,
                side=side,
                px=px,  # the limit; orders are immediate-or-cancel unless told otherwise
                qty=position.qty,  # 0 lets the sizing decide
                reduce_only=side is Side.SELL,
                strategy=self.name,
                reason=f"imbalance {imbalance:+.2f}",
            ),
        )
