"""Limits in a file of their own: who may change the strategy need not be who may change them."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from fastbook.errors import ConfigError

KEY = "limits_file"
_BYTES_MAX = 1 << 20


def named_in(tables: Mapping[str, object]) -> object:
    """What `risk.limits_file` says; None when it is not there."""
    risk = tables.get("risk")
    return risk.get(KEY) if isinstance(risk, dict) else None


def read_limits(named: object, tables: Mapping[str, object], folder: Path) -> tuple[str, str]:
    """(path, text) of the file. ConfigError when limits stand in two places, or it is not ours.

    Only its owner may write it, and nobody else but its group may read it.
    """
    if not isinstance(named, str) or not named:
        raise ConfigError(f"risk.{KEY} must be the name of a file")
    risk = tables["risk"]
    assert isinstance(risk, dict)  # or it would not have named one
    if others := sorted(set(risk) - {KEY}):
        raise ConfigError(
            f"risk.{others[0]} stands beside risk.{KEY}: all limits are in that file, or none"
        )
    path = folder / named
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise ConfigError(f"risk.{KEY}: {path}: cannot be read: {e.strerror}") from e
    with open(fd, "rb") as file:
        info = os.fstat(fd)
        mode = stat.S_IMODE(info.st_mode)
        if not stat.S_ISREG(info.st_mode):
            raise ConfigError(f"risk.{KEY}: {path}: is not a plain file")
        if mode & 0o027:
            raise ConfigError(
                f"risk.{KEY}: {path}: mode {mode:04o} lets others in; chmod 600 it (or 640)"
            )
        data = file.read(_BYTES_MAX)
    try:
        text = data.decode()
        found = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"{path}: is not TOML: {e}") from e
    if set(found) != {"risk"}:
        raise ConfigError(f"{path}: must have the section [risk] and nothing else")
    if named_in(found) is not None:
        raise ConfigError(f"{path}: names a {KEY} itself")
    return str(path), text
