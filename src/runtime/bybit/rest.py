"""The REST calls that a run needs, as methods. Rows come back as the venue sent them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Self

import orjson

from fastbook.bybit import requests
from fastbook.bybit.limits import RateLimits
from fastbook.clock import Clock
from fastbook.errors import TransportError, VenueError, WireError
from fastbook.types import Category

from ..config import Credentials
from .http import TIMEOUT_S, HttpTransport
from .pacer import Pacer
from .rest_call import Answer, JsonObject, RestCaller, path_of
from .transport import MakeHttp
from .venue_time import TimeSample, VenueTime

CANCEL_ALL = "/v5/order/cancel-all"
TRADING_STOP = "/v5/position/trading-stop"

PAGES_MAX = 100
"""Of one list. A list that is longer is an error: half a list must not pass for the whole."""

CANCEL_ROUNDS_MAX = 20
"""Without any progress. The venue cancels at most 500 orders a round, picked at random."""

_SPOT_FILTERS = ("Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder")
_LISTED: dict[Category, tuple[str, ...]] = {
    # Derivatives list every kind by default; conditional ones were missing there once.
    Category.LINEAR: ("", "StopOrder"),
    Category.INVERSE: ("", "StopOrder"),
    Category.SPOT: _SPOT_FILTERS,
}
_DERIVATIVE_CANCELS = (("Order", ""), ("StopOrder", "Stop"))
_CANCELLED: dict[Category, tuple[tuple[str, str], ...]] = {
    Category.LINEAR: _DERIVATIVE_CANCELS,
    Category.INVERSE: _DERIVATIVE_CANCELS,
    Category.SPOT: tuple((name, "") for name in _SPOT_FILTERS),
}
_OF_POSITION = frozenset(
    {"StopLoss", "TakeProfit", "TrailingStop", "PartialStopLoss", "PartialTakeProfit"}
)
"""`stopOrderType` of orders that protect a position and end with it."""

CANCEL_WAIT_S = 0.2
TIME_SAMPLES = 5
EXECUTIONS_OVERLAP_MS = 10_000
"""Executions are asked for from this long before the asked time: the list lags the stream."""

_CURSOR = re.compile(r"[A-Za-z0-9%._~,:=+/*\-]{0,2000}")
"""A cursor goes into the query as it came, so it must not be able to say anything else."""

Rows = list[JsonObject]


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a whole list and the venue's clock at its last page."""

    rows: Rows
    time_ms: int


class RestClient:
    """One account at one venue. Use as a context manager, or call `close`.

    Every method may raise `TransportError` (the network, or the exchange without an answer),
    `VenueError` (it answered no) and `CredentialsError` (fatal).
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None,
        clock: Clock,
        *,
        recv_window_ms: int = 5_000,
        ca_file: str = "",
        timeout_s: float = TIMEOUT_S,
        rng: Random | None = None,
        make_http: MakeHttp = HttpTransport,
        limits: RateLimits | None = None,
    ) -> None:
        rng = rng or Random()
        self._clock = clock
        self.pacer = Pacer(limits or RateLimits(), clock, rng)
        """Of all requests of this account; the trade stream takes its turns here too."""
        self._http = make_http(base_url, ca_file=ca_file, timeout_s=timeout_s)
        self.venue_time = VenueTime(clock)
        self.recv_window_ms = recv_window_ms
        self._caller = RestCaller(
            self._http,
            credentials,
            clock,
            self.venue_time,
            recv_window_ms=recv_window_ms,
            rng=rng,
            pacer=self.pacer,
            resync=self._resync,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.close()

    @property
    def blocked_s(self) -> float:
        return self._caller.blocked_s

    def counters(self) -> dict[str, int]:
        caller = self._caller
        return {
            "calls": caller.calls,
            "retries": caller.retries,
            "resigned": caller.resigned,
            "rate_limited": caller.rate_limited,
            "rate_waits": self.pacer.waits,
        }

    # Market data.

    async def server_time(self) -> int:
        """The venue's clock, ns since the epoch."""
        result = (await self._caller.get("/v5/market/time")).result
        nano = result.get("timeNano")
        if not isinstance(nano, str) or not nano.isdecimal() or len(nano) > 19:
            raise TransportError(f"GET /v5/market/time: timeNano: {nano!r:.40}")
        return int(nano)

    async def sync_time(self, samples: int = TIME_SAMPLES) -> None:
        """Measure the venue's clock; the question with the shortest round trip counts."""
        taken = []
        for _ in range(samples):
            sent_ns = self._clock.monotonic_ns()
            venue_ns = await self.server_time()
            taken.append(TimeSample(sent_ns, self._clock.monotonic_ns(), venue_ns))
        self.venue_time.update(taken)

    async def instruments(self, category: Category) -> Rows:
        """All pages of instruments-info."""
        params: list[tuple[str, str | int]] = [("category", category.value)]
        if category is not Category.SPOT:  # spot has no pages
            params.append(("limit", 1000))
        return (await self._pages("/v5/market/instruments-info", params, signed=False)).rows

    async def orderbook(self, category: Category, symbol: str, limit: int = 1) -> JsonObject:
        """The book as REST has it. Its `u` fits the 1000-level stream and no other."""
        params = {"category": category.value, "symbol": symbol, "limit": limit}
        return (await self._caller.get("/v5/market/orderbook", requests.query(params))).result

    async def klines(self, category: Category, symbol: str, interval: str, limit: int) -> Rows:
        """The newest `limit` candles, newest first; the first is still running."""
        params = {
            "category": category.value,
            "symbol": symbol,
            "interval": interval,
            "limit": limit,
        }
        result = (await self._caller.get("/v5/market/kline", requests.query(params))).result
        rows = result.get("list")
        if not isinstance(rows, list):
            raise WireError("klines without a list")
        return rows

    # Orders.

    async def order(
        self,
        op: str,
        body: bytes,
        *,
        units: int = 1,
        urgent: bool = False,
        not_after_ns: int | None = None,
    ) -> Answer:
        """Make one order request, named as on the trade stream ("order.create")."""
        return await self._caller.post(
            path_of(op), body, units=units, urgent=urgent, not_after_ns=not_after_ns
        )

    async def trading_stop(self, body: bytes) -> Answer:
        return await self._caller.post(TRADING_STOP, body, urgent=True)

    async def cancel_all(self, category: Category, settles: Iterable[str]) -> None:
        """Cancel until the venue reports no open order, in every settle coin and of every kind.

        Its answer alone proves nothing: it is asynchronous, and takes 500 at a time, picked at
        random. Stops that belong to a position stay: they end with it. Raises `VenueError` when
        for `CANCEL_ROUNDS_MAX` rounds the open orders have not become fewer.
        """
        for settle in _scopes(category, settles):
            least, rounds = -1, 0
            while True:
                for order_filter, stop_type in _CANCELLED[category]:
                    body = requests.cancel_all_body(
                        category,
                        settle=settle,
                        order_filter=order_filter,
                        stop_order_type=stop_type,
                    )
                    await self._caller.post(CANCEL_ALL, body, urgent=True)
                left = len(await self.cancellable_orders(category, [settle]))
                if not left:
                    break
                rounds = 0 if left < least or least < 0 else rounds + 1
                least = left if least < 0 else min(left, least)
                if rounds >= CANCEL_ROUNDS_MAX:
                    raise VenueError(-1, f"{left} orders are still open", request="cancel-all")
                await asyncio.sleep(CANCEL_WAIT_S)

    async def cancellable_orders(self, category: Category, settles: Iterable[str]) -> Rows:
        """What `cancel_all` is about: every open order but the stops that belong to a position."""
        return [row for row in await self.all_open_orders(category, settles) if _own(row)]

    async def all_open_orders(self, category: Category, settles: Iterable[str]) -> Rows:
        """Every open order of the account in `category`, whatever its kind, each once."""
        rows: dict[str, JsonObject] = {}
        for settle in _scopes(category, settles):
            for order_filter in _LISTED[category]:
                page = await self.open_orders(category, settle=settle, order_filter=order_filter)
                rows |= {str(row.get("orderId")): row for row in page.rows}
        return list(rows.values())

    async def open_orders(
        self,
        category: Category,
        *,
        settle: str = "",
        symbol: str = "",
        client_id: str = "",
        closed: bool = False,
        order_filter: str = "",
    ) -> Page:
        """Orders that rest; with `closed` those closed of late instead. Linear needs a scope.

        A restart of the venue empties the closed list: its silence alone proves nothing.
        """
        return await self._pages(
            "/v5/order/realtime",
            [
                ("category", category.value),
                ("symbol", symbol),
                ("settleCoin", settle),
                ("orderLinkId", client_id),
                ("openOnly", int(closed)),
                ("orderFilter", order_filter),
                ("limit", 50),
            ],
        )

    async def order_history(
        self, category: Category, *, symbol: str = "", client_id: str = ""
    ) -> Page:
        """Closed orders of the last 7 days; those without a fill vanish after 24 hours."""
        return await self._pages(
            "/v5/order/history",
            [
                ("category", category.value),
                ("symbol", symbol),
                ("orderLinkId", client_id),
                ("limit", 50),
            ],
        )

    async def executions(
        self, category: Category, *, since_ms: int = 0, symbol: str = "", client_id: str = ""
    ) -> Page:
        """Fills and cash flows, oldest first, each once; `since_ms` by the venue's clock.

        Reaches `EXECUTIONS_OVERLAP_MS` further back than asked: expect known ones.
        """
        page = await self._pages(
            "/v5/execution/list",
            [
                ("category", category.value),
                ("symbol", symbol),
                ("orderLinkId", client_id),
                ("startTime", max(0, since_ms - EXECUTIONS_OVERLAP_MS) if since_ms else ""),
                ("limit", 100),
            ],
        )
        # Pages shift while fills come in, so a row may be on two of them.
        once = {str(row.get("execId")): row for row in reversed(page.rows)}
        return Page(list(once.values()), page.time_ms)

    # Account.

    async def positions(self, category: Category, settles: Iterable[str]) -> Rows:
        """Positions that are not flat. Spot has none."""
        if category is Category.SPOT:
            return []
        rows: Rows = []
        for settle in _scopes(category, settles):
            page = await self._pages(
                "/v5/position/list",
                [("category", category.value), ("settleCoin", settle), ("limit", 200)],
            )
            rows += page.rows
        return rows

    async def position_rows(self, category: Category, symbol: str) -> Rows:
        """The rows of one symbol, flat ones too: two, one a leg, where it is in hedge mode."""
        params = [("category", category.value), ("symbol", symbol)]
        return (await self._pages("/v5/position/list", params)).rows

    async def wallet(self) -> Rows:
        query = requests.query({"accountType": "UNIFIED"})
        answer = await self._caller.get("/v5/account/wallet-balance", query, signed=True)
        return _rows(answer.result, "/v5/account/wallet-balance")

    async def position(self, category: Category, symbol: str) -> Rows:
        """The rows of one symbol, flat ones too: they tell position mode and leverage."""
        page = await self._pages(
            "/v5/position/list", [("category", category.value), ("symbol", symbol)]
        )
        return page.rows

    async def account_info(self) -> JsonObject:
        """Margin mode and kind of the account."""
        return (await self._caller.get("/v5/account/info", signed=True)).result

    async def disconnect_cancel_rows(self) -> Rows:
        """What is set of the venue's disconnect-cancel, a row a product; none where it is not."""
        path = "/v5/account/query-dcp-info"
        result = (await self._caller.get(path, signed=True)).result
        rows = result.get("dcpInfos")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TransportError(f"GET {path}: the answer has no dcpInfos")
        return rows

    async def set_disconnect_cancel(self, product: str, window_s: int) -> None:
        """Cancel everything of `product` so long after the last connection was lost (3 to 300 s)."""
        body = orjson.dumps({"product": product, "timeWindow": window_s})
        await self._caller.post("/v5/order/disconnected-cancel-all", body)

    async def query_api(self) -> JsonObject:
        """What the key may do, and whose it is."""
        return (await self._caller.get("/v5/user/query-api", signed=True)).result

    async def _pages(
        self, path: str, params: Sequence[tuple[str, str | int]], *, signed: bool = True
    ) -> Page:
        rows: Rows = []
        cursor = ""
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            query = requests.query([*params, ("cursor", cursor)])
            answer = await self._caller.get(path, query, signed=signed)
            found = _rows(answer.result, path)
            rows += found
            cursor = answer.result.get("nextPageCursor") or ""
            if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor):
                raise TransportError(f"GET {path}: nextPageCursor is not a cursor")
            if not cursor or not found:
                return Page(rows, answer.time_ms)
            if cursor in seen:
                raise TransportError(f"GET {path}: the same page twice")
            seen.add(cursor)
        raise TransportError(f"GET {path}: more than {PAGES_MAX} pages")

    async def _resync(self) -> None:
        await self.sync_time()


def _own(row: JsonObject) -> bool:
    """Whether cancel-all must end it: not what protects a position."""
    return row.get("stopOrderType") not in _OF_POSITION


def _rows(result: JsonObject, path: str) -> Rows:
    rows = result.get("list")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TransportError(f"GET {path}: the answer has no list")
    return rows


def _scopes(category: Category, settles: Iterable[str]) -> list[str]:
    """What to ask for one after the other: spot has no settle coins."""
    return [""] if category is Category.SPOT else sorted(set(settles))
