"""`fastbook run`: against an exchange of the configuration's, and against one of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.integration.command import (
    CONFIG,
    STATE_DIR,
    Running,
    children_of,
    document,
    fastbook,
    in_process,
    one_sentence,
    wait_gone,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def exchange() -> Iterator[dict[str, Any]]:
    """Where a running `fastbook simulate` is. Any: JSON."""
    with Running("simulate", "--symbols", "2", "--rate", "2000") as running:
        yield orjson.loads(running.out.next())
        assert running.end(signal.SIGTERM) == 0


@pytest.fixture
def pointed(config: Path, exchange: dict[str, Any]) -> Path:
    """A configuration that points at it."""
    names = {"rest": "rest_url", "ws_public": "ws_public_url", "ws_private": "ws_private_url"}
    urls = "".join(f'{key} = "{exchange[name]}"\n' for name, key in names.items())
    config.write_text("[venue]\n" + urls + CONFIG)
    return config


def keys(exchange: dict[str, Any]) -> dict[str, str]:
    account = exchange["accounts"][0]
    return {
        "FASTBOOK_API_KEY": account["api_key"],
        "FASTBOOK_API_SECRET": account["api_secret"],
    }


def test_against_a_running_exchange(pointed: Path, exchange: dict[str, Any]) -> None:
    done = fastbook("run", pointed, "--seconds", "2", "--json", env=keys(exchange))
    assert done.returncode == 0, done.stderr
    summary = document(done)
    assert summary["symbols"] == summary["books_synced"] == 2
    assert summary["messages"] > 1_000
    assert summary["orders_from_unsynced_books"] == 0
    assert keys(exchange)["FASTBOOK_API_SECRET"] not in done.stdout + done.stderr


def test_without_a_key(pointed: Path) -> None:
    said = one_sentence(in_process("run", pointed), 3)
    assert said.startswith("no key: set FASTBOOK_API_KEY and FASTBOOK_API_SECRET")


def test_live_on_the_simulator(pointed: Path, exchange: dict[str, Any]) -> None:
    """Live by configuration alone, and by the second switch; the ids and the state say so."""
    pointed.write_text(pointed.read_text() + '\n[execution]\nmode = "live"\n')
    refused = one_sentence(fastbook("run", pointed, env=keys(exchange)), 2)
    assert refused == 'execution.mode is "live": give --live as well, or set it to "paper"'
    done = fastbook("run", pointed, "--live", "--seconds", "2", "--json", env=keys(exchange))
    assert done.returncode == 0, done.stderr
    assert "simulator, 2 symbols, live" in done.stderr
    port = exchange["rest"].rpartition(":")[2]
    place = Path(STATE_DIR.name) / f"simulator-linear-live-127.0.0.1-{port}"
    assert (place / "state.db").exists()


def test_a_real_key_is_not_sent_to_the_simulator(pointed: Path, exchange: dict[str, Any]) -> None:
    real = keys(exchange) | {"FASTBOOK_API_KEY": "abcdefgh12345678"}
    said = one_sentence(fastbook("run", pointed, env=real), 3)
    assert "real keys are not sent there" in said
    assert "abcdefgh" not in said


def test_another_account_than_configured(pointed: Path, exchange: dict[str, Any]) -> None:
    env = keys(exchange) | {"FASTBOOK__VENUE__ACCOUNT_UID": "424242"}
    said = one_sentence(fastbook("run", pointed, env=env), 3)
    assert "venue.account_uid is 424242" in said


def test_with_half_a_key(pointed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBOOK_API_KEY", "abc")
    said = one_sentence(in_process("run", pointed), 3)
    assert said == "FASTBOOK_API_KEY is given and FASTBOOK_API_SECRET is not"


def test_with_a_wrong_secret(pointed: Path, exchange: dict[str, Any]) -> None:
    wrong = keys(exchange) | {"FASTBOOK_API_SECRET": "wrongwrongwrong"}
    done = fastbook("run", pointed, "--seconds", "5", env=wrong)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "wrongwrongwrong" not in done.stderr


def test_nobody_there(config: Path) -> None:
    urls = 'rest_url = "http://127.0.0.1:9"\nws_public_url = "ws://127.0.0.1:9/v5/public"\n'
    config.write_text(f'[venue]\n{urls}ws_private_url = "ws://127.0.0.1:9/p"\n' + CONFIG)
    key = {"FASTBOOK_API_KEY": "SIM" + "a" * 15, "FASTBOOK_API_SECRET": "b" * 36}
    said = one_sentence(fastbook("run", config, env=key), 1)
    assert "/v5/market/time" in said


def test_unknown_symbol(config: Path) -> None:
    config.write_text(CONFIG.replace("ETHUSDT", "NOUSDT"))
    said = one_sentence(fastbook("run", config), 2)
    assert said == "market_data.symbols: the exchange has no NOUSDT"


def test_an_exchange_of_its_own_until_sigterm(config: Path) -> None:
    with Running("run", config) as run:
        assert "simulator, 2 symbols, paper" in run.err.until("running until stopped")
        (exchange,) = children_of(run.process.pid)

        assert run.end(signal.SIGTERM) == 0

        assert wait_gone(exchange)
        assert any("2 of 2 SYNCED" in line for line in run.out.rest())
        assert "Traceback" not in "\n".join(run.err.rest())


@pytest.mark.parametrize(("category", "symbols"), [("spot", 2), ("inverse", 1)])
def test_other_categories_than_linear(config: Path, category: str, symbols: int) -> None:
    text = CONFIG if category == "spot" else CONFIG.replace('["BTCUSDT", "ETHUSDT"]', '["BTCUSD"]')
    config.write_text(f'[venue]\ncategory = "{category}"\n' + text)
    done = fastbook("run", config, "--seconds", "6", "--json")
    assert done.returncode == 0, done.stderr
    summary = document(done)
    assert summary["books_synced"] == symbols
    assert summary["reconciliations"] == 1  # and none since: ledger and venue agree
    assert summary["rejected"] == summary["unknown"] == 0


def test_its_exchange_dies(config: Path) -> None:
    with Running("run", config) as run:
        run.err.until("running until stopped")
        (exchange,) = children_of(run.process.pid)
        os.kill(exchange, signal.SIGKILL)
        assert run.process.wait(30) == 1
        assert run.err.rest()[-1] == "fastbook: the bundled exchange ended by itself"
