"""The store: kept across kill -9, whole or refused, never half."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fastbook.errors import StateError
from fastbook.runtime.state import Store, StoredFill, StoredOrder, read_open_orders, schema
from fastbook.runtime.state import store as store_module


def order(number: int, **changes: object) -> StoredOrder:
    values: dict[str, object] = {
        "client_id": f"mr-P1_abcdef-{number}",
        "strategy": "mean_reversion",
        "symbol": "BTCUSDT",
        "side": 1,
        "px": 6_000_000 + number,
        "qty": 7,
        "price_scale": 2,
        "qty_scale": 3,
        "order_type": "Limit",
        "tif": "GTC",
        "reduce_only": False,
        "sent_ms": 1_700_000_000_000 + number,
    }
    return StoredOrder(**values | changes)  # type: ignore[arg-type]  # a test's shorthand


def test_keeps_what_it_was_given(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.intents([order(1)])
        store.intents([order(2), order(3)])
        filled = order(2, state="partial", cum_qty=3, booked_qty=3, order_id="x", seen=True)
        store.facts([filled], ["mr-P1_abcdef-3"], [StoredFill("e1", order(2).client_id)])
        store.save("gate", {"latched": "why", "day": 5})
    with Store.open(tmp_path) as store:
        assert sorted(store.open_orders(), key=lambda o: o.px) == [order(1), filled]
        assert store.fills() == [StoredFill("e1", order(2).client_id)]
        assert store.load("gate") == {"latched": "why", "day": 5}
        assert store.load("nothing") is None
        store.facts([], [order(2).client_id])
        assert store.fills() == []
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


def test_epochs_never_repeat(tmp_path: Path) -> None:
    for wanted in range(1, 4):
        with Store.open(tmp_path) as store:
            assert store.begin_epoch({"build": "b"}) == wanted
    with Store.open(tmp_path) as store:
        epochs = store.load("epoch")
    assert epochs is not None
    assert [row["epoch"] for row in epochs["history"]] == [1, 2, 3]


def test_belongs_to_one_account(tmp_path: Path) -> None:
    Store.open(tmp_path, account="1001").close()
    Store.open(tmp_path, account="1001").close()
    Store.open(tmp_path).close()  # not asked
    with pytest.raises(StateError, match=r"account 1001, and the key belongs to 1002"):
        Store.open(tmp_path, account="1002")


WRITER = """
import sys
from pathlib import Path
from fastbook.runtime.state import Store
from tests.unit.runtime.state.test_store import order
with Store.open(Path(sys.argv[1])) as store:
    store.begin_epoch({})
    for n in range(10**9):
        store.intents([order(n)])
        print(n, flush=True)
        store.maintain()
"""


def test_kill_9_finds_every_intent_that_was_reported(tmp_path: Path) -> None:
    for trial in range(5):
        folder = tmp_path / str(trial)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        ) as writer:
            assert writer.stdout is not None
            for _ in range(100 + 150 * trial):
                last = writer.stdout.readline()
            os.kill(writer.pid, signal.SIGKILL)
            last = ([*writer.stdout.read().splitlines(), last])[-1] or last
        with Store.open(folder) as store:
            kept = {o.client_id for o in store.open_orders()}
            assert store.begin_epoch({}) == 2
        assert {order(n).client_id for n in range(int(last) + 1)} <= kept


def test_another_process_may_read(tmp_path: Path) -> None:
    assert read_open_orders(tmp_path) == []
    with Store.open(tmp_path) as store:
        store.intents([order(1)])
        assert read_open_orders(tmp_path) == [order(1)]


# --- a disk that refuses ---


def test_what_cannot_be_written_is_said_and_not_kept(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.intents([order(1)])
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")  # as a full disk: SQLITE_FULL
        with pytest.raises(StateError, match="cannot be written: database or disk is full"):
            store.intents([order(n) for n in range(2, 200)])
        assert store.open_orders() == [order(1)]
        assert store.failures == 1
        store._db.execute("PRAGMA max_page_count = 100000")
        store.maintain()
        store.intents([order(2)])
    with Store.open(tmp_path) as store:
        assert len(store.open_orders()) == 2


def test_read_only_file(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store._db.execute("PRAGMA query_only = 1")
        with pytest.raises(StateError, match="cannot be written"):
            store.intents([order(1)])


# --- damage ---


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as kill -9 leaves it: a file, and a log with orders in it."""
    folder = tmp_path_factory.mktemp("state")
    store = Store.open(folder)
    store.begin_epoch({"build": "b"})
    store.intents([order(n) for n in range(400)])
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for n in range(400, 410):
        store.intents([order(n)])
    store.save("gate", {"latched": "daily loss"})
    # Copied, not closed: closing would fold the log.
    copy = tmp_path_factory.mktemp("crashed")
    for name in ("state.db", "state.db-wal"):
        shutil.copy(folder / name, copy / name)
    store.close()
    return copy


def content(folder: Path) -> tuple[list[StoredOrder], object, object]:
    with Store.open(folder) as store:
        return store.open_orders(), store.load("gate"), store.load("epoch")


def damaged_copy(crashed: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(crashed, folder)
    return folder


@pytest.mark.parametrize("name", ["state.db", "state.db-wal"])
def test_a_flipped_bit_is_harmless_or_refused(crashed: Path, tmp_path: Path, name: str) -> None:
    whole = content(damaged_copy(crashed, tmp_path / "whole"))
    assert len(whole[0]) == 410
    size = (crashed / name).stat().st_size
    last_commit = size - 4 * (24 + 1024) if name.endswith("-wal") else size
    rng = random.Random(7)
    places = {*range(0, 110, 3), *(rng.randrange(size) for _ in range(90))}
    refused = 0
    for at in sorted(places):
        folder = damaged_copy(crashed, tmp_path / "copy")
        path = folder / name
        data = bytearray(path.read_bytes())
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            got = content(folder)
        except StateError:
            refused += 1
            continue
        # The last frame of a log is a tail: it may be torn by any crash, and then was never said.
        assert got == whole or at >= last_commit, f"byte {at} of {name} was lost in silence"
    assert refused > 20


@pytest.mark.parametrize("name", ["state.db", "state.db-wal"])
def test_cut_short_anywhere(crashed: Path, tmp_path: Path, name: str) -> None:
    size = (crashed / name).stat().st_size
    rng = random.Random(8)
    before = 0
    for at in sorted({0, 1, 31, 32, *(rng.randrange(size) for _ in range(40))}):
        folder = damaged_copy(crashed, tmp_path / "copy")
        os.truncate(folder / name, at)
        try:
            got = content(folder)
        except StateError:
            continue
        orders = [o.client_id for o in sorted(got[0], key=lambda o: o.sent_ms)]
        # A log that ends early is an earlier moment, and a whole one; of the file, the log may
        # hold all that is missing.
        assert orders == [order(n).client_id for n in range(len(orders))]
        assert name.endswith("-wal") or len(orders) == 410, f"{at} bytes were taken for whole"
        assert len(orders) >= before
        before = len(orders)
    assert before >= 400 or not name.endswith("-wal")


def test_refusal_says_what_to_do(crashed: Path, tmp_path: Path) -> None:
    folder = damaged_copy(crashed, tmp_path / "copy")
    data = bytearray((folder / "state.db-wal").read_bytes())
    data[32 + 24 + 100] ^= 1
    (folder / "state.db-wal").write_bytes(data)
    with pytest.raises(StateError, match=r"damaged at byte 32\. Nothing was started.*move the fo"):
        Store.open(folder)


def test_a_log_without_its_file(crashed: Path, tmp_path: Path) -> None:
    folder = damaged_copy(crashed, tmp_path / "copy")
    (folder / "state.db").unlink()
    with pytest.raises(StateError, match="the file that it belongs to is missing"):
        Store.open(folder)


def test_garbage_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StateError, match="not a database"):
        Store.open(tmp_path)
    (tmp_path / "state.db").unlink()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("CREATE TABLE mine(x)")
    db.close()
    with pytest.raises(StateError, match="is not a state of fastbook"):
        Store.open(tmp_path)


# --- versions ---


def set_version(folder: Path, version: int) -> None:
    db = sqlite3.connect(folder / "state.db")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()


def test_a_newer_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.intents([order(1)])
    set_version(tmp_path, schema.VERSION + 1)
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(StateError, match="newer fastbook"):
        Store.open(tmp_path)
    assert (tmp_path / "state.db").read_bytes() == before


def test_an_older_state_migrates_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path) as store:
        store.intents([order(1)])
    two = ("CREATE TABLE extra(x)", "INSERT INTO extra VALUES(1)")
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    broken = {1: two, 2: ("CREATE TABLE extra(x)",)}  # the second step cannot work
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(StateError, match="table extra already exists"):
        Store.open(tmp_path)
    db = sqlite3.connect(tmp_path / "state.db")
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchall()
    db.close()

    monkeypatch.setattr(schema, "MIGRATIONS", {1: two, 2: ()})
    with Store.open(tmp_path) as store:
        assert store.open_orders() == [order(1)]
        assert store._db.execute("PRAGMA user_version").fetchone() == (3,)

    monkeypatch.setattr(schema, "VERSION", 5)
    with pytest.raises(StateError, match="version 3 cannot be brought up to date"):
        Store.open(tmp_path)


# --- audit ---


def test_audit_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "AUDIT_ROWS_MAX", 10)
    monkeypatch.setattr(store_module, "AUDIT_SLICE", 5)
    with Store.open(tmp_path) as store:
        for n in range(40):
            store.audit(n, [("denied", "qty_max", f"quantity {n}")])
        rows = store.audited()
    assert 10 <= len(rows) <= 15
    assert rows[-1] == (0, 39, "denied", "qty_max", "quantity 39")
    assert store.audit_dropped == 40 - len(rows)
