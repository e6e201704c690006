"""`orderbook.rpi`: the book with retail price improvement orders beside it. Nobody here has any."""

from __future__ import annotations

import orjson

from fastbook.replay.matching import DepthPublisher
from fastbook.types import Instrument

from .market import Json, SimulatedMarket
from .slow_topics import TimedTopic
from .topics import Reader

RPI_S = 0.100
RPI_DEPTH = 50
_MATCH_LAG_MS = 1


class RpiTopic(TimedTopic):
    """`orderbook.rpi.{symbol}`: rows of price, ordinary and RPI quantity; the last is always 0."""

    interval_s = RPI_S

    def __init__(self, name: str, instrument: Instrument, market: SimulatedMarket) -> None:
        super().__init__(name, instrument, market)
        self.publisher = DepthPublisher(
            market.books[instrument.index],
            RPI_DEPTH,
            f"orderbook.{RPI_DEPTH}.{instrument.symbol}",
            str(instrument.category),
            instrument.price_scale,
            instrument.qty_scale,
        )

    def join(self, reader: Reader, now_ms: int) -> None:
        frame = self.standing(now_ms)
        self.readers[reader] = None
        self.send(orjson.dumps(frame), (reader,))

    def publish(self, now_ms: int) -> None:
        payload = self._delta(now_ms)
        if payload is not None:
            self.send(orjson.dumps(self._frame(payload)))

    def standing(self, now_ms: int) -> Json:
        """What stands published, as a snapshot; brought up to date where nobody reads it."""
        if not self.readers or self.publisher.u == 0:
            self._delta(now_ms)
        return self._frame(self.publisher.repeat(now_ms))

    def _delta(self, now_ms: int) -> bytes | None:
        return self.publisher.delta(now_ms, now_ms - _MATCH_LAG_MS, self._market.venue.next_seq())

    def _frame(self, payload: bytes) -> Json:
        """A frame of the ordinary topic as one of this; keys in this topic's order."""
        frame = orjson.loads(payload)
        data = frame["data"]
        for side in ("b", "a"):
            data[side] = [[px, qty, "0"] for px, qty in data[side]]
        return {
            "topic": self.name,
            "ts": frame["ts"],
            "type": frame["type"],
            "data": data,
            "cts": frame["cts"],
        }
