"""Bundled strategy: quotes both sides around a fair price, and leans against what it holds.

The fair price is the micro-price, moved further by the imbalance of the book and away from the
inventory: a maker who is long wants to be sold from and not to buy more, so both quotes go down.
The skew by inventory is linear, the shape that Avellaneda and Stoikov, "High-frequency trading in
a limit order book" (Quantitative Finance 8, 2008), derive for a reservation price; its size is a
parameter here, not a model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fastbook.core.signals import Signal
from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.strategy.checks import Rule, refuse
from fastbook.types import (
    Category,
    Execution,
    Instrument,
    Intent,
    OrderIntent,
    Quote,
    Side,
    TimeInForce,
)

_IMBALANCE = int(Signal.IMBALANCE)
_VOLATILITY = int(Signal.VOLATILITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketMakerParams:
    """Everything that can be set. bps are of the fair price."""

    size_notional: float = 1_000.0
    """Quote units of each quote."""
    inventory_notional_max: float = 5_000.0
    """Quote units; with so much held, the side that would add is not quoted."""
    half_spread_bps: float = 2.5
    """Least distance of a quote from the fair price; below the maker's fee it only loses."""
    volatility_share: float = 1.0
    """The distance is at least this share of the volatility of one sample."""
    imbalance_bps: float = 0.5
    """How far an imbalance of 1 moves the fair price."""
    skew_bps: float = 3.0
    """How far a full inventory moves it the other way."""
    requote_bps: float = 1.0
    """Quotes that are off by less stay where they are, and keep their place in the queue."""
    requote_ms: int = 500
    """Between two changes of the quotes in one symbol; each costs up to two requests."""
    refresh_ms: int = 1_000
    """Quotes are asked for again after this, should one have been lost or refused."""
    stop_loss_pct: float = 0.5
    """Per cent of the entry price; then everything is sold into the book."""
    holding_s_max: float = 300.0
    """Seconds; inventory held for longer without a turn is sold into the book; 0 = never."""
    slippage_bps_max: float = 20.0
    """How far beyond the touch the limit of such an exit may lie."""

    def __post_init__(self) -> None:
        refuse("strategy.market_maker", self, MarketMakerParams, self._rules)

    def _rules(self) -> Iterator[Rule]:
        for name in ("size_notional", "inventory_notional_max", "half_spread_bps", "refresh_ms"):
            yield getattr(self, name) > 0, f"{name} must be above 0, was {getattr(self, name)}"
        for name in (
            *("volatility_share", "imbalance_bps", "skew_bps", "requote_bps", "requote_ms"),
            *("holding_s_max", "slippage_bps_max"),
        ):
            yield getattr(self, name) >= 0, f"{name} must not be negative: {getattr(self, name)}"
        yield (
            0 < self.stop_loss_pct < 100,
            f"stop_loss_pct must be in (0, 100): {self.stop_loss_pct}",
        )
        yield (
            self.inventory_notional_max >= self.size_notional,
            "inventory_notional_max must be at least size_notional:"
            + f" {self.inventory_notional_max} and {self.size_notional}",
        )


@dataclass(slots=True)
class _Making:
    """What was last wanted in one instrument: the (px, qty) of bid and ask."""

    bid: tuple[int, int] = (0, 0)
    ask: tuple[int, int] = (0, 0)
    asked_ns: int = -(10**18)
    held_qty: int = 0
    held_since_ns: int = field(default=0)
    left_ns: int = -(10**18)


class MarketMaker(Strategy):
    """The bundled maker; one object quotes any number of instruments, each on its own."""

    name = "maker"

    def __init__(
        self,
        params: MarketMakerParams | None = None,
        *,
        symbols: Iterable[str] | None = None,
    ) -> None:
        self.params = params or MarketMakerParams()
        self.symbols = None if symbols is None else frozenset(symbols)
        self.stop_loss_pct = self.params.stop_loss_pct
        self._requote_ns = int(self.params.requote_ms * 1_000_000)
        self._refresh_ns = int(self.params.refresh_ms * 1_000_000)
        self._holding_ns = int(self.params.holding_s_max * 1e9)
        self._making: dict[int, _Making] = {}

    def on_start(self, instruments: Sequence[Instrument]) -> None:
        self._making = {i.index: _Making() for i in instruments}

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[Intent]:
        making = self._making[position.instrument.index]
        now_ns = book.recv_ns
        if position.qty != making.held_qty:
            self._note_inventory(making, position.qty, now_ns)
        elif now_ns - making.asked_ns < self._requote_ns:
            return ()
        if reason := self._why_leave(book, position, making):
            return self._leave(book, position, making, reason)
        bid, ask = self._wanted(book, row, position)
        moved = self._moved(making.bid, bid) or self._moved(making.ask, ask)
        if not moved and now_ns - making.asked_ns < self._refresh_ns:
            return ()
        if not moved:  # as before: say it again
            bid, ask = making.bid, making.ask
        making.bid, making.ask, making.asked_ns = bid, ask, now_ns
        return (
            self._quote(book, position.instrument, Side.BUY, bid),
            self._quote(book, position.instrument, Side.SELL, ask),
        )

    def on_fill(self, execution: Execution, position: PositionView) -> Iterable[Intent]:
        """The next book brings new quotes: what is held has changed."""
        self._making[execution.instrument].asked_ns = -(10**18)
        return ()

    # --- prices ------------------------------------------------------------------------------

    def _wanted(
        self, book: BookView, row: Row, position: PositionView
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """(px, qty) of bid and ask; qty 0 = none. Never where they would trade at once."""
        instrument, p = position.instrument, self.params
        best_bid, best_ask = touch(book, instrument)
        unit = 10**instrument.price_scale
        fair = book.microprice * unit
        if best_bid <= 0 or best_ask <= 0 or not fair > 0.0:
            return (0, 0), (0, 0)
        held = self._inventory(position, fair)
        imbalance = row[_IMBALANCE]
        lean_bps = 0.0 if math.isnan(imbalance) else p.imbalance_bps * imbalance
        fair *= 1.0 + (lean_bps - p.skew_bps * max(-1.0, min(1.0, held))) / 10_000.0
        half = fair * self._half_spread_bps(row) / 10_000.0

        tick = instrument.tick
        bid_px = min(int((fair - half) // tick) * tick, best_ask - tick)
        ask_px = max(-int(-(fair + half) // tick) * tick, best_bid + tick)
        qty = self._qty(instrument, fair)
        bid = (bid_px, qty if bid_px > 0 and held < 1.0 else 0)
        ask = (ask_px, qty if held > -1.0 else 0)
        if instrument.category is Category.SPOT:
            ask = (ask_px, min(ask[1], position.qty // instrument.lot * instrument.lot))
        return bid, ask

    def _half_spread_bps(self, row: Row) -> float:
        p = self.params
        moves_bps = row[_VOLATILITY] * 10_000.0
        if math.isnan(moves_bps):
            return p.half_spread_bps
        return max(p.half_spread_bps, p.volatility_share * moves_bps)

    def _inventory(self, position: PositionView, fair: float) -> float:
        """What is held as a share of the most; beyond 1 when it has become worth more."""
        i = position.instrument
        worth = position.qty * fair / float(10 ** (i.price_scale + i.qty_scale))
        return worth / self.params.inventory_notional_max

    def _qty(self, instrument: Instrument, fair: float) -> int:
        scale = 10 ** (instrument.price_scale + instrument.qty_scale)
        lots = int(self.params.size_notional * scale / fair) // instrument.lot
        return int(max(lots * instrument.lot, instrument.qty_min))

    def _moved(self, old: tuple[int, int], new: tuple[int, int]) -> bool:
        if (old[1] == 0) != (new[1] == 0):
            return True
        return abs(new[0] - old[0]) * 10_000.0 > self.params.requote_bps * max(old[0], 1)

    def _quote(
        self, book: BookView, instrument: Instrument, side: Side, want: tuple[int, int]
    ) -> Quote:
        return Quote(
            instrument=instrument.index,
            side=side,
            px=max(want[0], instrument.tick),
            qty=want[1],
            strategy=self.name,
            reason="quote",
            book_u=book.u,
            book_ts_ms=book.ts_ms,
        )

    # --- getting out -------------------------------------------------------------------------

    def _note_inventory(self, making: _Making, qty: int, now_ns: int) -> None:
        turned = making.held_qty * qty <= 0
        if turned:
            making.held_since_ns = now_ns
        making.held_qty = qty

    def _why_leave(self, book: BookView, position: PositionView, making: _Making) -> str:
        if position.qty == 0:
            return ""
        sign = 1 if position.qty > 0 else -1
        px = book.best_bid if sign > 0 else book.best_ask
        gain_pct = (px / position.entry_px - 1.0) * 100.0 * sign
        if gain_pct <= -self.params.stop_loss_pct:
            return f"stop loss at {gain_pct:.3f} %"
        held_ns = book.recv_ns - making.held_since_ns
        if self._holding_ns and held_ns >= self._holding_ns:
            return f"held for {held_ns // 1_000_000_000} s"
        return ""

    def _leave(
        self, book: BookView, position: PositionView, making: _Making, reason: str
    ) -> Iterable[Intent]:
        """Take the quotes away, and sell or buy back the lot; again after a while if it stays."""
        instrument, now_ns = position.instrument, book.recv_ns
        if now_ns - making.left_ns < self._requote_ns:
            return ()
        making.left_ns = making.asked_ns = now_ns
        making.bid = making.ask = (0, 0)
        side = Side.SELL if position.qty > 0 else Side.BUY
        best_bid, best_ask = touch(book, instrument)
        best = best_ask if side is Side.BUY else best_bid
        beyond = int(best * self.params.slippage_bps_max / 10_000.0)
        beyond = beyond // instrument.tick * instrument.tick
        withdrawn = [self._quote(book, instrument, s, (0, 0)) for s in Side]
        leave = OrderIntent(
            instrument=instrument.index,
            side=side,
            px=max(best + side * beyond, instrument.tick),
            qty=abs(position.qty),
            tif=TimeInForce.IOC,
            reduce_only=True,
            strategy=self.name,
            reason=reason,
            book_u=book.u,
            book_ts_ms=book.ts_ms,
        )
        return (*withdrawn, leave)
