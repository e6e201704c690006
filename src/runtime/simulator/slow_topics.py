"""Public topics that speak by the clock: tickers, candles, price limits, liquidations."""

from __future__ import annotations

from abc import ABC, abstractmethod

import orjson

from fastbook.replay.money import wire_text
from fastbook.types import Category, Instrument

from .candles import Candle, end_of
from .market import Json, SimulatedMarket
from .topics import Reader, Topic

TICKER_S, SPOT_TICKER_S = 0.100, 0.050
KLINE_S = 1.0
PRICE_LIMIT_S = 0.300
LIQUIDATION_S = 0.500


class TimedTopic(Topic, ABC):
    """A topic that looks every `interval_s` whether there is something to say."""

    interval_s = 1.0

    @abstractmethod
    def publish(self, now_ms: int) -> None:
        """Say it, if there is something to say."""


class TickerTopic(TimedTopic):
    """`tickers.{symbol}`: derivatives say what changed, spot repeats everything."""

    def __init__(self, name: str, instrument: Instrument, market: SimulatedMarket) -> None:
        super().__init__(name, instrument, market)
        self._spot = instrument.category is Category.SPOT
        self.interval_s = SPOT_TICKER_S if self._spot else TICKER_S
        self._published: Json = {}
        self._seq = 0

    def join(self, reader: Reader, now_ms: int) -> None:
        if not self.readers:
            self._published = self._market.ticker(self.index, now_ms)
            self._seq = self._market.venue.next_seq()
        self.readers[reader] = None
        self.send(self._frame("snapshot", self._published, now_ms), (reader,))

    def publish(self, now_ms: int) -> None:
        now = self._market.ticker(self.index, now_ms)
        changed = {key: value for key, value in now.items() if self._published[key] != value}
        if not changed:
            return
        self._seq = self._market.venue.next_seq()
        if self._spot:
            self.send(self._frame("snapshot", now, now_ms))
        else:
            for name in ("bid1", "ask1"):  # a price travels with its size
                if f"{name}Price" in changed or f"{name}Size" in changed:
                    changed[f"{name}Price"] = now[f"{name}Price"]
                    changed[f"{name}Size"] = now[f"{name}Size"]
            data = {"symbol": self.instrument.symbol, **changed}
            self.send(self._frame("delta", data, now_ms))
        self._published = now

    def _frame(self, kind: str, data: Json, now_ms: int) -> bytes:
        if self._spot:
            return orjson.dumps(
                {"topic": self.name, "ts": now_ms, "type": kind, "cs": self._seq, "data": data}
            )
        return orjson.dumps(
            {"topic": self.name, "type": kind, "data": data, "cs": self._seq, "ts": now_ms}
        )


class KlineTopic(TimedTopic):
    """`kline.{interval}.{symbol}`: the running candle, and once more when it has closed."""

    interval_s = KLINE_S

    def __init__(
        self, name: str, interval: str, instrument: Instrument, market: SimulatedMarket
    ) -> None:
        super().__init__(name, instrument, market)
        self._interval = interval
        self._start_ms = 0  # of the candle that was last sent as running

    def join(self, reader: Reader, now_ms: int) -> None:
        """A new reader hears the running candle at once."""
        feed = self._market.feeds[self.index]
        candle = feed.candles.latest(self._interval, feed.running(now_ms))
        if not self.readers:
            self._start_ms = candle.start_ms
        self.readers[reader] = None
        row = self._row(candle, now_ms, confirm=False)
        self.send(self._frame([row], now_ms), (reader,))

    def publish(self, now_ms: int) -> None:
        feed = self._market.feeds[self.index]
        minute = feed.running(now_ms)
        candle = feed.candles.latest(self._interval, minute)
        rows = []
        if candle.start_ms > self._start_ms:
            closed = feed.candles.last_closed(self._interval, minute)
            if closed is not None:
                rows.append(self._row(closed, now_ms, confirm=True))
        self._start_ms = candle.start_ms
        rows.append(self._row(candle, now_ms, confirm=False))
        self.send(self._frame(rows, now_ms))

    def _frame(self, rows: list[Json], now_ms: int) -> bytes:
        if self.instrument.category is Category.SPOT:
            return orjson.dumps(
                {"type": "snapshot", "topic": self.name, "data": rows, "ts": now_ms}
            )
        return orjson.dumps({"topic": self.name, "data": rows, "ts": now_ms, "type": "snapshot"})

    def _row(self, candle: Candle, now_ms: int, *, confirm: bool) -> Json:
        px, feed = self.instrument.px_decimal, self._market.feeds[self.index]
        return {
            "start": candle.start_ms,
            "end": end_of(candle.start_ms, self._interval) - 1,
            "interval": self._interval,
            "open": wire_text(px(candle.open)),
            "close": wire_text(px(candle.close)),
            "high": wire_text(px(candle.high)),
            "low": wire_text(px(candle.low)),
            "volume": wire_text(self.instrument.qty_decimal(candle.volume)),
            "turnover": feed.turnover_text(candle.turnover),
            "confirm": confirm,
            "timestamp": now_ms,
        }


class PriceLimitTopic(TimedTopic):
    """`priceLimit.{symbol}`: how far from the market an order may be. Without `type`."""

    interval_s = PRICE_LIMIT_S

    def __init__(self, name: str, instrument: Instrument, market: SimulatedMarket) -> None:
        super().__init__(name, instrument, market)
        self._published: Json = {}

    def join(self, reader: Reader, now_ms: int) -> None:
        self._published = self._market.price_limit(self.instrument)
        self.readers[reader] = None
        self.send(self._frame(now_ms), (reader,))

    def publish(self, now_ms: int) -> None:
        now = self._market.price_limit(self.instrument)
        if now != self._published:
            self._published = now
            self.send(self._frame(now_ms))

    def _frame(self, now_ms: int) -> bytes:
        return orjson.dumps({"topic": self.name, "data": self._published, "ts": now_ms})


class StatusTopic(Topic):
    """`system.status` of the stream `misc/status`: a notice when there is one, no history."""

    def tell(self, notices: list[Json], now_ms: int) -> None:
        self.send(orjson.dumps({"topic": self.name, "ts": now_ms, "data": notices}))


class LiquidationTopic(TimedTopic):
    """`allLiquidation.{symbol}`: every liquidation since the last frame."""

    interval_s = LIQUIDATION_S

    def join(self, reader: Reader, now_ms: int) -> None:
        super().join(reader, now_ms)
        self._market.want_liquidations(self.index, True)

    def leave(self, reader: Reader) -> None:
        super().leave(reader)
        if not self.readers:
            self._market.want_liquidations(self.index, False)

    def publish(self, now_ms: int) -> None:
        rows = self._market.take_liquidations(self.index)
        if rows:
            self.send(
                orjson.dumps({"topic": self.name, "type": "snapshot", "ts": now_ms, "data": rows})
            )
