"""How often: rates by the second, the minute and the day, runaways, and the same order again."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from fastbook.clock import TokenBucket
from fastbook.risk.denied import Denied
from fastbook.risk.limits import RiskLimits
from fastbook.types import Side

_MINUTE_NS = 60_000_000_000
_HOUR_NS = 60 * _MINUTE_NS
_EXIT_ORDERS_EXTRA = 10
_RECENT_MAX = 4_096
"""Orders remembered against duplicates; at the most ever let through within a window."""


class Pace:
    """Counts what was let through.

    Times are `now_ns` of the engine, which a restart carries on; a stamp that lies ahead of now
    (the clock was set back meanwhile) counts as recent.
    """

    def __init__(self, limits: RiskLimits) -> None:
        self.limits = limits
        self.day_orders = 0
        self.day_messages = 0
        self.revision = 0
        burst = max(1, int(limits.orders_per_second_max))
        self._bucket = TokenBucket(float(limits.orders_per_second_max), burst)
        self._exit_reserve = burst // 5
        self._duplicate_ns = limits.duplicate_window_ms * 1_000_000
        # What was let through lately, oldest first: (symbol, side, px, qty) -> when.
        self._recent: OrderedDict[tuple[str, Side, int, int], int] = OrderedDict()
        # The times of the last ones, at most as many as are allowed.
        self._minute: deque[int] = deque(maxlen=limits.orders_per_minute_max or 1)
        self._entries: dict[str, deque[int]] = {}
        self._trips: dict[str, deque[int]] = {}

    # --- questions ---------------------------------------------------------------------------

    def check_open(self, orders_open: int, *, exits: bool) -> None:
        most = self.limits.orders_open_max + (_EXIT_ORDERS_EXTRA if exits else 0)
        if orders_open >= most:
            raise Denied("orders_open_max", f"{orders_open} open, limit {most}")

    def check_day(self, *, exits: bool) -> None:
        """The day's ceilings; exits are never stopped by a count."""
        if exits:
            return
        most = self.limits.orders_per_day_max
        if most is not None and self.day_orders >= most:
            raise Denied("orders_per_day_max", f"{self.day_orders} orders today, limit {most}")
        most = self.limits.messages_per_day_max
        if most is not None and self.day_messages >= _four_fifths(most):
            raise Denied(
                "messages_per_day_max",
                f"{self.day_messages} messages today, a fifth of {most} is kept for exits",
            )

    def check_duplicate(self, symbol: str, side: Side, px: int, qty: int, now_ns: int) -> None:
        sent_ns = self._recent.get((symbol, side, px, qty))
        if sent_ns is not None and now_ns - sent_ns < self._duplicate_ns:
            raise Denied(
                "duplicate_window_ms",
                f"the same {qty} at {px} was sent {(now_ns - sent_ns) // 1_000_000} ms ago",
            )

    def runaway(self, symbol: str, now_ns: int) -> str:
        """Why the entries of `symbol` have to stop; empty when they need not."""
        limit = self.limits.entries_per_minute_max
        if limit is None or not _full(self._entries.get(symbol), limit, now_ns, _MINUTE_NS):
            return ""
        return f"{limit} entries within a minute"

    def check_minute(self, now_ns: int, *, exits: bool) -> None:
        most = self.limits.orders_per_minute_max
        if most is None:
            return
        while self._minute and not _within(self._minute[0], now_ns, _MINUTE_NS):
            self._minute.popleft()
        if len(self._minute) >= (most if exits else _four_fifths(most)):
            raise Denied(
                "orders_per_minute_max", f"{len(self._minute)} within a minute, limit {most}"
            )

    def take(self, now_ns: int, *, exits: bool) -> None:
        """Spend a permit of this second; the last question, as it costs something."""
        if not self._bucket.take(now_ns, leave=0 if exits else self._exit_reserve):
            most = self.limits.orders_per_second_max
            raise Denied("orders_per_second_max", f"more than {most} a second")

    # --- notes -------------------------------------------------------------------------------

    def note_order(
        self, symbol: str, side: Side, px: int, qty: int, now_ns: int, *, exits: bool
    ) -> None:
        self.day_orders += 1
        key = (symbol, side, px, qty)
        self._recent.pop(key, None)
        self._recent[key] = now_ns
        if len(self._recent) > _RECENT_MAX:
            self._recent.popitem(last=False)
        limit = self.limits.entries_per_minute_max
        if limit is not None and not exits:
            self._entries.setdefault(symbol, deque(maxlen=limit)).append(now_ns)
        self.note_message(now_ns)

    def note_message(self, now_ns: int) -> None:
        """An order or an amend was let through."""
        self.day_messages += 1
        self.revision += 1
        if self.limits.orders_per_minute_max is not None:
            self._minute.append(now_ns)

    def note_cancel(self) -> None:
        """A cancel leaves; it is counted and never stopped."""
        self.day_messages += 1
        self.revision += 1

    def note_round_trip(self, strategy: str, now_ns: int) -> str:
        """A strategy is flat again; why it has to stop, or nothing."""
        limit = self.limits.round_trips_per_hour_max
        if limit is None:
            return ""
        trips = self._trips.setdefault(strategy, deque(maxlen=limit))
        trips.append(now_ns)
        self.revision += 1
        return f"{limit} within an hour" if _full(trips, limit, now_ns, _HOUR_NS) else ""

    def new_day(self) -> None:
        self.day_orders = self.day_messages = 0
        self.revision += 1

    def rearm(self) -> None:
        """Runaways start from nothing; the rates go on."""
        self._entries.clear()
        self._trips.clear()
        self.revision += 1

    # --- over a restart ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:  # Any: JSON
        return {
            "day_orders": self.day_orders,
            "day_messages": self.day_messages,
            "minute": list(self._minute) if self.limits.orders_per_minute_max else [],
            "entries": {symbol: list(times) for symbol, times in self._entries.items()},
            "round_trips": {name: list(times) for name, times in self._trips.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        self.day_orders = int(state["day_orders"])
        self.day_messages = int(state["day_messages"])
        limits = self.limits
        self._minute.extend(int(t) for t in state["minute"])
        if limits.entries_per_minute_max is not None:
            self._entries = _restored(state["entries"], limits.entries_per_minute_max)
        if limits.round_trips_per_hour_max is not None:
            self._trips = _restored(state["round_trips"], limits.round_trips_per_hour_max)


def _restored(times: Mapping[str, list[int]], most: int) -> dict[str, deque[int]]:
    return {name: deque((int(t) for t in each), maxlen=most) for name, each in times.items()}


def _four_fifths(most: int) -> int:
    return most - most // 5


def _within(then_ns: int, now_ns: int, window_ns: int) -> bool:
    return now_ns - then_ns < window_ns


def _full(times: deque[int] | None, limit: int, now_ns: int, window_ns: int) -> bool:
    return times is not None and len(times) >= limit and _within(times[0], now_ns, window_ns)
