"""A configuration back to TOML: what a recording keeps of it."""

from __future__ import annotations

import json
from dataclasses import Field, fields
from typing import Any

from .rules import rule_of
from .sections import SECTIONS, Config


def config_text(config: Config) -> str:
    """TOML that `parse` reads as the same configuration; URLs that may hold a password left out.

    Only what was set, in the file or in the environment: defaults stay defaults.
    """
    lines: list[str] = []
    for section, cls in SECTIONS.items():
        values: object = config
        for part in section.split("."):
            values = getattr(values, part)
        if values is None:
            continue
        set_here = []
        for f in fields(cls):
            value = getattr(values, f.name)
            hidden = rule_of(f.metadata).hidden and isinstance(value, str) and "@" in value
            if f"{section}.{f.name}" in config.origins and value is not None and not hidden:
                set_here.append(f"{f.name} = {_toml(value)}")
        if set_here:
            lines += [f"[{section}]", *set_here, ""]
    for symbol, limits in config.symbol_limits.items():
        lines += [f"[risk.symbols.{symbol}]"]
        lines += _set_values(limits, fields(limits), f"risk.symbols.{symbol}", config)
    for name, own in config.strategy.own.items():
        lines += [f"[strategy.{name}]", f"class = {_toml(f'{own.file}:{own.class_name}')}"]
        lines += _set_values(own.slot, fields(own.slot), f"strategy.{name}", config)
        lines += [f"{key} = {_toml(given.value)}" for key, given in own.params.items()]
    return "\n".join(lines) + "\n"


def _set_values(
    values: object, of: tuple[Field[Any], ...], section: str, config: Config
) -> list[str]:  # Any: a field of any type
    return [
        f"{f.name} = {_toml(getattr(values, f.name))}"
        for f in of
        if f"{section}.{f.name}" in config.origins and getattr(values, f.name) is not None
    ]


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, (bool, str)):
        return json.dumps(value)  # what JSON escapes, TOML's basic strings escape the same way
    return str(value)
