"""What the private stream may be told, and what it counts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from fastbook.errors import ConfigError

TOPICS = ("order", "execution", "position", "wallet")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateStreamConfig:
    """One private connection. Times follow the venue's advice to ping every 20 s."""

    url: str
    topics: tuple[str, ...] = TOPICS
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 5.0  # of auth, and of subscribe
    auth_valid_ms: int = 10_000  # one second fails on slow links
    close_timeout_s: float = 2.0
    stable_after_s: float = 5.0  # a connection that lived this long is retried at once when cut
    backoff_cap_s: float = 30.0
    attempts_per_5min: int = 50
    refusals_max: int = 3  # of subscriptions in a row; then it is not the network
    frame_bytes_max: int = 1 << 20
    message_bytes_max: int = 4 << 20  # a message joined from fragments
    fragments_max: int = 1024

    def __post_init__(self) -> None:
        problems = []
        if not self.url.startswith(("ws://", "wss://")):
            problems.append(f"url must start with ws:// or wss://, was {self.url!r}")
        if not self.topics:
            problems.append("topics must name at least one topic")
        for name in (
            *("ping_interval_s", "pong_timeout_s", "connect_timeout_s", "answer_timeout_s"),
            *("auth_valid_ms", "close_timeout_s", "stable_after_s", "backoff_cap_s"),
            *("attempts_per_5min", "refusals_max", "fragments_max", "frame_bytes_max"),
        ):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} must be a finite number above 0")
        if problems:
            raise ConfigError("; ".join(problems))


@dataclass(slots=True)
class PrivateStats:
    """Counters since the start, of all connections together. None is ever reset."""

    attempts: int = 0
    connects: int = 0
    links: int = 0  # times it was authenticated and subscribed
    frames: int = 0
    late_frames: int = 0  # came after their connection was given up: ignored
    malformed: int = 0
    events: int = 0
    pings: int = 0
    pongs: int = 0
    peer_pings: int = 0
    refusals: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # why connections ended
    protocol_errors: Counter[str] = field(default_factory=Counter)
