"""Bundled strategy: fade a stretched mid price when the book leans back.

Buys when the mid is far below its rolling mean (z-score) while bids outweigh asks, sells in the
mirrored case, and leaves when the stretch is gone, at a stop, or at a target. The two conditions
are the source article's, with the sign of the imbalance put right (see `Book.imbalance`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastbook.core.signals import Signal
from fastbook.core.states import BookState
from fastbook.strategy.base import BookView, PositionView, Row, Strategy, touch
from fastbook.strategy.checks import refuse
from fastbook.types import Category, Instrument, OrderIntent, OrderType, Side, TimeInForce

_ZSCORE = int(Signal.ZSCORE)
_IMBALANCE = int(Signal.IMBALANCE)
_SAMPLES = int(Signal.SAMPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanReversionParams:
    """Everything that can be set. Percentages are of the entry price, 1.0 is one per cent."""

    lookback: int = 20
    """Samples of the rolling mean; the signals must be built with the same number."""
    entry_z: float = 2.0
    exit_z: float = 0.5
    """At or below this |z| the stretch counts as gone."""
    imbalance_min: float = 0.1
    stop_loss_pct: float = 0.5
    take_profit_pct: float = 1.5
    spread_bps_max: float = 10.0
    """No entry across a wider spread."""
    slippage_bps_max: float = 5.0
    """How far beyond the touch the limit of an entry may lie; an exit gets four times that."""
    cooldown_ms: int = 1_000
    """Between two entries in one symbol."""
    exit_retry_ms: int = 250
    """Between two attempts to leave."""
    holding_s_max: float = 0.0
    """Seconds after which a position is left whatever it is worth; 0 = never."""

    def __post_init__(self) -> None:
        refuse("strategy.mean_reversion", self, MeanReversionParams, self._rules)

    def _rules(self) -> list[tuple[bool, str]]:
        return [
            (
                isinstance(self.lookback, int) and self.lookback >= 2,
                f"lookback must be a whole number of 2 or more, was {self.lookback}",
            ),
            (self.entry_z > 0, f"entry_z must be above 0, was {self.entry_z}"),
            (
                0 <= self.exit_z < self.entry_z,
                f"exit_z must be at least 0 and below entry_z, was {self.exit_z}",
            ),
            (0 <= self.imbalance_min < 1, f"imbalance_min must be in [0, 1): {self.imbalance_min}"),
            (
                0 < self.stop_loss_pct < 100,
                f"stop_loss_pct must be in (0, 100): {self.stop_loss_pct}",
            ),
            (self.take_profit_pct > 0, f"take_profit_pct must be above 0: {self.take_profit_pct}"),
            (self.spread_bps_max > 0, f"spread_bps_max must be above 0: {self.spread_bps_max}"),
            (
                0 <= self.slippage_bps_max <= 100,
                f"slippage_bps_max must be in [0, 100]: {self.slippage_bps_max}",
            ),
            (self.cooldown_ms >= 0, f"cooldown_ms must not be negative: {self.cooldown_ms}"),
            (self.exit_retry_ms >= 0, f"exit_retry_ms must not be negative: {self.exit_retry_ms}"),
            (self.holding_s_max >= 0, f"holding_s_max must not be negative: {self.holding_s_max}"),
        ]


class MeanReversion(Strategy):
    """The bundled strategy; one object trades any number of instruments, each on its own."""

    name = "meanrev"

    def __init__(
        self,
        params: MeanReversionParams | None = None,
        *,
        symbols: Iterable[str] | None = None,
    ) -> None:
        self.params = params or MeanReversionParams()
        self.symbols = None if symbols is None else frozenset(symbols)
        self.stop_loss_pct = self.params.stop_loss_pct
        self.take_profit_pct = self.params.take_profit_pct
        self._entry_z = self.quiet_below = self.params.entry_z
        self.quiet_lean = self.params.imbalance_min
        self._cooldown_ns = self.params.cooldown_ms * 1_000_000
        self._exit_retry_ns = self.params.exit_retry_ms * 1_000_000
        self._entered_ns: dict[int, int] = {}  # instrument -> when it last asked
        self._left_ns: dict[int, int] = {}
        self._symbols: dict[str, int] = {}
        self._holding_ns = int(self.params.holding_s_max * 1e9)
        self._held_since_ns: dict[int, int] = {}  # where it was first seen to hold something

    def on_start(self, instruments: Sequence[Instrument]) -> None:
        self._symbols = {i.symbol: i.index for i in instruments}
        self._entered_ns.clear()
        self._left_ns.clear()
        self._held_since_ns.clear()

    def state(self) -> dict[str, Any]:  # Any: JSON
        """Since when what is held: a restart does not start the time anew."""
        held = self._held_since_ns
        return {"held_since_ns": {s: held[i] for s, i in self._symbols.items() if i in held}}

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        for symbol, since_ns in state["held_since_ns"].items():
            if symbol in self._symbols:
                self._held_since_ns[self._symbols[symbol]] = int(since_ns)

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[OrderIntent]:
        z = row[_ZSCORE]
        if position.qty == 0:
            # Nearly every call ends here; nan compares false as well.
            if not (z <= -self._entry_z or z >= self._entry_z):
                return ()
            return () if position.working else self._enter(book, row, z, position.instrument)
        return () if position.working else self._leave(book, z, position)

    def _enter(
        self, book: BookView, row: Row, z: float, instrument: Instrument
    ) -> tuple[OrderIntent, ...]:
        p = self.params
        side = Side.BUY if z < 0 else Side.SELL
        lean = row[_IMBALANCE] * side
        if not lean >= p.imbalance_min or not row[_SAMPLES] >= p.lookback:
            return ()
        if side is Side.SELL and instrument.category is Category.SPOT:
            return ()  # nothing is held, so there is nothing to sell
        if not book.spread_bps <= p.spread_bps_max:
            return ()
        last = self._entered_ns.get(instrument.index)
        if last is not None and book.recv_ns - last < self._cooldown_ns:
            return ()
        self._entered_ns[instrument.index] = book.recv_ns
        self._held_since_ns.pop(instrument.index, None)
        return self._intent(
            book,
            instrument,
            side,
            slippage_bps=p.slippage_bps_max,
            confidence=_confidence(z, lean, p.entry_z),
            reason=f"z {z:.2f}, imbalance {lean * side:.2f}",
        )

    def _leave(self, book: BookView, z: float, position: PositionView) -> tuple[OrderIntent, ...]:
        reason = self._why_leave(book, z, position)
        if not reason:
            return ()
        index = position.instrument.index
        last = self._left_ns.get(index)
        if last is not None and book.recv_ns - last < self._exit_retry_ns:
            return ()
        self._left_ns[index] = book.recv_ns
        # A position just left is not entered again within the cooldown.
        self._entered_ns[index] = book.recv_ns
        return self._intent(
            book,
            position.instrument,
            Side.SELL if position.qty > 0 else Side.BUY,
            slippage_bps=4 * self.params.slippage_bps_max,
            qty=abs(position.qty),
            reason=reason,
        )

    def _why_leave(self, book: BookView, z: float, position: PositionView) -> str:
        """The first reason to leave, or nothing. Judged at the price one could leave at."""
        p = self.params
        sign = 1 if position.qty > 0 else -1
        px = book.best_bid if sign > 0 else book.best_ask
        gain_pct = (px / position.entry_px - 1.0) * 100.0 * sign
        if gain_pct <= -p.stop_loss_pct:
            return f"stop loss at {gain_pct:.3f} %"
        if gain_pct >= p.take_profit_pct:
            return f"take profit at {gain_pct:.3f} %"
        if self._holding_ns:
            since_ns = self._held_since_ns.setdefault(position.instrument.index, book.recv_ns)
            if book.recv_ns - since_ns >= self._holding_ns:
                return f"held for {(book.recv_ns - since_ns) // 1_000_000_000} s"
        # A long was opened at a negative z: reverted when z comes up to -exit_z or beyond.
        if z * sign >= -p.exit_z:
            return f"reverted to z {z:.2f}"
        return ""

    def _intent(
        self,
        book: BookView,
        instrument: Instrument,
        side: Side,
        *,
        slippage_bps: float,
        reason: str,
        qty: int = 0,
        confidence: float = 1.0,
    ) -> tuple[OrderIntent, ...]:
        bid, ask = touch(book, instrument)
        best = ask if side is Side.BUY else bid
        if book.state is not BookState.SYNCED or best <= 0:
            return ()
        # Whole ticks beyond the touch, rounded towards it: never worse than asked for.
        beyond = int(best * slippage_bps / 10_000.0) // instrument.tick * instrument.tick
        return (
            OrderIntent(
                instrument=instrument.index,
                side=side,
                px=max(best + side * beyond, instrument.tick),
                qty=qty,
                order_type=OrderType.LIMIT,
                tif=TimeInForce.IOC,
                reduce_only=qty != 0,
                strategy=self.name,
                reason=reason,
                confidence=confidence,
                book_u=book.u,
                book_ts_ms=book.ts_ms,
            ),
        )


def _confidence(z: float, lean: float, entry_z: float) -> float:
    """In [0, 1]: half for meeting both conditions, the rest for how far beyond them it is."""
    stretch = min(abs(z) / entry_z - 1.0, 1.0)  # full at twice the threshold
    return max(0.0, min(1.0, 0.5 + 0.25 * stretch + 0.25 * lean))
