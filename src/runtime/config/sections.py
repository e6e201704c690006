"""The sections of the configuration file. Units are in the names; `setting` holds the bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastbook.errors import ConfigError
from fastbook.risk.limits import RiskLimits, SymbolLimits
from fastbook.risk.protection import ProtectionParams
from fastbook.risk.sizing import SizingParams

from .endpoints import ENDPOINTS, ENVIRONMENTS, SIMULATOR, Endpoints, is_loopback, url_problem
from .rules import setting
from .strategies import MarketMakerSection, MeanReversionSection, StrategyConfig

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,39}")
_BIND = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]/@\s]+)):(\d{1,5})")
SYMBOLS_MAX = 1000


def _symbols(symbols: tuple[str, ...]) -> str:
    if not symbols:
        return "must name at least one symbol"
    if len(symbols) > SYMBOLS_MAX:
        return f"must name at most {SYMBOLS_MAX} symbols"
    if bad := [s for s in symbols if not _SYMBOL.fullmatch(s)]:
        return f"must hold symbols in capitals, such as BTCUSDT: {bad[0]!r:.50} is none"
    if twice := {s for s in symbols if symbols.count(s) > 1}:
        return f"names {min(twice)} twice"
    return ""


def _bind(text: str) -> str:
    match = _BIND.fullmatch(text)
    if text and (match is None or int(match[3]) > 65535):
        return 'must be host:port, such as 127.0.0.1:8080, or "" for off'
    return ""


def _bind_here(text: str) -> str:
    problem = _bind(text)
    if not text or problem:
        return problem
    match = _BIND.fullmatch(text)
    assert match is not None  # _bind found no fault
    if not is_loopback(match[1] or match[2]):
        return "must be an address of this machine itself (127.0.0.1, ::1): it has no login"
    return ""


def _url(*schemes: str, example: str) -> str:
    return f'must be "" or start with {" or ".join(schemes)}, such as {example}'


def _cache_url(url: str) -> str:
    schemes = ("valkey://", "valkeys://", "redis://", "rediss://", "unix://")
    if url and not url.startswith(schemes):
        return _url(*schemes, example="valkey://127.0.0.1:6379")
    return ""


def _history_url(url: str) -> str:
    schemes = ("sqlite:///", "postgresql://", "postgres://")
    if url and not url.startswith(schemes):
        return _url(*schemes, example="sqlite:///state/history.db")
    return ""


def _advisor_url(url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "must be a URL"
    if (parts.scheme == "https" and host) or (parts.scheme == "http" and is_loopback(host)):
        return ""
    return "must start with https://, or with http:// on this machine"


WAIVABLE = (
    *("no_ip", "Exchange", "Earn", "FiatP2P", "FiatBitPay", "BitCard", "Affiliate", "NFT"),
    "BlockTrade",
)


def _waive(names: tuple[str, ...]) -> str:
    unknown = [name for name in names if name not in WAIVABLE]
    return f"may hold {', '.join(WAIVABLE)} only, not {unknown[0]!r:.40}" if unknown else ""


def _disconnect_cancel(seconds: int) -> str:
    return "" if seconds == 0 or 3 <= seconds <= 300 else "must be 3 to 300, or 0 for off"


def _uid(uid: str) -> str:
    return "" if uid == "" or (uid.isdecimal() and len(uid) <= 20) else "must be digits"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueConfig:
    """Which exchange, and which of its markets."""

    environment: str = setting(
        SIMULATOR, "simulator | testnet | demo | mainnet", choices=ENVIRONMENTS
    )
    category: str = setting(
        "linear", "linear | spot | inverse", choices=("linear", "spot", "inverse")
    )
    account_uid: str = setting("", "account that the key must belong to; empty = any", check=_uid)
    waive: tuple[str, ...] = setting(
        (), "rules for the key that do not hold: no_ip, Exchange, Earn, ...", check=_waive
    )
    recv_window_ms: int = setting(
        5_000, "ms a signed request stays valid", least=1_000, most=60_000
    )
    rest_url: str = setting("", "instead of the environment's own; empty = that")
    ws_public_url: str = setting("", "likewise; without the category, which follows it")
    ws_private_url: str = setting("", "likewise")
    ws_trade_url: str = setting("", "likewise")
    ca_file: str = setting("", "PEM file trusted besides the system's; simulator only")
    api_key_file: str = setting("", "file of mode 0600; or FASTBOOK_API_KEY")
    api_secret_file: str = setting("", "file of mode 0600; or FASTBOOK_API_SECRET")

    def __post_init__(self) -> None:
        problems = [
            f"{name} {problem}"
            for name, plain in (
                ("rest_url", "http"),
                ("ws_public_url", "ws"),
                ("ws_private_url", "ws"),
                ("ws_trade_url", "ws"),
            )
            if (url := getattr(self, name))
            and (problem := url_problem(url, self.environment, plain))
        ]
        simulator = self.environment == SIMULATOR
        given = [self.rest_url, self.ws_public_url, self.ws_private_url]
        if simulator and any(given) and not all(given):
            problems.append(
                "rest_url, ws_public_url and ws_private_url go together in the environment simulator"
            )
        if self.ca_file and not simulator:
            problems.append("ca_file is for the environment simulator only")
        if bool(self.api_key_file) != bool(self.api_secret_file):
            problems.append("api_key_file and api_secret_file go together")
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def endpoints(self) -> Endpoints | None:
        """Where to connect; None = start the bundled exchange and ask it."""
        own = ENDPOINTS.get(self.environment)
        if own is None and not self.rest_url:
            return None
        return Endpoints(
            rest=self.rest_url or (own.rest if own else ""),
            ws_public=self.ws_public_url or (own.ws_public if own else ""),
            ws_private=self.ws_private_url or (own.ws_private if own else ""),
            ws_trade=self.ws_trade_url or (own.ws_trade if own else ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDataConfig:
    """What is listened to, and when it counts as dead."""

    symbols: tuple[str, ...] = setting((), 'such as ["BTCUSDT", "ETHUSDT"]', check=_symbols)
    depth: int = setting(50, "levels a side: 1 | 50 | 200 | 1000", choices=(1, 50, 200, 1000))
    trades: bool = setting(True, "public trades too")
    connections_max: int = setting(4, "connections", least=1, most=50)
    topics_per_connection: int = setting(200, "topics", least=1, most=500)
    ping_interval_s: float = setting(20.0, "s between pings", least=1, most=60)
    pong_timeout_s: float = setting(10.0, "s of silence after a ping = cut", least=0.1, most=60)
    stale_after_s: float = setting(
        5.0, "s without a frame = the book is stale", least=0.05, most=600
    )
    backoff_cap_s: float = setting(30.0, "s, longest wait between attempts", least=0.1, most=300)
    attempts_per_5min: int = setting(50, "connection attempts", least=1, most=400)
    imbalance_levels: int = setting(10, "levels of a side that imbalance counts", least=1, most=200)
    sample_ms: int = setting(0, "ms between samples of the mid; 0 = each frame", most=60_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """How orders leave, and how many at once."""

    mode: str = setting("paper", "paper | live (live needs --live too)", choices=("paper", "live"))
    paper_balance: int = setting(
        100_000, "settle coin at the start, where paper fills are our own", least=1
    )
    entry: str = setting("ws", "ws | rest", choices=("ws", "rest"))
    requests_in_flight_max: int = setting(8, "creates and amends at once", least=1, most=64)
    cancels_in_flight_max: int = setting(8, "cancels at once, beside the others", least=1, most=64)
    reconcile_every_s: float = setting(
        5.0, "s between two looks at the account beside the private stream", least=1, most=600
    )
    disconnect_cancel_s: int = setting(
        10, "s without us until the venue cancels (live); 0 = leave that alone",
        check=_disconnect_cancel,
    )  # fmt: skip
    queue_max: int = setting(64, "requests waiting; a full queue refuses", least=1, most=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardConfig:
    """Several processes on one account: which part of it is this one's."""

    count: int = setting(1, "processes on the account; 1 = this one alone", least=1, most=64)
    index: int = setting(0, "which of them this is, from 0", least=0, most=63)
    url: str = setting(
        "", "valkey:// or redis:// that keeps the shares; empty = equal parts, fixed",
        check=_cache_url, hidden=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.index >= self.count:
            raise ConfigError(f"shard.index is {self.index}, of {self.count} from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConfig:
    """What survives the process."""

    dir: str = setting("state", "folder of orders, latches and marks; one sub-folder an account")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogConfig:
    """The process that cancels everything when the engine falls silent."""

    required: bool = setting(False, "no trading without the watchdog process beside it")
    heartbeat_s: float = setting(
        3.0, "s without a heartbeat until everything is cancelled", least=0.5, most=60
    )
    api_key_file: str = setting("", "file of mode 0600; empty = the engine's own key")
    api_secret_file: str = setting("", "file of mode 0600")

    def __post_init__(self) -> None:
        if bool(self.api_key_file) != bool(self.api_secret_file):
            raise ConfigError("api_key_file and api_secret_file go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    url: str = setting("", "valkey:// or redis://; empty = off", check=_cache_url, hidden=True)
    levels: int = setting(50, "levels a side", least=1, most=1_000)
    tick_ms: int = setting(25, "ms between two looks at the books", least=5, most=1_000)
    ttl_ms: int = setting(5_000, "ms until the keys of a stopped engine vanish", least=500,
                          most=600_000)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryConfig:
    url: str = setting(
        "sqlite:///state/history.db",
        "or postgresql://; empty = off",
        check=_history_url,
        hidden=True,
    )
    trades: bool = setting(True, "public trades too")
    sample_s: float = setting(1.0, "s between two samples of a book", least=0.05, most=3_600)
    levels: int = setting(10, "levels a side of a sampled book", least=1, most=1_000)
    retention_days: int = setting(30, "days that market rows are kept; 0 = for ever", most=36_500)
    spool_mb_max: int = setting(1_024, "MB that may wait for a store", least=16, most=1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    bind: str = setting("127.0.0.1:9464", "host:port; empty = off", check=_bind)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardConfig:
    bind: str = setting("127.0.0.1:8080", "host:port; empty = off", check=_bind_here)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorConfig:
    base_url: str = setting(
        "", "any OpenAI-compatible endpoint; empty = off", check=_advisor_url, hidden=True
    )
    model: str = setting("", "name of the model")
    key_file: str = setting("", "file of mode 0600; or FASTBOOK_ADVISOR_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set, checked. `risk` None means: no trading."""

    venue: VenueConfig
    market_data: MarketDataConfig
    strategy: StrategyConfig
    risk: RiskLimits | None
    sizing: SizingParams
    protection: ProtectionParams
    execution: ExecutionConfig
    state: StateConfig
    shard: ShardConfig
    watchdog: WatchdogConfig
    cache: CacheConfig
    history: HistoryConfig
    metrics: MetricsConfig
    dashboard: DashboardConfig
    advisor: AdvisorConfig
    symbol_limits: Mapping[str, SymbolLimits] = field(default_factory=dict)
    """Of the sections [risk.symbols.SYMBOL]."""
    limits_file: str = ""
    """Where `risk` was read from, when that is a file of its own (`risk.limits_file`)."""
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Dotted key -> where its value came from; a key that is not here has its default."""


SECTIONS: dict[str, type] = {
    "venue": VenueConfig,
    "market_data": MarketDataConfig,
    "strategy.mean_reversion": MeanReversionSection,
    "strategy.market_maker": MarketMakerSection,
    "risk": RiskLimits,
    "sizing": SizingParams,
    "protection": ProtectionParams,
    "execution": ExecutionConfig,
    "state": StateConfig,
    "shard": ShardConfig,
    "watchdog": WatchdogConfig,
    "cache": CacheConfig,
    "history": HistoryConfig,
    "metrics": MetricsConfig,
    "dashboard": DashboardConfig,
    "advisor": AdvisorConfig,
}
OPTIONAL_SECTIONS = frozenset({"risk"})
"""Left out as a whole, they are None; begun, they must be complete."""
