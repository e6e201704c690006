"""JSON documents for machines: exact decimals as plain numbers, nan as null."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson


def to_json(value: object, *, indent: bool = False) -> bytes:
    """Serialise; a Decimal becomes a JSON number with every digit it has."""
    option = orjson.OPT_INDENT_2 if indent else 0
    return orjson.dumps(value, default=_default, option=option)


def print_json(value: object, *, indent: bool = False) -> None:
    print(to_json(value, indent=indent).decode(), flush=True)


def counted(n: int, noun: str) -> str:
    """`1 gap`, `2 gaps`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _default(value: Any) -> Any:  # Any: orjson's own contract
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    raise TypeError(f"not JSON: {type(value).__name__}")
