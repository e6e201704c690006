"""The history's tables: the one list that rows, migrations and back ends agree on.

The SQL is written out in `migrations/`; a test holds both to the same columns. Every table has a
key, so that a batch which arrives twice is stored once. docs/schema.md explains each column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["time", "text", "int", "float", "money", "bytes", "bool"]
"""time: nanoseconds since 1970, UTC; a database stores microseconds. money: exact decimal text."""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[tuple[str, Kind], ...]
    key: tuple[str, ...]
    market: bool = False
    """Rows that the raw recording can give again: the first to be dropped when room is short."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


def _table(name: str, columns: str, *, key: str, market: bool = False) -> Table:
    pairs = [column.split(":") for column in columns.split()]
    return Table(
        name,
        tuple((column, kind) for column, kind in pairs),  # type: ignore[misc]  # checked by a test
        tuple(key.split()),
        market,
    )


_ENTRY = "ts:time run:text seq:int"  # a record of the journal
_BOOK = "ts:time category:text symbol:text u:int"

TABLES: tuple[Table, ...] = (
    _table(
        "runs",
        "ts:time run:text environment:text category:text mode:text version:text symbols:text",
        key="run ts",
    ),
    _table(
        "trades",
        "ts:time category:text symbol:text trade_id:text side:text px:money qty:money seq:int",
        key="category symbol trade_id ts",
        market=True,
    ),
    _table(
        "tops",
        f"{_BOOK} state:text bid_px:money bid_qty:money ask_px:money ask_qty:money",
        key="category symbol ts u",
        market=True,
    ),
    _table(
        "books",
        f"{_BOOK} state:text levels:bytes",
        key="category symbol ts u",
        market=True,
    ),
    _table(
        "signals",
        f"{_BOOK} mid:float spread_bps:float microprice:float imbalance:float zscore:float"
        " mean:float std:float ofi:float ewma:float volatility:float atr:float samples:int",
        key="category symbol ts u",
        market=True,
    ),
    _table(
        "intents",
        f"{_ENTRY} strategy:text symbol:text side:text px:money qty:money order_type:text tif:text"
        " reduce_only:bool reason:text confidence:float book_u:int",
        key="run seq ts",
    ),
    _table(
        "denials",
        f"{_ENTRY} strategy:text symbol:text side:text px:money qty:money rule:text detail:text",
        key="run seq ts",
    ),
    _table(
        "commands",
        f"{_ENTRY} command:text client_id:text symbol:text side:text px:money qty:money"
        " order_type:text tif:text reduce_only:bool",
        key="run seq ts",
    ),
    _table(
        "orders",
        "ts:time order_id:text client_id:text category:text symbol:text status:text px:money"
        " qty:money cum_qty:money reject_reason:text run:text",
        key="order_id ts status cum_qty",
    ),
    _table(
        "executions",
        "ts:time category:text symbol:text exec_id:text order_id:text client_id:text side:text"
        " px:money qty:money fee:money fee_coin:text is_maker:bool exec_type:text run:text",
        key="category symbol exec_id ts",
    ),
    _table(
        "positions",
        f"{_ENTRY} category:text symbol:text position_idx:int qty:money entry_px:money"
        " realized_pnl:money",
        key="run seq ts",
    ),
    _table(
        "equity",
        "ts:time run:text equity:money balance:money realized:money fees:money open_pnl:money",
        key="run ts",
    ),
    _table(
        "gaps",
        "ts:time until:time source:text what:text rows:int reason:text",
        key="ts source what reason",
    ),
    _table(
        "latency",
        "ts:time run:text stage:text count:int p50_us:float p99_us:float p999_us:float",
        key="run stage ts",
        market=True,
    ),
    _table(
        "states",
        f"{_ENTRY} kind:text detail:text",
        key="run seq ts",
    ),
)
BY_NAME = {table.name: table for table in TABLES}
VERSION = 1
"""Of the schema: the number of the last migration."""
