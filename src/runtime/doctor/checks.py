"""One check and what it found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` False fails the whole; `warning` is worth a look and fails nothing."""

    name: str
    ok: bool
    detail: str
    warning: bool = False

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        return asdict(self)


def good(name: str, detail: str) -> Check:
    return Check(name, True, detail)


def bad(name: str, detail: str) -> Check:
    return Check(name, False, detail)


def warn(name: str, detail: str) -> Check:
    return Check(name, True, detail, warning=True)
