"""Private frames and rows of REST queries -> events for the engine.

Tolerant where the venue is known to vary: empty text for "no value", numbers as text and as
numbers, unknown keys, words added to an enumeration later. Strict where money is: a fill, a
position or a balance that cannot be read exactly is counted in `bad_rows`, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from fastbook.core.fixed import parse_fixed
from fastbook.errors import FixedPointError, WireError
from fastbook.types import (
    Category,
    Execution,
    Instrument,
    OrderEvent,
    OrderUpdate,
    PositionSnapshot,
    Side,
    WalletSnapshot,
)

Row = Mapping[str, Any]  # Any: JSON from outside; each value is checked when it is read

_DECIMAL = re.compile(r"-?\d{1,20}(?:\.\d{1,30})?")
_INTEGER = re.compile(r"-?\d{1,19}")
_TEXT_MAX = 256
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_HEDGE_SIDES = {1: Side.BUY, 2: Side.SELL}
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ControlReply:
    """An answer to something we said on the socket: auth, subscribe, unsubscribe or ping."""

    op: str  # "pong" for every dialect of it
    ok: bool
    req_id: str
    code: int  # retCode where the dialect has one
    text: str


def parse_frame(frame: bytes | bytearray | memoryview) -> Row:
    """The JSON object of one whole text frame. Raises `WireError`."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError as e:
        raise WireError(f"private frame is not JSON: {e}") from e
    if not isinstance(message, dict):
        raise WireError("private frame is not a JSON object")
    return message


def parse_control(message: Row) -> ControlReply | None:
    """The answer that `message` is, or None when it carries data."""
    op = message.get("op")
    if not isinstance(op, str) or "topic" in message:
        return None
    text = _text(message.get("ret_msg") or message.get("retMsg"))
    code = message.get("retCode")
    code = code if type(code) is int else 0
    pong = op == "pong" or (op == "ping" and text == "pong")
    ok = pong or (message["success"] is True if "success" in message else code == 0)
    req_id = message.get("req_id") or message.get("reqId")
    return ControlReply("pong" if pong else op, ok, _text(req_id), code, text)


class PrivateDecoder:
    """Turns rows of orders, executions, positions and wallets into events.

    Knows the engine's instruments only. Rows of other symbols or categories are counted in
    `foreign`: they are somebody's business, but not this engine's.

    Executions of the fast topic carry no fee, so booking one would lose it (the full row has
    the same id and would be taken for a repetition). They are counted and left out, unless
    `fast` asks for them; then `fee` is NaN.
    """

    def __init__(
        self, instruments: Iterable[Instrument], category: Category, *, fast: bool = False
    ) -> None:
        self._category = category
        self._by_symbol = {i.symbol: i for i in instruments}
        self._fast = fast
        self.foreign = 0
        self.bad_rows = 0
        self.hedge_rows = 0
        self.fast_ignored = 0
        self.unknown_topics = 0
        self.last_problem = ""

    def decode(self, frame: bytes | bytearray | memoryview) -> list[OrderEvent]:
        """Events of one whole frame, in its order; none for an answer or an unknown topic.

        Raises `WireError` when the frame is not a JSON object or its data is not a list.
        """
        return self.events(parse_frame(frame))

    def events(self, message: Row) -> list[OrderEvent]:
        """As `decode`, of a message already parsed."""
        topic = message.get("topic")
        if not isinstance(topic, str):
            return []
        rows = message.get("data")
        if not isinstance(rows, list):
            raise WireError("data is not a list", topic=topic[:_TEXT_MAX])
        # `order.linear` is a form of `order`; the fast topic goes first, it has two words.
        if topic == "execution.fast" or topic.startswith("execution.fast."):
            if not self._fast:
                self.fast_ignored += len(rows)
                return []
            return self._all(rows, self._fast_execution, "execution.fast")
        head = topic.partition(".")[0]
        match head:
            case "order":
                return self.orders(rows)
            case "execution":
                return self.executions(rows)
            case "position":
                return self.positions(rows)
            case "wallet":
                return self.wallet(rows)
        self.unknown_topics += 1
        return []

    def orders(self, rows: Iterable[Row]) -> list[OrderEvent]:
        return self._all(rows, self._order, "order")

    def executions(self, rows: Iterable[Row]) -> list[OrderEvent]:
        """Fills and cash flows. `Funding` rows look like fills; `exec_type` tells them apart."""
        return self._all(rows, self._execution, "execution")

    def positions(self, rows: Iterable[Row]) -> list[OrderEvent]:
        return self._all(rows, self._position, "position")

    def wallet(self, rows: Iterable[Row]) -> list[OrderEvent]:
        """One event a coin. A row may list only the coins that changed: merge, do not replace."""
        found: list[OrderEvent] = []
        for row in rows:
            coins = row.get("coin") if isinstance(row, Mapping) else None
            if not isinstance(coins, list):
                self._refuse("wallet", ValueError("no list of coins"))
                continue
            found += self._all(coins, self._coin, "wallet")
        return found

    def _all(
        self, rows: Iterable[Row], parse: Callable[[Row], OrderEvent | None], kind: str
    ) -> list[OrderEvent]:
        found: list[OrderEvent] = []
        for row in rows:
            try:
                event = parse(_object(row))
            except ValueError as e:  # FixedPointError is one too
                self._refuse(kind, e)
                continue
            if event is not None:
                found.append(event)
        return found

    def _refuse(self, kind: str, error: ValueError) -> None:
        self.bad_rows += 1
        self.last_problem = f"{kind}: {error}"[:_TEXT_MAX]

    def _instrument(self, row: Row) -> Instrument | None:
        # REST rows carry no category: it stands once, above the list.
        found = self._by_symbol.get(_text(row.get("symbol")))
        if found is None or row.get("category", self._category) != self._category:
            self.foreign += 1
            return None
        return found

    def _order(self, row: Row) -> OrderEvent | None:
        instrument = self._instrument(row)
        if instrument is None:
            return None
        return OrderUpdate(
            client_id=_text(row.get("orderLinkId")),
            order_id=_required(row, "orderId"),
            instrument=instrument.index,
            status=_required(row, "orderStatus"),
            px=_fixed_or_zero(row, "price", instrument.price_scale),
            qty=_order_qty(row, instrument),
            cum_qty=_fixed(row, "cumExecQty", instrument.qty_scale),
            reject_reason=_text(row.get("rejectReason")),
            updated_ms=_integer(row, "updatedTime"),
        )

    def _execution(self, row: Row) -> OrderEvent | None:
        instrument = self._instrument(row)
        if instrument is None:
            return None
        return _execution(row, instrument, _money(row, "execFee"), row.get("execType") or "Trade")

    def _fast_execution(self, row: Row) -> OrderEvent | None:
        instrument = self._instrument(row)
        if instrument is None:
            return None
        return _execution(row, instrument, Decimal("NaN"), "Trade")

    def _position(self, row: Row) -> OrderEvent | None:
        instrument = self._instrument(row)
        if instrument is None:
            return None
        size = _fixed(row, "size", instrument.qty_scale)
        hedge_index = _integer(row, "positionIdx")
        if hedge_index:
            self.hedge_rows += 1  # two rows a symbol: the account is not in one-way mode
        side = _SIDES.get(_text(row.get("side"))) or _HEDGE_SIDES.get(hedge_index)
        if side is None and size:
            raise ValueError(f"{instrument.symbol}: a position without a side")
        # The stream says entryPrice, the query avgPrice.
        entry_key = "entryPrice" if "entryPrice" in row else "avgPrice"
        return PositionSnapshot(
            instrument=instrument.index,
            qty=size * int(side) if side else 0,
            entry_px=_money(row, entry_key),
            realized_pnl=_money(row, "cumRealisedPnl"),
            seq=_integer(row, "seq"),
            updated_ms=_integer(row, "updatedTime"),
            position_idx=hedge_index,
            stop_loss_px=_stop_px(row, "stopLoss", instrument),
            take_profit_px=_stop_px(row, "takeProfit", instrument),
            leverage=_money(row, "leverage") or None,
        )

    def _coin(self, row: Row) -> OrderEvent | None:
        return WalletSnapshot(
            coin=_required(row, "coin"),
            balance=_money(row, "walletBalance"),
            equity=_money(row, "equity"),
        )


def _execution(row: Row, instrument: Instrument, fee: Decimal, exec_type: object) -> Execution:
    side = _SIDES.get(_text(row.get("side")))
    if side is None:
        raise ValueError(f"{instrument.symbol}: side of an execution: {row.get('side')!r:.40}")
    return Execution(
        exec_id=_required(row, "execId"),
        client_id=_text(row.get("orderLinkId")),
        order_id=_text(row.get("orderId")),
        instrument=instrument.index,
        side=side,
        px=_execution_px(row, instrument, exec_type),
        qty=_fixed(row, "execQty", instrument.qty_scale),
        fee=fee,
        fee_coin=_text(row.get("feeCurrency")) or _usual_fee_coin(instrument, side),
        is_maker=row.get("isMaker") is True,
        exec_type=_text(exec_type),
        ts_ms=_integer(row, "execTime"),
        created_by=_text(row.get("createType")),
    )


def _execution_px(row: Row, instrument: Instrument, exec_type: object) -> int:
    """Exact, or refused; but that of a funding payment is a mark price, which knows no tick.

    Nothing is bought at it: it is a label, rounded down.
    """
    if exec_type == "Funding":
        return int(_money(row, "execPrice").scaleb(instrument.price_scale))
    return _fixed(row, "execPrice", instrument.price_scale)


def _usual_fee_coin(instrument: Instrument, side: Side) -> str:
    """Where the row does not say: derivatives pay in the settle coin, spot in what is received."""
    if instrument.category is not Category.SPOT:
        return instrument.settle
    return instrument.base if side is Side.BUY else instrument.quote


def _order_qty(row: Row, instrument: Instrument) -> int:
    if row.get("marketUnit") == "quoteCoin":
        # `qty` is an amount of quote coins; the base quantity is known only as it fills.
        return _fixed(row, "cumExecQty", instrument.qty_scale)
    return _fixed(row, "qty", instrument.qty_scale)


def _object(row: object) -> Row:
    if isinstance(row, Mapping):
        return row
    raise ValueError(f"a row is not an object: {row!r:.40}")


def _text(value: object) -> str:
    return value[:_TEXT_MAX] if isinstance(value, str) else ""


def _required(row: Row, key: str) -> str:
    value = _text(row.get(key))
    if not value:
        raise ValueError(f"{key} is missing")
    return value


def _number_text(row: Row, key: str) -> str:
    """The text of a number; "" where the venue says "no value"."""
    value = row.get(key)
    if value is None or value == "":
        return ""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError(f"{key} is not a number: {value!r:.40}")
    return value


def _fixed(row: Row, key: str, scale: int) -> int:
    text = _number_text(row, key)
    try:
        return parse_fixed(text, scale) if text else 0
    except FixedPointError as e:
        raise ValueError(f"{key}: {e}") from e


def _fixed_or_zero(row: Row, key: str, scale: int) -> int:
    """For the price of an order row, which is a label: fills say what was paid."""
    try:
        return _fixed(row, key, scale)
    except ValueError:
        return 0


def _stop_px(row: Row, key: str, instrument: Instrument) -> int:
    """0 where there is none: the venue says "", "0" or "0.00" then."""
    return _fixed(row, key, instrument.price_scale)


def _money(row: Row, key: str) -> Decimal:
    text = _number_text(row, key)
    if not text:
        return _ZERO
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{key} is not a decimal: {text!r:.40}")
    return Decimal(text)


def _integer(row: Row, key: str) -> int:
    text = _number_text(row, key)
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{key} is not an integer: {text!r:.40}")
    return int(text)
