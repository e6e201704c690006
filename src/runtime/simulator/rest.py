"""REST of the exchange: envelope, signatures, rate limits, and the way to each answer."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from fastbook.errors import VenueError
from fastbook.replay.accounts import Account
from fastbook.replay.venue import Venue

from .answers import Answers, Query, api_key_info, bad
from .auth import BAD_KEY, Keys
from .limits import RATE_LIMITED, Allowance, RollingLimits
from .market import Json
from .options import CATEGORIES, ApiKey, SimulatorOptions

BODY_BYTES_MAX = 1 << 20
FAULTS_MAX = 10_000  # waiting faults of one kind; the oldest go first

Reader = Callable[[Account, Query, int], Json]
Writer = Callable[[Account, dict[str, Any], int], Json]


class RestFaults:
    """What REST should do wrong next; all empty is a healthy exchange."""

    def __init__(self) -> None:
        # Answers to the next creates, and statuses of the next signed requests.
        self.order_errors: deque[tuple[int, str]] = deque(maxlen=FAULTS_MAX)
        self.http_errors: deque[int] = deque(maxlen=FAULTS_MAX)
        self.lost_answers = 0  # creates that are carried out and then not answered
        # How long order requests are held up: on their way in, or their answers on the way out.
        self.slow_in_s = 0.0
        self.slow_out_s = 0.0


class RestExchange:
    """The v5 endpoints of one venue as aiohttp handlers."""

    def __init__(
        self,
        options: SimulatorOptions,
        venue: Venue,
        answers: Answers,
        keys: Keys,
        counters: Counter[str],
        now_ms: Callable[[], int],
        after_orders: Callable[[], None],
    ) -> None:
        """`after_orders()` is called when an order request may have changed something."""
        self.faults = RestFaults()
        self.limits = RollingLimits()
        self._options = options
        self._venue = venue
        self._answers = answers
        self._keys = keys
        self._counters = counters
        self._now_ms = now_ms
        self._after_orders = after_orders

    def add_routes(self, app: web.Application) -> None:
        a = self._answers
        public: dict[str, Callable[[Query, int], Json]] = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": lambda q, _: a.instruments_info(q),
            "/v5/market/orderbook": a.orderbook,
            "/v5/market/tickers": a.tickers,
            "/v5/market/recent-trade": lambda q, _: a.recent_trades(q),
        }
        signed: dict[str, Reader] = {
            "/v5/order/realtime": lambda account, q, _: a.open_orders(account, q),
            "/v5/order/history": a.order_history,
            "/v5/execution/list": a.executions,
            "/v5/position/list": lambda account, q, _: a.positions(account, q),
            "/v5/account/wallet-balance": lambda account, q, _: a.wallet(account, q),
            "/v5/account/fee-rate": lambda _account, q, _: a.fee_rates(q),
            "/v5/asset/coin/query-info": lambda _account, q, _: a.coins(q),
        }
        orders: dict[str, Writer] = {
            "/v5/order/create": self._create,
            "/v5/order/cancel": self._cancel,
            "/v5/order/cancel-all": self._cancel_all,
        }
        for path, read in public.items():
            app.router.add_get(path, self._public(read), allow_head=False)
        for path, read_account in signed.items():
            app.router.add_get(path, self._signed(path, read_account), allow_head=False)
        for path, write in orders.items():
            app.router.add_post(path, self._order(path, write))
        app.router.add_get("/v5/user/query-api", self._query_api, allow_head=False)

    # Envelopes.

    def _envelope(
        self, code: int, message: str, result: Json, *, allowance: Allowance | None = None
    ) -> web.Response:
        now_ms = self._now_ms()
        self._counters[f"rest_{code}"] += 1
        headers = {"Timenow": str(now_ms), "Ret_code": str(code)}
        if allowance is not None:
            headers |= allowance.headers()
        body = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": now_ms,
        }
        return web.Response(
            body=orjson.dumps(body), content_type="application/json", headers=headers
        )

    def _public(
        self, read: Callable[[Query, int], Json]
    ) -> Callable[[web.Request], Any]:  # Any: aiohttp's handler type
        async def handle(request: web.Request) -> web.Response:
            if await request.read():
                return web.Response(status=403, text="GET with a body")
            try:
                return self._envelope(0, "OK", read(request.query, self._now_ms()))
            except VenueError as e:
                return self._envelope(e.code, e.message, {})

        return handle

    # Signed requests.

    def _admit(
        self, request: web.Request, payload: bytes, path: str, category: str, limit: int
    ) -> tuple[ApiKey, Allowance] | web.Response:
        """Check credentials and rate; a response is the refusal."""
        if self.faults.http_errors:
            status = self.faults.http_errors.popleft()
            return web.Response(
                status=status, text=f"<html><body>{status}</body></html>", content_type="text/html"
            )
        if not request.headers.get("X-BAPI-API-KEY") or not request.headers.get("X-BAPI-SIGN"):
            refusal = self._envelope(BAD_KEY, "API key is missing.", {})
            refusal.set_status(401)
            return refusal
        try:
            key = self._keys.check_rest(request.headers, payload, self._now_ms())
        except VenueError as e:
            self._counters["refused_credentials"] += 1
            return self._envelope(e.code, e.message, {})
        bucket = category if category in CATEGORIES else ""
        allowance = self.limits.take(key.account, path, bucket, limit, self._now_ms())
        if not allowance.allowed:
            return self._envelope(
                RATE_LIMITED, "Too many visits. Exceeded the API Rate Limit.", {},
                allowance=allowance,
            )  # fmt: skip
        return key, allowance

    def _signed(self, path: str, read: Reader) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            if await request.read():
                return web.Response(status=403, text="GET with a body")
            payload = request.raw_path.partition("?")[2].encode()
            admitted = self._admit(
                request,
                payload,
                path,
                request.query.get("category", ""),
                self._options.queries_per_s_max,
            )
            if isinstance(admitted, web.Response):
                return admitted
            key, allowance = admitted
            try:
                result = read(self._venue.account(key.account), request.query, self._now_ms())
            except VenueError as e:
                return self._envelope(e.code, e.message, {}, allowance=allowance)
            return self._envelope(0, "OK", result, allowance=allowance)

        return handle

    def _order(self, path: str, write: Writer) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            payload = await request.read()
            if self.faults.slow_in_s:
                await asyncio.sleep(self.faults.slow_in_s)
            try:
                params = orjson.loads(payload)
            except orjson.JSONDecodeError:
                params = None
            category = params.get("category") if isinstance(params, dict) else ""
            admitted = self._admit(
                request, payload, path, str(category), self._options.orders_per_s_max
            )
            if isinstance(admitted, web.Response):
                return admitted
            key, allowance = admitted
            try:
                if not isinstance(params, dict):
                    raise bad("the body must be a JSON object")
                result = write(self._venue.account(key.account), params, self._now_ms())
            except VenueError as e:
                return self._envelope(e.code, e.message, {}, allowance=allowance)
            finally:
                self._after_orders()
            if self.faults.slow_out_s:
                await asyncio.sleep(self.faults.slow_out_s)
            if self.faults.lost_answers and path == "/v5/order/create":
                self.faults.lost_answers -= 1
                if request.transport is not None:
                    request.transport.abort()
            return self._envelope(0, "OK", result, allowance=allowance)

        return handle

    def _create(self, account: Account, params: dict[str, Any], now_ms: int) -> Json:
        if self.faults.order_errors:
            code, message = self.faults.order_errors.popleft()
            raise VenueError(code, message)
        order = self._venue.place(account.number, params, now_ms)
        self._counters["orders"] += 1
        return {"orderId": order.order_id, "orderLinkId": order.link_id}

    def _cancel(self, account: Account, params: dict[str, Any], now_ms: int) -> Json:
        order = self._venue.cancel(account.number, params, now_ms)
        return {"orderId": order.order_id, "orderLinkId": order.link_id}

    def _cancel_all(self, account: Account, params: dict[str, Any], now_ms: int) -> Json:
        orders = self._venue.cancel_all(account.number, params, now_ms)
        rows = [{"orderId": o.order_id, "orderLinkId": o.link_id} for o in orders]
        return {"list": rows, "success": "1"}

    def _time(self, query: Query, now_ms: int) -> Json:
        return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}

    async def _query_api(self, request: web.Request) -> web.Response:
        payload = request.raw_path.partition("?")[2].encode()
        admitted = self._admit(
            request, payload, "/v5/user/query-api", "", self._options.queries_per_s_max
        )
        if isinstance(admitted, web.Response):
            return admitted
        key, allowance = admitted
        account = self._venue.account(key.account)
        return self._envelope(0, "OK", api_key_info(key, account.uid), allowance=allowance)
