"""A strategy that does everything an intent can say, in no sensible order, from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.types import Execution, Instrument, OrderIntent, OrderType, Side, TimeInForce


@dataclass(slots=True, kw_only=True)
class Mood:
    """How a strategy behaves; drawn from the seed."""

    eager: float = 0.1  # probability that a book makes it want something
    resting: float = 0.5  # of its entries, those that rest
    silly: float = 0.05  # of its wishes, those that the gate has to refuse
    notional: float = 500.0  # of one entry, quote units
    raises: float = 0.0  # probability of an exception, a call


class Wanton(Strategy):
    """Enters and leaves at random. Its dice are its own: the same books make the same wishes."""

    def __init__(self, name: str, mood: Mood, dice: Random, symbols: frozenset[str]) -> None:
        self.name = name
        self.symbols = symbols
        self.mood = mood
        self._dice = dice

    def on_start(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = {i.index: i for i in instruments}

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[OrderIntent]:
        dice, mood = self._dice, self.mood
        if dice.random() >= mood.eager:
            return ()
        if mood.raises and dice.random() < mood.raises:
            raise RuntimeError("this strategy raises")
        bid, ask = touch(book, position.instrument)
        if not bid or not ask:
            return ()
        if dice.random() < mood.silly:
            return (self._silly(book, position, bid, ask),)
        if position.qty and dice.random() < 0.6:
            return (self._exit(book, position, bid, ask),)
        if position.working and dice.random() < 0.5:
            return ()
        return (self._entry(book, position, bid, ask),)

    def on_fill(self, execution: Execution, position: PositionView) -> Iterable[OrderIntent]:
        if self.mood.raises and self._dice.random() < self.mood.raises:
            raise RuntimeError("this strategy raises on a fill")
        return ()

    def _qty(self, instrument: Instrument, px: int, dice: Random) -> int:
        wanted = self.mood.notional * (0.2 + dice.random())
        units = int(wanted * 10 ** (instrument.price_scale + instrument.qty_scale)) // max(px, 1)
        least = int(instrument.notional_min * 10 ** (instrument.price_scale + instrument.qty_scale))
        floor = -(-least // max(px, 1)) * 11 // 10
        qty = max(units, floor, instrument.qty_min)
        return -(-qty // instrument.lot) * instrument.lot

    def _intent(
        self, book: BookView, view: PositionView, side: Side, px: int, qty: int, **more: object
    ) -> OrderIntent:
        return OrderIntent(
            instrument=view.instrument.index,
            side=side,
            px=max(px, 1),
            qty=qty,
            strategy=self.name,
            book_u=book.u,
            book_ts_ms=book.ts_ms,
            **{"reason": "whim", **more},  # type: ignore[arg-type]  # keywords of OrderIntent
        )

    def _entry(self, book: BookView, view: PositionView, bid: int, ask: int) -> OrderIntent:
        dice, instrument = self._dice, view.instrument
        side = Side.BUY if dice.random() < 0.5 else Side.SELL
        if dice.random() < self.mood.resting:
            best = bid if side is Side.BUY else ask
            deeper = int(dice.random() * 4) * instrument.tick
            px = best - side * deeper
            tif = TimeInForce.POST_ONLY if dice.random() < 0.3 else TimeInForce.GTC
        else:
            best = ask if side is Side.BUY else bid
            px = best + side * (best * int(dice.random() * 20) // 10_000)
            tif = TimeInForce.IOC if dice.random() < 0.9 else TimeInForce.FOK
        qty = 0 if dice.random() < 0.1 else self._qty(instrument, px, dice)
        return self._intent(
            book, view, side, px, qty, tif=tif, confidence=dice.random(), reason="entry"
        )

    def _exit(self, book: BookView, view: PositionView, bid: int, ask: int) -> OrderIntent:
        dice = self._dice
        side = Side.SELL if view.qty > 0 else Side.BUY
        whole = abs(view.qty)
        lot = view.instrument.lot
        part = max(lot, int(whole * dice.random()) // lot * lot)
        qty = (0, whole, part, 2 * whole)[int(dice.random() * 4)]
        if dice.random() < 0.25:
            px = (ask if side is Side.SELL else bid) - side * view.instrument.tick
            tif = TimeInForce.GTC
        else:
            best = ask if side is Side.BUY else bid
            px = best + side * (best * 20 // 10_000)
            tif = TimeInForce.IOC
        return self._intent(book, view, side, px, qty, tif=tif, reduce_only=True, reason="exit")

    def _silly(self, book: BookView, view: PositionView, bid: int, ask: int) -> OrderIntent:
        """What no gate may let through, or only cut to size."""
        dice, instrument = self._dice, view.instrument
        side = Side.BUY if dice.random() < 0.5 else Side.SELL
        qty = self._qty(instrument, bid, dice)
        kind = int(dice.random() * 6)
        if kind == 0:
            return self._intent(book, view, side, bid, qty * 1_000)
        if kind == 1:
            return self._intent(book, view, side, bid * 2 if side is Side.BUY else bid // 2, qty)
        if kind == 2:
            return self._intent(book, view, side, bid + 1, qty + 1)
        if kind == 3:  # the wrong way round: would open, or turn, a position
            return self._intent(book, view, side, bid, qty * 5, reduce_only=True)
        if kind == 4:  # through the own resting orders on the other side
            px = (ask if side is Side.BUY else bid) + side * 3 * instrument.tick
            return self._intent(book, view, side, px, qty, tif=TimeInForce.GTC)
        return self._intent(book, view, side, 0, qty, order_type=OrderType.MARKET)
