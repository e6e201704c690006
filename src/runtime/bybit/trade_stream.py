"""Order entry over a WebSocket: the requests of REST, some milliseconds sooner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from picows import ws_connect

from fastbook.bybit.codes import TIME_WINDOW
from fastbook.bybit.limits import Ask, Way
from fastbook.clock import Clock
from fastbook.errors import TransportError, VenueError

from ..config import Credentials
from .http import tls_context
from .link import KeptLink
from .pacer import Pacer, said_of_limits
from .rest_call import Answer, accepted, path_of
from .trade_config import TradeStats, TradeStreamConfig
from .trade_connection import RESTARTING, Reply, TradeConnection, TradeContext
from .transport import ConnectWs

__all__ = ["TradeStats", "TradeStream", "TradeStreamConfig"]


class TradeStream(KeptLink):
    """Keeps one trade connection; see `KeptLink.run` for how it ends.

    Parameters
    ----------
    pacer : Pacer
        That of the account's REST client: both ways in share the venue's budgets.
    venue_now_ms : callable() -> int
        The venue's clock, for stamps.
    resync : callable() -> awaitable
        Measures that clock again, after the venue refused a stamp.
    on_link : callable(bool)
        Requests can be sent from now on; or not, and what was under way is unknown.
    """

    def __init__(
        self,
        config: TradeStreamConfig,
        credentials: Credentials,
        clock: Clock,
        pacer: Pacer,
        *,
        venue_now_ms: Callable[[], int],
        resync: Callable[[], Awaitable[None]],
        on_link: Callable[[bool], None] = lambda up: None,
        ca_file: str = "",
        rng: Random | None = None,
        connect_ws: ConnectWs = ws_connect,
    ) -> None:
        self._context = TradeContext(
            name="trade stream",
            config=config,
            credentials=credentials,
            clock=clock,
            venue_now_ms=venue_now_ms,
            on_link=on_link,
            connect_ws=connect_ws,
            tls=tls_context(ca_file) if config.url.startswith("wss://") else None,
            stats=TradeStats(),
        )
        super().__init__(self._context, rng or Random())
        self._pacer = pacer
        self._clock = clock
        self._resync = resync

    @property
    def stats(self) -> TradeStats:
        return self._context.stats

    @property
    def ready(self) -> bool:
        """Whether a request can be sent now."""
        connection = self._connection
        return isinstance(connection, TradeConnection) and connection.ready

    def make_connection(self, epoch: int) -> TradeConnection:
        return TradeConnection(epoch, self._context)

    async def order(
        self,
        op: str,
        body: bytes,
        *,
        units: int = 1,
        urgent: bool = False,
        not_after_ns: int | None = None,
    ) -> Answer:
        """Make one order request, such as "order.create", with the body of the REST call.

        Sent once; again only after an answer that proves it was not executed (10002). Raises
        `VenueError`, `CredentialsError`, or `TransportError`, whose `sent` is False when nothing
        was executed and REST may be asked instead; otherwise the outcome is unknown.
        """
        ask = Ask(path_of(op), Way.SOCKET, units, urgent)
        try:
            return await self._once(op, body, ask, not_after_ns)
        except VenueError as e:
            if e.code not in TIME_WINDOW:
                raise
        self.stats.resigned += 1
        try:
            await self._resync()
        except TransportError as e:
            raise TransportError(str(e), sent=False, status=e.status) from e
        return await self._once(op, body, ask, not_after_ns)

    async def _once(self, op: str, body: bytes, ask: Ask, not_after_ns: int | None) -> Answer:
        self._check_ready(op)
        permit = await self._pacer.permit(ask, not_after_ns)
        try:
            connection = self._check_ready(op)  # perhaps no longer
            reply = await connection.request(op, body)
        finally:
            permit.done(self._clock.monotonic_ns())
        return self._answer(reply, op, ask)

    def _check_ready(self, op: str) -> TradeConnection:
        connection = self._connection
        if not isinstance(connection, TradeConnection) or not connection.ready:
            raise TransportError(f"{op}: the trade stream is not up", sent=False)
        return connection

    def _answer(self, reply: Reply, op: str, ask: Ask) -> Answer:
        header = reply.get("header")
        said = {
            # Once numbers, now texts; the names' case has changed as well.
            str(name).lower(): str(value)
            for name, value in (header.items() if isinstance(header, dict) else ())
        }
        code = reply["retCode"]
        self._pacer.answered(ask, code, *said_of_limits(said, self._context.venue_now_ms()))
        if code == RESTARTING:
            # It takes nothing new: this one was not executed, earlier ones may have been.
            raise TransportError(f"{op}: {code} the service restarts", sent=False)
        stamp = said.get("timenow", "")
        envelope = reply | {
            "result": reply.get("data"),
            "time": int(stamp) if stamp.isdecimal() and len(stamp) <= 18 else 0,
        }
        return accepted(envelope, op)
