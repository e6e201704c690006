"""What the public feed may be told. Checked once; all problems in one message."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastbook.errors import ConfigError

ARGS_CHARS_MAX = 21_000
"""Characters of all topics of one connection together: the venue's limit."""

BACKOFF_BASE_S = 0.5
ATTEMPTS_WINDOW_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicFeedConfig:
    """One public feed: a URL, its topics and the limits it keeps.

    Defaults are at or below the venue's limits: 10 topics a request work in every category,
    ping every 20 s is its advice, and 50 attempts in 5 minutes are a tenth of what it allows.
    """

    url: str
    topics: tuple[str, ...]
    args_per_request: int = 10
    subscribe_requests_per_s: int = 10
    topics_per_connection: int = 200
    connections_max: int = 4
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    stale_after_s: float = 5.0
    snapshot_timeout_s: float = 5.0
    connect_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    stable_after_s: float = 5.0  # a connection that lived this long is retried at once when cut
    backoff_cap_s: float = 30.0
    attempts_per_5min: int = 50  # of the whole feed, not of one connection
    frame_bytes_max: int = 1 << 20
    message_bytes_max: int = 4 << 20  # a message joined from fragments
    fragments_max: int = 1024
    resync_min_interval_s: float = 1.0
    resyncs_per_min_before_reconnect: int = 3
    ca_file: str = ""  # trusted besides nothing else: for the bundled exchange's own TLS

    def __post_init__(self) -> None:
        problems = [
            *self._topic_problems(),
            *self._number_problems(),
        ]
        if not self.url.startswith(("ws://", "wss://")):
            problems.append(f"url must start with ws:// or wss://, was {self.url!r}")
        if self.ca_file and not self.url.startswith("wss://"):
            problems.append("ca_file is for wss:// only")
        if self.frame_bytes_max > self.message_bytes_max:
            problems.append("frame_bytes_max must not exceed message_bytes_max")
        if problems:
            raise ConfigError("; ".join(problems))

    def _topic_problems(self) -> list[str]:
        if not self.topics:
            return ["topics must name at least one topic"]
        problems = []
        if twice := sorted({t for t in self.topics if self.topics.count(t) > 1}):
            problems.append(f"topics named twice: {', '.join(twice)}")
        if bad := [t for t in self.topics if not t or not t.isascii() or not t.isprintable()]:
            problems.append(f"topics must be printable ASCII: {bad!r}")
        if 0 < self.connections_max * self.topics_per_connection < len(self.topics):
            problems.append(
                f"{len(self.topics)} topics do not fit {self.connections_max} connections"
                f" of {self.topics_per_connection}"
            )
        return problems

    def _number_problems(self) -> list[str]:
        problems = [
            f"{name} must be a finite number above 0, was {value!r}"
            for name, value in (
                ("ping_interval_s", self.ping_interval_s),
                ("pong_timeout_s", self.pong_timeout_s),
                ("stale_after_s", self.stale_after_s),
                ("snapshot_timeout_s", self.snapshot_timeout_s),
                ("connect_timeout_s", self.connect_timeout_s),
                ("close_timeout_s", self.close_timeout_s),
                ("stable_after_s", self.stable_after_s),
                ("backoff_cap_s", self.backoff_cap_s),
            )
            if not 0 < value < math.inf
        ]
        problems += [
            f"{name} must be at least {least}, was {value!r}"
            for name, value, least in (
                ("args_per_request", self.args_per_request, 1),
                # A resync is two requests, and they go out together.
                ("subscribe_requests_per_s", self.subscribe_requests_per_s, 2),
                ("topics_per_connection", self.topics_per_connection, 1),
                ("connections_max", self.connections_max, 1),
                ("attempts_per_5min", self.attempts_per_5min, 1),
                ("frame_bytes_max", self.frame_bytes_max, 1024),
                ("fragments_max", self.fragments_max, 2),
                ("resync_min_interval_s", self.resync_min_interval_s, 0),
                ("resyncs_per_min_before_reconnect", self.resyncs_per_min_before_reconnect, 1),
            )
            if not value >= least
        ]
        return problems


def shard(config: PublicFeedConfig) -> list[tuple[str, ...]]:
    """Topics of each connection: as few connections as the limits allow, evenly filled.

    Raises `ConfigError` when `connections_max` connections cannot hold them.
    """
    fewest = -(-len(config.topics) // config.topics_per_connection)
    for count in range(fewest, config.connections_max + 1):
        shards = [config.topics[i::count] for i in range(count)]
        if all(sum(map(len, topics)) <= ARGS_CHARS_MAX for topics in shards):
            return [topics for topics in shards if topics]
    raise ConfigError(
        f"{len(config.topics)} topics need more than {config.connections_max} connections:"
        f" one carries {config.topics_per_connection} topics and {ARGS_CHARS_MAX} characters"
    )
