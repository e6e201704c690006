"""The tables, and how an older file becomes a current one: whole, or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fastbook.errors import StateError

APPLICATION_ID = 0x66620001
VERSION = 1

CREATE = (
    """CREATE TABLE documents(
        name TEXT PRIMARY KEY, body BLOB NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE orders(
        client_id TEXT PRIMARY KEY, body BLOB NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE fills(
        exec_id TEXT PRIMARY KEY, client_id TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX fills_of ON fills(client_id)",
    """CREATE TABLE audit(
        seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
        kind TEXT NOT NULL, rule TEXT NOT NULL, detail TEXT NOT NULL)""",
)
MIGRATIONS: dict[int, tuple[str, ...]] = {}
"""From version N to N + 1."""


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file, or bring an older one up to date, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (owner,) = db.execute("PRAGMA application_id").fetchone()
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master")]
        if not tables and not version:
            _run(db, CREATE)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        elif owner != APPLICATION_ID:
            raise StateError(f"{path}: is not a state of fastbook")
        elif version > VERSION:
            raise StateError(
                f"{path}: was written by a newer fastbook (state version {version}, this one"
                f" knows {VERSION}). Use that one, or come back to it after `fastbook kill`"
            )
        else:
            for step in range(version, VERSION):
                if step not in MIGRATIONS:
                    raise StateError(f"{path}: state version {step} cannot be brought up to date")
                _run(db, MIGRATIONS[step])
        if version != VERSION:
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _run(db: sqlite3.Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        db.execute(statement)
