"""Fixtures' helpers: rows to store, and what came out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fastbook.runtime.stores.spool import Row

BASE_NS = 1_780_000_000_000_000_000


def states(first: int, count: int, run: str = "r") -> list[Row]:
    return [
        ("states", [BASE_NS + n * 1_000_000, run, n, "state", f"number {n}"])
        for n in range(first, first + count)
    ]


def trades(first: int, count: int) -> list[Row]:
    return [
        (
            "trades",
            [BASE_NS + n * 1_000_000, "linear", "BTCUSDT", f"t{n}", "Buy", "50000.10",
             "0.001000000000000000001", n],
        )
        for n in range(first, first + count)
    ]  # fmt: skip


def sqlite_rows(path: Path, table: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(f"SELECT * FROM {table} ORDER BY ts").fetchall()
    finally:
        db.close()
