"""Disconnect cancel-all (DCP): a dead-man switch over private connections. Time is handed in.

An account arms it by product. Connections say that they live by subscribing to the product's
dcp topic; when the last of them is lost, a timer starts; when it ends before one is back, the
account's orders of that product are to be cancelled.
"""

from __future__ import annotations

from fastbook.errors import VenueError
from fastbook.types import Category

PARAMETER_ERROR = 10001
PRODUCTS: dict[str, frozenset[Category]] = {
    "DERIVATIVES": frozenset({Category.LINEAR, Category.INVERSE}),
    "SPOT": frozenset({Category.SPOT}),
    "OPTIONS": frozenset(),
}
TOPICS = {"dcp.future": "DERIVATIVES", "dcp.spot": "SPOT", "dcp.option": "OPTIONS"}
WINDOW_S_MIN, WINDOW_S_MAX = 3, 300
Armed = tuple[int, str]
"""(account, product)."""


class DisconnectGuard:
    """Which accounts are armed, which connections stand for them, which timers run."""

    def __init__(self) -> None:
        self._windows_ms: dict[Armed, int] = {}
        self._alive: dict[Armed, set[str]] = {}
        self._deadlines: dict[Armed, int] = {}

    def configure(self, account: int, product: str, window_s: int) -> None:
        """Arm the switch, or change its window. 10001 for an unknown product or window."""
        if product not in PRODUCTS:
            raise VenueError(PARAMETER_ERROR, "params error: product invalid")
        if type(window_s) is not int or not WINDOW_S_MIN <= window_s <= WINDOW_S_MAX:
            raise VenueError(PARAMETER_ERROR, "params error: timeWindow must be 3 to 300")
        self._windows_ms[account, product] = window_s * 1000

    def info(self, account: int) -> list[dict[str, str]]:
        """The rows of query-dcp-info; empty when nothing is armed."""
        return [
            {"product": product, "dcpStatus": "ON", "timeWindow": str(window_ms // 1000)}
            for (number, product), window_ms in sorted(self._windows_ms.items())
            if number == account
        ]

    def connected(self, account: int, product: str, connection: str) -> None:
        """A connection subscribed to the product's dcp topic: whatever timer ran, stops."""
        self._alive.setdefault((account, product), set()).add(connection)
        self._deadlines.pop((account, product), None)

    def lost(self, connection: str, now_ms: int) -> None:
        """A connection died, or unsubscribed. The last one starts the timer."""
        for armed, alive in self._alive.items():
            if connection not in alive:
                continue
            alive.discard(connection)
            if not alive and armed in self._windows_ms:
                self._deadlines[armed] = now_ms + self._windows_ms[armed]

    def take_due(self, now_ms: int) -> list[Armed]:
        """Whose orders are to be cancelled now; each is named once."""
        due = sorted(armed for armed, at in self._deadlines.items() if now_ms >= at)
        for armed in due:
            del self._deadlines[armed]
        return due
