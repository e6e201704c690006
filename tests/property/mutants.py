"""Book frames as they might come: valid, odd, and broken. Seeded; fast rather than pretty."""

from __future__ import annotations

import json
import random
from typing import Any

TOPICS = (
    *("orderbook.1.AUSDT", "orderbook.50.AUSDT", "orderbook.200.BUSDT", "orderbook.1000.C-USDT"),
    "orderbook.50.1000X",
)
ODD_NUMBERS = (
    *("", ".", "0", "00", "0.000", "1.", ".5", "-1", "+1", "1e2", "1E-2", " 1", "1 ", "1.2.3", "x"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551617", "0" * 32, "0" * 33),
    *("123456789012345678", "1234567890123456789", "12345678901234567.8", "0.000000000000000001"),
    *("1.0000000000000000000", "1.000000000000000000000000000000", "0.1234567890123456789"),
    *("123456789012345678.0000000000000", "123456789012345678.00000000000000", "\u0661", "1,5"),
)
ODD_IDS = (
    *("0", "-1", "-0", "01", "1.0", "1e3", "null", "true", '"17"', '"x"', '""', "[]", "18"),
    *("999999999999999999", "1000000000000000000", "9223372036854775807", "9223372036854775808"),
)
BYTES = b'0123456789."[]{},:-+eE \\ \n\ttfn\x00\xff\xc3'


class Frames:
    """Makes frames that fit what a decoder holds, so that most of them are applied."""

    def __init__(self, seed: int, *, odd: float = 0.004) -> None:
        self.rng = random.Random(seed)
        self.odd = odd  # share of numbers that are not what they should be
        self.u: dict[str, int] = {}

    def number(self, low: int, high: int, decimals: int) -> str:
        rng = self.rng
        if rng.random() < self.odd:
            return rng.choice(ODD_NUMBERS)
        text = f"{rng.randrange(low, high)}"
        if decimals:
            text += f".{rng.randrange(10**decimals):0{decimals}}"
        return text

    def side(self, levels: int, low: int, high: int, decimals: int) -> str:
        rng = self.rng
        sizes = ("0", "0", "1", "12.5", "7.250", "0.001", "0.000")
        pairs = [
            f'["{self.number(low, high, decimals)}","{rng.choice(sizes)}"]' for _ in range(levels)
        ]
        return f"[{','.join(pairs)}]"

    def levels(self, depth: int, snapshot: bool) -> int:
        rng = self.rng
        if rng.random() < 0.01:
            return depth  # a whole side
        return min(depth, rng.choice((0, 1, 1, 2, 3, 5)) + (3 if snapshot else 0))

    def identity(self, value: int) -> str:
        return self.rng.choice(ODD_IDS) if self.rng.random() < self.odd else str(value)

    def frame(self, topic: str) -> bytes:
        """The next frame of `topic`: in order, mostly."""
        rng = self.rng
        depth = int(topic.split(".")[1])
        last = self.u.get(topic, 0)
        snapshot = not last or depth == 1 or rng.random() < 0.1
        step = rng.choice((0, -1, 2)) if rng.random() < 0.03 else 1
        u = max(1, last + step) if rng.random() > 0.01 else 1
        self.u[topic] = u
        decimals = rng.choice((0, 1, 1, 1, 2)) if rng.random() < 0.1 else 1
        crossing = rng.random() < 0.01
        bids = self.side(self.levels(depth, snapshot), 90, 104 if crossing else 100, decimals)
        asks = self.side(self.levels(depth, snapshot), 100, 110, decimals)
        kind = f'"type":"{"snapshot" if snapshot else "delta"}"'
        stamp = f'"ts":{self.identity(1_700_000_000_000 + u)}'
        head = f"{kind},{stamp}" if rng.random() < 0.5 else f"{stamp},{kind}"
        cts = f',"cts":{self.identity(1_700_000_000_000 + u - 2)}' if rng.random() < 0.9 else ""
        symbol = topic.rpartition(".")[2]
        return (
            f'{{"topic":"{topic}",{head},"data":{{"s":"{symbol}","b":{bids},"a":{asks},'
            f'"u":{self.identity(u)},"seq":{self.identity(10 * u)}}}{cts}}}'
        ).encode()


# --- what can go wrong with it ---


def flip(rng: random.Random, frame: bytes) -> bytes:
    out = bytearray(frame)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def replace(rng: random.Random, frame: bytes) -> bytes:
    out = bytearray(frame)
    out[rng.randrange(len(out))] = rng.choice(BYTES)
    return bytes(out)


def delete(rng: random.Random, frame: bytes) -> bytes:
    i = rng.randrange(len(frame))
    return frame[:i] + frame[i + rng.choice((1, 1, 1, 2, 5, 40)) :]


def insert(rng: random.Random, frame: bytes) -> bytes:
    i = rng.randrange(len(frame) + 1)
    return frame[:i] + bytes([rng.choice(BYTES)]) * rng.choice((1, 1, 1, 2, 19)) + frame[i:]


def swap(rng: random.Random, frame: bytes) -> bytes:
    out = bytearray(frame)
    i = rng.randrange(len(out))
    j = rng.randrange(len(out)) if rng.random() < 0.3 else min(i + 1, len(out) - 1)
    out[i], out[j] = out[j], out[i]
    return bytes(out)


def duplicate(rng: random.Random, frame: bytes) -> bytes:
    i, j = sorted(rng.randrange(len(frame) + 1) for _ in range(2))
    return frame[:j] + frame[i:j] + frame[j:]


def truncate(rng: random.Random, frame: bytes) -> bytes:
    return frame[: rng.randrange(len(frame))]


def shuffled(rng: random.Random, value: Any, *, strange: bool = False) -> Any:  # Any: JSON
    """The same JSON with every object's keys in another order; `strange` adds unknown ones."""
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(rng, inner, strange=strange)) for key, inner in value.items()]
    if strange:
        items += [(f"x{rng.randrange(9)}", rng.choice([None, 1, "u", [["1", "2"]], {"u": 5}]))]
    rng.shuffle(items)
    return dict(items)


def rewrite(rng: random.Random, frame: bytes) -> bytes:
    """The same message in another spelling: key order, white space, unknown keys, escapes."""
    try:
        message = json.loads(frame)
    except ValueError:
        return frame
    message = shuffled(rng, message, strange=rng.random() < 0.5)
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\n", " :\t")])
    text = json.dumps(message, separators=separators)
    if rng.random() < 0.2:
        old = rng.choice(["USDT", "delta", "snapshot", '"u"', '"b"', "orderbook"])
        new = "".join(c if c == '"' else f"\\u{ord(c):04x}" for c in old)
        text = text.replace(old, new)
    return text.encode()


MUTATIONS = (flip, replace, replace, delete, insert, swap, duplicate, truncate, rewrite, rewrite)


def mutated(rng: random.Random, frame: bytes) -> bytes:
    for _ in range(1 if rng.random() < 0.8 else 3):
        if frame:
            frame = rng.choice(MUTATIONS)(rng, frame)
    return frame
