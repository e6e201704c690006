"""One pass over file and environment: values where they are good, problems where they are not."""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from urllib.parse import urlsplit

from fastbook.errors import ConfigError
from fastbook.risk.limits import SymbolLimits

from .limits_file import named_in, read_limits
from .rules import ValueProblem, breach, convert, rule_of, show
from .sections import OPTIONAL_SECTIONS, SECTIONS, Config
from .strategies import (
    SLOT_KEYS,
    Given,
    OwnStrategy,
    StrategyConfig,
    StrategySlot,
    class_place,
    name_problem,
)
from .toml_lines import key_lines, line_of

ENV_PREFIX = "FASTBOOK__"
CLASS = "class"
"""Key of a [strategy.NAME] of the user's own."""
SYMBOLS = "risk.symbols"
"""Above the sections of single symbols."""

_SECRET_NAME = re.compile(
    r"(?:api_?)?key|(?:api_?)?secret|password|passphrase|passwd|token|private_key", re.IGNORECASE
)


def read(text: str, name: str, environ: Mapping[str, str], folder: Path) -> Config:
    """The configuration of `text` and `environ`. Raises `ConfigError` with every problem.

    Files that it names are looked for from `folder`.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{name}: is not TOML: {e}") from e
    reading = _Reading(name, key_lines(text), folder)
    limits_file = ""
    if (named := named_in(tables)) is not None:
        limits_file, limits = read_limits(named, tables, folder)
        reading.take_limits(limits_file, limits, environ)
        tables = {section: table for section, table in tables.items() if section != "risk"}
    reading.take_file(tables)
    reading.take_environment(environ)
    sections = {section: reading.build(section, cls) for section, cls in SECTIONS.items()}
    reading.check_together(sections)
    own = reading.own_strategies()
    symbol_limits = reading.symbol_limits()
    if reading.problems:
        raise ConfigError("\n".join(reading.problems))
    strategy = StrategyConfig(
        mean_reversion=sections.pop("strategy.mean_reversion"),  # type: ignore[arg-type]  # SECTIONS says so
        market_maker=sections.pop("strategy.market_maker"),  # type: ignore[arg-type]  # as above
        own=own,
        mentioned=frozenset(reading.mentioned),
    )
    origins = {key: given.origin for key, given in reading.given.items()}
    return Config(
        strategy=strategy,
        symbol_limits=symbol_limits,
        limits_file=limits_file,
        origins=origins,
        **sections,  # type: ignore[arg-type]  # as above
    )


class _Reading:
    def __init__(self, name: str, lines: dict[str, int], folder: Path) -> None:
        self._name = name
        self._lines = lines
        self._folder = folder
        self._classes: dict[str, type] = dict(SECTIONS)
        """By section; those that only this file has are added."""
        self._own: dict[str, dict[str, Given]] = {}
        self.given: dict[str, Given] = {}
        self.mentioned: set[str] = set()
        """Names of the [strategy.NAME] that were given."""
        self.problems: list[str] = []

    # What was given.

    def take_limits(self, path: str, text: str, environ: Mapping[str, str]) -> None:
        """The limits of a file of their own, which nothing overrides."""
        own = self._name, self._lines
        self._name, self._lines = path, key_lines(text)
        self.take_file(tomllib.loads(text))
        self._name, self._lines = own
        for variable in sorted(environ):
            if variable.upper().startswith(f"{ENV_PREFIX}RISK__"):
                self.problems.append(f"{variable}: the limits are in {path}, and nowhere else")

    def take_file(self, tables: Mapping[str, object], prefix: str = "") -> None:
        for name, value in tables.items():
            key = prefix + name
            if key in SECTIONS and isinstance(value, dict):
                self._take_section(key, value)
            elif prefix == "strategy." and isinstance(value, dict) and CLASS in value:
                self._take_own(name, value)
            elif key == SYMBOLS and isinstance(value, dict):
                self._take_symbols(value)
            elif isinstance(value, dict) and any(s.startswith(key + ".") for s in SECTIONS):
                self.take_file(value, key + ".")
            elif key in SECTIONS:
                self.problems.append(f"{self._place(key)}: {key} must be a section: [{key}]")
            else:
                kind = "section" if isinstance(value, dict) else "key"
                self.problems.append(
                    f"{self._place(key)}: unknown {kind} {key}{_nearest(key, SECTIONS)}"
                )

    def _take_section(self, section: str, table: Mapping[str, object]) -> None:
        if section.startswith("strategy."):
            self.mentioned.add(section.removeprefix("strategy."))
        for name, value in table.items():
            if f"{section}.{name}" == SYMBOLS:
                self.take_file({name: value}, f"{section}.")
            else:
                self._take(section, name, value, self._place(f"{section}.{name}"))

    def _take_own(self, name: str, table: Mapping[str, object]) -> None:
        """A strategy of the user's: what is not every strategy's is a parameter of its own."""
        section = f"strategy.{name}"
        self._classes[section] = StrategySlot
        self.mentioned.add(name)
        if problem := name_problem(name):
            self.problems.append(f"{self._place(section)}: {section}: {problem}")
        own = self._own.setdefault(name, {})
        for key, value in table.items():
            place = self._place(f"{section}.{key}")
            if key in SLOT_KEYS:
                self._take(section, key, value, place)
            else:
                own[key] = Given(value, place, from_env=False)

    def _take_symbols(self, tables: Mapping[str, object]) -> None:
        for symbol, table in tables.items():
            section = f"{SYMBOLS}.{symbol}"
            if not isinstance(table, dict):
                self.problems.append(f"{self._place(section)}: {section} must be a section")
                continue
            self._classes[section] = SymbolLimits
            for name, value in table.items():
                self._take(section, name, value, self._place(f"{section}.{name}"))

    def take_environment(self, environ: Mapping[str, str]) -> None:
        for variable in sorted(environ):
            if not variable.startswith(ENV_PREFIX):
                continue
            *path, field_name = variable[len(ENV_PREFIX) :].lower().split("__")
            section = ".".join(path)
            own = self._own.get(section.removeprefix("strategy."))
            if own is not None and field_name not in SLOT_KEYS:
                own[field_name] = Given(environ[variable], variable, from_env=True)
            elif section in self._classes:
                if section.startswith("strategy."):
                    self.mentioned.add(section.removeprefix("strategy."))
                self._take(section, field_name, environ[variable], variable, from_env=True)
            else:
                hint = _nearest(section, SECTIONS)
                self.problems.append(f"{variable}: unknown section {section or '(none)'}{hint}")

    def _take(
        self, section: str, name: str, value: object, origin: str, *, from_env: bool = False
    ) -> None:
        known = [f.name for f in fields(self._classes[section])]
        # The value of a name we do not know is never shown: it may be a secret, misspelt.
        if name in known:
            self.given[f"{section}.{name}"] = Given(value, origin, from_env)
        elif _SECRET_NAME.fullmatch(name):
            self.problems.append(
                f"{origin}: {section}.{name}: a secret does not stand in the configuration: give"
                " FASTBOOK_API_KEY and FASTBOOK_API_SECRET (advisor: FASTBOOK_ADVISOR_KEY)"
                " in the environment, or name a file of mode 0600 with a *_file key"
            )
        else:
            self.problems.append(f"{origin}: unknown key {section}.{name}{_nearest(name, known)}")

    # What becomes of it.

    def build(self, section: str, cls: type) -> object | None:
        """The section; None when it is wrong (its problems are noted) or left out and optional."""
        types = typing.get_type_hints(cls)
        values: dict[str, object] = {}
        missing: list[str] = []
        wrong = False
        for f in fields(cls):
            key = f"{section}.{f.name}"
            given = self.given.get(key)
            if given is None:
                if f.default is MISSING and f.default_factory is MISSING:
                    missing.append(key)
                elif f.default is not MISSING and (why := self._empty(f.default, f.metadata)):
                    self.problems.append(f"{self._place(section)}: {key} {why}")
                    wrong = True
                continue
            rule = rule_of(f.metadata)
            try:
                values[f.name] = convert(given.value, types[f.name], from_text=given.from_env)
                why = breach(values[f.name], rule) or _password_problem(given)
            except ValueProblem as e:
                why = str(e)
            if why:
                hidden = rule.hidden or _password_problem(given)
                value = "" if hidden else f" = {show(given.value)}"
                self.problems.append(f"{given.origin}: {key}{value}: {why}")
                wrong = True
        if missing and not values and not wrong and section in OPTIONAL_SECTIONS:
            return None
        for key in missing:
            self.problems.append(f"{self._place(section)}: {key} is missing and has no default")
        return None if wrong or missing else self._construct(section, cls, values)

    def _empty(self, default: object, metadata: Mapping[str, object]) -> str:
        """A default that is no answer (no symbols) must be replaced."""
        return breach(default, rule_of(metadata)) if default == () else ""

    def _construct(self, section: str, cls: type, values: dict[str, object]) -> object | None:
        try:
            made: object = cls(**values)
            return made
        except ConfigError as e:
            # The section's own rules; each complaint begins with the key.
            for complaint in str(e).removeprefix(f"{section}: ").split("; "):
                given = self.given.get(f"{section}.{complaint.split()[0]}")
                place = given.origin if given else self._place(section)
                self.problems.append(f"{place}: {section}.{complaint}")
        return None

    def own_strategies(self) -> dict[str, OwnStrategy]:
        found: dict[str, OwnStrategy] = {}
        for name, given in self._own.items():
            section = f"strategy.{name}"
            slot = self.build(section, StrategySlot)
            named = given.pop(CLASS)
            where = class_place(named.value, self._folder)
            if where is None:
                self.problems.append(
                    f"{named.origin}: {section}.{CLASS} = {show(named.value)}: must be a file and"
                    ' a class in it, such as "mybot.py:MyBot"'
                )
            elif isinstance(slot, StrategySlot):
                file, class_name = where
                found[name] = OwnStrategy(
                    name=name,
                    file=file,
                    class_name=class_name,
                    slot=slot,
                    params=given,
                    place=self._place(section),
                )
        return found

    def symbol_limits(self) -> dict[str, SymbolLimits]:
        prefix = f"{SYMBOLS}."
        built = {
            section.removeprefix(prefix): self.build(section, SymbolLimits)
            for section in self._classes
            if section.startswith(prefix)
        }
        return {symbol: one for symbol, one in built.items() if isinstance(one, SymbolLimits)}

    def check_together(self, sections: Mapping[str, object | None]) -> None:
        """Rules that span sections."""
        venue, execution = sections["venue"], sections["execution"]
        entry = self.given.get("execution.entry")
        by_socket = entry is not None and getattr(execution, "entry", "") == "ws"
        if entry is not None and by_socket and getattr(venue, "environment", "") == "demo":
            self.problems.append(
                f'{entry.origin}: execution.entry = "ws": the environment demo takes orders'
                ' by REST only, set "rest"'
            )

    def _place(self, key: str) -> str:
        line = line_of(self._lines, key)
        return f"{self._name}:{line}" if line else self._name


def _password_problem(given: Given) -> str:
    if given.from_env or not isinstance(given.value, str) or "@" not in given.value:
        return ""
    try:
        password = urlsplit(given.value).password
    except ValueError:
        return "must be a URL"
    return "holds a password: give this key in the environment instead" if password else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
