"""From what the engine says to rows of the history. Pure; the order of columns is schema.py's."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import isnan
from typing import Any

from fastbook import Book
from fastbook.core.signals import Signal
from fastbook.types import (
    AmendOrder,
    CancelOrder,
    Execution,
    Instrument,
    OrderIntent,
    OrderUpdate,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    Record,
    Refused,
    Trade,
)

from .layout import pack_l2
from .spool import Row

_TEXT_MAX = 512
_SIGNALS = (
    Signal.MID, Signal.SPREAD_BPS, Signal.MICROPRICE, Signal.IMBALANCE, Signal.ZSCORE,
    Signal.MEAN, Signal.STD, Signal.OFI, Signal.EWMA, Signal.VOLATILITY, Signal.ATR,
)  # fmt: skip
STATE_KINDS = frozenset({"state", "latched", "strategy_error", "adopted", "link", "control"})


class RowMaker:
    """Rows of one run. `run` names it in every table that belongs to one."""

    def __init__(self, instruments: Sequence[Instrument], run: str) -> None:
        self._instruments = instruments
        self._run = run

    # --- the journal ---------------------------------------------------------------------------

    def of_record(self, record: Record, wall_ns: int) -> list[Row]:
        """The rows of one record, made at `wall_ns`. Most kinds give one, some none."""
        value = record.value
        entry: list[object] = [wall_ns, self._run, record.seq]
        match value:
            case OrderIntent():
                return [("intents", entry + self._intent(value))]
            case Refused():
                return [("denials", entry + self._refused(value))]
            case PlaceOrder() | AmendOrder() | CancelOrder() | QueryOrder():
                return [("commands", entry + self._command(value))]
            case OrderUpdate():
                return [self._order(value, wall_ns)]
            case Execution():
                return [self.execution(value)]
            case PositionSnapshot():
                return [("positions", entry + self._position(value))]
            case _ if record.kind in STATE_KINDS:
                return [("states", [*entry, record.kind, str(value)[:_TEXT_MAX]])]
        return []

    def execution(self, fill: Execution) -> Row:
        i = self._instruments[fill.instrument]
        return "executions", [
            fill.ts_ms * 1_000_000, i.category.value, i.symbol, fill.exec_id, fill.order_id,
            fill.client_id, fill.side.wire, _px(i, fill.px), _qty(i, fill.qty), text(fill.fee),
            fill.fee_coin, fill.is_maker, fill.exec_type, self._run,
        ]  # fmt: skip

    def _order(self, row: OrderUpdate, wall_ns: int) -> Row:
        i = self._instruments[row.instrument]
        ts_ns = row.updated_ms * 1_000_000 or wall_ns
        return "orders", [
            ts_ns, row.order_id, row.client_id, i.category.value, i.symbol, row.status,
            _px(i, row.px), _qty(i, row.qty), _qty(i, row.cum_qty),
            row.reject_reason[:_TEXT_MAX], self._run,
        ]  # fmt: skip

    def _intent(self, intent: OrderIntent) -> list[object]:
        i = self._instruments[intent.instrument]
        return [
            intent.strategy, i.symbol, intent.side.wire, _px(i, intent.px), _qty(i, intent.qty),
            intent.order_type.value, intent.tif.value, intent.reduce_only,
            intent.reason[:_TEXT_MAX], _number(intent.confidence), intent.book_u,
        ]  # fmt: skip

    def _refused(self, refused: Refused[OrderIntent]) -> list[object]:
        intent = refused.item
        i = self._instruments[intent.instrument]
        return [
            intent.strategy, i.symbol, intent.side.wire, _px(i, intent.px), _qty(i, intent.qty),
            refused.rule, refused.detail[:_TEXT_MAX],
        ]  # fmt: skip

    def _command(self, command: PlaceOrder | AmendOrder | CancelOrder | QueryOrder) -> list[object]:
        i = self._instruments[command.instrument]
        name = type(command).__name__
        if isinstance(command, PlaceOrder):
            return [
                name, command.client_id, i.symbol, command.side.wire, _px(i, command.px),
                _qty(i, command.qty), command.order_type.value, command.tif.value,
                command.reduce_only,
            ]  # fmt: skip
        px = qty = None
        if isinstance(command, AmendOrder):
            px = None if command.px is None else _px(i, command.px)
            qty = None if command.qty is None else _qty(i, command.qty)
        return [name, command.client_id, i.symbol, None, px, qty, None, None, None]

    def _position(self, held: PositionSnapshot) -> list[object]:
        i = self._instruments[held.instrument]
        return [
            i.category.value, i.symbol, held.position_idx, _qty(i, held.qty),
            text(held.entry_px), text(held.realized_pnl),
        ]  # fmt: skip

    # --- the market ----------------------------------------------------------------------------

    def trades(self, trades: Iterable[Trade]) -> list[Row]:
        rows: list[Row] = []
        for trade in trades:
            i = self._instruments[trade.instrument]
            rows.append((
                "trades",
                [trade.ts_ms * 1_000_000, i.category.value, i.symbol, trade.trade_id,
                 trade.side.wire, _px(i, trade.px), _qty(i, trade.qty), trade.seq],
            ))  # fmt: skip
        return rows

    def sample(self, book: Book, signals: Any, levels: int, wall_ns: int) -> list[Row]:
        """Touch, book and signals of one book as it is. Any: a row of float64."""
        i = self._instruments[book.index]
        head: list[object] = [wall_ns, i.category.value, i.symbol, book.u]
        state = book.state.name
        bids, asks = book.levels()
        touch: list[object] = []
        for side in (bids, asks):
            touch += _level(book, side[0]) if side else [None, None]
        packed = b64encode(pack_l2(book, levels, wall_ns // 1_000_000)).decode()
        figures: list[object] = [_number(float(signals[column])) for column in _SIGNALS]
        samples = float(signals[Signal.SAMPLES])
        return [
            ("tops", [*head, state, *touch]),
            ("books", [*head, state, packed]),
            ("signals", [*head, *figures, 0 if isnan(samples) else int(samples)]),
        ]


def text(value: Decimal) -> str:
    """Plain decimal text, without exponent."""
    return format(value, "f")


def _px(instrument: Instrument, px: int) -> str:
    return text(instrument.px_decimal(px))


def _qty(instrument: Instrument, qty: int) -> str:
    return text(instrument.qty_decimal(qty))


def _level(book: Book, level: tuple[int, int]) -> list[object]:
    px, qty = level
    return [
        text(Decimal(px).scaleb(-book.price_scale)),
        text(Decimal(qty).scaleb(-book.qty_scale)),
    ]


def _number(value: float) -> float | None:
    return None if isnan(value) else value
