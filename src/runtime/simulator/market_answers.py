"""Results of the market data endpoints, as plain values. No HTTP here."""

from __future__ import annotations

from decimal import Decimal

import orjson

from fastbook.replay.money import wire_text
from fastbook.types import Category, Instrument

from .candles import INTERVALS, Candle
from .hub import TopicHub
from .instrument_rows import contract_info, risk_limit_rows, spot_info
from .market import Json, SimulatedMarket
from .query import Query, bad, known_category, limit_of, millis_of, paged
from .rpi import RPI_DEPTH, RpiTopic

NOTICE_STATES = ("scheduled", "ongoing", "completed", "canceled")
FUTURES_ONLY = {  # REST tickers have these, the stream does not
    "predictedDeliveryPrice": "",
    "basisRate": "",
    "deliveryFeeRate": "",
    "deliveryTime": "0",
    "basis": "",
}


class MarketAnswers:
    """Reads the market for REST. Categories that are not played here have no symbols."""

    def __init__(self, market: SimulatedMarket, hub: TopicHub) -> None:
        self._market = market
        self._hub = hub
        self._notices: list[Json] = []

    def instrument(self, query: Query, category: str = "") -> Instrument:
        category = known_category(query, category)
        return self._market.venue.instrument(category, query.get("symbol", ""))

    def time(self, query: Query, now_ms: int) -> Json:
        return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}

    def system_status(self, query: Query, now_ms: int) -> Json:
        state, wanted = query.get("state", ""), query.get("id", "")
        if state not in ("", *NOTICE_STATES):
            raise bad("state invalid")
        rows = [
            row
            for row in self._notices
            if (not state or row["state"] == state) and (not wanted or row["id"] == wanted)
        ]
        return {"list": rows}

    def announce(self, state: str, title: str, now_ms: int) -> list[Json]:
        """One notice of maintenance from now on, which is returned; none when the state is empty."""
        notice = {
            "id": f"notice-{now_ms}",
            "title": title,
            "state": state,
            "begin": str(now_ms),
            "end": "0",
            "href": "",
            "serviceTypes": [1, 2, 3, 4, 5],
            "product": [1, 2],
            "uidSuffix": [],
            "maintainType": 1,
            "env": 1,
        }
        self._notices = [notice] if state else []
        return self._notices

    def instruments_info(self, query: Query, now_ms: int) -> Json:
        category = known_category(query)
        spot = category == Category.SPOT
        limit = limit_of(query, 500, 1000)
        symbol, base = query.get("symbol"), query.get("baseCoin")
        wanted = [
            i
            for i in self._market.in_category(category)
            if (not symbol or i.symbol == symbol)
            and (not base or i.base == base)
            and i.trading == (query.get("status", "Trading") == "Trading")
        ]
        if symbol and (category, symbol) not in self._market.by_symbol:
            raise bad("symbol invalid")
        if spot:
            return {"category": category, "list": [spot_info(i) for i in wanted]}
        rows, cursor = paged(map(contract_info, wanted), ("symbol",), query, limit)
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def orderbook(self, query: Query, now_ms: int) -> Json:
        """Equal to the 1000-level stream: same `u`, `seq` and levels, zeros stripped."""
        instrument = self.instrument(query)
        default = 1 if instrument.category is Category.SPOT else 25
        limit = limit_of(query, default, 1000)
        topic = self._hub.book(1000, instrument)
        if not topic.readers:
            topic.publisher.delta(now_ms, now_ms - 1, self._market.venue.next_seq())
        frame = orjson.loads(topic.publisher.repeat(now_ms))
        data = frame["data"]
        sides = {
            side: [
                [wire_text(Decimal(px)), wire_text(Decimal(qty))] for px, qty in data[side][:limit]
            ]
            for side in ("b", "a")
        }
        return {
            "s": instrument.symbol,
            **sides,
            "ts": frame["ts"],
            "u": data["u"],
            "seq": data["seq"],
            "cts": frame["cts"],
        }

    def rpi_orderbook(self, query: Query, now_ms: int) -> Json:
        """Equal to `orderbook.rpi`: same `u`; rows of price, ordinary and RPI quantity."""
        instrument = self.instrument(query, "linear")
        if not query.get("limit"):
            raise bad("limit is required")
        limit = limit_of(query, RPI_DEPTH, RPI_DEPTH)
        topic = self._hub.find(f"orderbook.rpi.{instrument.symbol}", str(instrument.category))
        assert isinstance(topic, RpiTopic)
        frame = topic.standing(now_ms)
        data = frame["data"]
        sides = {
            side: [[wire_text(Decimal(text)) for text in row] for row in data[side][:limit]]
            for side in ("b", "a")
        }
        return {
            "s": instrument.symbol,
            **sides,
            "ts": frame["ts"],
            "u": data["u"],
            "seq": data["seq"],
            "cts": frame["cts"],
        }

    def tickers(self, query: Query, now_ms: int) -> Json:
        category = known_category(query)
        instruments = self._market.in_category(category)
        if query.get("symbol"):
            instruments = [self.instrument(query)]
        rows = []
        for instrument in instruments:
            row = self._market.ticker(instrument.index, now_ms)
            extra = {} if category == Category.SPOT else FUTURES_ONLY
            rows.append({**row, **self._market.best(instrument.index), **extra})
        return {"category": category, "list": rows}

    def recent_trades(self, query: Query, now_ms: int) -> Json:
        instrument = self.instrument(query)
        most = 60 if instrument.category is Category.SPOT else 1000
        limit = limit_of(query, min(most, 500), most)
        feed = self._market.feeds[instrument.index]
        newest = list(feed.recent)[::-1][:limit]
        rows = [
            {
                "execId": trade.trade_id,
                "symbol": instrument.symbol,
                "price": self._market.px_text(instrument, trade.px),
                "size": self._market.qty_text(instrument, trade.qty),
                "side": trade.side.wire,
                "time": str(trade.ts_ms),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(trade.seq),
            }
            for trade in newest
        ]
        return {"category": str(instrument.category), "list": rows}

    def kline(self, query: Query, now_ms: int) -> Json:
        instrument = self.instrument(query, "linear")
        interval = query.get("interval", "")
        if interval not in INTERVALS:
            raise bad("interval invalid")
        limit = limit_of(query, 200, 1000)
        start, end = millis_of(query, "start", 0), millis_of(query, "end", now_ms)
        feed = self._market.feeds[instrument.index]
        candles = feed.candles.of(interval, feed.running(now_ms))
        wanted = [c for c in candles if start <= c.start_ms <= end][-limit:]
        return {
            "category": str(instrument.category),
            "symbol": instrument.symbol,
            "list": [self._kline_row(instrument, c) for c in reversed(wanted)],
        }

    def _kline_row(self, instrument: Instrument, candle: Candle) -> list[str]:
        prices = (candle.open, candle.high, candle.low, candle.close)
        feed = self._market.feeds[instrument.index]
        return [
            str(candle.start_ms),
            *(wire_text(instrument.px_decimal(px)) for px in prices),
            wire_text(instrument.qty_decimal(candle.volume)),
            feed.turnover_text(candle.turnover),
        ]

    def price_limit(self, query: Query, now_ms: int) -> Json:
        instrument = self.instrument(query, "linear")
        return {**self._market.price_limit(instrument), "ts": str(now_ms)}

    def risk_limit(self, query: Query, now_ms: int) -> Json:
        category = known_category(query)
        if category == Category.SPOT:
            raise bad("category invalid")
        instruments = self._market.in_category(category)
        if query.get("symbol"):
            instruments = [self.instrument(query)]
        rows = [row for i in instruments for row in risk_limit_rows(i)]
        return {"category": category, "list": rows, "nextPageCursor": ""}

    def funding_history(self, query: Query, now_ms: int) -> Json:
        """The present rate at every funding time that has passed."""
        instrument = self.instrument(query)
        if instrument.category is Category.SPOT:
            raise bad("category invalid")
        limit = limit_of(query, 200, 200)
        start, end = millis_of(query, "startTime", 0), millis_of(query, "endTime", now_ms)
        interval = self._market.venue.rules.funding_interval_ms
        newest = min(end, now_ms) // interval * interval
        oldest = max(start, newest - (limit - 1) * interval)
        rows = [
            {
                "symbol": instrument.symbol,
                "fundingRate": self._market.funding_rate(instrument.index),
                "fundingRateTimestamp": str(at),
            }
            for at in range(newest, oldest - 1, -interval)
        ]
        return {"category": str(instrument.category), "list": rows}
