"""What a simulated exchange is started with, and where it can then be reached."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fastbook.errors import ConfigError
from fastbook.replay.clearing import VenueRules

CATEGORIES = ("linear", "spot", "inverse")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """One exchange on loopback. Everything seeded: the same seed makes the same market.

    `rate` is the sum of order book messages a second over all subscribed topics, whatever
    their depth; None keeps the venue's own cadence (10, 20, 100, 200 ms a topic).
    """

    host: str = "127.0.0.1"
    port: int = 0  # of everything: REST and all streams; 0 = any free one
    categories: tuple[str, ...] = ("linear",)
    symbols: int = 50  # of each category
    seed: int = 7
    rate: float | None = None
    events_per_s: float = 250.0  # of the order flow, a symbol, at the venue's own cadence
    events_per_frame: int = 6  # of the order flow, before each book message, when `rate` is set
    accounts: int = 1
    start_balance: Decimal = Decimal(100_000)  # USDT, each account
    start_base_balance: Decimal = Decimal(0)  # of every base coin, each account (spot)
    rules: VenueRules = field(default_factory=VenueRules)
    orders_per_s_max: int = 500  # create, cancel: each endpoint and account
    queries_per_s_max: int = 500  # every signed GET: each endpoint and account
    private_delay_s: float = 0.0  # from a match to its private rows
    slow_reader_bytes_max: int = 8 << 20  # unsent bytes of one public connection
    private_queue_max: int = 10_000  # unsent messages of one private connection
    idle_timeout_s: float = 600.0  # a connection with no traffic is closed
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        problems = []
        unknown = [c for c in self.categories if c not in CATEGORIES]
        if unknown or not self.categories or len(set(self.categories)) != len(self.categories):
            problems.append(
                f"categories must be different ones of {CATEGORIES}, were {self.categories}"
            )
        for name, low, high in (
            ("port", 0, 65535),
            ("symbols", 1, 1000),
            ("events_per_frame", 1, 1000),
            ("accounts", 1, 1000),
            ("orders_per_s_max", 1, 1_000_000),
            ("queries_per_s_max", 1, 1_000_000),
            ("slow_reader_bytes_max", 1 << 16, 1 << 32),
            ("private_queue_max", 1, 1_000_000),
        ):
            if not low <= getattr(self, name) <= high:
                problems.append(f"{name} must be {low} to {high}, was {getattr(self, name)}")
        if self.rate is not None and not 0 < self.rate <= 10_000_000:
            problems.append(f"rate must be above 0, was {self.rate}")
        if not 0 < self.events_per_s <= 1_000_000:
            problems.append(f"events_per_s must be above 0, was {self.events_per_s}")
        if self.start_balance < 0 or self.start_base_balance < 0:
            problems.append("start_balance and start_base_balance must not be negative")
        if not 0 <= self.private_delay_s <= 60:
            problems.append(f"private_delay_s must be 0 to 60, was {self.private_delay_s}")
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


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Credentials of one account of this exchange; worth nothing anywhere else."""

    account: int
    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Full URLs. The category follows `ws_public`: ``ws_public + "/linear"``."""

    rest: str
    ws_public: str
    ws_private: str
    ws_trade: str
    accounts: tuple[ApiKey, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `fastbook simulate` prints. Any: it is JSON."""
        return {
            "rest": self.rest,
            "ws_public": self.ws_public,
            "ws_private": self.ws_private,
            "ws_trade": self.ws_trade,
            "accounts": [{"api_key": a.api_key, "api_secret": a.api_secret} for a in self.accounts],
        }
