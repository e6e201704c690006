"""The store of one account: SQLite in write-ahead mode, one file.

What is written before an order leaves is in the kernel's hands when `intents` returns, so kill -9 at
any instant finds it. Power loss may take the last moments; against that stand the epoch, which
is forced to disk, and the venue, which is asked at every start. Every row has a seal of its
own: SQLite checks its structure, not its contents.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from fastbook.errors import StateError

from . import schema
from .damage import check_log
from .place import FILE_MODE
from .rows import StoredFill, StoredOrder, json_object, pack, seal, unpack

FILE = "state.db"
AUDIT_ROWS_MAX = 20_000
AUDIT_SLICE = 500
EPOCHS_KEPT = 64
LOG_WRITES_MAX = 200
"""Until the write-ahead log is folded into the file: two or three pages each, half a MiB."""
LOG_BYTES_MAX = 16 << 20
"""Beyond this it is folded while the writer waits: without a pause it would never start anew."""

ADVICE = (
    ". Nothing was started. Run `fastbook kill` so that no order is left, move the folder away (do"
    " not delete it), look at the positions, and start again: limits' latches begin anew"
)

_PUT_ORDER = "INSERT OR REPLACE INTO orders(client_id, body, seal) VALUES(?, ?, ?)"
_PUT_FILL = "INSERT OR IGNORE INTO fills(exec_id, client_id, seal) VALUES(?, ?, ?)"
_PUT_DOCUMENT = "INSERT OR REPLACE INTO documents(name, body, seal) VALUES(?, ?, ?)"
_PUT_AUDIT = "INSERT INTO audit(epoch, wall_ms, kind, rule, detail) VALUES(?, ?, ?, ?, ?)"

Document = dict[str, Any]  # Any: JSON of our own making; whoever takes it checks it


class Store:
    """Open with `Store.open`; one writer, in the thread that opened it.

    Every method raises `StateError` when the disk refuses; nothing of that call is kept then.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.path = path
        self.epoch = 0
        self.writes = 0
        self.failures = 0
        self.audit_dropped = 0
        self._audit_rows = 0
        self._unclean_log = False
        self._folded_at = 0
        self._folding: threading.Thread | None = None

    @classmethod
    def open(cls, folder: Path, *, account: str = "") -> Store:
        """Check, migrate and open the store in `folder`; make it when there is none.

        Raises `StateError`, with what to do, for a file that is damaged, foreign or of a newer
        version: never half a state. Costs milliseconds; reads everything.
        """
        path = folder / FILE
        try:
            check_log(path.with_name(path.name + "-wal"))
            _make_whole(path)
            db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        except StateError as e:
            raise StateError(f"{e}{ADVICE}") from e
        except (sqlite3.Error, OSError) as e:
            raise StateError(f"{path}: cannot be opened: {e}") from e
        store = cls(db, path)
        try:
            store._check()
            store._claim(account)
        except BaseException as e:
            db.close()
            if isinstance(e, sqlite3.DatabaseError):
                raise StateError(f"{path}: {e}{ADVICE}") from e
            raise
        return store

    def _check(self) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        # Folding syncs to disk, milliseconds at worst: it has a thread of its own (`maintain`).
        db.execute("PRAGMA wal_autocheckpoint = 0")
        problems = [said for (said,) in db.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise StateError(f"{self.path}: damaged: {'; '.join(map(str, problems))}{ADVICE}")
        schema.prepare(db, self.path)
        try:
            for name, body, mark in db.execute("SELECT name, body, seal FROM documents"):
                json_object(_sealed(mark, name, body), f"document {name}")
            self.open_orders()
            self.fills()
        except StateError as e:
            raise StateError(f"{self.path}: {e}{ADVICE}") from e
        (self._audit_rows,) = db.execute("SELECT count(*) FROM audit").fetchone()

    def _claim(self, account: str) -> None:
        """The state belongs to one account of the venue, for ever."""
        owner = self.load("owner")
        if owner is None:
            if account:
                self.save("owner", {"account": account})
        elif account and owner.get("account") != account:
            raise StateError(
                f"{self.path}: is the state of account {owner.get('account')}, and the key belongs"
                f" to {account}: give this account a state.dir or venue.account_uid of its own"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Fold the log into the file and let go. Everything was safe before."""
        if self._folding is not None:
            self._folding.join()
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def begin_epoch(self, about: Mapping[str, object]) -> int:
        """A number that no start before had and none after will have, forced to disk."""
        last = self.load("epoch") or {}
        self.epoch = int(last.get("epoch", 0)) + 1
        history = [*last.get("history", []), {"epoch": self.epoch, **about}][-EPOCHS_KEPT:]
        self._db.execute("PRAGMA synchronous = FULL")
        try:
            self.save("epoch", {"epoch": self.epoch, "history": history})
        finally:
            self._db.execute("PRAGMA synchronous = NORMAL")
        return self.epoch

    # --- orders ----------------------------------------------------------------------------

    def intents(
        self, orders: Sequence[StoredOrder], documents: Mapping[str, bytes] | None = None
    ) -> None:
        """Record what is about to be sent, and JSON documents with it: all of it, or nothing.

        One transaction; about 20 us for one order, 30 with a document.
        """
        rows = [_order_row(order) for order in orders]
        with self._writing():
            if len(rows) == 1 and not documents:
                self._db.execute(_PUT_ORDER, rows[0])  # a transaction by itself
                return
            with self._transaction():
                self._db.executemany(_PUT_ORDER, rows)
                for name, data in (documents or {}).items():
                    self._db.execute(_PUT_DOCUMENT, (name, data, seal(name, data)))

    def facts(
        self,
        changed: Sequence[StoredOrder],
        closed: Sequence[str] = (),
        fills: Sequence[StoredFill] = (),
    ) -> None:
        """What has become of them: rows anew, fills, and away with those that are over."""
        if not (changed or closed or fills):
            return
        with self._writing(), self._transaction():
            self._db.executemany(_PUT_ORDER, [_order_row(order) for order in changed])
            self._db.executemany(
                _PUT_FILL, [(f.exec_id, f.client_id, seal(f.exec_id, f.client_id)) for f in fills]
            )
            gone = [(client_id,) for client_id in closed]
            self._db.executemany("DELETE FROM orders WHERE client_id = ?", gone)
            self._db.executemany("DELETE FROM fills WHERE client_id = ?", gone)

    def open_orders(self) -> list[StoredOrder]:
        """Every order whose story was not over when it was last written."""
        with self._reading():
            rows = self._db.execute("SELECT client_id, body, seal FROM orders").fetchall()
        orders = []
        for client_id, body, mark in rows:
            order = unpack(_sealed(mark, client_id, body), f"order {client_id}")
            if order.client_id != client_id:
                raise StateError(f"order {client_id}: is another's")
            orders.append(order)
        return orders

    def fills(self) -> list[StoredFill]:
        """The executions that those orders have had."""
        with self._reading():
            rows = self._db.execute("SELECT exec_id, client_id, seal FROM fills").fetchall()
        for exec_id, client_id, mark in rows:
            if mark != seal(exec_id, client_id):
                raise StateError(f"fill {exec_id!r:.60}: does not fit its seal")
        return [StoredFill(exec_id, client_id) for exec_id, client_id, _ in rows]

    # --- documents -------------------------------------------------------------------------

    def save(self, name: str, body: Mapping[str, object]) -> None:
        """Keep `body`, a JSON object, in the place of the last one of that name."""
        self.save_raw(name, orjson.dumps(body))

    def save_raw(self, name: str, data: bytes) -> None:
        """As `save`, of JSON that is text already."""
        with self._writing():
            self._db.execute(_PUT_DOCUMENT, (name, data, seal(name, data)))

    def load(self, name: str) -> Document | None:
        with self._reading():
            row = self._db.execute(
                "SELECT body, seal FROM documents WHERE name = ?", (name,)
            ).fetchone()
        if row is None:
            return None
        return json_object(_sealed(row[1], name, row[0]), f"document {name}")

    # --- audit -----------------------------------------------------------------------------

    def audit(self, wall_ms: int, rows: Sequence[tuple[str, str, str]]) -> None:
        """Append (kind, rule, detail) rows; the oldest go beyond `AUDIT_ROWS_MAX`."""
        if not rows:
            return
        with self._writing(), self._transaction():
            self._db.executemany(_PUT_AUDIT, [(self.epoch, wall_ms, *row) for row in rows])
            self._audit_rows += len(rows)
            if self._audit_rows > AUDIT_ROWS_MAX + AUDIT_SLICE:
                self._trim_audit()

    def _trim_audit(self) -> None:
        over = self._audit_rows - AUDIT_ROWS_MAX
        done = self._db.execute(
            "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?)", (over,)
        )
        self._audit_rows -= done.rowcount
        self.audit_dropped += done.rowcount

    def audited(self, last: int = 100) -> list[tuple[int, int, str, str, str]]:
        """The last rows: (epoch, wall ms, kind, rule, detail), oldest first."""
        with self._reading():
            rows = self._db.execute(
                "SELECT epoch, wall_ms, kind, rule, detail FROM audit ORDER BY seq DESC LIMIT ?",
                (last,),
            ).fetchall()
        return rows[::-1]

    # --- upkeep ----------------------------------------------------------------------------

    def maintain(self) -> None:
        """Fold the log when it has grown, beside the writer. Call it now and then; returns at once."""
        if self._folding is not None and self._folding.is_alive():
            return
        if self.writes - self._folded_at < LOG_WRITES_MAX and not self._unclean_log:
            return
        if self._unclean_log or self._log_bytes() > LOG_BYTES_MAX:
            # After a failed write old frames may lie behind the end and look like damage.
            with contextlib.suppress(sqlite3.Error):
                (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._unclean_log = bool(busy)
            return
        # Not by its size: a log that was folded keeps it and is written from its start again.
        self._folded_at = self.writes
        self._folding = threading.Thread(target=_fold, args=(self.path,), daemon=True)
        self._folding.start()

    def _log_bytes(self) -> int:
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except OSError:
            return 0

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
            self.writes += 1
        except sqlite3.Error as e:
            self.failures += 1
            self._unclean_log = True
            raise StateError(f"{self.path}: cannot be written: {e}") from e

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            raise StateError(f"{self.path}: cannot be read: {e}") from e


def read_open_orders(folder: Path) -> list[StoredOrder]:
    """The open orders of a store that another process may be writing. Changes nothing."""
    path = folder / FILE
    if not path.exists():
        return []
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    except sqlite3.Error as e:
        raise StateError(f"{path}: cannot be opened: {e}") from e
    try:
        return Store(db, path).open_orders()
    finally:
        db.close()


def _make_whole(path: Path) -> None:
    """A new store, under its name only when it is complete: an empty file is never a new one."""
    log = path.with_name(path.name + "-wal")
    if path.exists():
        with path.open("rb") as file:
            head = file.read(512)
        # SQLite takes a stub for a new database, and throws the log beside it away.
        if len(head) < 512 or not head.startswith(b"SQLite format 3\0"):
            raise StateError(f"{path}: is cut short, or not a database")
        return
    if log.exists() and log.stat().st_size:
        raise StateError(f"{log}: the file that it belongs to is missing")
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=FILE_MODE)
    db = sqlite3.connect(draft, isolation_level=None)
    try:
        # Small pages: a commit writes two or three of them, and a start reads them all.
        db.execute("PRAGMA page_size = 1024")
        schema.prepare(db, draft)
    finally:
        db.close()
    draft.rename(path)


def _fold(path: Path) -> None:
    with contextlib.suppress(sqlite3.Error):  # the next time, or at the end
        db = sqlite3.connect(path, timeout=0.0)
        try:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            db.close()


def _order_row(order: StoredOrder) -> tuple[str, bytes, int]:
    body = pack(order)
    return order.client_id, body, seal(order.client_id, body)


def _sealed(mark: object, name: object, body: object) -> bytes:
    if not isinstance(name, str) or not isinstance(body, bytes) or mark != seal(name, body):
        raise StateError(f"row {name!r:.60}: does not fit its seal")
    return body
