"""The market behind the sockets: books, seeded flow, accounts, trades and 24-hour figures."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from fastbook.replay.matching import MarketFlow, MatchingBook
from fastbook.replay.money import over, times, wire_text
from fastbook.replay.universe import Market, universe
from fastbook.replay.venue import MarketFill, Venue
from fastbook.types import Category, Instrument, Side

from .candles import Amount, Candle, Candles
from .options import SimulatorOptions
from .recordings import Recordings

RECENT_TRADES_MAX = 1000
LIQUIDATIONS_MAX = 1000  # waiting for their frame
LIQUIDATED_SHARE = 0.02
"""Of the market's own trades, how many are told as the liquidation of somebody."""
_SIDES = {1: Side.BUY, -1: Side.SELL}
Json = dict[str, Any]
"""One JSON object. Any: text, numbers, flags, lists and objects."""


def fixed_text(value: int, scale: int) -> str:
    """A fixed-point integer with exactly `scale` decimals, as linear frames have it."""
    if scale == 0:
        return str(value)
    text = str(value).rjust(scale + 1, "0")
    return f"{text[:-scale]}.{text[-scale:]}"


class Trade(NamedTuple):
    """One public trade of a symbol. A tuple: there are tens of thousands a second."""

    side: Side
    px: int
    qty: int
    ts_ms: int
    number: int | str  # of the trade: 128 bits, or its id as text
    seq: int
    tick_direction: str

    @property
    def trade_id(self) -> str:
        """A UUID's shape, made when somebody wants to see it."""
        if isinstance(self.number, str):
            return self.number
        text = f"{self.number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def make_markets(symbols: int, categories: Sequence[Category]) -> list[Market]:
    """`symbols` markets of every category, one index counting through all of them."""
    markets: list[Market] = []
    for category in categories:
        for market in universe(symbols, category):
            instrument = replace(market.instrument, index=len(markets))
            markets.append(replace(market, instrument=instrument))
    return markets


class SymbolFeed:
    """What the public has seen of one symbol since the exchange started."""

    def __init__(self, instrument: Instrument, start_px: int) -> None:
        self.instrument = instrument
        self.first_px = self.high_px = self.low_px = self.last_px = start_px
        self.volume = 0  # at the quantity scale
        # px * qty at both scales; inverse: exact coins, qty / px.
        self._inverse = instrument.category is Category.INVERSE
        self.turnover: Amount = Decimal(0) if self._inverse else 0
        self.candles = Candles(start_px)
        self.tick_direction = "ZeroPlusTick"
        self.recent: deque[Trade] = deque(maxlen=RECENT_TRADES_MAX)

    def add(self, side: Side, px: int, qty: int, ts_ms: int, number: int | str, seq: int) -> Trade:
        if px > self.last_px:
            self.tick_direction = "PlusTick"
        elif px < self.last_px:
            self.tick_direction = "MinusTick"
        elif not self.tick_direction.startswith("Zero"):
            self.tick_direction = f"Zero{self.tick_direction}"
        if px > self.high_px:
            self.high_px = px
        elif px < self.low_px:
            self.low_px = px
        if ts_ms >= self.candles.end_ms:
            self.roll(ts_ms)
        self.last_px = px
        self.candles.trade(px)
        self.volume += qty
        self.turnover += self._worth(px, qty) if self._inverse else px * qty
        trade = Trade(side, px, qty, ts_ms, number, seq, self.tick_direction)
        self.recent.append(trade)
        return trade

    def _worth(self, px: int, qty: int) -> Decimal:
        return over(self.instrument.qty_decimal(qty), self.instrument.px_decimal(px))

    def roll(self, now_ms: int) -> None:
        """Close the minutes that have ended."""
        self.candles.roll(now_ms, self.last_px, self.volume, self.turnover)

    def running(self, now_ms: int) -> Candle:
        """The running minute."""
        self.roll(now_ms)
        return self.candles.running(self.last_px, self.volume, self.turnover)

    def turnover_text(self, turnover: Amount) -> str:
        """Traded value: in quote coin, of an inverse contract in base coin."""
        instrument = self.instrument
        if isinstance(turnover, Decimal):
            return wire_text(turnover)
        return wire_text(Decimal(turnover).scaleb(-instrument.price_scale - instrument.qty_scale))


class SimulatedMarket:
    """Steps the flow and keeps what REST and the public topics show. No sockets."""

    def __init__(self, options: SimulatorOptions, on_trades: Callable[[int], None]) -> None:
        """`on_trades(index)` is called when `pending_trades(index)` may have grown."""
        self.categories = tuple(Category(c) for c in options.categories)
        self._markets = make_markets(options.symbols, self.categories) if options.symbols else []
        recordings = Recordings(options.replay, self.categories) if options.replay else None
        if recordings is not None:
            self._markets = recordings.join(self._markets)
        self.instruments = [m.instrument for m in self._markets]
        self.by_symbol = {(str(i.category), i.symbol): i for i in self.instruments}
        self.books = [MatchingBook() for _ in self._markets]
        # The first symbols are played by seeded agents, the others by the recordings.
        self.seeded = len(self._markets) - (len(recordings.found) if recordings else 0)
        self._flow = (
            MarketFlow(
                self.books[: self.seeded],
                self._markets[: self.seeded],
                seed=options.seed,
                events_per_s=options.events_per_s,
            )
            if self.seeded
            else None
        )
        self.recorded = (
            recordings.flow(self.books[self.seeded :], loop=options.replay_loop)
            if recordings
            else None
        )
        self.venue = Venue(
            self.instruments,
            self.books,
            options.rules,
            seed=options.seed,
            session=options.session,
        )
        self.feeds = [SymbolFeed(m.instrument, m.start_px) for m in self._markets]
        self._pending: list[list[Trade]] = [[] for _ in self._markets]
        self._wanted = [False] * len(self._markets)
        self._liquidated: list[list[Json] | None] = [None] * len(self._markets)  # None: unread
        self._fate = random.Random(options.seed ^ 0x11D)
        self._random = random.Random(options.seed ^ 0x5EED)
        self._on_trades = on_trades
        self._spot_trade = 2_280_000_000_000_000_000
        for index, feed in enumerate(self.feeds):
            self.venue.prices.set_last(index, feed.last_px)

    def open_accounts(self, options: SimulatorOptions) -> None:
        """As many as asked for, with what they start with."""
        start = {"USDT": options.start_balance}
        if options.start_base_balance:
            for instrument in self.instruments:
                start[instrument.base] = options.start_base_balance
        for _ in range(options.accounts):
            self.venue.open_account(start)

    def step(self, index: int, events: int, now_ms: int) -> int:
        """Let the market of one symbol live for `events` events; the seq of what happened.

        A recorded symbol has no events of its own: see `play_recorded`.
        """
        if self._flow is None or index >= self.seeded:
            return self.venue.next_seq()
        return self._happened(index, *self._flow.step(index, events), now_ms)

    def live(self, index: int, seconds: float, now_ms: int) -> int:
        """Let time pass for one symbol; the seq of what happened."""
        if self._flow is None or index >= self.seeded:
            return self.venue.next_seq()
        return self._happened(index, *self._flow.live(index, seconds), now_ms)

    def play_recorded(self, now_ms: int) -> None:
        """Let recorded symbols catch up with the time."""
        if self.recorded is not None:
            for index, fills, trades in self.recorded.due(now_ms):
                self._happened(index, fills, trades, now_ms)

    def _happened(
        self,
        index: int,
        fills: Sequence[MarketFill],
        trades: Sequence[tuple[int, int, int]],
        now_ms: int,
    ) -> int:
        seq = self.venue.next_seq()
        if fills:
            self.venue.on_market_fills(index, fills, now_ms, seq)
        if trades:
            feed, pending = self.feeds[index], self._pending[index]
            for side, px, qty in trades:
                trade = feed.add(_SIDES[side], px, qty, now_ms, self._number(feed.instrument), seq)
                if self._wanted[index]:
                    pending.append(trade)
                if self._liquidated[index] is not None and self._fate.random() < LIQUIDATED_SHARE:
                    self.note_liquidation(index, trade.side.opposite, px, qty, now_ms)
            self.venue.prices.set_last(index, feed.last_px)
            self._on_trades(index)
        return seq

    def collect_account_trades(self) -> None:
        """Make public the trades that accounts made as takers since the last call."""
        for trade in self.venue.take_trades():
            made = self.feeds[trade.index].add(
                trade.side, trade.px, trade.qty, trade.ts_ms, trade.trade_id, trade.seq
            )
            if self._wanted[trade.index]:
                self._pending[trade.index].append(made)
            self._on_trades(trade.index)

    def want_trades(self, index: int, wanted: bool) -> None:
        """Whether anybody reads `take_trades(index)`; nothing is kept for nobody."""
        self._wanted[index] = wanted
        if not wanted:
            self._pending[index].clear()

    def take_trades(self, index: int) -> list[Trade]:
        """Public trades of one symbol since the last call."""
        trades = self._pending[index]
        if trades:
            self._pending[index] = []
        return trades

    def in_category(self, category: str) -> list[Instrument]:
        return [i for i in self.instruments if i.category == category]

    def want_liquidations(self, index: int, wanted: bool) -> None:
        """Whether anybody reads `take_liquidations(index)`."""
        self._liquidated[index] = [] if wanted else None

    def note_liquidation(self, index: int, side: Side, px: int, qty: int, ts_ms: int) -> None:
        """Somebody was liquidated: `side` is that of the position, `px` its bankruptcy price."""
        waiting, instrument = self._liquidated[index], self.instruments[index]
        if waiting is not None and len(waiting) < LIQUIDATIONS_MAX:
            waiting.append(
                {
                    "T": ts_ms,
                    "s": instrument.symbol,
                    "S": side.wire,
                    "v": self.qty_text(instrument, qty),
                    "p": self.px_text(instrument, px),
                }
            )

    def note_liquidations(self) -> None:
        """Make public what the venue liquidated since the last call."""
        for gone in self.venue.take_liquidations():
            self.note_liquidation(gone.index, gone.side, gone.px, gone.qty, gone.ts_ms)

    def take_liquidations(self, index: int) -> list[Json]:
        """Rows of `allLiquidation` since the last call."""
        rows = self._liquidated[index] or []
        if rows:
            self._liquidated[index] = []
        return rows

    def _number(self, instrument: Instrument) -> int | str:
        if instrument.category is Category.SPOT:
            self._spot_trade += 1
            return str(self._spot_trade)
        return self._random.getrandbits(128)

    # What the symbol looks like, as JSON values.

    def px_text(self, instrument: Instrument, px: int) -> str:
        """A price of a public frame: fixed decimals on linear, stripped on spot."""
        if instrument.category is Category.SPOT:
            return wire_text(instrument.px_decimal(px))
        return fixed_text(px, instrument.price_scale)

    def qty_text(self, instrument: Instrument, qty: int) -> str:
        if instrument.category is Category.SPOT:
            return wire_text(instrument.qty_decimal(qty))
        return fixed_text(qty, instrument.qty_scale)

    def trade_row(self, instrument: Instrument, trade: Trade) -> Json:
        """One element of a `publicTrade` frame, keys in the venue's order."""
        px, qty = self.px_text(instrument, trade.px), self.qty_text(instrument, trade.qty)
        if instrument.category is Category.SPOT:
            return {
                "i": trade.trade_id,
                "T": trade.ts_ms,
                "p": px,
                "v": qty,
                "S": trade.side.wire,
                "seq": trade.seq,
                "s": instrument.symbol,
                "BT": False,
                "RPI": False,
            }
        return {
            "T": trade.ts_ms,
            "s": instrument.symbol,
            "S": trade.side.wire,
            "v": qty,
            "p": px,
            "L": trade.tick_direction,
            "i": trade.trade_id,
            "BT": False,
            "RPI": False,
            "seq": trade.seq,
        }

    def ticker(self, index: int, now_ms: int) -> Json:
        """The full `data` of a tickers frame of this category."""
        feed = self.feeds[index]
        instrument = feed.instrument
        change = over(Decimal(feed.last_px - feed.first_px), Decimal(feed.first_px)).quantize(
            Decimal("1e-6")
        )
        volume = self.qty_text(instrument, feed.volume)
        turnover = wire_text(Decimal(feed.turnover_text(feed.turnover)).quantize(Decimal("1e-4")))
        mark = self.venue.prices.mark(index)
        common = {
            "lastPrice": self.px_text(instrument, feed.last_px),
            "highPrice24h": self.px_text(instrument, feed.high_px),
            "lowPrice24h": self.px_text(instrument, feed.low_px),
            "prevPrice24h": self.px_text(instrument, feed.first_px),
            "volume24h": volume,
            "turnover24h": turnover,
            "price24hPcnt": wire_text(change),
        }
        if instrument.category is Category.SPOT:
            return {"symbol": instrument.symbol, **common, "usdIndexPrice": wire_text(mark)}
        interest = 1_000_000 * instrument.qty_min
        interest_value = times(instrument.qty_decimal(interest), mark).quantize(Decimal("0.01"))
        hours = self.venue.rules.funding_interval_ms // 3_600_000
        return {
            "symbol": instrument.symbol,
            "tickDirection": feed.tick_direction,
            **common,
            "prevPrice1h": self.px_text(instrument, feed.first_px),
            "markPrice": wire_text(mark),
            "indexPrice": wire_text(mark),
            "openInterest": self.qty_text(instrument, interest),
            "openInterestValue": wire_text(interest_value),
            "fundingIntervalHour": str(hours),
            "fundingCap": "0.005",
            "singleOpenInterest": self.qty_text(instrument, interest // 2),
            "singleOpenInterestValue": wire_text(interest_value / 2),
            "nextFundingTime": str(self.venue.next_funding_ms(now_ms)),
            "fundingRate": self.funding_rate(index),
            **self.best(index),
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def price_limit(self, instrument: Instrument) -> Json:
        """Highest price that may be bid and lowest that may be asked."""
        band = self.venue.rules.limit_band
        limits = {"symbol": instrument.symbol}
        for name, side in (("buyLmt", Side.BUY), ("sellLmt", Side.SELL)):
            px = self.venue.prices.worst_limit_px(instrument, side, band)
            limits[name] = self.px_text(instrument, px)
        return limits

    def funding_rate(self, index: int) -> str:
        return wire_text(self.venue.funding_rate(index))

    def best(self, index: int) -> Json:
        """Best prices and sizes under the names that tickers use; "" for an empty side."""
        instrument = self.instruments[index]
        row: Json = {}
        for name, side in (("bid1", Side.BUY), ("ask1", Side.SELL)):
            levels = self.books[index].levels(side, 1)
            row[f"{name}Price"] = self.px_text(instrument, levels[0][0]) if levels else ""
            row[f"{name}Size"] = self.qty_text(instrument, levels[0][1]) if levels else ""
        return row
