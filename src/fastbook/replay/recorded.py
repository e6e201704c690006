"""A recording as a market: books that do what was recorded, at their pace, with accounts in them.

Order books set the anonymous liquidity, trades consume it; orders of accounts rest in the queue
behind what was there and are filled by the recorded takers that get to them, or by recorded
orders that cross them. Accounts' takers fill against the recorded book. Nobody recorded reacts
to what accounts do: what they took is back when the recording next speaks of that price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fastbook.core.fixed import parse_fixed
from fastbook.replay._matching import MatchingBook
from fastbook.replay._recorded import RecordedBook
from fastbook.replay.recording import BookFrame, Levels, MarketFrame, RecordedMarket
from fastbook.types import Instrument

GAP_MAX_MS = 60_000
"""A longer silence of the whole recording is played as this one."""
_PAUSE_MS = 1_000  # between the end of a recording and its next beginning
Fills = list[tuple[int, int, int, int, int]]
Trades = list[tuple[int, int, int]]
Happened = tuple[int, Fills, Trades]
"""(index of the instrument, fills of accounts, public trades)."""


@dataclass(slots=True)
class _Driven:
    """One symbol of the recording."""

    index: int
    instrument: Instrument
    depth: int
    book: RecordedBook
    u: int = 0
    seq: int = 0


class RecordedFlow:
    """Plays recorded frames into matching books when they are due."""

    def __init__(
        self,
        books: Sequence[MatchingBook],
        markets: Sequence[RecordedMarket],
        frames: Callable[[], Iterator[MarketFrame]],
        *,
        loop: bool = False,
    ) -> None:
        """`books` are empty, one for each of `markets`; `frames()` begins the recording anew.

        Every book begins as the first snapshot of its symbol.
        """
        self.loops = 0  # how often the recording began again
        self.frames = 0  # that were played
        self.gaps = 0  # messages that the recording has lost
        self.refused = 0  # frames that do not fit the instrument
        self.ended = False
        self._begin = frames
        self._loop = loop
        self._rest = frames()
        self._next: MarketFrame | None = None
        self._due_ms = 0
        self._ts_ms = 0  # of the last frame played
        self._driven: dict[str, _Driven] = {}
        for book, recorded in zip(books, markets, strict=True):
            instrument = recorded.market.instrument
            driven = _Driven(instrument.index, instrument, recorded.depth, RecordedBook(book))
            self._driven[instrument.symbol] = driven
            self._apply_book(driven, recorded.first)
            driven.u = 0

    def due(self, now_ms: int) -> Iterator[Happened]:
        """Play every frame whose time has come; time begins with the first call."""
        if self._due_ms == 0:
            self._due_ms = now_ms
            self._advance()
        while self._next is not None and self._due_ms <= now_ms:
            frame = self._next
            self._advance()
            yield from self._play(frame)

    def next_due_ms(self) -> int:
        """When the next frame is due, on the clock of `due`; 0 when there is none."""
        return self._due_ms if self._next is not None else 0

    def _advance(self) -> None:
        frame = next(self._rest, None)
        pause_ms = 0
        if frame is None and self._loop:
            self.loops += 1
            self._rest = self._begin()
            self._ts_ms, pause_ms = 0, _PAUSE_MS
            for driven in self._driven.values():
                driven.u = driven.seq = 0
            frame = next(self._rest, None)
        self._next = frame
        if frame is None:
            self.ended = True
            return
        passed_ms = frame.ts_ms - self._ts_ms if self._ts_ms else pause_ms
        self._due_ms += min(max(passed_ms, 0), GAP_MAX_MS)
        self._ts_ms = max(self._ts_ms, frame.ts_ms)

    def _play(self, frame: MarketFrame) -> list[Happened]:
        driven = self._driven.get(frame.symbol)
        if driven is None:
            return []
        try:
            if isinstance(frame, BookFrame):
                if frame.depth != driven.depth:
                    return []
                played = [self._apply_book(driven, frame)]
            else:
                played = [self._trade(driven, *trade) for trade in frame.trades]
        except (ValueError, OverflowError):  # more decimals than the instrument has
            self.refused += 1
            return []
        self.frames += 1
        return [(driven.index, fills, trades) for fills, trades in played]

    def _apply_book(self, driven: _Driven, frame: BookFrame) -> tuple[Fills, Trades]:
        if driven.u and not frame.snapshot and frame.u != driven.u + 1:
            self.gaps += 1
        bids = _at_scale(frame.bids, driven.instrument)
        asks = _at_scale(frame.asks, driven.instrument)
        driven.u, driven.seq = frame.u, frame.seq
        # Level 1 has no deltas, and snapshots say everything.
        return driven.book.apply(bids, asks, frame.snapshot)

    @staticmethod
    def _trade(driven: _Driven, side: int, px: str, qty: str, seq: int) -> tuple[Fills, Trades]:
        instrument = driven.instrument
        return driven.book.trade(
            side,
            parse_fixed(px, instrument.price_scale),
            parse_fixed(qty, instrument.qty_scale),
            0 < seq <= driven.seq,
        )


def _at_scale(levels: Levels, instrument: Instrument) -> list[tuple[int, int]]:
    px_scale, qty_scale = instrument.price_scale, instrument.qty_scale
    return [(parse_fixed(px, px_scale), parse_fixed(qty, qty_scale)) for px, qty in levels]
