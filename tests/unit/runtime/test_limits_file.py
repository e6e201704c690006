"""Limits in a file of their own: theirs alone, nobody else's to write, changes told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbook.errors import ConfigError
from fastbook.runtime.config import Config, load
from fastbook.runtime.custody_open import differences

LIMITS = """
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "limits.toml").write_text(LIMITS)
    (tmp_path / "limits.toml").chmod(0o600)
    (tmp_path / "c.toml").write_text(
        '[market_data]\nsymbols = ["BTCUSDT"]\n[risk]\nlimits_file = "limits.toml"\n'
    )
    return tmp_path


def loaded(files: Path, **environ: str) -> Config:
    return load(files / "c.toml", environ)


def test_limits_of_their_own_file(files: Path) -> None:
    config = loaded(files)
    assert config.risk is not None
    assert config.risk.leverage_max == 10.0
    assert config.limits_file == str(files / "limits.toml")
    assert config.origins["risk.leverage_max"] == f"{files / 'limits.toml'}:6"


def refused(files: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(files, **environ)
    return str(caught.value)


def test_the_environment_does_not_override_it(files: Path) -> None:
    said = refused(files, FASTBOOK__RISK__LEVERAGE_MAX="100")
    assert "FASTBOOK__RISK__LEVERAGE_MAX: the limits are in" in said


def test_not_in_two_places(files: Path) -> None:
    with (files / "c.toml").open("a") as file:
        file.write("leverage_max = 100\n")
    assert "risk.leverage_max stands beside risk.limits_file" in refused(files)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o604, 0o666])
def test_others_may_not_write_it(files: Path, mode: int) -> None:
    (files / "limits.toml").chmod(mode)
    assert f"mode {mode:04o} lets others in; chmod 600 it" in refused(files)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"must have the section [risk] and nothing else"),
        (LIMITS + "[venue]\n", "must have the section [risk] and nothing else"),
        ('[risk]\nlimits_file = "x"\n', "names a limits_file itself"),
        ("[risk", "is not TOML"),
        ("[risk]\nleverage_max = 3\n", "risk.position_pct_max is missing"),
        (LIMITS.replace("= 10.0", "= -1", 1), "limits.toml:3: risk.position_pct_max"),
        (LIMITS + "order_notional_mx = 5\n", "unknown key risk.order_notional_mx"),
        (LIMITS.replace("= 10.0", "= true", 1), "limits.toml:3: risk.position_pct_max"),
        (LIMITS.replace("= 10.0", "= nan", 1), "limits.toml:3: risk.position_pct_max"),
        (LIMITS + LIMITS, "is not TOML"),
    ],
)
def test_mistakes_in_it(files: Path, text: str, words: str) -> None:
    (files / "limits.toml").write_text(text)
    assert words in refused(files)


def test_missing(files: Path) -> None:
    (files / "limits.toml").unlink()
    assert "limits.toml: cannot be read" in refused(files)


def test_what_has_changed_since_the_last_run() -> None:
    last = {"risk.leverage_max": "5", "risk.order_notional_max": "1000", "risk.x": "1"}
    now = {"risk.leverage_max": "50", "risk.order_notional_max": "None", "risk.x": "1"}
    assert differences(last, now) == [
        "risk.leverage_max was 5 in the last run, is 50 (10 TIMES THE LAST RUN'S)",
        "risk.order_notional_max was 1000 in the last run, is None (no limit any more)",
    ]
    assert differences(now, now) == []
