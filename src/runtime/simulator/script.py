"""Faults by script: a file that says what goes wrong, and when.

JSON: a list of objects; TOML: ``[[fault]]`` tables. Each has `at_s`, seconds since the exchange
started, beside `kind` and the fields of that kind (see faults.py); with `every_s` it comes back.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fastbook.errors import ConfigError

FAULTS_MAX = 10_000
BYTES_MAX = 8 << 20
SECONDS_MAX = 1e7


@dataclass(frozen=True, slots=True)
class ScriptedFault:
    """One fault and its time. `every_s` 0: once."""

    at_s: float
    every_s: float
    fault: Mapping[str, Any]  # Any: one JSON object


def read_text(path: Path) -> str:
    """A whole small file. ConfigError that names it when it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise ConfigError(f"{path} has more than {BYTES_MAX} bytes")
        return data.decode()
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror or e}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None


def read_script(path: Path) -> tuple[ScriptedFault, ...]:
    """The faults of a file, in the order of their times."""
    text = read_text(path)
    try:
        if path.suffix == ".toml":
            listed = tomllib.loads(text).get("fault", [])
        else:
            listed = orjson.loads(text)
    except (tomllib.TOMLDecodeError, orjson.JSONDecodeError) as e:
        raise ConfigError(f"{path}: {e}") from None
    if not isinstance(listed, list) or len(listed) > FAULTS_MAX:
        raise ConfigError(f"{path} must hold a list of at most {FAULTS_MAX} faults")
    return parse_script(listed, str(path))


def parse_script(listed: Sequence[object], name: str) -> tuple[ScriptedFault, ...]:
    """Check the times; what the faults themselves say is checked by `validate`."""
    script = []
    for number, item in enumerate(listed, 1):
        if not isinstance(item, dict):
            raise ConfigError(f"{name}: fault {number} is not an object")
        fault = dict(item)
        times = [fault.pop("at_s", None), fault.pop("every_s", 0.0)]
        for key, value in zip(("at_s", "every_s"), times, strict=True):
            number_given = isinstance(value, int | float) and not isinstance(value, bool)
            if not number_given or not 0 <= value <= SECONDS_MAX:
                raise ConfigError(f"{name}: fault {number}: {key} must be seconds, was {value!r}")
        script.append(ScriptedFault(float(times[0]), float(times[1]), fault))
    return tuple(sorted(script, key=lambda scripted: scripted.at_s))


class FaultScript:
    """Plays a script: `tick` does what is due."""

    def __init__(
        self, script: Sequence[ScriptedFault], apply: Callable[[Mapping[str, object]], int]
    ) -> None:
        self._waiting = list(script)
        self._apply = apply
        self.played = 0
        self.missed: list[str] = []  # what a fault had nothing to strike at; the last ones
        self._start_s = -1.0

    def tick(self, now_s: float) -> None:
        """`now_s`: monotonic; the first call begins the script."""
        if not self._waiting:
            return
        if self._start_s < 0:
            self._start_s = now_s
        while self._waiting and self._waiting[0].at_s <= now_s - self._start_s:
            due = self._waiting.pop(0)
            try:
                self._apply(due.fault)
                self.played += 1
            except ConfigError as e:  # nobody reads its topic now: not worth ending a run for
                self.missed = [*self.missed[-9:], str(e)]
            if due.every_s:
                again = ScriptedFault(due.at_s + due.every_s, due.every_s, due.fault)
                self._waiting.append(again)
                self._waiting.sort(key=lambda scripted: scripted.at_s)
