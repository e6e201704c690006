"""What a back end of the history is, and which one a URL names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastbook.errors import ConfigError, FastbookError

from .schema import BY_NAME
from .spool import Row

MIGRATIONS = Path(__file__).parent / "migrations"


class StoreError(FastbookError):
    """A store cannot be used as it is, and trying again does not help: foreign or newer schema."""


class StoreUnavailable(FastbookError):
    """The store does not answer, or not now. What was to be written is still in the spool."""

    retryable = True


class Backend(Protocol):
    """One database. Every call raises `StoreUnavailable` or `StoreError`, nothing else."""

    async def open(self) -> str:
        """Connect, bring the schema up to date; says in words what it is talking to."""
        ...

    async def write(self, rows: Sequence[Row]) -> int:
        """Store `rows` in one transaction; those that are there already are left. New ones."""
        ...

    async def close(self) -> None: ...


def open_backend(url: str, *, retention_days: int = 0) -> Backend:
    """The back end of a URL; nothing is connected yet. `ConfigError` for one that is neither."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from .sqlite import SqliteHistory

        return SqliteHistory(sqlite_path(url), retention_days=retention_days)
    if scheme in ("postgresql", "postgres"):
        try:
            from .postgres import PostgresHistory
        except ImportError as e:
            raise ConfigError(
                "history.url is PostgreSQL's, and asyncpg is not installed:"
                " pip install 'fastbook-engine[postgres]'"
            ) from e
        return PostgresHistory(url, retention_days=retention_days)
    raise ConfigError("history.url must begin with sqlite:/// or postgresql://")


def sqlite_path(url: str) -> Path:
    """sqlite:///relative or sqlite:////absolute, as everywhere."""
    path = urlsplit(url).path
    return Path(path.removeprefix("/"))


def by_table(rows: Sequence[Row]) -> dict[str, list[list[Any]]]:
    """Values by table, in the order they came. Any: values of every kind of column.

    `StoreError` for a table or a number of values that the schema does not have: then the spool
    was written by another version.
    """
    found: defaultdict[str, list[list[Any]]] = defaultdict(list)
    for name, values in rows:
        table = BY_NAME.get(name)
        if table is None or len(values) != len(table.columns):
            raise StoreError(f"the spool has a row for {name!r} that this version does not know")
        found[name].append(values)
    return dict(found)
