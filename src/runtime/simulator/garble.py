"""Order book frames that are not as they should be, by the name of the fault's field `how`.

`crossed` and `locked` are well-formed books that no market should show; `shuffled`, `quoted`, `spaced` and `repeated_keys` are the same book in other words; the others are
broken, each in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import orjson

OVERSIZED_BYTES = 2 << 20
HOUR_MS = 3_600_000
Json = dict[str, Any]


def _edited(edit: Callable[[Json], None]) -> Callable[[bytes], bytes]:
    """Change the parsed frame. Any: JSON."""

    def apply(payload: bytes) -> bytes:
        frame = orjson.loads(payload)
        edit(frame)
        return orjson.dumps(frame)

    return apply


def _some_side(frame: Json) -> list[list[Any]]:
    data = frame["data"]
    side: list[list[Any]] = data["b"] or data["a"]
    return side


def _with_level(*values: Any) -> Callable[[bytes], bytes]:
    """One more level, put first. Any: what a level must not hold is the point."""

    def edit(frame: Json) -> None:
        frame["data"]["b"].insert(0, list(values))

    return _edited(edit)


def _crossed(frame: Json) -> None:
    """A bid above every ask."""
    levels = frame["data"]["b"] + frame["data"]["a"]
    whole, point, decimals = levels[0][0].partition(".")
    frame["data"]["b"].insert(0, [f"9{'9' * len(whole)}{point}{'0' * len(decimals)}", "1"])


def _locked(frame: Json) -> None:
    """The same price on both sides."""
    px = _some_side(frame)[0][0]
    for name in ("b", "a"):
        others = [level for level in frame["data"][name] if level[0] != px]
        frame["data"][name] = [[px, "1"], *others]


def _moved(by: Decimal) -> Callable[[Json], None]:
    """Every price times `by`."""

    def edit(frame: Json) -> None:
        for name in ("b", "a"):
            for level in frame["data"][name]:
                px = Decimal(level[0])
                level[0] = f"{(px * by).quantize(px, rounding=ROUND_FLOOR):f}"

    return edit


def _one_level(frame: Json) -> None:
    for name in ("b", "a"):
        del frame["data"][name][1:]


def _without(*names: str) -> Callable[[Json], None]:
    def edit(frame: Json) -> None:
        for name in names:
            frame["data"][name] = []

    return edit


SCENES: dict[str, Callable[[Json], None]] = {
    "no_bids": _without("b"),
    "no_asks": _without("a"),
    "nothing": _without("b", "a"),
    "one_level": _one_level,
    "halved": _moved(Decimal("0.5")),
    "raised": _moved(Decimal("1.5")),
}
"""What a whole book is changed into; well-formed, but no market to trade on."""


def _shuffled(payload: bytes) -> bytes:
    """The same book in another order of keys, with one that nobody knows, and spaces."""
    frame = orjson.loads(payload)
    frame["data"] = {"news": None, **dict(reversed(frame["data"].items()))}
    return orjson.dumps(dict(reversed(frame.items())), option=orjson.OPT_INDENT_2)


def _stamped(ms: int) -> Callable[[bytes], bytes]:
    def edit(frame: Json) -> None:
        frame["ts"] += ms
        frame["cts"] += ms

    return _edited(edit)


def _frozen(frame: Json) -> None:
    frame["ts"] = frame["cts"] = 1_700_000_000_000


def _earlier(key: str, by: int) -> Callable[[bytes], bytes]:
    def edit(frame: Json) -> None:
        frame["data"][key] = max(frame["data"][key] - by, 2)

    return _edited(edit)


def _unsorted(frame: Json) -> None:
    for name in ("b", "a"):
        frame["data"][name].reverse()


def _same_px_twice(frame: Json) -> None:
    side = _some_side(frame)
    side.append([side[0][0], "7"])


GARBLED: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda payload: payload[: len(payload) // 2],
    "garbage": lambda payload: b"\xff\x00" + payload[::-1],
    "level": lambda payload: payload.replace(b'[["', b'[["1e', 1),
    "sequence": lambda payload: payload.replace(b'"u":', b'"u":-', 1),
    "quoted": lambda payload: re.sub(rb'"seq":([0-9]+)', rb'"seq":"\1"', payload),
    "oversized": lambda payload: payload + b" " * OVERSIZED_BYTES,
    "crossed": _edited(_crossed),
    "locked": _edited(_locked),
    "shuffled": _shuffled,
    "spaced": lambda payload: payload.replace(b":", b" : ").replace(b",", b" , "),
    "repeated_keys": lambda payload: payload.replace(b'{"topic"', b'{"ts":1,"topic"', 1),
    "escaped": lambda payload: payload.replace(b'"topic"', b'"\\u0074opic"', 1),
    "seq_back": _earlier("seq", 1_000_000),
    "u_back": _earlier("u", 10),
    "stamps_back": _stamped(-HOUR_MS),
    "stamps_ahead": _stamped(HOUR_MS),
    "stamps_frozen": _edited(_frozen),
    "unsorted": _edited(_unsorted),
    "same_px_twice": _edited(_same_px_twice),
    "unknown_delete": _with_level("0.01", "0"),
    "off_tick": _with_level("1.0000000001", "1"),
    "negative": _with_level("-1", "1"),
    "nan": _with_level("NaN", "1"),
    "exponent": _with_level("1e9", "1"),
    "digits": _with_level("1" * 40, "1"),
    "null": _with_level(None, "1"),
    "number": _with_level(1.5, True),
    "object": _with_level({"p": "1"}, []),
    "short_level": _with_level("1"),
}
