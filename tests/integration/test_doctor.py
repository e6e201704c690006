"""`fastbook doctor`: what it finds, and that it finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.integration.command import CONFIG, Running, fastbook, in_process

from fastbook.runtime.config import load
from fastbook.runtime.doctor import machine
from fastbook.runtime.state import KILL, Holder, InstanceLock, Mark, Store, place_of, prepare


@pytest.fixture(scope="module")
def exchange() -> Iterator[dict[str, Any]]:
    with Running("simulate", "--symbols", "2") as running:
        yield orjson.loads(running.out.next())


@pytest.fixture
def config(tmp_path: Path, exchange: dict[str, Any]) -> Path:
    path = tmp_path / "c.toml"
    names = {"rest": "rest_url", "ws_public": "ws_public_url", "ws_private": "ws_private_url"}
    urls = "".join(f'{key} = "{exchange[name]}"\n' for name, key in names.items())
    path.write_text(f'[venue]\n{urls}[state]\ndir = "{tmp_path}/state"\n{CONFIG}')
    return path


def examined(
    config: Path, exchange: dict[str, Any], *args: str, **env: str
) -> tuple[int, dict[str, Any]]:
    account = exchange["accounts"][0]
    keys = {
        "FASTBOOK_API_KEY": account["api_key"],
        "FASTBOOK_API_SECRET": account["api_secret"],
        "FASTBOOK__STATE__DIR": str(config.parent / "state"),
    }
    done = fastbook("doctor", config, "--json", *args, env=keys | env)
    assert "Traceback" not in done.stderr, done.stderr
    assert account["api_secret"] not in done.stdout + done.stderr
    document = orjson.loads(done.stdout)
    assert document["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in document["checks"]} | {
        "effective": document.get("effective")
    }


def test_all_is_well(config: Path, exchange: dict[str, Any]) -> None:
    code, found = examined(config, exchange, "--show")
    assert code == 0, found
    names = ("python", "extensions", "picows", "configuration", "limits", "disk", "state", "key")
    for name in (*names, "venue", "clock offset", "symbols", "account"):
        assert found[name]["ok"], name
    assert found["watchdog"]["warning"]
    shown = {row["key"]: row for row in found["effective"]}
    assert shown["risk.leverage_max"]["value"] == 10.0
    assert shown["risk.leverage_max"]["origin"].startswith(f"{config}:")
    assert shown["venue.category"]["origin"] == "default"
    assert not place_of(load(config, {})).exists(), "it looks and changes nothing"


def test_what_is_wrong_with_the_account(config: Path, exchange: dict[str, Any]) -> None:
    code, found = examined(config, exchange, FASTBOOK__VENUE__ACCOUNT_UID="424242")
    assert code == 4
    assert "venue.account_uid is 424242" in found["account"]["detail"]
    code, found = examined(config, exchange, FASTBOOK_API_SECRET="wrongwrongwrong")
    assert code == 4
    assert not found["account"]["ok"]
    code, found = examined(config, exchange, FASTBOOK_API_KEY="realrealrealreal")
    assert code == 4
    assert "real keys are not sent" in found["key"]["detail"]
    code, found = examined(config, exchange, FASTBOOK__MARKET_DATA__SYMBOLS="NOUSDT")
    assert code == 4
    assert "has no NOUSDT" in found["symbols"]["detail"]
    code, found = examined(config, exchange, FASTBOOK__VENUE__REST_URL="http://127.0.0.1:9")
    assert code == 4
    assert not found["venue"]["ok"]


def test_what_is_wrong_with_the_state(config: Path, exchange: dict[str, Any]) -> None:
    place = prepare(place_of(load(config, {})))
    with Store.open(place) as store:
        store.save("limits", {"risk.leverage_max": "2.0"})
    Mark(place, KILL).make("a test", "now")
    code, found = examined(config, exchange)
    assert code == 0
    assert "5 TIMES THE LAST RUN'S" in found["state"]["detail"]
    assert "a test" in found["kill mark"]["detail"]

    with InstanceLock(place, Holder(12345, "then", "b")):
        _, found = examined(config, exchange)
    assert "process 12345 trades there" in found["lock"]["detail"]

    data = bytearray((place / "state.db").read_bytes())
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    (place / "state.db").write_bytes(data)
    code, found = examined(config, exchange)
    assert code == 4
    assert "move the folder away" in found["state"]["detail"]

    place.chmod(0o755)
    code, found = examined(config, exchange)
    assert code == 4
    assert "mode 0755" in found["state"]["detail"]


def test_files_and_watchdog(config: Path, exchange: dict[str, Any], tmp_path: Path) -> None:
    for name in ("k", "s"):
        (tmp_path / name).write_text(f"SIM{name}aaaaaaaaaaaaaaa")
        (tmp_path / name).chmod(0o644)
    config.write_text(
        config.read_text()
        + f'\n[watchdog]\nrequired = true\napi_key_file = "{tmp_path}/k"\n'
        + f'api_secret_file = "{tmp_path}/s"\n'
    )
    place = prepare(place_of(load(config, {})))
    assert place.exists()
    code, found = examined(config, exchange)
    assert code == 4
    assert "mode 0644 lets others in" in found["watchdog.api_key_file"]["detail"]
    assert "does not run" in found["watchdog"]["detail"]


def test_a_broken_configuration(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[market_data]\nsymbol = 1\n")
    done = in_process("doctor", path)
    assert done.returncode == 4
    assert "FAIL  configuration" in done.stdout
    assert "c.toml:2" in done.stdout


def test_without_a_configuration() -> None:
    done = in_process("doctor")
    assert done.returncode == 0, done.stdout
    assert "ok    python" in done.stdout


def test_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1rc1")
    assert not any(check.ok for check in machine.libraries())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.1.2.post1")
    assert all(check.ok for check in machine.libraries())
