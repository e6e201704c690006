"""One list of tables, two migrations: the same names, columns, kinds and keys."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from fastbook.runtime.stores.history import MIGRATIONS
from fastbook.runtime.stores.schema import TABLES, VERSION, Table

DOCUMENT = Path(__file__).parents[4] / "docs" / "schema.md"
SQLITE = {
    "time": "INTEGER", "text": "TEXT", "int": "INTEGER", "float": "REAL", "money": "TEXT",
    "bytes": "BLOB", "bool": "INTEGER",
}  # fmt: skip
POSTGRES = {
    "time": "timestamptz", "text": "text", "int": "bigint", "float": "double precision",
    "money": "numeric", "bytes": "bytea", "bool": "boolean",
}  # fmt: skip


@pytest.fixture(scope="module")
def sqlite() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    for number in range(1, VERSION + 1):
        (script,) = (MIGRATIONS / "sqlite").glob(f"{number:04}_*.sql")
        db.executescript(script.read_text("utf-8"))
    return db


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_sqlite_has_the_columns(sqlite: sqlite3.Connection, table: Table) -> None:
    info = list(sqlite.execute(f"PRAGMA table_info({table.name})"))
    assert [(name, kind) for _, name, kind, *_ in info] == [
        (name, SQLITE[kind]) for name, kind in table.columns
    ]
    keyed = sorted((number, name) for _, name, _, _, _, number in info if number)
    assert tuple(name for _, name in keyed) == table.key


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_postgres_has_the_columns(table: Table) -> None:
    text = (MIGRATIONS / "postgres" / "0001_initial.sql").read_text("utf-8")
    found = re.search(rf"CREATE TABLE {table.name} \((.*?)\n\) PARTITION", text, re.DOTALL)
    assert found is not None
    columns, key = found[1].rsplit("PRIMARY KEY", 1)
    said = [" ".join(c.split()).removesuffix(" NOT NULL") for c in columns.split(",")][:-1]
    assert said == [f"{name} {POSTGRES[kind]}" for name, kind in table.columns]
    assert key.strip() == f"({', '.join(table.key)})"


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_a_key_has_the_time_in_it(table: Table) -> None:
    # What is partitioned by time can only be unique together with it.
    assert table.columns[0] == ("ts", "time")
    assert "ts" in table.key


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_every_column_is_documented(table: Table) -> None:
    section = DOCUMENT.read_text("utf-8").split(f"### {table.name}\n", 1)[1].split("\n### ")[0]
    assert [c for c in table.names if f"`{c}`" not in section] == []
