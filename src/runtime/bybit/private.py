"""The authenticated stream of orders, fills, positions and balances, kept up until told to stop."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from picows import ws_connect

from fastbook.bybit.private import PrivateDecoder
from fastbook.clock import Clock
from fastbook.types import OrderEvent

from ..config import Credentials
from .http import tls_context
from .link import KeptLink
from .private_config import TOPICS, PrivateStats, PrivateStreamConfig
from .private_connection import PrivateConnection, PrivateContext
from .transport import ConnectWs

__all__ = ["TOPICS", "PrivateStats", "PrivateStream", "PrivateStreamConfig"]


class PrivateStream(KeptLink):
    """The private topics as events; see `KeptLink.run` for how it ends.

    Parameters
    ----------
    decoder : PrivateDecoder
        Knows the engine's instruments; also counts rows that could not be read.
    on_events : callable(list[OrderEvent], int)
        From inside the socket callback, with the receive time in ns (wall clock).
    on_link : callable(bool)
        True: authenticated and subscribed. What happened before is not replayed, so this is when
        to reconcile by REST. False: events are being missed from now on.
    venue_now_ms : callable() -> int, optional
        The venue's clock for the expiry of our signature; else this machine's.
    ca_file : str, optional
        PEM file trusted besides the system's.
    connect_ws : callable, optional
        Another way to the venue than a socket.
    """

    def __init__(
        self,
        config: PrivateStreamConfig,
        credentials: Credentials,
        decoder: PrivateDecoder,
        on_events: Callable[[list[OrderEvent], int], None],
        on_link: Callable[[bool], None],
        clock: Clock,
        *,
        venue_now_ms: Callable[[], int] | None = None,
        ca_file: str = "",
        rng: Random | None = None,
        connect_ws: ConnectWs = ws_connect,
    ) -> None:
        self._context = PrivateContext(
            name="private stream",
            config=config,
            credentials=credentials,
            decoder=decoder,
            clock=clock,
            venue_now_ms=venue_now_ms or (lambda: clock.now_ns() // 1_000_000),
            on_events=on_events,
            on_link=on_link,
            connect_ws=connect_ws,
            tls=tls_context(ca_file) if config.url.startswith("wss://") else None,
            stats=PrivateStats(),
        )
        super().__init__(self._context, rng or Random())

    @property
    def stats(self) -> PrivateStats:
        return self._context.stats

    def make_connection(self, epoch: int) -> PrivateConnection:
        return PrivateConnection(epoch, self._context)
