"""What is held of one instrument, and what the venue says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

from fastbook.types import Category, Instrument, PositionSnapshot

_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_QUANTUM = Decimal("1e-12")
_ZERO = Decimal(0)


@dataclass(slots=True, eq=False)
class Position:
    instrument: Instrument
    qty: int = 0
    cost: Decimal = _ZERO
    realized: Decimal = _ZERO
    fees: Decimal = _ZERO
    funding: Decimal = _ZERO
    mark: Decimal | None = None
    trip: Decimal = _ZERO  # net result since the position was last flat
    venue: PositionSnapshot | None = None  # of both legs together, where the symbol is hedged
    legs: dict[int, PositionSnapshot] = field(default_factory=dict)  # by positionIdx
    hedged: bool = False
    differs_since_ns: int | None = None
    dust: Decimal = _ZERO  # of spot: what is held beside whole units, 0 to 1
    venue_dust: Decimal = _ZERO
    unpriced: bool = False  # of spot: held before any price was known, so its cost is not either
    leverage: Decimal | None = None  # the venue's, as last told
    stops: tuple[int, int] = (0, 0)  # stop loss and take profit resident at the venue

    @property
    def inverse(self) -> bool:
        return self.instrument.category is Category.INVERSE

    def price_coins(self, px: Decimal) -> None:
        """Coins that were there before us count from the first price that we learn."""
        self.cost = _EXACT.multiply(px, self.instrument.qty_decimal(self.qty))
        self.unpriced = False

    def take_over(self, qty: int) -> None:
        """Hold what the venue says, at the entry price it says.

        Of coins it says none: those that turn up count from now on, at what ours cost, or at the
        mark.
        """
        entry_px = _ZERO if self.venue is None else self.venue.entry_px
        if self.instrument.category is Category.SPOT:
            entry_px = entry_px or self._entry_of_coins()
            self.dust = self.venue_dust
            self.unpriced = not entry_px
        self.qty = qty
        size = self.instrument.qty_decimal(abs(qty))
        if not self.inverse:
            self.cost = _EXACT.multiply(entry_px, size)
        elif entry_px:
            self.cost = _EXACT.divide(size, entry_px).quantize(_QUANTUM, context=_EXACT)
        else:
            self.cost = _ZERO
        self.trip = _ZERO
        self.differs_since_ns = None

    def _entry_of_coins(self) -> Decimal:
        if self.qty > 0:
            return _EXACT.divide(self.cost, self.instrument.qty_decimal(self.qty))
        return _ZERO if self.mark is None else self.mark


def older(one: PositionSnapshot, other: PositionSnapshot) -> bool:
    """By sequence number; by time where one of the two has none (a position never told of)."""
    if one.seq < 0 or other.seq < 0:
        return one.updated_ms < other.updated_ms
    return (one.seq, one.updated_ms) < (other.seq, other.updated_ms)


def net_of_legs(legs: Mapping[int, PositionSnapshot]) -> PositionSnapshot:
    """Both legs of a hedged symbol as one: the larger one's words, the quantity of both."""
    larger = max(legs.values(), key=lambda leg: abs(leg.qty))
    return replace(larger, qty=sum(leg.qty for leg in legs.values()))


def since(differs: bool, since_ns: int | None, now_ns: int) -> int | None:
    if not differs:
        return None
    return now_ns if since_ns is None else since_ns
