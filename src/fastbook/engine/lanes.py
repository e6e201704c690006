"""One instrument as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fastbook.strategy.bars import BarBuilder
from fastbook.strategy.base import BookView, PositionView, Row, Strategy
from fastbook.types import Instrument, Intent

OnBook = Callable[[BookView, Row, PositionView], Iterable[Intent]]


class SignalRows(Protocol):
    """Where the rows come from: a `SignalSet`."""

    def row(self, index: int) -> Row: ...


@dataclass(slots=True, eq=False)
class Lane:
    """An instrument with its book, its signals, its position, and whose it is."""

    instrument: Instrument
    book: BookView
    row: Row
    view: PositionView
    strategy: Strategy | None = None
    on_book: OnBook | None = None
    trade_bars: BarBuilder | None = None
    mark_px: int = 0  # the venue's mark price, rounded to its scale; 0 = not told
    mark_ns: int = 0
