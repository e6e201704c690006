"""What a strategy is given, and what it may answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastbook.core.states import BookState
from fastbook.strategy.bars import Bar, BarSource
from fastbook.types import Execution, Instrument, Intent, Trade


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

    Every method answers with intents (none by default): an `OrderIntent` for one order, or a
    `Quote` for what is to rest. They are wishes: limits, sizing (an order with `qty` 0) and the way
    of execution are decided elsewhere, and so is whether anything is sent. Calls come one at a
    time. Books are SYNCED and fresh, or `on_book` and `on_trade` are not called. Keep time by the
    stamps given, never by a clock: the same events must give the same intents live and in replay.
    An exception disables the strategy and cancels its orders.

    Attributes
    ----------
    name : str
        Tag of its orders and records. The first eight of its [A-Za-z0-9_] go into client ids.
    symbols : frozenset of str, or None
        What it trades; None is everything. A symbol has one strategy.
    bar_ms : int
        Length of the bars that `on_bar` gets; 0 = none.
    bar_source : BarSource
        What they are made of.
    warm_up_bars : int
        How many bars of history `warm_up` wants before trading; 0 = none.
    stop_loss_pct, take_profit_pct : float
        Per cent of the entry price at which it leaves by itself; 0 = it has none. Stops at the
        venue are put behind these, for when the program cannot act.
    quiet_below : float
        While flat and without orders in an instrument, `on_book` answers nothing, and changes
        nothing, as long as |ZSCORE| is below this or nan. A backtest then need not ask. 0 = ask.
    quiet_lean : float
        The same while the imbalance against the stretch (IMBALANCE at a z-score below 0, else its
        negative) is below this. -2 = it does not matter.
    Params : type, optional
        Frozen dataclass of its parameters. With it, a configuration section can set them, and
        the strategy is made as `cls(params)`; without it, as `cls()`.
    """

    name: str = "strategy"
    symbols: frozenset[str] | None = None
    bar_ms: int = 0
    bar_source: BarSource = BarSource.MIDS
    warm_up_bars: int = 0
    stop_loss_pct: float = 0.0
    take_profit_pct: float = 0.0
    quiet_below: float = 0.0
    quiet_lean: float = -2.0
    Params: type | None = None

    def on_start(self, instruments: Sequence[Instrument]) -> None:
        """Called once, before anything else, with the instruments that are its own."""

    def warm_up(self, instrument: Instrument, bars: Sequence[Bar]) -> None:
        """History of one instrument, oldest first, before trading starts. May be short, or empty."""

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[Intent]:
        """One of its books changed. The hot path: a microsecond here is one a book."""
        return ()

    def on_trade(self, trade: Trade, position: PositionView) -> Iterable[Intent]:
        """Somebody traded."""
        return ()

    def on_bar(self, bar: Bar, book: BookView, position: PositionView) -> Iterable[Intent]:
        """A bar has closed. The book is as it is now; `on_book` or `on_trade` follows."""
        return ()

    def on_fill(self, execution: Execution, position: PositionView) -> Iterable[Intent]:
        """One of its own orders traded; `position` includes it. Once for each execution."""
        return ()

    def on_timer(self, recv_ns: int) -> Iterable[Intent]:
        """Some time passed."""
        return ()

    def state(self) -> dict[str, Any] | None:  # Any: JSON
        """What it wants to find again after a restart, as plain values; None = nothing."""
        return None

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        """What `state` gave before the restart; after `on_start`, before `warm_up`."""
