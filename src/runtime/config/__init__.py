"""TOML and environment -> frozen dataclasses. All problems in one message, each with its place.

Every key of the file is also `FASTBOOK__SECTION__KEY` in the environment, which wins. Unknown
names are errors: they are mostly typing mistakes. Secrets never stand in the file; see
`credentials`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

from fastbook.errors import ConfigError
from fastbook.risk.limits import RiskLimits
from fastbook.strategy.mean_reversion import MeanReversionParams

from .credentials import Credentials, load_advisor_key, load_credentials
from .endpoints import ENDPOINTS, ENVIRONMENTS, HOSTS, SIMULATOR, Endpoints
from .reader import read
from .rules import rule_of
from .sections import (
    SECTIONS,
    AdvisorConfig,
    CacheConfig,
    Config,
    DashboardConfig,
    ExecutionConfig,
    HistoryConfig,
    MarketDataConfig,
    MetricsConfig,
    ShardConfig,
    StateConfig,
    VenueConfig,
    WatchdogConfig,
)
from .strategies import OwnStrategy, StrategyConfig, StrategySlot

__all__ = [
    "ENDPOINTS",
    "ENVIRONMENTS",
    "HOSTS",
    "SIMULATOR",
    "AdvisorConfig",
    "CacheConfig",
    "Config",
    "Credentials",
    "DashboardConfig",
    "Endpoints",
    "ExecutionConfig",
    "HistoryConfig",
    "MarketDataConfig",
    "MeanReversionParams",
    "MetricsConfig",
    "OwnStrategy",
    "RiskLimits",
    "ShardConfig",
    "StateConfig",
    "StrategyConfig",
    "StrategySlot",
    "VenueConfig",
    "WatchdogConfig",
    "effective",
    "load",
    "load_advisor_key",
    "load_credentials",
    "parse",
]

FILE_BYTES_MAX = 1 << 20


def load(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in the file `path`, with the environment on top.

    Raises `ConfigError` that names every problem: key, value and line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    if data.startswith(b"\xef\xbb\xbf"):
        raise ConfigError(f"{path}:1: starts with a byte order mark; save it as plain UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8") from e
    if not text.strip():
        raise ConfigError(f"{path}: is empty; examples/runtime.toml shows every key")
    return parse(text, name=str(path), environ=environ, folder=path.parent)


def parse(
    text: str,
    *,
    name: str,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Config:
    """As `load`, of a text; `name` stands for the file in messages.

    Files of strategies are looked for from `folder`, by default the working directory.
    """
    environ = os.environ if environ is None else environ
    return read(text, name, environ, folder or Path())


def effective(config: Config) -> list[tuple[str, object, str]]:
    """(key, value, where it came from) of everything; passwords inside URLs are masked."""
    shown: list[tuple[str, object, str]] = []
    for section, cls in SECTIONS.items():
        values: object = config
        for part in section.split("."):
            values = getattr(values, part)
        for f in fields(cls):
            key = f"{section}.{f.name}"
            value = getattr(values, f.name) if values is not None else None
            if rule_of(f.metadata).hidden and isinstance(value, str):
                value = _masked(value)
            shown.append((key, value, config.origins.get(key, "default")))
    return shown


def _masked(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()
