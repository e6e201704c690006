"""The bundled exchange in a process of its own, for clients that know nothing of ours.

It answers after a few milliseconds, as across a network: pybit notes what it has asked for after
it has sent the request, and an answer that is faster than that ends its reader.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode
from urllib.request import urlopen

import orjson

DEADLINE_S = 60.0
LOOK_S = 0.01
T = TypeVar("T")
Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


@dataclass(frozen=True)
class Key:
    api_key: str
    api_secret: str


class LocalExchange:
    """Where a running exchange is, and what it says of itself."""

    def __init__(self, where: dict[str, Any]) -> None:  # Any: JSON
        self.rest: str = where["rest"]
        self.ws_public: str = where["ws_public"]
        self.ws_private: str = where["ws_private"]
        self.ws_trade: str = where["ws_trade"]
        self.ca_file: str = where.get("ca_file", "")
        self._tls = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        self._keys = iter([Key(**account) for account in where["accounts"]])

    def next_key(self) -> Key:
        """An account that no other test has used."""
        return next(self._keys)

    def control(self, name: str, **query: str) -> Any:  # Any: JSON
        return self._open(f"{self.rest}/_control/{name}?{urlencode(query)}", None)

    def fault(self, **fault: Any) -> None:
        assert self._open(f"{self.rest}/_control/fault", orjson.dumps(fault))["hit"] == 1

    def _open(self, url: str, body: bytes | None) -> Any:  # Any: JSON
        with urlopen(url, data=body, timeout=DEADLINE_S, context=self._tls) as answer:
            return orjson.loads(answer.read())

    def published(self, category: str, topic: str) -> tuple[int, Sides]:
        """What the exchange last published of a book: its `u`, and both sides."""
        data = self.control("book", category=category, topic=topic)["data"]
        return data["u"], sides_of(data["b"], data["a"])


def sides_of(bids: Any, asks: Any) -> Sides:
    """Levels as clients hold them, text or numbers, hence Any; made comparable."""
    bid_side, ask_side = (
        {Decimal(str(row[0])): Decimal(str(row[1])) for row in side} for side in (bids, asks)
    )
    return bid_side, ask_side


def until(ready: Callable[[], T], what: str) -> T:
    """The first true answer; fails after the deadline. For clients that have only threads."""
    end_s = time.monotonic() + DEADLINE_S
    while not (answer := ready()):
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(LOOK_S)
    return answer


@contextmanager
def local_exchange(**options: Any) -> Iterator[LocalExchange]:
    """`options`: of SimulatorOptions, hence Any."""
    program = Path(__file__).with_name("exchange_process.py")
    defaults = {"latency_s": 0.02, "symbols": 3, "accounts": 60, "start_base_balance": "10"}
    given = defaults | options
    process = subprocess.Popen(
        [sys.executable, str(program), orjson.dumps(given).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        exchange = LocalExchange(orjson.loads(process.stdout.readline()))
        yield exchange
        assert exchange.control("state")["failure"] == ""
    finally:
        process.stdin.close()
        code = process.wait(DEADLINE_S)
        process.stdout.close()
    assert code == 0
