"""Checks of strategy parameters: what every frozen dataclass of them needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import Field, fields

from fastbook.errors import ConfigError

Rule = tuple[bool, str]


def finite(value: object) -> bool:
    """A number that one can calculate with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def refuse(section: str, params: object, kind: type, rules: Callable[[], Iterable[Rule]]) -> None:
    """ConfigError with every number of `kind` that is none, or else every rule that is broken.

    `rules` is called only when all the numbers are numbers.
    """
    of_kind: tuple[Field[object], ...] = fields(kind)
    problems = [
        f"{f.name} must be a finite number, was {value!r}"
        for f in of_kind
        if not finite(value := getattr(params, f.name))
    ]
    if not problems:
        problems = [text for ok, text in rules() if not ok]
    if problems:
        raise ConfigError(f"{section}: " + "; ".join(problems))
