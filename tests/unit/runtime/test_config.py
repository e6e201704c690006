"""Every key can be set from both places; every mistake is named with its place."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest

from fastbook.errors import ConfigError
from fastbook.runtime.config import Config, RiskLimits, effective, load, parse
from fastbook.runtime.config.rules import rule_of
from fastbook.runtime.config.sections import SECTIONS
from fastbook.runtime.config.toml_lines import key_lines, line_of

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "runtime.toml"
MINIMAL = '[market_data]\nsymbols = ["BTCUSDT"]\n'


def read(text: str, **environ: str) -> Config:
    return parse(text, name="x.toml", environ=environ)


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    return str(caught.value).splitlines()


def test_example_has_every_key_and_every_default() -> None:
    config = load(EXAMPLE, {})
    text = EXAMPLE.read_text()
    table = tomllib.loads(text)
    for section, cls in SECTIONS.items():
        found = table
        for part in section.split("."):
            found = found[part]
        known = {f.name for f in dataclasses.fields(cls)}
        off = {f.name for f in dataclasses.fields(cls) if f.default is None}
        assert set(found) <= known, section
        assert known - set(found) <= off, section  # TOML cannot say "none": these are comments
        assert all(f"\n# {name} = " in text for name in known - set(found)), section
        for f in dataclasses.fields(cls):
            if f.name in found and f.default not in (dataclasses.MISSING, ()):
                assert found[f.name] == f.default, f"{section}.{f.name}"
    assert config.risk is not None
    assert config.market_data.symbols == ("BTCUSDT", "ETHUSDT")


def test_defaults() -> None:
    config = read(MINIMAL)
    assert config.risk is None, "no configured limit, no trading"
    assert config.venue.environment == "simulator"
    assert config.venue.endpoints is None
    assert config.execution.mode == "paper"
    assert config.strategy.mean_reversion.entry_z == 2.0


def test_environment_wins_and_origins_are_told() -> None:
    config = read(
        MINIMAL + '[venue]\ncategory = "spot"\n',
        FASTBOOK__VENUE__CATEGORY="inverse",
        FASTBOOK__STRATEGY__MEAN_REVERSION__ENTRY_Z="3",
        FASTBOOK__MARKET_DATA__TRADES="false",
        OTHER="ignored",
    )
    assert config.venue.category == "inverse"
    assert config.strategy.mean_reversion.entry_z == 3.0
    assert config.market_data.trades is False
    shown = {key: (value, origin) for key, value, origin in effective(config)}
    assert shown["venue.category"] == ("inverse", "FASTBOOK__VENUE__CATEGORY")
    assert shown["market_data.symbols"] == (("BTCUSDT",), "x.toml:2")
    assert shown["market_data.depth"] == (50, "default")
    assert shown["risk.leverage_max"] == (None, "default")


def as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_key_can_come_from_the_environment() -> None:
    from_file = load(EXAMPLE, {})
    environ = {
        "FASTBOOK__" + key.upper().replace(".", "__"): as_text(value)
        for key, value, _ in effective(from_file)
    }
    assert parse("", name="none", environ=environ) == from_file


def test_all_problems_at_once_each_with_its_place() -> None:
    text = """
[venue]
category = "lineer"
recv_window_ms = true

[market_data]
symbols = ["btcusdt"]
depht = 50
depth = 51
ping_interval_s = nan

[exectuion]
mode = "paper"
"""
    found = problems(text, FASTBOOK__RISK__LEVERAGE_MAX="-1", FASTBOOK__EXECUTION__MODE="life")
    assert [f.split(": ")[0] for f in found] == [
        *("x.toml:8", "x.toml:12"),
        *("x.toml:3", "x.toml:4"),
        *("x.toml:7", "x.toml:9", "x.toml:10"),
        *("FASTBOOK__RISK__LEVERAGE_MAX", "x.toml", "x.toml", "x.toml"),
        "FASTBOOK__EXECUTION__MODE",
    ]
    whole = "\n".join(found)
    assert "unknown key market_data.depht; did you mean depth?" in whole
    assert "unknown section exectuion; did you mean execution?" in whole
    assert "venue.category = 'lineer': must be one of linear, spot, inverse" in whole
    assert "venue.recv_window_ms = True: must be a whole number" in whole
    assert "market_data.ping_interval_s = nan: must be a finite number" in whole
    assert "risk.position_pct_max is missing and has no default" in whole


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[market_data]\nsymbols = []", "must name at least one symbol"),
        ("[market_data]\nsymbols = [1]", "must be a list of texts"),
        ('[market_data]\nsymbols = "BTCUSDT"', "must be a list of texts"),
        ('[market_data]\nsymbols = ["A", "A"]', "names A twice"),
        ("", "must name at least one symbol"),
        (MINIMAL + "depth = 50.0", "must be a whole number"),
        (MINIMAL + "depth = '50'", "must be a whole number"),
        (MINIMAL + "stale_after_s = -1", "must be at least 0.05"),
        (MINIMAL + "stale_after_s = inf", "must be a finite number"),
        (MINIMAL + "stale_after_s = 1e9", "must be at most 600"),
        (MINIMAL + "trades = 1", "must be true or false"),
        (MINIMAL + "[venue]\ncategory = ['linear']", "must be a text"),
        (MINIMAL + "[venue]\naccount_uid = 'me'", "must be digits"),
        (MINIMAL + "[venue]\nca_file = 'a.pem'\nenvironment = 'testnet'", "simulator only"),
        (MINIMAL + "[venue]\napi_key_file = 'a'", "go together"),
        (MINIMAL + "[metrics]\nbind = '9464'", "must be host:port"),
        (MINIMAL + "[metrics]\nbind = 'a:99999'", "must be host:port"),
        (MINIMAL + "[dashboard]\nbind = '0.0.0.0:8080'", "address of this machine itself"),
        (MINIMAL + "[cache]\nurl = 'http://x'", 'must be "" or start with valkey://'),
        (MINIMAL + "[history]\nurl = 'mysql://x'", 'must be "" or start with sqlite:///'),
        (MINIMAL + "[advisor]\nbase_url = 'http://example.org'", "must start with https://"),
        ("venue = 1\n" + MINIMAL, "must be a section: [venue]"),
        ("depth = 1\n" + MINIMAL, "unknown key depth"),
        (MINIMAL + "[strategy.mean_revision]\nx = 1", "did you mean strategy.mean_reversion?"),
        (MINIMAL + "[risk]\nleverage_max = 3", "risk.position_pct_max is missing"),
    ],
)
def test_refuses(text: str, complaint: str) -> None:
    assert any(complaint in p for p in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("FASTBOOK__MARKET_DATA__DEPTH", "fifty", "must be a whole number"),
        ("FASTBOOK__MARKET_DATA__DEPTH", "50.5", "must be a whole number"),
        ("FASTBOOK__MARKET_DATA__STALE_AFTER_S", "nan", "must be a finite number"),
        ("FASTBOOK__MARKET_DATA__TRADES", "yes", "must be true or false"),
        ("FASTBOOK__MARKET__DEPTH", "50", "unknown section market; did you mean market_data?"),
        ("FASTBOOK__DEPTH", "50", "unknown section (none)"),
        ("FASTBOOK__VENUE__CATEGROY", "spot", "did you mean category?"),
    ],
)
def test_refuses_from_the_environment(variable: str, value: str, complaint: str) -> None:
    (problem,) = problems(MINIMAL, **{variable: value})
    assert problem.startswith(f"{variable}: ")
    assert complaint in problem


def test_demo_takes_orders_by_rest_only() -> None:
    demo = MINIMAL + '[venue]\nenvironment = "demo"\n'
    assert read(demo).venue.endpoints is not None
    (problem,) = problems(demo + '[execution]\nentry = "ws"\n')
    assert problem.startswith("x.toml:6: execution.entry")


@pytest.mark.parametrize(
    "text",
    [
        '[venue]\napi_secret = "CANARY"',
        '[venue]\napi_key = "CANARY"',
        '[venue]\napi_sercet = "CANARY"',
        '[advisor]\nkey = "CANARY"',
        '[cache]\npassword = "CANARY"',
        '[cache]\nurl = "redis://user:CANARY@host"',
        '[history]\nurl = "CANARY://user"',
        '[venue]\nrest_url = "https://user:CANARY@api.bybit.com"',
        '[CANARIES]\ntoken = "CANARY"',
    ],
)
def test_secret_in_the_file_is_refused_and_not_shown(text: str) -> None:
    found = problems(MINIMAL + text)
    assert len(found) == 1
    assert "CANARY" not in found[0]


def test_password_of_a_store_comes_from_the_environment_and_is_masked() -> None:
    config = read(MINIMAL, FASTBOOK__HISTORY__URL="postgresql://me:CANARY@db/fastbook")
    assert config.history.url == "postgresql://me:CANARY@db/fastbook"
    assert "CANARY" not in repr(config)
    assert "CANARY" not in repr(effective(config))
    assert ("history.url", "postgresql://me:***@db/fastbook", "FASTBOOK__HISTORY__URL") in (
        effective(config)
    )


SIMULATOR_URLS = """[venue]
rest_url = "http://127.0.0.1:1"
ws_public_url = "ws://localhost:1/v5/public"
ws_private_url = "wss://[::1]:1/v5/private"
"""


def test_simulator_elsewhere() -> None:
    endpoints = read(MINIMAL + SIMULATOR_URLS).venue.endpoints
    assert endpoints is not None
    assert endpoints.public("linear") == "ws://localhost:1/v5/public/linear"
    assert endpoints.ws_trade == ""


@pytest.mark.parametrize(
    ("environment", "key", "url", "complaint"),
    [
        ("testnet", "rest_url", "https://api.bybit.com", "does not belong to testnet"),
        ("mainnet", "rest_url", "https://api-testnet.bybit.com", "does not belong to mainnet"),
        ("mainnet", "rest_url", "http://api.bybit.com", "must start with https://"),
        ("mainnet", "rest_url", "https://api.bybit.com.evil.org", "does not belong"),
        ("mainnet", "rest_url", "https://a@api.bybit.com", "without user"),
        ("mainnet", "ws_private_url", "https://stream.bybit.com", "starts with ws://"),
        ("simulator", "rest_url", "https://api.bybit.com", "real exchange"),
        ("simulator", "rest_url", "http://10.0.0.1:80", "must start with https://"),
        ("simulator", "rest_url", "http://127.0.0.1:1", "go together"),
        ("simulator", "rest_url", "http://[::1", "must be a URL"),
    ],
)
def test_hosts_belong_to_environments(environment: str, key: str, url: str, complaint: str) -> None:
    text = f'{MINIMAL}[venue]\nenvironment = "{environment}"\n{key} = "{url}"\n'
    assert any(complaint in p for p in problems(text)), problems(text)


def test_regional_host_is_mainnet() -> None:
    text = '[venue]\nenvironment = "mainnet"\nrest_url = "https://api.bybit.nl"\n'
    endpoints = read(MINIMAL + text).venue.endpoints
    assert endpoints is not None
    assert endpoints.rest == "https://api.bybit.nl"
    assert endpoints.ws_private == "wss://stream.bybit.com/v5/private"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\xef\xbb\xbf[venue]\n", ":1: starts with a byte order mark"),
        (b"[venue]\n\n# \xff\n", ":3: is not UTF-8"),
        (b"[venue\n", "is not TOML"),
        (b"[venue]\ncategory='spot'\ncategory='linear'\n", "line 3"),
        (b"#" * (1 << 20) + b"\n", "larger than"),
    ],
)
def test_file_that_cannot_be_a_configuration(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(path, {})
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path, {})


def test_lines() -> None:
    text = '''a.b = 1
[ x . "y" ] # comment
text = """
z = 1
"""
"quoted" = [
  1, 2,
]
inline = {k = 1}
after = 2
'''
    lines = key_lines(text)
    assert lines == {"a.b": 1, "x.y": 2, "x.y.text": 3, "x.y.quoted": 6} | {
        "x.y.inline": 9,
        "x.y.after": 10,
    }
    assert line_of(lines, "x.y.inline.k") == 9
    assert line_of(lines, "q.r") == 0


def test_every_own_key_says_what_it_is() -> None:
    foreign = {"strategy.mean_reversion", "strategy.market_maker", "risk", "sizing", "protection"}
    for section, cls in SECTIONS.items():
        for f in dataclasses.fields(cls):
            if section not in foreign:
                assert rule_of(f.metadata).doc, f"{section}.{f.name}"


def test_risk_limits_are_complete_or_absent() -> None:
    text = "[risk]\n" + "\n".join(f"{f.name} = 1" for f in dataclasses.fields(RiskLimits)[:4])
    assert read(MINIMAL + text).risk is not None
