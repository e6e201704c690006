"""Strategies from a configuration: the bundled ones, and a user's class out of a user's file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import ModuleType
from typing import Any

from fastbook.errors import ConfigError
from fastbook.risk import Budget
from fastbook.strategy import MarketMaker, MeanReversion, Strategy

from .config import Config, OwnStrategy, StrategySlot
from .config.rules import ValueProblem, breach, convert, rule_of, show


def build_strategies(config: Config) -> list[Strategy]:
    """New strategies, as configured; they hold state, so every engine needs its own.

    Runs the file of a user's strategy. ConfigError says what is wrong with it, with its
    parameters, or with who trades what.
    """
    return build_with_budgets(config)[0]


def build_with_budgets(config: Config) -> tuple[list[Strategy], dict[str, Budget]]:
    """The same, and what each may use, by the names that their orders carry."""
    made = _strategies(config)
    return [strategy for strategy, _ in made], {s.name: slot.budget for s, slot in made}


def _strategies(config: Config) -> list[tuple[Strategy, StrategySlot]]:
    wanted = config.strategy
    found: list[tuple[Strategy, StrategySlot]] = []
    if wanted.reverts:
        found.append((MeanReversion(wanted.mean_reversion), wanted.mean_reversion))
    if wanted.makes_markets:
        found.append((MarketMaker(wanted.market_maker), wanted.market_maker))
    for own in wanted.own.values():
        if own.slot.enabled:
            found.append((_load(own), own.slot))
    _share_out(found, config.market_data.symbols)
    return found


def _share_out(found: list[tuple[Strategy, StrategySlot]], symbols: tuple[str, ...]) -> None:
    """Each symbol to one strategy; who names none gets what is left."""
    owner: dict[str, str] = {}
    for strategy, slot in found:
        for symbol in slot.symbols:
            if symbol not in symbols:
                raise ConfigError(f"{strategy.name}: {symbol} is not in market_data.symbols")
            if symbol in owner:
                raise ConfigError(
                    f"{symbol} is wanted by {owner[symbol]} and by {strategy.name}: a symbol has"
                    " one strategy"
                )
            owner[symbol] = strategy.name
        if slot.symbols:
            strategy.symbols = frozenset(slot.symbols)
    rest = [strategy for strategy, slot in found if not slot.symbols]
    if len(rest) > 1:
        names = " and ".join(strategy.name for strategy in rest)
        raise ConfigError(
            f"{names} both want every symbol that no other names: give them `symbols`, or set"
            " `enabled = false`"
        )
    for strategy in rest:
        left = frozenset(symbols) - set(owner)
        if strategy.symbols is not None:
            left &= strategy.symbols  # its class names some itself
        strategy.symbols = left


# --- a user's class ---------------------------------------------------------------------------


def _load(own: OwnStrategy) -> Strategy:
    section = f"strategy.{own.name}"
    module = _module(own)
    cls = getattr(module, own.class_name, None)
    if not isinstance(cls, type) or not issubclass(cls, Strategy):
        classes = ", ".join(_strategy_classes(module)) or "none"
        raise ConfigError(
            f"{own.place}: {section}.class: {own.file} has no strategy {own.class_name}"
            f" (a class derived from fastbook.Strategy); it has {classes}"
        )
    arguments = _arguments(own, cls)
    try:
        strategy = cls(*arguments)
    except Exception as e:
        raise ConfigError(f"{own.place}: {section}: {own.class_name} cannot be made: {e}") from e
    strategy.name = own.name
    return strategy


def _module(own: OwnStrategy) -> ModuleType:
    """The user's file, run once for as long as its text stays the same."""
    place = f"{own.place}: strategy.{own.name}.class"
    try:
        text = own.file.read_bytes()
    except OSError as e:
        raise ConfigError(f"{place}: {own.file} cannot be read: {e.strerror}") from e
    # Found by pickle and dataclasses under a name that no other file can have.
    digest = hashlib.sha256(bytes(own.file) + b"\0" + text).hexdigest()[:16]
    name = f"fastbook_strategy_{own.file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, own.file)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as e:
        del sys.modules[name]
        raise ConfigError(f"{place}: {own.file} cannot be loaded: {type(e).__name__}: {e}") from e
    return module


def _strategy_classes(module: ModuleType) -> Iterable[str]:
    return sorted(
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
    )


def _arguments(own: OwnStrategy, cls: type[Strategy]) -> tuple[object, ...]:
    """The one argument that its constructor gets, or none."""
    section = f"strategy.{own.name}"
    if cls.Params is None:
        if own.params:
            key = next(iter(own.params))
            origin = own.params[key].origin
            raise ConfigError(f"{origin}: {section}.{key}: {own.class_name} has no parameters")
        return ()
    if not is_dataclass(cls.Params) or not cls.Params.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # every dataclass has it
        raise ConfigError(f"{own.place}: {section}: Params must be a frozen dataclass")
    values = _values(own, cls.Params)
    try:
        return (cls.Params(**values),)
    except (ConfigError, TypeError, ValueError) as e:
        raise ConfigError(f"{own.place}: {section}: {e}") from e


def _values(own: OwnStrategy, params: type) -> Mapping[str, object]:
    """What was given, as the types that the dataclass names. All problems in one message."""
    section = f"strategy.{own.name}"
    of_type: dict[str, Any] = typing.get_type_hints(params)  # Any: type expressions
    known = {f.name: f for f in fields(params)}
    values: dict[str, object] = {}
    problems: list[str] = []
    for key, given in own.params.items():
        if key not in known:
            names = ", ".join(known)
            problems.append(f"{given.origin}: unknown key {section}.{key}; known: {names}")
            continue
        try:
            values[key] = convert(given.value, of_type[key], from_text=given.from_env)
            metadata = known[key].metadata
            why = breach(values[key], rule_of(metadata)) if metadata else ""
        except ValueProblem as e:
            why = str(e)
        if why:
            problems.append(f"{given.origin}: {section}.{key} = {show(given.value)}: {why}")
    for key, f in known.items():
        if key not in own.params and f.default is MISSING and f.default_factory is MISSING:
            problems.append(f"{own.place}: {section}.{key} is missing and has no default")
    if problems:
        raise ConfigError("\n".join(problems))
    return values
