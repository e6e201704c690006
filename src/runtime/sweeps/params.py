"""Which points a sweep tries: `--param key=...` to configurations, on a grid or at random.

Values are texts all the way: the configuration reads them as it reads the environment, so types,
bounds and misspelt keys are its business, and a point looks the same in every file and process.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from random import Random

from fastbook.errors import ConfigError

POINTS_MAX = 100_000
PARAMS_MAX = 16
DRAWS_PER_POINT_MAX = 1_000
"""Draws without finding a new point, after which there is none."""
DIGITS = 6
"""Significant digits of a number drawn from a range."""

_KEY = re.compile(r"[A-Za-z][\w.]*\.[A-Za-z]\w*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
SWEPT = ("strategy", "risk", "sizing", "protection", "market_data")
FIXED = frozenset({"market_data.symbols", "market_data.depth"})
"""They choose the data, and every point gets the same."""

Point = Mapping[str, str]
"""Dotted key -> value, as text."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One `--param`: the values to try, or the range to draw from."""

    key: str
    values: tuple[str, ...] = ()
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    whole: bool = False
    """Both ends of the range are integers, so what is drawn is one."""

    def draw(self, rng: Random) -> str:
        if self.values:
            return self.values[int(rng.random() * len(self.values))]
        if self.whole:
            return str(int(self.low) + int(rng.random() * (int(self.high) - int(self.low) + 1)))
        value = self.low + (self.high - self.low) * Decimal(rng.random())
        return plain(min(max(_rounded(value), self.low), self.high))


def read_axes(texts: Sequence[str], *, at_random: bool) -> list[Axis]:
    """The axes of all `--param`. Raises `ConfigError` that names the one that is wrong."""
    axes = [read_axis(text, at_random=at_random) for text in texts]
    keys = [axis.key for axis in axes]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ConfigError(f"--param {twice[0]} is given twice; its values go into one")
    if len(axes) > PARAMS_MAX:
        raise ConfigError(f"--param: at most {PARAMS_MAX} parameters, {len(axes)} were given")
    return axes


def read_axis(text: str, *, at_random: bool = False) -> Axis:
    """``key=1,2,3``, ``key=1:3:0.5`` (both ends in) or, for random search, ``key=1:3``."""
    key, equals, given = text.partition("=")
    key, given = key.strip(), given.strip()
    if not equals or not given:
        raise ConfigError(f"--param {text}: must be key=a,b,c, such as "
                          "strategy.mean_reversion.entry_z=1.5,2,2.5")  # fmt: skip
    if not _KEY.fullmatch(key):
        raise ConfigError(f"--param {key}: must be a dotted key of the configuration, such as"
                          " strategy.mean_reversion.entry_z")  # fmt: skip
    if key.partition(".")[0] not in SWEPT or key in FIXED:
        raise ConfigError(f"--param {key}: is the same for every point; what can be swept are keys"
                          f" of {', '.join(SWEPT)}, but not {' and '.join(sorted(FIXED))}")  # fmt: skip
    ends = given.split(":")
    if 2 <= len(ends) <= 3 and all(_NUMBER.fullmatch(end.strip()) for end in ends):
        return _read_range(key, [end.strip() for end in ends], text, at_random)
    values = tuple(value.strip() for value in given.split(","))
    if not all(values):
        raise ConfigError(f"--param {text}: has an empty value")
    if twice := [v for v in values if values.count(v) > 1]:
        raise ConfigError(f"--param {key}: has the value {twice[0]} twice")
    return Axis(key, values)


def _read_range(key: str, ends: list[str], text: str, at_random: bool) -> Axis:
    numbers = [Decimal(end) for end in ends]
    low, high = numbers[:2]
    if high < low:
        raise ConfigError(f"--param {text}: the range ends below where it begins")
    if len(numbers) == 2:
        if not at_random:
            raise ConfigError(f"--param {text}: a grid needs a step, {key}=FIRST:LAST:STEP;"
                              " a range without one is for --random")  # fmt: skip
        whole = all(re.fullmatch(r"[+-]?\d+", end) for end in ends)
        return Axis(key, low=low, high=high, whole=whole)
    step = numbers[2]
    if step <= 0:
        raise ConfigError(f"--param {text}: the step must be above 0")
    count = int((high - low) / step) + 1
    if count > POINTS_MAX:
        raise ConfigError(f"--param {text}: more than {POINTS_MAX:,} values")
    return Axis(key, tuple(plain(low + n * step) for n in range(count)))


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Every combination; the last parameter changes fastest."""
    count = math.prod(len(axis.values) for axis in axes)
    if count > POINTS_MAX:
        raise ConfigError(
            f"the grid has {count:,} points, more than {POINTS_MAX:,}: --random N tries some of it"
        )
    keys = [axis.key for axis in axes]
    combinations = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(keys, values, strict=True)) for values in combinations]


def at_random(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """`count` different points, the same for the same seed on every machine."""
    if not 1 <= count <= POINTS_MAX:
        raise ConfigError(f"--random {count}: must be 1 to {POINTS_MAX:,}")
    return list(itertools.islice(_distinct(axes, seed), count))


def _distinct(axes: Sequence[Axis], seed: int) -> Iterator[Point]:
    rng, seen = Random(seed), set[tuple[str, ...]]()
    while True:
        for _ in range(DRAWS_PER_POINT_MAX):
            values = tuple(axis.draw(rng) for axis in axes)
            if values not in seen:
                break
        else:
            raise ConfigError(
                f"--random: only {len(seen)} different points were found; a range of whole numbers"
                " holds whole numbers (1:3), another any number (1.0:3)"
            )
        seen.add(values)
        yield {axis.key: value for axis, value in zip(axes, values, strict=True)}


def variables(point: Point) -> dict[str, str]:
    """The point as variables of the environment, which the configuration reads above its file."""
    return {variable(key): value for key, value in point.items()}


def variable(key: str) -> str:
    return "FASTBOOK__" + key.upper().replace(".", "__")


def number_of(text: str) -> float:
    """The value as a number, for plots; nan when it is a word."""
    try:
        return float(Decimal(text))
    except InvalidOperation:
        return math.nan


def plain(value: Decimal) -> str:
    """Without an exponent and trailing zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _rounded(value: Decimal) -> Decimal:
    if not value:
        return value
    return round(value, DIGITS - 1 - value.adjusted())
