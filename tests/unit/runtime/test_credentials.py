"""Keys come from the environment or from private files, and errors never show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastbook.errors import CredentialsError
from fastbook.runtime.config import Config, load_advisor_key, load_credentials, parse

MINIMAL = '[market_data]\nsymbols = ["BTCUSDT"]\n'


def config(key_file: str = "", secret_file: str = "") -> Config:
    text = f'{MINIMAL}[venue]\napi_key_file = "{key_file}"\napi_secret_file = "{secret_file}"\n'
    return parse(text, name="x.toml", environ={})


def private(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_nothing_given() -> None:
    assert load_credentials(config(), {}) is None


def test_environment_is_emptied() -> None:
    environ = {"FASTBOOK_API_KEY": "k1", "FASTBOOK_API_SECRET": " s1\n", "OTHER": "x"}
    credentials = load_credentials(config(), environ)
    assert credentials is not None
    assert credentials.api_key.reveal() == "k1"
    assert credentials.api_secret.reveal() == "s1"
    assert environ == {"OTHER": "x"}
    assert "s1" not in repr(credentials)


def test_files(tmp_path: Path) -> None:
    c = config(private(tmp_path / "k", "k1\n"), private(tmp_path / "s", "s1\n", 0o400))
    credentials = load_credentials(c, {})
    assert credentials is not None
    assert credentials.api_secret.reveal() == "s1"


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"FASTBOOK_API_KEY": "CANARY"}, "FASTBOOK_API_SECRET is not"),
        ({"FASTBOOK_API_SECRET": "CANARY"}, "FASTBOOK_API_KEY is not"),
        ({"FASTBOOK_API_KEY": "CANARY", "FASTBOOK_API_SECRET": ""}, "SECRET: is blank"),
        ({"FASTBOOK_API_KEY": "CANARY", "FASTBOOK_API_SECRET": "CANARY"}, "same text"),
        ({"FASTBOOK_API_KEY": "CANARY X", "FASTBOOK_API_SECRET": "s"}, "no key has"),
        ({"FASTBOOK_API_KEY": "CANARY\n\x01", "FASTBOOK_API_SECRET": "s"}, "no key has"),
        ({"FASTBOOK_API_KEY": "CANARYü", "FASTBOOK_API_SECRET": "s"}, "no key has"),
    ],
)
def test_refuses_without_showing(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(CredentialsError, match=complaint) as caught:
        load_credentials(config(), environ)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    c = config(private(tmp_path / "k", "k1", mode), private(tmp_path / "s", "CANARY"))
    with pytest.raises(CredentialsError, match="chmod 600"):
        load_credentials(c, {})


def test_what_is_not_a_private_file(tmp_path: Path) -> None:
    good = private(tmp_path / "s", "s1")
    os.mkfifo(tmp_path / "fifo", 0o600)
    big = private(tmp_path / "big", "x" * 5000)
    for path in (tmp_path / "none", tmp_path / "fifo", tmp_path, big):
        with pytest.raises(CredentialsError, match=str(path)):
            load_credentials(config(str(path), good), {})


def test_advisor_key(tmp_path: Path) -> None:
    path = private(tmp_path / "k", "a1")
    c = parse(f'{MINIMAL}[advisor]\nkey_file = "{path}"\n', name="x", environ={})
    key = load_advisor_key(c, {})
    assert key is not None
    assert key.reveal() == "a1"
    other = load_advisor_key(c, {"FASTBOOK_ADVISOR_KEY": "a2"})
    assert other is not None
    assert other.reveal() == "a2"
