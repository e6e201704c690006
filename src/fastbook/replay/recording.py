"""Recorded v5 frames as what happened to a market, and the instruments that they show.

Reads order books and public trades of linear, inverse and spot; everything else on a recorded
connection is passed over. Numbers stay text here: their scale belongs to the instrument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import merge
from itertools import islice
from math import gcd
from typing import Any

import orjson

from fastbook.core.fixed import parse_fixed
from fastbook.errors import ConfigError, DataFileError
from fastbook.replay.source import RecordedFrame
from fastbook.replay.universe import Market, universe
from fastbook.types import Category, Instrument, Side

HEAD_FRAMES = 20_000
"""Frames of a recording that are read to learn what is in it."""
Levels = list[list[str]]
"""[price, quantity] as the wire has them, "0" for a level that is gone."""
_QTY_MAX_VALUE = 50_000_000  # quote units, of a learned instrument's largest order
_TYPICAL_LEVELS = 50


@dataclass(frozen=True, slots=True)
class BookFrame:
    """One order book frame."""

    symbol: str
    ts_ms: int
    depth: int
    snapshot: bool
    bids: Levels
    asks: Levels
    u: int
    seq: int
    spot: bool | None
    """By the order of its keys; None where the categories have the same."""


@dataclass(frozen=True, slots=True)
class TradeFrame:
    """The public trades of one frame: (side, price, quantity, seq), as they happened."""

    symbol: str
    ts_ms: int
    trades: list[tuple[Side, str, str, int]]


MarketFrame = BookFrame | TradeFrame


def market_frame(data: bytes) -> MarketFrame | None:
    """What one recorded frame says of a market; None for any other frame.

    ValueError for one that names a book or trades and is not as v5 has it.
    """
    book, trades = b'"orderbook.' in data[:64], b'"publicTrade.' in data[:64]
    if not (book or trades):
        return None
    try:
        frame = orjson.loads(data)
        return _book_frame(frame, data) if book else _trade_frame(frame)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ValueError(f"not a v5 frame: {data[:80]!r} ({e!r})") from None


def _book_frame(frame: dict[str, Any], data: bytes) -> BookFrame | None:
    if "data" not in frame:
        return None  # an acknowledgement that names its topic
    depth, _, symbol = frame["topic"].removeprefix("orderbook.").partition(".")
    if not depth.isdigit():
        return None  # rpi and full have rows and rules of their own
    body = frame["data"]
    # The keys of derivatives are topic, type, ts; of spot, and of every level 1, topic, ts, type.
    spot = None if depth == "1" else data.find(b'"ts"') < data.find(b'"type"')
    return BookFrame(
        symbol=symbol,
        ts_ms=int(frame["ts"]),
        depth=int(depth),
        snapshot=frame["type"] == "snapshot",
        bids=body["b"],
        asks=body["a"],
        u=int(body["u"]),
        seq=int(body.get("seq", 0)),
        spot=spot,
    )


def _trade_frame(frame: dict[str, Any]) -> TradeFrame | None:
    if "data" not in frame:
        return None
    trades = [
        (Side.BUY if t["S"] == "Buy" else Side.SELL, t["p"], t["v"], int(t.get("seq", 0)))
        for t in frame["data"]
    ]
    return TradeFrame(frame["topic"].partition(".")[2], int(frame["ts"]), trades)


def market_frames(*recordings: Iterable[RecordedFrame]) -> Iterator[MarketFrame]:
    """What the recordings say, merged by the venue's time stamps; lines of one keep their order.

    DataFileError for a frame that is not as v5 has it.
    """
    return merge(*map(_frames_of, recordings), key=lambda frame: frame.ts_ms)


def _frames_of(recording: Iterable[RecordedFrame]) -> Iterator[MarketFrame]:
    for recorded in recording:
        try:
            frame = market_frame(recorded.data)
        except ValueError as e:
            raise DataFileError("recording", str(e), line=recorded.line) from None
        if frame is not None:
            yield frame


# What a recording is of.


@dataclass
class _Seen:
    """What was seen of one symbol."""

    depth: int = 0
    spot: bool | None = None
    first: BookFrame | None = None  # snapshot of the deepest book
    price_scale: int = 0
    qty_scale: int = 0
    prices: set[str] = field(default_factory=set)
    quantities: set[str] = field(default_factory=set)

    def note(self, frame: BookFrame) -> None:
        if frame.spot is not None:
            if self.spot not in (None, frame.spot):
                raise ConfigError(f"the recording has {frame.symbol} of two categories")
            self.spot = frame.spot
        if frame.depth > self.depth:
            self.depth, self.first = frame.depth, None
        if self.first is None and frame.snapshot and frame.depth == self.depth:
            self.first = frame
        for px, qty in frame.bids + frame.asks:
            self.note_level(px, qty)

    def note_level(self, px: str, qty: str) -> None:
        self.prices.add(px)
        if Decimal(qty):
            self.quantities.add(qty)


@dataclass(frozen=True, slots=True)
class RecordedMarket:
    """A symbol of a recording: its market, and the book topic that drives it."""

    market: Market
    depth: int
    first: BookFrame


def recorded_markets(
    frames: Iterable[MarketFrame], categories: Iterable[Category] = ()
) -> list[RecordedMarket]:
    """The markets of a recording, by its first `HEAD_FRAMES` frames, in order of appearance.

    Where a symbol is in the `universe` and the recording fits its grid, it is that one; else
    tick and lot are the largest that all recorded numbers are multiples of. Categories: by
    the order of keys and the name; with `categories`, only symbols of these. ConfigError when
    there is no order book in it.
    """
    seen: dict[str, _Seen] = {}
    for frame in islice(frames, HEAD_FRAMES):
        if isinstance(frame, BookFrame):
            seen.setdefault(frame.symbol, _Seen()).note(frame)
        elif frame.symbol in seen:
            for _, px, qty, _ in frame.trades:
                seen[frame.symbol].note_level(px, qty)
    wanted = tuple(categories)
    found: list[RecordedMarket] = []
    for symbol, of in seen.items():
        category = _category_of(symbol, of, wanted)
        if of.first is None or not of.first.bids or not of.first.asks:
            continue
        if not wanted or category in wanted:
            market = _market(len(found), category, symbol, of)
            found.append(RecordedMarket(market, of.depth, of.first))
    if not found:
        among = f" of {', '.join(wanted)}" if wanted else ""
        raise ConfigError(f"the recording has no order book{among} with a snapshot near its start")
    return found


def _category_of(symbol: str, of: _Seen, wanted: tuple[Category, ...]) -> Category:
    if of.spot is None and len(wanted) == 1:
        return wanted[0]
    if of.spot:
        return Category.SPOT
    return Category.INVERSE if _coins(symbol)[1] == "USD" else Category.LINEAR


def _coins(symbol: str) -> tuple[str, str]:
    for quote, written in (("USDT", "USDT"), ("USDC", "USDC"), ("PERP", "USDC"), ("USD", "USD")):
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), written
    return symbol[:-3] or symbol, symbol[-3:]


def _market(index: int, category: Category, symbol: str, of: _Seen) -> Market:
    assert of.first is not None
    known = _known(category, symbol)
    instrument = known if known is not None and _fits(known, of) else _learned(category, symbol, of)
    best = [
        parse_fixed(side[0][0], instrument.price_scale) for side in (of.first.bids, of.first.asks)
    ]
    start = sum(best) // 2 // instrument.tick * instrument.tick
    near = of.first.bids[:_TYPICAL_LEVELS] + of.first.asks[:_TYPICAL_LEVELS]
    sizes = sorted(parse_fixed(qty, instrument.qty_scale) for _, qty in near)
    return Market(
        instrument=instrument,
        start_px=max(instrument.tick, start),
        typical_qty=max(instrument.lot, sizes[len(sizes) // 2]),
        occupancy=1.0,
        volatility=1.0,
    )


def _known(category: Category, symbol: str) -> Instrument | None:
    for market in universe(60, category):
        if market.instrument.symbol == symbol:
            return market.instrument
    return None


def _fits(instrument: Instrument, of: _Seen) -> bool:
    for numbers, scale, step in (
        (of.prices, instrument.price_scale, instrument.tick),
        (of.quantities, instrument.qty_scale, instrument.lot),
    ):
        for text in numbers:
            try:
                if parse_fixed(text, scale) % step:
                    return False
            except ValueError:
                return False
    # Derivatives show all decimals always, so the wire must have as many as the grid.
    return instrument.category is Category.SPOT or (
        max(map(_decimals, of.prices)) == instrument.price_scale
        and max(map(_decimals, of.quantities)) == instrument.qty_scale
    )


def _learned(category: Category, symbol: str, of: _Seen) -> Instrument:
    price_scale, qty_scale = (max(map(_decimals, n)) for n in (of.prices, of.quantities))
    tick = gcd(*(parse_fixed(px, price_scale) for px in of.prices))
    lot = gcd(*(parse_fixed(qty, qty_scale) for qty in of.quantities))
    spot, inverse = category is Category.SPOT, category is Category.INVERSE
    base, quote = _coins(symbol)
    assert of.first is not None
    price = max(Decimal(of.first.bids[0][0]), Decimal(1).scaleb(-price_scale))
    most = _QTY_MAX_VALUE if inverse else int(_QTY_MAX_VALUE / price) + 1
    qty_max = most * 10**qty_scale // lot * lot
    return Instrument(
        index=0,
        category=category,
        symbol=symbol,
        base=base,
        quote=quote,
        settle="" if spot else base if inverse else quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick=tick,
        lot=lot,
        qty_min=lot,
        qty_max=max(lot, qty_max),
        qty_max_market=max(lot, qty_max // 5 // lot * lot),
        notional_min=Decimal(0 if inverse else 5),
        leverage_max=Decimal(1) if spot else Decimal(50),
    )


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])
