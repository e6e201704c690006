"""A text that must not leak by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn, SupportsIndex, final

MASK = "Secret(***)"


@final
class Secret:
    """Holds a key. Nothing shows it but `reveal`, so a search for that word finds every use.

    Printing, formatting, logging and JSON give a mask or fail; pickling and copying fail;
    comparing takes the same time wherever two secrets differ, and a secret never equals a text.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash tells whether two secrets are the same

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Use it where it is needed and keep it nowhere."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")
