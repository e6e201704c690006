"""Two ways to the venue for one order request: the trade stream first, REST where that is not up."""

from __future__ import annotations

from fastbook.errors import TransportError

from .rest import RestClient
from .rest_call import Answer
from .trade_stream import TradeStream


class OrderEntry:
    """Sends each request once. The other way is tried only where nothing was executed by the first.

    `trade` None: by REST alone.
    """

    def __init__(self, rest: RestClient, trade: TradeStream | None = None) -> None:
        self.rest = rest
        self.trade = trade
        self.by_socket = 0
        self.by_rest = 0
        self.failovers = 0
        """Requests that went by REST though there is a trade stream."""

    @property
    def open(self) -> bool:
        """Whether any way is: REST is closed for minutes after an HTTP 403."""
        return not self.rest.blocked_s or (self.trade is not None and self.trade.ready)

    async def order(
        self,
        op: str,
        body: bytes,
        *,
        units: int = 1,
        urgent: bool = False,
        not_after_ns: int | None = None,
    ) -> Answer:
        """As `TradeStream.order` and `RestClient.order`, which raise the same for the same."""
        if self.trade is not None:
            try:
                answer = await self.trade.order(
                    op, body, units=units, urgent=urgent, not_after_ns=not_after_ns
                )
            except TransportError as e:
                if e.sent:
                    raise
                self.failovers += 1
            else:
                self.by_socket += 1
                return answer
        self.by_rest += 1
        return await self.rest.order(
            op, body, units=units, urgent=urgent, not_after_ns=not_after_ns
        )
