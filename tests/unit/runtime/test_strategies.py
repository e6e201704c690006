"""Which strategies a configuration makes, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbook.errors import ConfigError
from fastbook.risk import SymbolLimits
from fastbook.runtime.config import Config, parse
from fastbook.runtime.config.written import config_text
from fastbook.runtime.strategies import build_strategies, build_with_budgets
from fastbook.strategy import MarketMaker, MeanReversion

MARKET = '[market_data]\nsymbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]\n'
BOT = """
from dataclasses import dataclass
from fastbook import Strategy

@dataclass(frozen=True)
class Params:
    width: float
    levels: int = 5
    aggressive: bool = False

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError(f"width must be above 0, was {self.width}")

class Bot(Strategy):
    Params = Params
    def __init__(self, params: Params) -> None:
        self.params = params

class Plain(Strategy):
    pass

class Angry(Strategy):
    def __init__(self) -> None:
        raise RuntimeError("no")

class Loose(Strategy):
    Params = dict
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bot.py").write_text(BOT)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    return tmp_path


def config(text: str, folder: Path | None = None, **environ: str) -> Config:
    return parse(MARKET + text, name="x.toml", environ=environ, folder=folder)


def names(made: Config) -> dict[str, frozenset[str] | None]:
    return {s.name: s.symbols for s in build_strategies(made)}


def test_mean_reversion_is_what_runs_when_nothing_is_said() -> None:
    assert names(config("")) == {"meanrev": frozenset({"BTCUSDT", "ETHUSDT", "SOLUSDT"})}
    made = build_strategies(config("[strategy.mean_reversion]\nentry_z = 3.0\n"))
    assert [type(s) for s in made] == [MeanReversion]
    assert isinstance(made[0], MeanReversion)
    assert made[0].params.entry_z == 3.0


def test_another_strategy_takes_its_place_unless_it_is_named() -> None:
    alone = config("[strategy.market_maker]\nenabled = true\n")
    assert [type(s) for s in build_strategies(alone)] == [MarketMaker]
    by_env = config("", FASTBOOK__STRATEGY__MARKET_MAKER__ENABLED="true")
    assert [type(s) for s in build_strategies(by_env)] == [MarketMaker]

    both = config(
        '[strategy.market_maker]\nenabled = true\nsymbols = ["SOLUSDT"]\n[strategy.mean_reversion]\n'
    )
    assert names(both) == {
        "meanrev": frozenset({"BTCUSDT", "ETHUSDT"}),
        "maker": frozenset({"SOLUSDT"}),
    }


def test_a_symbol_has_one_strategy() -> None:
    twice = '[strategy.market_maker]\nenabled = true\nsymbols = ["SOLUSDT"]\n'
    with pytest.raises(ConfigError, match=r"SOLUSDT is wanted by meanrev and by maker"):
        build_strategies(config(twice + '[strategy.mean_reversion]\nsymbols = ["SOLUSDT"]\n'))
    with pytest.raises(ConfigError, match="meanrev and maker both want every symbol"):
        build_strategies(
            config("[strategy.market_maker]\nenabled = true\n[strategy.mean_reversion]\n")
        )
    with pytest.raises(ConfigError, match=r"XRPUSDT is not in market_data\.symbols"):
        build_strategies(config('[strategy.mean_reversion]\nsymbols = ["XRPUSDT"]\n'))


def test_a_users_class_with_its_parameters_and_its_budget(folder: Path) -> None:
    text = """
[strategy.mybot]
class = "bot.py:Bot"
symbols = ["ETHUSDT"]
exposure_pct_max = 20
equity_pct = 50
daily_loss_pct_max = 1.5
width = 2
levels = 7
"""
    made, budgets = build_with_budgets(config(text, folder))
    (bot,) = made
    assert (bot.name, bot.symbols) == ("mybot", frozenset({"ETHUSDT"}))
    assert vars(bot)["params"].width == 2.0
    assert vars(bot)["params"].levels == 7
    budget = budgets["mybot"]
    assert (budget.equity_pct, budget.exposure_pct_max, budget.daily_loss_pct_max) == (50, 20, 1.5)

    by_env = config(text, folder, FASTBOOK__STRATEGY__MYBOT__WIDTH="4.5")
    assert vars(build_strategies(by_env)[0])["params"].width == 4.5
    off = config(text, folder, FASTBOOK__STRATEGY__MYBOT__ENABLED="false")
    assert list(names(off)) == ["meanrev"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('class = "bot.py:Bot"\nwidth = "2"', r"x\.toml:5: strategy\.b\.width = '2': must be a nu"),
        ('class = "bot.py:Bot"\nwidth = true', r"x\.toml:5: .*must be a number"),
        ('class = "bot.py:Bot"', r"x\.toml:3: strategy\.b\.width is missing"),
        ('class = "bot.py:Bot"\nwidth = 1\nwide = 2', r"x\.toml:6: unknown key strategy\.b\.wide"),
        ('class = "bot.py:Bot"\nwidth = -1', r"x\.toml:3: strategy\.b: width must be above 0"),
        ('class = "bot.py:Plain"\nwidth = 1', r"x\.toml:5: strategy\.b\.width: Plain has no para"),
        ('class = "bot.py:Angry"', r"Angry cannot be made: no"),
        ('class = "bot.py:Loose"', r"Params must be a frozen dataclass"),
        ('class = "bot.py:Absent"', r"has no strategy Absent .* it has Angry, Bot, Loose, Plain"),
        ('class = "bot.py:dataclass"', r"has no strategy dataclass"),
        ('class = "nowhere.py:Bot"', r"nowhere\.py cannot be read: No such file"),
        ('class = "broken.py:Bot"', r"cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_users_strategy_is_said(section: str, said: str, folder: Path) -> None:
    made = config(f"[strategy.b]\n{section}\n", folder)
    with pytest.raises(ConfigError, match=said):
        build_strategies(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[strategy.b]\nclass = "bot.txt:Bot"', r"x\.toml:4: strategy\.b\.class = .*a file and"),
        ("[strategy.b]\nclass = 7", r"strategy\.b\.class = 7"),
        ('[strategy.maker]\nclass = "b.py:B"', r"the name maker is taken"),
        ('[strategy.My-Bot]\nclass = "b.py:B"', r"a strategy's name is of a-z"),
        ('[strategy.b]\nclass = "b.py:B"\nsymbols = ["btc"]', r"must hold symbols in capitals"),
        ('[strategy.b]\nclass = "b.py:B"\nequity_pct = 101', r"must be at most 100"),
        ("[strategy.b]\nwidth = 1", r"unknown section strategy\.b"),
        ("[risk.symbols.BTCUSDT]\norder_qty_max = 0", r"order_qty_max must be finite and above"),
        ("[risk.symbols.BTCUSDT]\nnope = 0", r"unknown key risk\.symbols\.BTCUSDT\.nope"),
        ("[risk.symbols]\nBTCUSDT = 1", r"risk\.symbols\.BTCUSDT must be a section"),
    ],
)
def test_what_is_wrong_with_a_section_is_said(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(text)


def test_limits_of_single_symbols_and_a_text_that_reads_the_same(folder: Path) -> None:
    text = """
[risk.symbols.BTCUSDT]
order_qty_max = 0.5
reduce_only = true
[strategy.mybot]
class = "bot.py:Bot"
enabled = true
width = 2
aggressive = true
"""
    made = config(text, folder)
    assert made.symbol_limits == {"BTCUSDT": SymbolLimits(order_qty_max=0.5, reduce_only=True)}

    again = parse(config_text(made), name="y.toml", environ={})
    assert again.symbol_limits == made.symbol_limits
    (bot,) = build_strategies(again)
    assert vars(bot)["params"] == vars(build_strategies(made)[0])["params"]
