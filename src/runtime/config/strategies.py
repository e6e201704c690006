"""The sections [strategy.NAME]: which strategies run, on what, with how much, with what parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from fastbook.risk.limits import Budget
from fastbook.strategy.market_maker import MarketMakerParams
from fastbook.strategy.mean_reversion import MeanReversionParams

from .rules import setting

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_CLASS = re.compile(r"(?P<file>[^:\0]+\.py):(?P<name>[A-Za-z_]\w*)")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,39}")
TAKEN_NAMES = frozenset({"meanrev", "maker", "operator", "external"})
"""Names that orders of others carry."""


def _symbols(symbols: tuple[str, ...]) -> str:
    if bad := [s for s in symbols if not _SYMBOL.fullmatch(s)]:
        return f"must hold symbols in capitals, such as BTCUSDT: {bad[0]!r:.50} is none"
    if twice := {s for s in symbols if symbols.count(s) > 1}:
        return f"names {min(twice)} twice"
    return ""


@dataclass(frozen=True, kw_only=True)
class StrategySlot:
    """What every strategy's section has besides the strategy's own parameters."""

    enabled: bool = setting(True, "whether it trades")
    symbols: tuple[str, ...] = setting(
        (), "what it trades; empty = all that no other strategy names", check=_symbols
    )
    equity_pct: float = setting(
        100.0, "per cent of equity that its stakes are fractions of", above=True, most=100
    )
    exposure_pct_max: float | None = setting(
        None, "per cent of equity, all its symbols, notional at the worst", above=True
    )
    daily_loss_pct_max: float | None = setting(
        None, "per cent of equity that it may lose in a UTC day", above=True, most=100
    )

    @property
    def budget(self) -> Budget:
        return Budget(
            equity_pct=self.equity_pct,
            exposure_pct_max=self.exposure_pct_max,
            daily_loss_pct_max=self.daily_loss_pct_max,
        )


SLOT_KEYS = frozenset(f.name for f in fields(StrategySlot))


@dataclass(frozen=True, kw_only=True)
class MeanReversionSection(StrategySlot, MeanReversionParams):
    """[strategy.mean_reversion]"""


@dataclass(frozen=True, kw_only=True)
class MarketMakerSection(StrategySlot, MarketMakerParams):
    """[strategy.market_maker]"""

    enabled: bool = setting(False, "whether it trades")


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and where."""

    value: object
    origin: str
    from_env: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStrategy:
    """A user's strategy: one class in one file. Its parameters are checked when it is loaded."""

    name: str
    file: Path
    class_name: str
    slot: StrategySlot
    params: Mapping[str, Given]
    place: str
    """Of its section, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyConfig:
    """Every [strategy.NAME]."""

    mean_reversion: MeanReversionSection = field(default_factory=MeanReversionSection)
    market_maker: MarketMakerSection = field(default_factory=MarketMakerSection)
    own: Mapping[str, OwnStrategy] = field(default_factory=dict)
    mentioned: frozenset[str] = frozenset()
    """Sections that the file or the environment has."""

    @property
    def makes_markets(self) -> bool:
        return self.market_maker.enabled

    @property
    def reverts(self) -> bool:
        """Mean reversion is what runs where nothing else is wanted."""
        if "mean_reversion" in self.mentioned:
            return self.mean_reversion.enabled
        others = self.makes_markets or any(own.slot.enabled for own in self.own.values())
        return self.mean_reversion.enabled and not others


def name_problem(name: str) -> str:
    """What is wrong with a strategy's name."""
    if name in TAKEN_NAMES:
        return f"the name {name} is taken"
    if not _NAME.fullmatch(name):
        return "a strategy's name is of a-z, 0-9 and _, and begins with a letter"
    return ""


def class_place(text: object, folder: Path) -> tuple[Path, str] | None:
    """File and class of "mybot.py:MyBot"; None when it is not of that form."""
    match = _CLASS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    return (folder / Path(match["file"]).expanduser()).absolute(), match["name"]
