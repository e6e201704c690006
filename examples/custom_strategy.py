"""A strategy of your own: one class in one file.

It says what it wants; limits and orders are others' work. This one buys when bids far outweigh
asks, and leaves when that is over, at a loss, or after a while. It is here to be read, not to
earn. Run it with `fastbook run examples/custom_strategy.toml --seconds 30`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastbook.strategy import BookView, PositionView, Row, Strategy, touch
from fastbook.types import OrderIntent, Side


@dataclass(frozen=True)
class BidWallParams:
    """The keys of its section in the configuration; checked by type, and here by sense."""

    enter: float = 0.6
    leave: float = 0.0
    stop_pct: float = 0.5
    holding_s: float = 60.0

    def __post_init__(self) -> None:
        if not -1 <= self.leave < self.enter <= 1:
            raise ValueError(f"need -1 <= leave < enter <= 1: {self.leave}, {self.enter}")


class BidWall(Strategy):
    name = "bidwall"
    Params = BidWallParams

    def __init__(self, params: BidWallParams | None = None) -> None:
        self.params = params or BidWallParams()
        self.stop_loss_pct = self.params.stop_pct  # the venue gets a stop behind this one
        self._since_ns: dict[int, int] = {}

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[OrderIntent]:
        index = position.instrument.index
        bid, ask = touch(book, position.instrument)
        if position.working:
            return ()  # an order is on its way; wait for what becomes of it
        if position.qty > 0:
            reason = self._why_leave(book, position)
            if not reason:
                return ()
            side, px = Side.SELL, bid
        else:
            imbalance = book.imbalance(5)  # nan when the book is empty: no comparison is true
            if position.qty < 0 or not imbalance > self.params.enter:
                return ()
            self._since_ns[index] = book.recv_ns
            side, px, reason = Side.BUY, ask, f"imbalance {imbalance:+.2f}"
        return (
            OrderIntent(
                instrument=index,
                side=side,
                px=px,  # the limit; orders are immediate-or-cancel unless told otherwise
                qty=position.qty,  # 0 lets the sizing decide
                reduce_only=side is Side.SELL,
                strategy=self.name,
                reason=reason,
            ),
        )

    def _why_leave(self, book: BookView, position: PositionView) -> str:
        """By signal, by loss, or by time; nothing while there is no reason."""
        held_s = (book.recv_ns - self._since_ns.get(position.instrument.index, 0)) / 1e9
        loss_pct = (1.0 - book.best_bid / position.entry_px) * 100.0
        if book.imbalance(5) < self.params.leave:
            return "the wall is gone"
        if loss_pct >= self.params.stop_pct:
            return f"stop at {loss_pct:.2f} %"
        return f"held for {held_s:.0f} s" if held_s >= self.params.holding_s else ""
