"""A configuration back to TOML: what a recording keeps of it."""

from __future__ import annotations

import json
from dataclasses import fields

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
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, (bool, str)):
        return json.dumps(value)  # what JSON escapes, TOML's basic strings escape the same way
    return str(value)
