"""One key of a section: its default, its bounds and its meaning; and how a value is checked.

Sections are plain frozen dataclasses. `setting` puts bounds and meaning beside the default;
a dataclass of another layer, which has none, is checked by its types and by itself.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

T = TypeVar("T")

_META = "fastbook.setting"
_INT = re.compile(r"[+-]?\d{1,18}")
_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must satisfy besides its type."""

    doc: str = ""
    choices: tuple[object, ...] = ()
    least: float = 0.0
    most: float = math.inf
    above: bool = False  # `least` itself is too small
    check: Callable[[Any], str] | None = None  # Any: a value of the field's own type
    hidden: bool = False  # may hold a password: never shown


NO_RULE = Rule()


def setting(
    default: T,
    doc: str,
    *,
    choices: tuple[object, ...] = (),
    least: float = 0.0,
    most: float = math.inf,
    above: bool = False,
    check: Callable[[Any], str] | None = None,  # Any: as in Rule
    hidden: bool = False,
) -> T:
    """A dataclass field with its rule. `check` returns a complaint, or "" when all is well."""
    rule = Rule(doc, choices, least, most, above, check, hidden)
    return field(default=default, repr=not hidden, metadata={_META: rule})


def rule_of(metadata: typing.Mapping[str, Any]) -> Rule:  # Any: as dataclasses has it
    rule = metadata.get(_META, NO_RULE)
    assert isinstance(rule, Rule)
    return rule


class ValueProblem(ValueError):
    """What is wrong with a value, in words that follow "must be"."""


def convert(value: object, wanted: Any, *, from_text: bool) -> object:  # Any: a type expression
    """`value` as the type `wanted`. From the environment everything comes as text.

    Raises `ValueProblem`. A bool is not a number, and nan and infinity are nobody's setting.
    """
    options = _options(wanted)
    if from_text and isinstance(value, str):
        return _from_text(value, options)
    return _from_toml(value, options)


def breach(value: object, rule: Rule) -> str:
    """How `value` breaks `rule`; "" when it does not."""
    if rule.choices and value not in rule.choices:
        return f"must be one of {', '.join(map(str, rule.choices))}"
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        if value < rule.least or (rule.above and value == rule.least):
            return f"must be {'above' if rule.above else 'at least'} {rule.least:g}"
        if value > rule.most:
            return f"must be at most {rule.most:g}"
    return rule.check(value) if rule.check is not None else ""


def show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def _options(wanted: Any) -> tuple[Any, ...]:  # Any: a type expression
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return typing.get_args(wanted)
    return (wanted,)


def _from_toml(value: object, options: tuple[Any, ...]) -> object:  # Any: type expressions
    if isinstance(value, bool):
        if bool in options:
            return value
    elif isinstance(value, str):
        if str in options:
            return value
    elif isinstance(value, int):
        if int in options:
            return value
        if float in options:
            return float(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueProblem("must be a finite number")
        if float in options:
            return value
    elif (
        isinstance(value, list)
        and tuple[str, ...] in options
        and all(isinstance(item, str) for item in value)
    ):
        return tuple(value)
    raise ValueProblem(f"must be {_name(options)}")


def _from_text(text: str, options: tuple[Any, ...]) -> object:  # Any: type expressions
    if type(None) in options and text == "":
        return None
    if str in options:
        return text
    if bool in options:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueProblem("must be true or false")
    if tuple[str, ...] in options:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if _INT.fullmatch(text):
        return _from_toml(int(text), options)
    try:
        number = float(text)
    except ValueError:
        raise ValueProblem(f"must be {_name(options)}") from None
    return _from_toml(number, options)


def _name(options: tuple[Any, ...]) -> str:  # Any: type expressions
    if bool in options:
        return "true or false"
    if tuple[str, ...] in options:
        return "a list of texts"
    if str in options:
        return "a text"
    return "a number" if float in options else "a whole number"
