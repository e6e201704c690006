"""What an authenticated stream may be told, and what it counts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from fastbook.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """One connection at a time. Times follow the venue's advice to ping every 20 s."""

    url: str
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 5.0  # of auth and subscribe
    auth_valid_ms: int = 10_000  # one second fails on slow links
    close_timeout_s: float = 2.0
    stable_after_s: float = 5.0  # a connection that lived this long is retried at once when cut
    backoff_cap_s: float = 30.0
    attempts_per_5min: int = 50
    refusals_max: int = 3  # in a row; then it is not the network
    frame_bytes_max: int = 1 << 20
    message_bytes_max: int = 4 << 20  # a message joined from fragments
    fragments_max: int = 1024

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise ConfigError("; ".join(problems))

    def problems(self) -> list[str]:
        found = []
        if not self.url.startswith(("ws://", "wss://")):
            found.append(f"url must start with ws:// or wss://, was {self.url!r}")
        for name in (
            *("ping_interval_s", "pong_timeout_s", "connect_timeout_s", "answer_timeout_s"),
            *("auth_valid_ms", "close_timeout_s", "stable_after_s", "backoff_cap_s"),
            *("attempts_per_5min", "refusals_max", "fragments_max", "frame_bytes_max"),
        ):
            if not 0 < getattr(self, name) < math.inf:
                found.append(f"{name} must be a finite number above 0")
        return found


@dataclass(slots=True)
class LinkStats:
    """Counters since the start, of all connections together. None is ever reset."""

    attempts: int = 0
    connects: int = 0
    links: int = 0  # times it was authenticated, and subscribed where there is something to
    frames: int = 0
    late_frames: int = 0  # came after their connection was given up: ignored
    malformed: int = 0
    pings: int = 0
    pongs: int = 0
    peer_pings: int = 0
    refusals: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # why connections ended
    protocol_errors: Counter[str] = field(default_factory=Counter)
