"""Rate limits as the venue counts them: per account and endpoint, and per address.

Numbers are those of the venue's rate limit page for an account without a tier, and of its
tiers. A tier raises orders; the limits of queries belong to the default tier, and a
professional tier lifts them to its own number, so that tests need not wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RATE_LIMITED = 10006
_WINDOW_MS = 1000
ADDRESSES_MAX = 10_000  # remembered at once; the oldest goes first

FUTURES_ORDERS = {
    "default": 10, "vip1": 20, "vip2": 40, "vip3": 60,
    "pro1": 200, "pro2": 400, "pro3": 600, "pro4": 800, "pro5": 1000, "pro6": 1200,
}  # fmt: skip
SPOT_ORDERS = FUTURES_ORDERS | {"default": 20, "vip1": 25, "vip2": 30, "vip3": 40}
TIERS = tuple(FUTURES_ORDERS)

_SPOT_AMEND_DEFAULT = 10
_ENDPOINTS = {
    "/v5/order/realtime": 50,
    "/v5/order/history": 50,
    "/v5/execution/list": 50,
    "/v5/position/list": 50,
    "/v5/position/closed-pnl": 50,
    "/v5/position/set-leverage": 10,
    "/v5/position/switch-mode": 10,
    "/v5/position/trading-stop": 10,
    "/v5/order/disconnected-cancel-all": 5,
    "/v5/account/wallet-balance": 50,
    "/v5/account/info": 50,
    "/v5/account/fee-rate": 5,
    "/v5/account/query-dcp-info": 5,
    "/v5/account/set-margin-mode": 5,
    "/v5/account/set-limit-px-action": 10,
    "/v5/account/instruments-info": 10,
}
_OTHER = 10


def per_second(tier: str, endpoint: str, category: str) -> int:
    """Requests a second that one account may make; `endpoint` is a path or an order operation."""
    if endpoint.startswith("order."):
        orders = SPOT_ORDERS if category == "spot" else FUTURES_ORDERS
        if endpoint == "order.amend" and tier == "default":
            return _SPOT_AMEND_DEFAULT
        return orders[tier]
    limit = _ENDPOINTS.get(endpoint, _OTHER)
    return max(limit, FUTURES_ORDERS[tier]) if tier.startswith("pro") else limit


@dataclass(frozen=True, slots=True)
class Allowance:
    """Outcome of one request, as the `X-Bapi-Limit*` headers report it."""

    granted: int  # of the units asked for
    limit: int
    remaining: int
    reset_ms: int

    @property
    def allowed(self) -> bool:
        return self.granted > 0

    def headers(self) -> dict[str, str]:
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class RollingLimits:
    """Request times of the last second per bucket; a bucket holds at most its limit."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[int, str, str], deque[int]] = {}
        self.refused = 0

    def take(
        self, account: int, endpoint: str, category: str, limit: int, now_ms: int, units: int = 1
    ) -> Allowance:
        """Count a request of so many units; those refused do not use the budget up."""
        bucket = self._buckets.setdefault((account, endpoint, category), deque())
        while bucket and bucket[0] <= now_ms - _WINDOW_MS:
            bucket.popleft()
        granted = min(units, limit - len(bucket))
        if granted < units:
            self.refused += 1
        bucket.extend([now_ms] * granted)
        full = granted < units
        reset_ms = bucket[0] + _WINDOW_MS if full else now_ms
        return Allowance(granted, limit, limit - len(bucket), reset_ms)


class AddressLimit:
    """So many events in so many seconds from one address; beyond it, a ban for a while."""

    def __init__(self, most: int, window_s: float, ban_s: float = 0.0) -> None:
        """`most` 0 is no limit at all; `ban_s` 0 refuses only what is too much."""
        self._most = most
        self._window_s = window_s
        self._ban_s = ban_s
        self._seen: dict[str, deque[float]] = {}
        self._banned_until_s: dict[str, float] = {}
        self.refused = 0

    def ban(self, address: str, now_s: float, seconds: float) -> None:
        self._banned_until_s[address] = now_s + seconds
        if len(self._banned_until_s) > ADDRESSES_MAX:
            del self._banned_until_s[next(iter(self._banned_until_s))]

    def pardon(self) -> None:
        """Forget every ban and what led to it."""
        self._banned_until_s.clear()
        self._seen.clear()

    def allows(self, address: str, now_s: float) -> bool:
        """Count one event; False when it is one too many, or during a ban."""
        if self._banned_until_s.get(address, now_s) > now_s:
            self.refused += 1
            return False
        if self._most == 0:
            return True
        seen = self._seen.setdefault(address, deque())
        if len(self._seen) > ADDRESSES_MAX:
            del self._seen[next(iter(self._seen))]
        while seen and seen[0] <= now_s - self._window_s:
            seen.popleft()
        if len(seen) < self._most:
            seen.append(now_s)
            return True
        self.refused += 1
        if self._ban_s:
            self.ban(address, now_s, self._ban_s)
        return False
