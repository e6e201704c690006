"""Rate limits as the venue counts them: a rolling second per account, endpoint and category."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RATE_LIMITED = 10006
_WINDOW_MS = 1000


@dataclass(frozen=True, slots=True)
class Allowance:
    """Outcome of one request, as the `X-Bapi-Limit*` headers report it."""

    allowed: bool
    limit: int
    remaining: int
    reset_ms: int

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
        self, account: int, endpoint: str, category: str, limit: int, now_ms: int
    ) -> Allowance:
        """Count one request; a refused one does not use the budget up."""
        bucket = self._buckets.setdefault((account, endpoint, category), deque())
        while bucket and bucket[0] <= now_ms - _WINDOW_MS:
            bucket.popleft()
        if len(bucket) >= limit:
            self.refused += 1
            return Allowance(False, limit, 0, bucket[0] + _WINDOW_MS)
        bucket.append(now_ms)
        return Allowance(True, limit, limit - len(bucket), now_ms)
