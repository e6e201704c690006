"""Which hosts belong to which environment; nothing else is ever talked to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

SIMULATOR = "simulator"
ENVIRONMENTS = (SIMULATOR, "testnet", "demo", "mainnet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where one environment lives. `ws_public` lacks the category, which follows it."""

    rest: str
    ws_public: str
    ws_private: str
    ws_trade: str  # "" where orders by socket are not offered

    def public(self, category: str) -> str:
        return f"{self.ws_public.rstrip('/')}/{category}"


ENDPOINTS = {
    "mainnet": Endpoints(
        rest="https://api.bybit.com",
        ws_public="wss://stream.bybit.com/v5/public",
        ws_private="wss://stream.bybit.com/v5/private",
        ws_trade="wss://stream.bybit.com/v5/trade",
    ),
    "testnet": Endpoints(
        rest="https://api-testnet.bybit.com",
        ws_public="wss://stream-testnet.bybit.com/v5/public",
        ws_private="wss://stream-testnet.bybit.com/v5/private",
        ws_trade="wss://stream-testnet.bybit.com/v5/trade",
    ),
    # Paper accounts of the exchange: market data of the real one, orders by REST only.
    "demo": Endpoints(
        rest="https://api-demo.bybit.com",
        ws_public="wss://stream.bybit.com/v5/public",
        ws_private="wss://stream-demo.bybit.com/v5/private",
        ws_trade="",
    ),
}

_REGIONAL = frozenset(
    {f"stream.{d}" for d in ("bybit.tr", "bybit.kz", "bybit.id", "bybitgeorgia.ge", "manepa.jp")}
    | {f"api.bybit.{d}" for d in ("nl", "tr", "kz", "ae", "eu", "id")}
    | {"api.bytick.com", "api.bybitgeorgia.ge", "api.manepa.jp"}
)
HOSTS = {
    name: frozenset(
        host
        for url in (e.rest, e.ws_public, e.ws_private, e.ws_trade)
        if (host := urlsplit(url).hostname)
    )
    | (_REGIONAL if name == "mainnet" else frozenset({"api-testnet.manepa.jp"}))
    for name, e in ENDPOINTS.items()
    if name != "demo"
}
HOSTS["demo"] = frozenset({"api-demo.bybit.com", "stream-demo.bybit.com", "stream.bybit.com"})
_REAL_HOSTS = frozenset().union(*HOSTS.values())


def url_problem(url: str, environment: str, plain: str) -> str:
    """Why `url` does not fit `environment`; "" when it does. `plain` is "http" or "ws".

    A real environment takes its own hosts by TLS and nothing else. The simulator takes any
    host that is not the exchange, and without TLS only this machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "must be a URL"
    if parts.scheme not in (plain, plain + "s") or not host:
        return f"must be a URL that starts with {plain}:// or {plain}s://"
    if parts.username is not None or parts.query or parts.fragment:
        return "must be a URL without user, query and fragment"
    if environment != SIMULATOR:
        if parts.scheme == plain:
            return f"must start with {plain}s://"
        if host not in HOSTS.get(environment, frozenset()):
            return f"names a host that does not belong to {environment}"
        return ""
    if host in _REAL_HOSTS:
        return "names a host of the real exchange in the environment simulator"
    if parts.scheme == plain and not is_loopback(host):
        return f"must start with {plain}s:// when it is not on this machine"
    return ""


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
