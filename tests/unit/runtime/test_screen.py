"""The live screen at every size of terminal: nothing raises, nothing is wider or taller than it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from fastbook.runtime.screen import draw

STATUS: dict[str, Any] = {  # Any: JSON
    "title": "50 symbols, paper",
    "trading_state": "active",
    "elapsed_s": 4.2,
    "seconds": 30.0,
    "messages": 87_436,
    "messages_per_s": 21_376.4,
    "latency_us": {"p50": 61.0, "p99": 1_500.0, "p999": None},
    "cpu_share": 0.17,
    "books": {"SYNCED": 48, "STALE": 0, "SYNCING": 2, "UNSYNCED": 0, "NO_BOOK": 0},
    "gaps": 2,
    "reconnects": 1,
    "signals": 84,
    "orders": 37,
    "fills": 53,
    "denied": 47,
    "equity": 99_991.97,
    "currency": "USDT",
    "realized_pnl": -5.21,
    "fees": 13.8,
    "positions": [
        {"symbol": f"COIN{n}USDT", "qty": "-1480.7", "entry": "0.6118", "open_pnl": 1.5 - n}
        for n in range(30)
    ],
    "events": [f"00:12:0{n % 10} fill  buy  1478 SEIUSDT @ 0.41035" for n in range(50)],
    "focus": {
        "symbol": "BTCUSDT",
        "state": "SYNCED",
        "u": 2569,
        "bids": [[65_176.3 - n, 0.019 * (n + 1)] for n in range(10)],
        "asks": [[65_176.4 + n, 12.5 / (n + 1)] for n in range(10)],
        "price_digits": 2,
        "size_digits": 3,
        "mid": 65_176.35,
        "microprice": 65_176.31,
        "spread_bps": 0.02,
        "zscore": -1.4,
        "imbalance": 0.45,
        "ofi": None,
    },
}
NO_ANSWER = dict.fromkeys(("mid", "microprice", "spread_bps", "zscore", "imbalance", "ofi"))
TINY = (40, 15)
SIZES = [(130, 46), (100, 30), (80, 24), (70, 20), TINY, (250, 80)]


def picture(status: dict[str, Any], width: int, height: int) -> list[str]:  # Any: JSON
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as captured:
        console.print(draw(status, width, height), end="")
    return captured.get().splitlines()


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_it_fits(size: tuple[int, int]) -> None:
    lines = picture(STATUS, *size)
    assert len(lines) == size[1]
    assert {len(line) for line in lines} == {size[0]}
    if size == TINY:
        return
    text = "\n".join(lines)
    for words in ("z-score", "imbalance", "messages", "latency", "books", "P&L", "positions"):
        assert words in text, words


@pytest.mark.parametrize("size", SIZES[:3], ids=lambda s: f"{s[0]}x{s[1]}")
def test_figures_are_whole_where_there_is_room(size: tuple[int, int]) -> None:
    text = "\n".join(picture(STATUS, *size))
    for words in (
        *("65,176.30", "65,176.40", "12.500", "0.019"),
        *("21,376/s, 87,436 in all", "p50 61 µs, p99 1.5 ms", "48 SYNCED  2 SYNCING"),
        *("37, 53 fills", "84, 47 orders denied", "-5.21, fees 13.80", "99,991.97 USDT"),
        *("COIN0USDT", "-1480.7", "positions (30)", "4 s of 30 s", "ACTIVE"),
    ):
        assert words in text, words


def test_nothing_known_yet() -> None:
    focus = STATUS["focus"] | NO_ANSWER | {"bids": [], "asks": [], "state": "NO_BOOK", "u": 0}
    none = {"p50": None, "p99": None, "p999": None}
    empty = {"focus": focus, "positions": [], "events": [], "seconds": None, "latency_us": none}
    for size in SIZES:
        text = "\n".join(picture(STATUS | empty, *size))
        assert "no open position" in text
        assert size == TINY or "p50 -, p99 -" in text


def test_one_side_only() -> None:
    focus = STATUS["focus"] | {"asks": []}
    text = "\n".join(picture(STATUS | {"focus": focus}, 100, 30))
    assert "65,176.30" in text
