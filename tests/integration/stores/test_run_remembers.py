"""`fastbook run` with a history and a cache: what it did is there afterwards."""

from __future__ import annotations

from pathlib import Path

from redis import Redis
from tests.integration.command import CONFIG, document, fastbook, one_sentence
from tests.integration.stores.servers import sqlite_rows
from tests.support_servers import ServerProcess, free_port, until

from fastbook.runtime.stores.reader import CacheReader
from fastbook.runtime.stores.schema import TABLES


def config(folder: Path) -> Path:
    path = folder / "c.toml"
    path.write_text(
        f'{CONFIG}\n[state]\ndir = "{folder}/state"\n[cache]\nttl_ms = 1000\n'
        "[history]\nsample_s = 0.2\n"
    )
    return path


def urls(history: str | Path, cache: str = "") -> dict[str, str]:
    url = f"sqlite:///{history}" if isinstance(history, Path) else history
    return {"FASTBOOK__HISTORY__URL": url, "FASTBOOK__CACHE__URL": cache}


def run(folder: Path, env: dict[str, str], seconds: str = "4") -> dict[str, object]:
    path = config(folder)
    done = fastbook("run", path, "--seconds", seconds, "--json", env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    return document(done)


def test_a_run_is_in_the_history_and_leaves_the_cache(
    valkey_server: ServerProcess, tmp_path: Path
) -> None:
    Redis(port=valkey_server.port).flushall()
    database = tmp_path / "h.db"
    summary = run(tmp_path, urls(database, f"valkey://127.0.0.1:{valkey_server.port}"))
    stores = summary["stores"]
    assert isinstance(stores, dict)
    assert stores["dropped"] == {}
    assert stores["history"]["backlog_bytes"] == 0
    assert stores["cache"]["writes"] > 50
    assert len(sqlite_rows(database, "runs")) == 1
    for table in ("trades", "tops", "books", "signals", "equity", "latency", "states"):
        assert sqlite_rows(database, table), table
    fills = sqlite_rows(database, "executions")
    assert len(fills) == len({row[3] for row in fills}) == summary["fills"]
    creates = [row for row in sqlite_rows(database, "commands") if row[3] == "PlaceOrder"]
    assert len(creates) == summary["orders"]
    assert len(sqlite_rows(database, "denials")) == sum(dict(summary["denied"]).values())  # type: ignore[call-overload]  # JSON
    url = f"redis://127.0.0.1:{valkey_server.port}"
    with CacheReader(url, environment="simulator") as cache:
        until(lambda: cache.l2("BTCUSDT") is None, "the books of an engine that stopped to vanish")
        assert len(cache.last("fills", 1_000)) == summary["fills"]


def test_without_its_stores_a_run_is_the_same(tmp_path: Path) -> None:
    port = free_port()
    away = urls(f"postgresql://postgres@127.0.0.1:{port}/x", f"redis://127.0.0.1:{port}")
    summary = run(tmp_path, away, "3")
    assert summary["books_synced"] == 2
    stores = summary["stores"]
    assert isinstance(stores, dict)
    assert not stores["history"]["up"]
    assert not stores["cache"]["up"]
    assert stores["rows"] > 0
    # A run with a history takes what waits.
    waiting = stores["rows"]
    run(tmp_path, urls(tmp_path / "late.db"), "2")
    assert len(sqlite_rows(tmp_path / "late.db", "runs")) == 2
    stored = sum(len(sqlite_rows(tmp_path / "late.db", table.name)) for table in TABLES)
    assert stored > waiting


def test_a_store_that_can_never_be_used_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "h.db").write_text("this is no database, but long enough to be looked at closely")
    env = urls(tmp_path / "h.db")
    done = fastbook("run", config(tmp_path), "--json", env=env, cwd=tmp_path)
    said = one_sentence(done, 2)
    assert "history.url" in said
    assert "not a database" in said
