"""What a simulated exchange is started with, and where it can then be reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from fastbook.errors import ConfigError
from fastbook.replay.clearing import VenueRules

from .limits import TIERS

SPEED_MAX = 100
CATEGORIES = ("linear", "spot", "inverse")
KEY_KINDS = ("trade", "read", "derivatives", "spot")
"""What a key may do: everything; no orders at all; only derivatives; only spot."""
EVENT_TOPICS = ("order", "execution", "position", "wallet")
"""The private topics of one match, in the order in which they are told by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """One exchange on loopback. Everything seeded: the same seed makes the same market.

    `rate` is the sum of order book messages a second over all subscribed topics, whatever
    their depth; None keeps the venue's own cadence (10, 20, 100, 200 ms a topic).
    """

    host: str = "127.0.0.1"
    port: int = 0  # of everything: REST and all streams; 0 = any free one
    categories: tuple[str, ...] = ("linear",)
    symbols: int = 50  # of each category; 0 needs `replay`
    replay: tuple[Path, ...] = ()  # recordings: their symbols do what was recorded
    replay_loop: bool = False  # at their end they begin again
    seed: int = 7
    session: int = 0  # another number, other ids of orders and fills: a restart repeats none
    speed: float = 1.0  # of the exchange's clock against the real one; over sockets only
    rate: float | None = None
    events_per_s: float = 250.0  # of the order flow, a symbol, at the venue's own cadence
    events_per_frame: int = 6  # of the order flow, before each book message, when `rate` is set
    accounts: int = 1
    start_balance: Decimal = Decimal(100_000)  # USDT, each account
    start_base_balance: Decimal = Decimal(0)  # of every base coin, each account (spot)
    rules: VenueRules = field(default_factory=VenueRules)
    keys: tuple[str, ...] = ("trade",)  # what kinds of key each account gets, see keys.py
    rsa_public_key: str = ""  # PEM: one more key, for account 1, that signs with RSA
    tier: str = "pro3"  # of every account: what the rate limits are
    orders_per_s_max: int = 0  # each order endpoint, category and account; 0: as the tier says
    queries_per_s_max: int = 0  # each other signed endpoint and account; 0: as the tier says
    ip_requests_max: int = 600  # REST requests of one address in 5 s; 0: no limit
    ip_ban_s: float = 600.0  # of an address that asked for more
    connects_max: int = 500  # new WebSocket connections of one address in 5 minutes; 0: no limit
    connections_max: int = 1000  # open public connections of one address and category
    private_delay_s: float = 0.0  # from a match to its private rows
    event_order: tuple[str, ...] = EVENT_TOPICS  # in which the topics of one match are told
    slow_reader_bytes_max: int = 8 << 20  # unsent bytes of one public connection
    private_queue_max: int = 10_000  # unsent messages of one private connection
    idle_timeout_s: float = 600.0  # a connection with no traffic is closed
    tls: bool = False  # https and wss, with a certificate authority made at start

    def __post_init__(self) -> None:
        problems = []
        unknown = [c for c in self.categories if c not in CATEGORIES]
        if unknown or not self.categories or len(set(self.categories)) != len(self.categories):
            problems.append(
                f"categories must be different ones of {CATEGORIES}, were {self.categories}"
            )
        for name, low, high in (
            ("port", 0, 65535),
            ("symbols", 0 if self.replay else 1, 1000),
            ("events_per_frame", 1, 1000),
            ("accounts", 1, 1000),
            ("orders_per_s_max", 0, 1_000_000),
            ("queries_per_s_max", 0, 1_000_000),
            ("ip_requests_max", 0, 1_000_000),
            ("connects_max", 0, 1_000_000),
            ("connections_max", 1, 100_000),
            ("slow_reader_bytes_max", 1 << 16, 1 << 32),
            ("private_queue_max", 1, 1_000_000),
        ):
            if not low <= getattr(self, name) <= high:
                problems.append(f"{name} must be {low} to {high}, was {getattr(self, name)}")
        if not 0.01 <= self.speed <= SPEED_MAX:
            problems.append(f"speed must be 0.01 to {SPEED_MAX}, was {self.speed}")
        if self.rate is not None and self.replay:
            problems.append("rate and replay exclude each other: a recording has its own pace")
        if self.rate is not None and not 0 < self.rate <= 10_000_000:
            problems.append(f"rate must be above 0, was {self.rate}")
        if not 0 < self.events_per_s <= 1_000_000:
            problems.append(f"events_per_s must be above 0, was {self.events_per_s}")
        if self.start_balance < 0 or self.start_base_balance < 0:
            problems.append("start_balance and start_base_balance must not be negative")
        if sorted(self.event_order) != sorted(EVENT_TOPICS):
            problems.append(f"event_order must order {', '.join(EVENT_TOPICS)}")
        if not 0 <= self.private_delay_s <= 60:
            problems.append(f"private_delay_s must be 0 to 60, was {self.private_delay_s}")
        if not 0 < self.ip_ban_s <= 86_400:
            problems.append(f"ip_ban_s must be above 0, was {self.ip_ban_s}")
        if self.tier not in TIERS:
            problems.append(f"tier must be one of {', '.join(TIERS)}, was {self.tier!r}")
        if not self.keys or not set(self.keys) <= set(KEY_KINDS):
            problems.append(f"keys must be some of {KEY_KINDS}, were {self.keys}")
        if self.idle_timeout_s <= 0:
            problems.append(f"idle_timeout_s must be above 0, was {self.idle_timeout_s}")
        if not _is_loopback(self.host):
            problems.append(f"host must be a loopback address, was {self.host!r}")
        if problems:
            raise ConfigError("; ".join(problems))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
