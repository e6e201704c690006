"""Values of `fastbook.types` to JSON and back; each says itself what it is."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from fastbook import types
from fastbook.errors import FastbookError

# Any: JSON on one side, every value type of the engine on the other.


def to_plain(value: Any) -> Any:
    """Dataclasses, enums and decimals with their names; nan and infinities as text."""
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "is": value.value}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Decimal):
        return {"dec": str(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(one) for one in value]
    if isinstance(value, dict):
        return {"map": [[to_plain(k), to_plain(v)] for k, v in value.items()]}
    if is_dataclass(value):
        plain = {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
        return {"type": type(value).__name__, "with": plain}
    raise TypeError(f"cannot be recorded: {type(value).__name__}")


def from_plain(plain: Any) -> Any:
    """What `to_plain` was given; tuples come back as lists. FastbookError for anything else."""
    if isinstance(plain, list):
        return [from_plain(one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    try:
        if "dec" in plain:
            return Decimal(plain["dec"])
        if "float" in plain:
            return float(plain["float"])
        if "map" in plain:
            return {from_plain(k): from_plain(v) for k, v in plain["map"]}
        if "enum" in plain:
            return _known(plain["enum"])(plain["is"])
        values = {name: from_plain(value) for name, value in plain["with"].items()}
        return _known(plain["type"])(**values)
    except (KeyError, TypeError, ValueError, ArithmeticError) as e:
        raise FastbookError(f"not a value that fastbook records: {plain!r:.200} ({e})") from None


def _known(name: str) -> Any:
    found = getattr(types, name, None)
    if not isinstance(found, type) or found.__module__ != types.__name__:
        raise ValueError(f"{name} is no type of fastbook.types")
    return found
