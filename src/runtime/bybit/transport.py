"""What carries bytes to the venue and back, as the parts above see it: handed in, never made there.

The real ones are picows' `ws_connect` and `http.HttpTransport`; another pair lets the whole engine
run in one process without a socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

ConnectWs: TypeAlias = Callable[..., Awaitable[Any]]
"""`picows.ws_connect`, or what is called and answers like it. Any: its own keyword arguments."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class HttpExchange(Protocol):
    """One host, one request at a time a call; bounded in time and bytes."""

    async def exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> HttpAnswer:
        """Raises `TransportError`; its `sent` is False only when no connection came about."""

    async def close(self) -> None: ...


class MakeHttp(Protocol):
    """Makes the exchange with one host."""

    def __call__(self, base_url: str, *, ca_file: str, timeout_s: float) -> HttpExchange: ...
