"""What the trade stream may be told, and what it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .link_config import LinkConfig, LinkStats


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeStreamConfig(LinkConfig):
    """Order entry of one account."""

    recv_window_ms: int = 5_000
    reply_timeout_s: float = 3.0
    """Without an answer for so long, the outcome of a request is unknown."""
    in_flight_max: int = 256
    """Requests without an answer; one more is not sent."""

    def problems(self) -> list[str]:
        found = LinkConfig.problems(self)  # no super(): slots make another class of this one
        for name in ("recv_window_ms", "reply_timeout_s", "in_flight_max"):
            if not 0 < getattr(self, name) < math.inf:
                found.append(f"{name} must be a finite number above 0")
        return found


@dataclass(slots=True)
class TradeStats(LinkStats):
    requests: int = 0
    replies: int = 0
    unanswered: int = 0  # requests whose answer never came
    strays: int = 0  # answers to no request that waits: late, or without a reqId
    resigned: int = 0
    retired: int = 0  # connections given up because the venue restarts its service
