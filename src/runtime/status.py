"""What a running engine shows: one plain document, for the screen, the summary and machines."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isnan
from typing import Any

from fastbook import Book, BookState
from fastbook.core.signals import Signal
from fastbook.engine import Engine
from fastbook.types import Execution, Instrument, PlaceOrder, Record, Side

EVENTS_SHOWN_MAX = 50
LADDER_LEVELS = 10


class EventLines:
    """The newest happenings as short lines. Bounded: the oldest line goes first."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self._instruments = instruments
        self.lines: deque[str] = deque(maxlen=EVENTS_SHOWN_MAX)

    def add(self, text: str, recv_ns: int) -> None:
        seconds = recv_ns // 1_000_000_000 % 86_400
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        self.lines.append(f"{clock} {text}")

    def add_record(self, record: Record) -> None:
        text = self._describe(record)
        if text:
            self.add(text, record.recv_ns)

    def _describe(self, record: Record) -> str:
        value = record.value
        if isinstance(value, PlaceOrder):
            instrument = self._instruments[value.instrument]
            return f"order {_side(value.side)} {_amount(instrument, value.px, value.qty)}"
        if isinstance(value, Execution):
            instrument = self._instruments[value.instrument]
            return f"fill  {_side(value.side)} {_amount(instrument, value.px, value.qty)}"
        if record.kind in ("state", "latched", "strategy_error", "adopted"):
            return f"{record.kind}: {value}"
        if record.kind == "link":
            name, up = value
            return f"link {name} {'up' if up else 'down'}"
        return ""


def _side(side: Side) -> str:
    return "buy " if side is Side.BUY else "sell"


def _amount(instrument: Instrument, px: int, qty: int) -> str:
    size = plain(instrument.qty_decimal(qty))
    return f"{size} {instrument.symbol} @ {plain(instrument.px_decimal(px))}"


def plain(value: Any) -> str:  # Any: a Decimal; normalize keeps its value
    return format(value.normalize(), "f")


def describe_focus(book: Book, row: Any, instrument: Instrument) -> dict[str, Any]:
    """One book's ladder and signals. Any: a row of float64, JSON values."""
    return {
        "symbol": book.symbol,
        "state": book.state.name,
        "u": book.u,
        "bids": book.bids(LADDER_LEVELS).tolist(),
        "asks": book.asks(LADDER_LEVELS).tolist(),
        "price_digits": instrument.price_scale,
        "size_digits": instrument.qty_scale,
        "mid": number(book.mid),
        "microprice": number(book.microprice),
        "spread_bps": number(row[Signal.SPREAD_BPS]),
        "zscore": number(row[Signal.ZSCORE]),
        "imbalance": number(row[Signal.IMBALANCE]),
        "ofi": number(row[Signal.OFI]),
    }


def describe_positions(engine: Engine, instruments: list[Instrument]) -> list[dict[str, Any]]:
    """Open positions, largest open P&L (either way) first. Any: JSON values."""
    portfolio = engine.portfolio
    rows = []
    for index in sorted(portfolio.open_instruments):
        instrument = instruments[index]
        open_pnl = portfolio.unrealized_of(index)
        rows.append(
            {
                "symbol": instrument.symbol,
                "qty": plain(instrument.qty_decimal(portfolio.qty(index))),
                "entry": f"{portfolio.entry_px(index):.{instrument.price_scale}f}",
                "open_pnl": float(open_pnl) if open_pnl is not None else 0.0,
            }
        )
    return sorted(rows, key=lambda row: -abs(float(str(row["open_pnl"]))))


def count_states(books: Sequence[Book]) -> dict[str, int]:
    counts = dict.fromkeys((state.name for state in reversed(BookState)), 0)
    for book in books:
        counts[book.state.name] += 1
    return counts


def number(value: float) -> float | None:
    return None if isnan(value) else value
