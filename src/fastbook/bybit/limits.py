"""How often the venue lets us ask, learnt from its answers. No clock inside: time is handed in.

The venue counts what arrives within any second. When a request arrives there we cannot know, but
only that it lies between sending and answer; so a unit counts from the moment it is sent until a
window after its end. As long as nobody else uses the account, that is never one too many, however
the network delays; what it costs is a round trip in each window.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from fastbook.bybit.codes import OVERLOAD
from fastbook.types import Category

SECOND_NS = 1_000_000_000
MARGIN_NS = 5_000_000
"""Added to every window: clocks there tick in milliseconds, and ours may run a little fast."""

ADDRESS_LIMIT, ADDRESS_WINDOW_NS = 600, 5 * SECOND_NS
"""REST calls of one address. One too many is HTTP 403, and ten minutes of silence."""
SOCKET_LIMIT = 3_000
RESERVE = 5
"""One unit in so many of what all calls share is kept for cancels, stops and the kill switch."""

LEARNT_MAX = 100_000
PAUSE_MIN_NS, PAUSE_MAX_NS = 50_000_000, SECOND_NS
OVERLOAD_FIRST_NS, OVERLOAD_MAX_NS = 100_000_000, 3_200_000_000
OVERLOAD_CALM_NS = 10 * SECOND_NS
URGENT_PAUSE_NS = 50_000_000


class Way(Enum):
    """How a request goes out."""

    REST = "rest"
    SOCKET = "socket"


_PER_SECOND = {
    "/v5/order/realtime": 50,
    "/v5/order/history": 50,
    "/v5/execution/list": 50,
    "/v5/position/list": 50,
    "/v5/account/wallet-balance": 50,
    "/v5/account/info": 50,
    "/v5/account/fee-rate": 5,
    "/v5/order/disconnected-cancel-all": 5,
    "/v5/account/query-dcp-info": 5,
}
_SPOT_PER_SECOND = {
    "/v5/order/create": 20,
    "/v5/order/cancel": 20,
    "/v5/order/cancel-all": 20,
    "/v5/order/create-batch": 20,
    "/v5/order/amend-batch": 20,
    "/v5/order/cancel-batch": 20,
}
_OTHERS = 10
_MARKET = "/v5/market/"


def default_limit(endpoint: str, category: Category) -> int:
    """Calls a second of an account without a tier; 0 = only the address counts."""
    if endpoint.startswith(_MARKET):
        return 0
    if category is Category.SPOT and endpoint in _SPOT_PER_SECOND:
        return _SPOT_PER_SECOND[endpoint]
    return _PER_SECOND.get(endpoint, _OTHERS)


class Budget:
    """At most `limit` units in any `window_ns`, wherever in their way they arrive."""

    __slots__ = ("_past", "_past_units", "_under_way", "limit", "window_ns")

    def __init__(self, limit: int, window_ns: int) -> None:
        self.limit = limit
        self.window_ns = window_ns
        self._under_way = 0
        self._past: deque[tuple[int, int]] = deque()  # (free again at, units): at most `limit`
        self._past_units = 0

    def used(self, now_ns: int) -> int:
        while self._past and self._past[0][0] <= now_ns:
            self._past_units -= self._past.popleft()[1]
        return self._under_way + self._past_units

    def wait_ns(self, now_ns: int, units: int, leave: int = 0) -> int:
        """0 when so many units may go now and `leave` stay; else how long to wait at the least."""
        missing = self.used(now_ns) + self._fitting(units, leave) - (self.limit - leave)
        if missing <= 0:
            return 0
        for free_ns, freed in self._past:
            missing -= freed
            if missing <= 0:
                return free_ns - now_ns
        return self.window_ns  # of what is under way nothing can be free before

    def take(self, units: int) -> None:
        self._under_way += units

    def done(self, now_ns: int, units: int) -> None:
        """What was taken has ended: it has arrived by now, or never will."""
        self._under_way -= units
        self.occupy(now_ns, units)

    def occupy(self, now_ns: int, units: int) -> None:
        """So many have been used, perhaps by somebody else; more than 0."""
        self._past.append((now_ns + self.window_ns, units))
        self._past_units += units

    def _fitting(self, units: int, leave: int) -> int:
        """A request of more units than there are at all waits for an empty window."""
        return min(units, max(1, self.limit - leave))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request that wants to go out. Urgent: cancels, stops, the kill switch."""

    endpoint: str
    way: Way = Way.REST
    units: int = 1
    urgent: bool = False


class Permit:
    """Leave for one request. It counts until `done`, and a window longer."""

    __slots__ = ("_budgets", "_open")

    def __init__(self, budgets: list[tuple[Budget, int]]) -> None:
        self._budgets = budgets
        self._open = True
        for budget, units in budgets:
            budget.take(units)

    def done(self, now_ns: int) -> None:
        """The request has ended, well or not. Saying it again changes nothing."""
        if self._open:
            self._open = False
            for budget, units in self._budgets:
                budget.done(now_ns, units)


class RateLimits:
    """All budgets of one account at one address.

    Ask for `wait_ns`, and when it is 0 `take` the permit in the same step. Then report what the
    answer said: `learn` its headers, `refused` a rate code.
    """

    def __init__(
        self,
        category: Category = Category.LINEAR,
        *,
        address_limit: int = ADDRESS_LIMIT,
        margin_ns: int = MARGIN_NS,
    ) -> None:
        self._category = category
        self._window_ns = SECOND_NS + margin_ns
        self._shared = {
            Way.REST: Budget(address_limit, ADDRESS_WINDOW_NS + margin_ns),
            Way.SOCKET: Budget(SOCKET_LIMIT, self._window_ns),
        }
        self._budgets: dict[str, Budget] = {}  # one entry an endpoint, and those are fixed
        self._paused_until_ns: dict[str, int] = {}  # likewise
        self._overload_pause_ns = 0
        self._overload_until_ns = 0
        self.refusals = 0
        self.overloads = 0
        self.others = 0
        """Units that somebody else with the same account has been seen to use."""

    def limit(self, endpoint: str) -> int:
        """Calls a second, as last learnt; 0 = not limited by itself."""
        budget = self._budget(endpoint)
        return budget.limit if budget is not None else 0

    def wait_ns(self, now_ns: int, ask: Ask) -> int:
        """0 = it may go now. Else ask again after so long: others may have been quicker."""
        shared = self._shared[ask.way]
        leave = 0 if ask.urgent else shared.limit // RESERVE
        waits = [
            self._paused_until_ns.get(ask.endpoint, 0) - now_ns,
            self._overload_wait_ns(now_ns, urgent=ask.urgent),
            shared.wait_ns(now_ns, 1, leave),
        ]
        budget = self._budget(ask.endpoint)
        if budget is not None:
            waits.append(budget.wait_ns(now_ns, ask.units))
        return max(0, *waits)

    def take(self, ask: Ask) -> Permit:
        """Count it as on its way."""
        budgets = [(self._shared[ask.way], 1)]
        budget = self._budget(ask.endpoint)
        if budget is not None:
            budgets.append((budget, ask.units))
        return Permit(budgets)

    def learn(self, now_ns: int, endpoint: str, limit: int, remaining: int) -> None:
        """The venue's own count, after the permit of that answer is done.

        What is left there may be more than we count, as we let go of units late; if it is less,
        the account is used by somebody else as well, and we leave room for that.
        """
        budget = self._budget(endpoint)
        if budget is None or not 1 <= limit <= LEARNT_MAX:
            return
        budget.limit = limit
        others = budget.limit - budget.used(now_ns) - max(0, remaining)
        if others > 0:
            self.others += others
            budget.occupy(now_ns, others)

    def refused(self, now_ns: int, ask: Ask, code: int, reset_in_ns: int, jitter_ns: int) -> None:
        """The venue said "too often": wait for its reset, whose stamp may be nonsense.

        A refusal for load says nothing of our own count: the pause doubles while it goes on.
        """
        self.refusals += 1
        if code in OVERLOAD:
            self._overloaded(now_ns)
            return
        pause_ns = min(max(reset_in_ns, PAUSE_MIN_NS), PAUSE_MAX_NS) + jitter_ns
        until_ns = max(now_ns + pause_ns, self._paused_until_ns.get(ask.endpoint, 0))
        self._paused_until_ns[ask.endpoint] = until_ns

    def _overloaded(self, now_ns: int) -> None:
        self.overloads += 1
        calm = now_ns - self._overload_until_ns >= OVERLOAD_CALM_NS
        doubled_ns = min(2 * self._overload_pause_ns, OVERLOAD_MAX_NS)
        self._overload_pause_ns = OVERLOAD_FIRST_NS if calm else max(doubled_ns, OVERLOAD_FIRST_NS)
        self._overload_until_ns = now_ns + self._overload_pause_ns

    def _overload_wait_ns(self, now_ns: int, *, urgent: bool) -> int:
        left_ns = self._overload_until_ns - now_ns
        if not urgent:
            return left_ns
        # What must go still goes, but not in the same breath.
        return left_ns - max(0, self._overload_pause_ns - URGENT_PAUSE_NS)

    def _budget(self, endpoint: str) -> Budget | None:
        budget = self._budgets.get(endpoint)
        if budget is None:
            limit = default_limit(endpoint, self._category)
            if not limit:
                return None
            budget = self._budgets[endpoint] = Budget(limit, self._window_ns)
        return budget
