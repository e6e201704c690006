"""The recordings that drive symbols of the exchange: files to markets and their flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fastbook.errors import ConfigError
from fastbook.replay.matching import Market, MatchingBook
from fastbook.replay.recorded import RecordedFlow
from fastbook.replay.recording import MarketFrame, RecordedMarket, market_frames, recorded_markets
from fastbook.replay.source import RecordedFrame, read_frames
from fastbook.types import Category

from ..files import read_lines


class Recordings:
    """Files of recorded v5 frames, read once to learn what is in them, then played."""

    def __init__(self, files: Sequence[Path], categories: Sequence[Category] = ()) -> None:
        """ConfigError: no such file, or no order book in them. With `categories`, only these."""
        self._files = files
        try:
            self.found = recorded_markets(self.frames(), categories)
        except OSError as e:
            raise ConfigError(f"{e.filename}: {e.strerror}") from None

    def frames(self) -> Iterator[MarketFrame]:
        """From the beginning. DataFileError where a file cannot be read, with its line."""
        return market_frames(*map(self._lines, self._files))

    @staticmethod
    def _lines(path: Path) -> Iterator[RecordedFrame]:
        return read_frames(read_lines(path), str(path))

    def categories(self) -> tuple[Category, ...]:
        return tuple(dict.fromkeys(r.market.instrument.category for r in self.found))

    def join(self, markets: Sequence[Market]) -> list[Market]:
        """`markets` but for those that the recordings play, then these; indexes count through."""
        names = {self._key(recorded.market) for recorded in self.found}
        joined = [market for market in markets if self._key(market) not in names]
        joined += [recorded.market for recorded in self.found]
        joined = [
            replace(market, instrument=replace(market.instrument, index=index))
            for index, market in enumerate(joined)
        ]
        self.found = [
            RecordedMarket(market, recorded.depth, recorded.first)
            for market, recorded in zip(joined[-len(self.found) :], self.found, strict=True)
        ]
        return joined

    @staticmethod
    def _key(market: Market) -> tuple[Category, str]:
        return market.instrument.category, market.instrument.symbol

    def flow(self, books: Sequence[MatchingBook], *, loop: bool) -> RecordedFlow:
        """`books` of the recorded markets, in their order."""
        return RecordedFlow(books, self.found, self.frames, loop=loop)
