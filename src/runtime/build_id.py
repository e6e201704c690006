"""Which build this is: a digest of every file of the installed package that runs."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

_DIGITS = 12
_RUNS = (".py", ".so", ".pyd")


@functools.cache
def build_id() -> str:
    """Twelve hexadecimal digits; the same for two installations of the same code. About 20 ms."""
    return digest(Path(__file__).resolve().parent.parent)


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _RUNS:
            whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:_DIGITS]
