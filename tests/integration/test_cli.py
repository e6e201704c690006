"""What a user can get wrong, and what the command says to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.command import (
    COMMAND,
    CONFIG,
    RISK,
    environment,
    fastbook,
    in_process,
    one_sentence,
)

import fastbook as library

COMMANDS = ("demo", "simulate", "run", "replay", "bench")


def test_help_names_every_command_and_is_quick() -> None:
    def cpu_s() -> float:
        before = os.times()
        done = fastbook("--help")
        assert done.returncode == 0
        assert all(f"    {name} " in done.stdout for name in COMMANDS)
        assert "example: fastbook demo" in done.stdout
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])  # of children

    # Processor time, for other tests may have the machine's.
    assert min(cpu_s() for _ in range(3)) < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(command: str) -> None:
    done = in_process(command, "--help")
    assert done.returncode == 0
    assert f"example: fastbook {command}" in done.stdout
    assert "--json" in done.stdout


def test_version() -> None:
    assert fastbook("--version").stdout == f"fastbook {library.__version__}\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "COMMAND"),
        (["trade"], "invalid choice: 'trade'"),
        (["demo", "--seconds", "soon"], "--seconds: must be a number, was 'soon'"),
        (["demo", "--seconds", "-1"], "--seconds: must be above 0, was -1"),
        (["demo", "--seconds", "nan"], "--seconds: must be above 0, was nan"),
        (["demo", "--symbols", "0"], "--symbols: must be 1 to 1000, was 0"),
        (["demo", "--symbols", "5.5"], "--symbols: must be a whole number, was '5.5'"),
        (["simulate", "--port", "70000"], "--port: must be 0 to 65535, was 70000"),
        (["simulate", "--categories", "linear,option"], "must be a comma list of linear, spot"),
        (["run"], "CONFIG.toml"),
        (["replay"], "FILE"),
        (["replay", "x", "--log-level", "loud"], "invalid choice: 'loud'"),
    ],
)
def test_bad_usage(args: list[str], words: str) -> None:
    done = in_process(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--seconds", "5"], "--seconds 8"),
        (["--symbols", "2"], "--symbols 3"),
        (["--rate", "100"], "--rate 10 or more for each symbol"),
    ],
)
def test_chaos_needs_room(args: list[str], words: str) -> None:
    assert words in one_sentence(in_process("demo", "--chaos", *args), 2)


# --- configuration ---


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CONFIG + "leverage = 3\n", "c.toml:9: unknown key risk.leverage; did you mean lev"),
        (CONFIG + "[markets]\n", "c.toml:9: unknown section markets"),
        (CONFIG.replace("= 50.0", '= "ten"'), "c.toml:6: risk.exposure_pct_max = 'ten'"),
        (CONFIG.replace('"ETHUSDT"', '"eth"'), "c.toml:2: market_data.symbols"),
        (CONFIG + "api_key = 1\n", "a secret does not stand in the configuration"),
        ("[market_data\n", "c.toml: is not TOML"),
        ("", "c.toml: is empty"),
        (RISK, "market_data.symbols"),
        (CONFIG.replace(RISK, ""), "no [risk] section: without limits there is no trading"),
        (CONFIG + "[execution]\nmode = 'live'\n", "give --live as well"),
        ("[venue]\ncategory = 'option'\n" + CONFIG, "venue.category = 'option'"),
    ],
)
def test_bad_configuration(config: Path, text: str, words: str) -> None:
    config.write_text(text)
    done = in_process("run", config, "--seconds", "1")  # were it right, it would run for ever
    assert words in one_sentence(done, 2)


def test_every_problem_is_named_at_once(config: Path) -> None:
    config.write_text(CONFIG.replace("= 10.0", "= -1") + "[cache]\nurl = 'ftp://x'\n")
    done = in_process("run", config)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "c.toml:5: risk.position_pct_max" in done.stderr
    assert "c.toml:8: risk.leverage_max" in done.stderr
    assert "c.toml:10: cache.url" in done.stderr


def test_bad_variable(config: Path) -> None:
    config.write_text(CONFIG)
    said = one_sentence(fastbook("run", config, env={"FASTBOOK__RISK__LEVERAGE_MAX": "much"}), 2)
    assert said.startswith("FASTBOOK__RISK__LEVERAGE_MAX: risk.leverage_max = 'much': must be a")


def test_live_needs_both_switches(config: Path) -> None:
    config.write_text(CONFIG)
    assert "both have to say it" in one_sentence(in_process("run", config, "--live"), 2)
    config.write_text(CONFIG + "[execution]\nmode = 'live'\n")
    said = one_sentence(in_process("run", config, "--live"), 2)
    assert "a run with an exchange of its own is paper" in said
    for real in ("testnet", "demo", "mainnet"):
        text = CONFIG + f"[execution]\nmode = 'live'\n[venue]\nenvironment = '{real}'\n"
        config.write_text(text)
        assert "give --live as well" in one_sentence(in_process("run", config), 2)
        said = one_sentence(in_process("run", config, "--live"), 2)
        assert "venue.account_uid is missing" in said
        config.write_text(text + "account_uid = '12'\n")
        said = one_sentence(in_process("run", config, "--live"), 2)
        assert "risk.limits_file is missing" in said


def test_missing_configuration_and_directory(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert one_sentence(fastbook("run", missing), 2) == (
        f"{missing}: cannot be read: No such file or directory"
    )
    assert "Is a directory" in one_sentence(in_process("run", tmp_path), 2)


# --- ports and pipes ---


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_sentence(fastbook("simulate", "--port", str(port), "--symbols", "1"), 1)
    assert said == f"cannot listen on 127.0.0.1:{port}: Address already in use"


def test_only_this_machine() -> None:
    said = one_sentence(fastbook("simulate", "--host", "192.0.2.1"), 2)
    assert said == "host must be a loopback address, was '192.0.2.1'"


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    recording = tmp_path / "r.ndjson"
    recording.write_bytes(b'{"topic":"tickers.X"}\n')
    # A pipe whose reading end is closed before anything is written.
    process = subprocess.Popen(
        [*COMMAND, "replay", str(recording)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(30) == 1


def test_runtime_extra_missing_is_said_in_words() -> None:
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from fastbook.runtime.cli import main\n"
        "sys.exit(main(['simulate']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert "pip install 'fastbook-engine[runtime]'" in one_sentence(done, 1)
