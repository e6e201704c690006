"""What a strategy is given, and what it may answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastbook.core.states import BookState
from fastbook.types import Execution, Instrument, OrderIntent, Trade


class BookView(Protocol):
    """The readings of a `Book` that decisions use. Valid only inside the call that gave it.

    Prices and spreads are floats in quote units, nan when a side is empty; `*_px` are integers
    at the book's own `price_scale`, 0 when the side is empty (see `touch`).
    """

    @property
    def symbol(self) -> str: ...
    @property
    def state(self) -> BookState: ...
    @property
    def price_scale(self) -> int: ...
    @property
    def best_bid_px(self) -> int: ...
    @property
    def best_ask_px(self) -> int: ...
    @property
    def best_bid(self) -> float: ...
    @property
    def best_ask(self) -> float: ...
    @property
    def mid(self) -> float: ...
    @property
    def spread_bps(self) -> float: ...
    @property
    def microprice(self) -> float: ...
    @property
    def u(self) -> int: ...
    @property
    def ts_ms(self) -> int: ...
    @property
    def recv_ns(self) -> int: ...
    def imbalance(self, levels: int = 10) -> float: ...
    def vwap(self, levels: int = 10) -> tuple[float, float]: ...
    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...


class Row(Protocol):
    """One float64 row of signals, indexed by `Signal`; nan where there is no answer yet."""

    def __getitem__(self, column: int, /) -> float: ...


def touch(book: BookView, instrument: Instrument) -> tuple[int, int]:
    """Best bid and ask as integers of the instrument (0 = empty side), off the grid never:

    the wire may show more decimals than the instrument has, and a price in between would be
    nobody's; such a bid is read lower and such an ask higher.
    """
    scale = book.price_scale
    return (
        instrument.px_from(book.best_bid_px, scale),
        instrument.px_from(book.best_ask_px, scale, up=True),
    )


@dataclass(frozen=True, slots=True)
class PositionView:
    """What a strategy holds in one instrument.

    `qty` is signed, fixed-point. `entry_px` is the average price of what is open as a float, nan
    when flat. `working` counts own orders whose story is not over: sent, resting, unknown, or
    filled according to the venue while the fills themselves are still on their way. While it is
    above 0, `qty` may be about to change.
    """

    instrument: Instrument
    qty: int
    entry_px: float
    working: int


class Strategy:
    """Base of every strategy: does nothing until a method is overridden.

    Every method answers with intents (none by default). They are wishes: limits, sizing (an
    intent with `qty` 0) and the way of execution are decided elsewhere, and so is whether
    anything is sent. Calls come one at a time. Books are SYNCED and fresh, or the strategy is
    not called. Keep time by the `recv_ns` given, never by a clock: the same events must give the
    same intents live and in replay. An exception disables the strategy and cancels its orders.

    Attributes
    ----------
    name : str
        Tag of its orders and records. The first eight of its [A-Za-z0-9_] go into client ids.
    symbols : frozenset of str, or None
        What it trades; None is everything. A symbol has one strategy.
    """

    name: str = "strategy"
    symbols: frozenset[str] | None = None

    def on_start(self, instruments: Sequence[Instrument]) -> None:
        """Called once, before anything else, with the instruments that are its own."""

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[OrderIntent]:
        """One of its books changed. The hot path: a microsecond here is one a book."""
        return ()

    def on_trade(self, trade: Trade, position: PositionView) -> Iterable[OrderIntent]:
        """Somebody traded."""
        return ()

    def on_fill(self, execution: Execution, position: PositionView) -> Iterable[OrderIntent]:
        """One of its own orders traded; `position` includes it. Once for each execution."""
        return ()

    def on_timer(self, recv_ns: int) -> Iterable[OrderIntent]:
        """Some time passed."""
        return ()
