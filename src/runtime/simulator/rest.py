"""REST of the exchange: envelope, signatures, rate limits, and the way to each answer."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from fastbook.errors import VenueError
from fastbook.replay.accounts import Account
from fastbook.replay.intake import PARAMETER_ERROR
from fastbook.replay.venue import Venue

from .answers import Answers, api_key_info
from .auth import BAD_KEY, Keys
from .desk import OPERATIONS, TOO_MANY_VISITS, OrderDesk, Outcome
from .keys import PERMISSION_DENIED, ApiKey
from .limits import RATE_LIMITED, AddressLimit, Allowance
from .market import Json
from .market_answers import MarketAnswers
from .options import SimulatorOptions
from .order_faults import FAULTS_MAX, SILENCE_S_MAX, kind_of
from .query import Query
from .sessions import Refusal
from .spoilt import SPOILT

BODY_BYTES_MAX = 1 << 20
ADDRESS_WINDOW_S = 5.0
CANCEL_ALL = "/v5/order/cancel-all"
QUERY_API = "/v5/user/query-api"
ORDER_PATHS = {"/v5/" + name.replace(".", "/", 1): name for name in sorted(OPERATIONS)}
"""Path -> operation of the desk."""

Handler = Callable[[web.Request], Any]  # Any: aiohttp's handler type
MarketReader = Callable[[Query, int], Json]
Reader = Callable[[Account, Query, int], Json]
Setter = Callable[[int, Json, int], None]


class RestExchange:
    """The v5 endpoints of one venue as aiohttp handlers."""

    def __init__(
        self,
        options: SimulatorOptions,
        venue: Venue,
        desk: OrderDesk,
        market_answers: MarketAnswers,
        answers: Answers,
        keys: Keys,
        counters: Counter[str],
        clock: Callable[[], tuple[float, int]],
        after_orders: Callable[[], None],
    ) -> None:
        """`clock()` is (monotonic seconds, wall clock ms); `after_orders()` sends what is new."""
        # Faults: what signed requests get instead of an answer, or what becomes of the answer.
        self.http_errors: deque[Refusal] = deque(maxlen=FAULTS_MAX)
        self.key_errors: deque[tuple[int, str]] = deque(maxlen=FAULTS_MAX)
        self.spoilt: deque[str] = deque(maxlen=FAULTS_MAX)
        self.addresses = AddressLimit(options.ip_requests_max, ADDRESS_WINDOW_S, options.ip_ban_s)
        self.faults = desk.faults
        self.closed_until_s = 0.0  # fault: everybody is refused
        self._venue = venue
        self._desk = desk
        self._market = market_answers
        self._answers = answers
        self._keys = keys
        self._counters = counters
        self._clock = clock
        self._after_orders = after_orders

    def add_routes(self, app: web.Application) -> None:
        for path, read in self._public_readers().items():
            app.router.add_get(path, self._public(read), allow_head=False)
        for path, read_account in self._account_readers().items():
            app.router.add_get(path, self._signed(path, read_account), allow_head=False)
        for path, operation in ORDER_PATHS.items():
            app.router.add_post(path, self._order(operation))
        app.router.add_post(CANCEL_ALL, self._post(self._cancel_all, order="order.cancel-all"))
        for path, change in self._setters(self._venue).items():
            app.router.add_post(path, self._setting(path, change))
        app.router.add_get(QUERY_API, self._keyed(QUERY_API, self._query_api), allow_head=False)

    def call(self, key: ApiKey, path: str, params: Json) -> Json:
        """One request without HTTP; the body of its answer. ValueError: no such endpoint.

        As over REST but for the signature, the address limit and the faults of the way.
        """
        try:
            outcome = self._carry_out(key, path, params)
        except VenueError as e:
            outcome = Outcome(e.code, e.message, {}, {})
        return _body(outcome.code, outcome.message, outcome.result, outcome.ext, self._clock()[1])

    def _carry_out(self, key: ApiKey, path: str, params: Json) -> Outcome:
        now_ms = self._clock()[1]
        if path in ORDER_PATHS:
            return self._desk.run(key, ORDER_PATHS[path], params)
        if path == CANCEL_ALL:
            return self._cancel_all(key, params)
        change = self._setters(self._venue).get(path)
        if change is not None:
            return self._set(key, path, change, params)
        query = {name: str(value) for name, value in params.items()}
        read = self._public_readers().get(path)
        if read is not None:
            return Outcome(0, "OK", read(query, now_ms), {})
        read_account = self._account_readers().get(path)
        if read_account is None and path != QUERY_API:
            raise ValueError(f"no such endpoint: {path}")
        if not self._desk.take(key, path, query.get("category", "")).allowed:
            return Outcome(RATE_LIMITED, TOO_MANY_VISITS, {}, {})
        if read_account is None:
            return Outcome(0, "OK", self._query_api(key, query, now_ms), {})
        account = self._venue.account(key.account)
        return Outcome(0, "OK", read_account(account, query, now_ms), {})

    def _public_readers(self) -> dict[str, MarketReader]:
        m = self._market
        return {
            "/v5/market/time": m.time,
            "/v5/market/instruments-info": m.instruments_info,
            "/v5/market/orderbook": m.orderbook,
            "/v5/market/rpi_orderbook": m.rpi_orderbook,
            "/v5/market/tickers": m.tickers,
            "/v5/market/recent-trade": m.recent_trades,
            "/v5/market/kline": m.kline,
            "/v5/market/price-limit": m.price_limit,
            "/v5/market/risk-limit": m.risk_limit,
            "/v5/market/funding/history": m.funding_history,
            "/v5/system/status": m.system_status,
        }

    def _account_readers(self) -> dict[str, Reader]:
        m, a = self._market, self._answers
        return {
            "/v5/order/realtime": a.open_orders,
            "/v5/order/history": a.order_history,
            "/v5/execution/list": a.executions,
            "/v5/position/list": a.positions,
            "/v5/position/closed-pnl": a.closed_pnl,
            "/v5/account/wallet-balance": a.wallet,
            "/v5/account/fee-rate": a.fee_rates,
            "/v5/account/info": a.info,
            "/v5/account/query-dcp-info": self._dcp_info,
            "/v5/asset/coin/query-info": a.coins,
            "/v5/account/instruments-info": lambda _, q, now_ms: m.instruments_info(q, now_ms),
        }

    def announce(self, state: str, title: str) -> list[Json]:
        """What `/v5/system/status` says from now on; an empty state clears it."""
        return self._market.announce(state, title, self._clock()[1])

    def _setters(self, venue: Venue) -> dict[str, Setter]:
        """Changes of an account's or a position's settings; the result is always empty."""
        return {
            "/v5/order/disconnected-cancel-all": self._arm,
            "/v5/position/set-leverage": lambda a, p, _: venue.set_leverage(a, p),
            "/v5/position/switch-mode": lambda a, p, _: venue.switch_mode(a, p),
            "/v5/position/trading-stop": venue.trading_stop,
            "/v5/account/set-margin-mode": lambda a, p, _: venue.set_margin_mode(a, p),
            "/v5/account/set-limit-px-action": lambda a, p, _: venue.set_limit_px_action(a, p),
        }

    def _arm(self, account: int, params: Json, now_ms: int) -> None:
        """The dead-man switch of an account and a product."""
        product, window_s = params.get("product", "OPTIONS"), params.get("timeWindow")
        if not isinstance(product, str) or not isinstance(window_s, int):
            raise VenueError(PARAMETER_ERROR, "params error: product or timeWindow invalid")
        self._venue.dcp.configure(account, product, window_s)

    def _dcp_info(self, account: Account, query: Query, now_ms: int) -> Json:
        return {"dcpInfos": self._venue.dcp.info(account.number)}

    # Envelopes.

    def _envelope(
        self,
        code: int,
        message: str,
        result: Json,
        *,
        ext: Json | None = None,
        allowance: Allowance | None = None,
    ) -> web.Response:
        now_ms = self._clock()[1]
        self._counters[f"rest_{code}"] += 1
        headers = {
            "Timenow": str(now_ms),
            "Ret_code": str(code),
            "Traceid": secrets.token_hex(16),
        }
        if allowance is not None:
            headers |= allowance.headers()
        body = _body(code, message, result, ext or {}, now_ms)
        return web.Response(
            body=orjson.dumps(body), content_type="application/json", headers=headers
        )

    def _banned(self, request: web.Request) -> web.Response | None:
        """The refusal of an address that asks too often."""
        now_s = self._clock()[0]
        if now_s >= self.closed_until_s and self.addresses.allows(request.remote or "", now_s):
            return None
        self._counters["refused_addresses"] += 1
        return web.Response(status=403, text="access too frequent")

    def _public(self, read: MarketReader) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            banned = self._banned(request)
            if banned is not None:
                return banned
            if await request.read():
                return web.Response(status=403, text="GET with a body")
            try:
                return self._envelope(0, "OK", read(request.query, self._clock()[1]))
            except VenueError as e:
                return self._envelope(e.code, e.message, {})

        return handle

    # Signed requests.

    def _identify(self, request: web.Request, payload: bytes) -> ApiKey | web.Response:
        """Whose request it is; a response is the refusal."""
        banned = self._banned(request)
        if banned is not None:
            return banned
        if self.http_errors:
            return self.http_errors.popleft().response()
        if not request.headers.get("X-BAPI-API-KEY") or not request.headers.get("X-BAPI-SIGN"):
            refusal = self._envelope(BAD_KEY, "API key is missing.", {})
            refusal.set_status(401)
            return refusal
        if self.key_errors:
            return self._envelope(*self.key_errors.popleft(), {})
        try:
            return self._keys.check_rest(request.headers, payload, self._clock()[1])
        except VenueError as e:
            self._counters["refused_credentials"] += 1
            return self._envelope(e.code, e.message, {})

    def _rate_limited(self, allowance: Allowance) -> web.Response:
        return self._envelope(RATE_LIMITED, TOO_MANY_VISITS, {}, allowance=allowance)

    def _signed(self, path: str, read: Reader) -> Handler:
        def read_account(key: ApiKey, query: Query, now_ms: int) -> Json:
            return read(self._venue.account(key.account), query, now_ms)

        return self._keyed(path, read_account)

    def _keyed(self, path: str, read: Callable[[ApiKey, Query, int], Json]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            if await request.read():
                return web.Response(status=403, text="GET with a body")
            payload = request.raw_path.partition("?")[2].encode()
            key = self._identify(request, payload)
            if isinstance(key, web.Response):
                return key
            allowance = self._desk.take(key, path, request.query.get("category", ""))
            if not allowance.allowed:
                return self._rate_limited(allowance)
            try:
                result = read(key, request.query, self._clock()[1])
            except VenueError as e:
                return self._envelope(e.code, e.message, {}, allowance=allowance)
            return self._spoil(self._envelope(0, "OK", result, allowance=allowance))

        return handle

    def _spoil(self, response: web.Response) -> web.Response:
        """Fault: the answer as something breaks it on its way."""
        return SPOILT[self.spoilt.popleft()](response) if self.spoilt else response

    def _query_api(self, key: ApiKey, query: Query, now_ms: int) -> Json:
        return api_key_info(key, self._venue.account(key.account).uid)

    # Requests with a body.

    def _post(self, run: Callable[[ApiKey, Json], Outcome], *, order: str = "") -> Handler:
        async def handle(request: web.Request) -> web.Response:
            payload = await request.read()
            faults = self.faults
            if order and faults.slow_in_s:
                await asyncio.sleep(faults.slow_in_s)
            key = self._identify(request, payload)
            if isinstance(key, web.Response):
                return key
            try:
                params = orjson.loads(payload)
            except orjson.JSONDecodeError:
                params = None
            if not isinstance(params, dict):
                return self._envelope(
                    PARAMETER_ERROR, "params error: the body must be a JSON object", {}
                )
            what = kind_of(order)
            late_s = faults.delay_for(what)
            if late_s is not None:
                asyncio.get_running_loop().call_later(late_s, run, key, params)
            if late_s is not None or faults.loses_request(what):
                return await self._unanswered(request, "cut")
            outcome = run(key, params)
            if order and faults.slow_out_s:
                await asyncio.sleep(faults.slow_out_s)
            loss = faults.loss_for(what) if outcome.code == 0 else ""
            if loss:
                return await self._unanswered(request, loss)
            return self._spoil(
                self._envelope(
                    outcome.code,
                    outcome.message,
                    outcome.result,
                    ext=outcome.ext,
                    allowance=outcome.allowance,
                )
            )

        return handle

    async def _unanswered(self, request: web.Request, how: str) -> web.Response:
        """Break the connection, or hold it until the other side gives up."""
        over_s = self._clock()[0] + SILENCE_S_MAX
        while how == "silent" and self._clock()[0] < over_s:
            if request.transport is None or request.transport.is_closing():
                break
            await asyncio.sleep(0.02)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # nobody is there to read it

    def _order(self, operation: str) -> Handler:
        return self._post(lambda key, params: self._desk.run(key, operation, params),
                          order=operation)  # fmt: skip

    def _changed(
        self,
        key: ApiKey,
        allowed: bool,
        endpoint: str,
        params: Json,
        change: Callable[[int, Json, int], Json],
    ) -> Outcome:
        if not allowed:
            return Outcome(PERMISSION_DENIED, "Permission denied, please check your API key "
                           "permissions.", {}, {})  # fmt: skip
        allowance = self._desk.take(key, endpoint, str(params.get("category", "")))
        if not allowance.allowed:
            return Outcome(RATE_LIMITED, TOO_MANY_VISITS, {}, {}, allowance)
        try:
            result = change(key.account, params, self._clock()[1])
        except VenueError as e:
            return Outcome(e.code, e.message, {}, {}, allowance)
        finally:
            self._after_orders()
        return Outcome(0, "OK", result, {}, allowance)

    def _cancel_all(self, key: ApiKey, params: Json) -> Outcome:
        def cancel(account: int, params: Json, now_ms: int) -> Json:
            orders = self._venue.cancel_all(account, params, now_ms)
            rows = [{"orderId": o.order_id, "orderLinkId": o.link_id} for o in orders]
            return {"list": rows, "success": "1"}

        allowed = key.may_trade(str(params.get("category", "")))
        return self._changed(key, allowed, "order.cancel-all", params, cancel)

    def _setting(self, path: str, change: Setter) -> Handler:
        return self._post(lambda key, params: self._set(key, path, change, params))

    def _set(self, key: ApiKey, path: str, change: Setter, params: Json) -> Outcome:
        def set_it(account: int, params: Json, now_ms: int) -> Json:
            change(account, params, now_ms)
            return {}

        return self._changed(key, key.may_set_positions, path, params, set_it)


def _body(code: int, message: str, result: Json, ext: Json, now_ms: int) -> Json:
    """The envelope of every answer."""
    return {
        "retCode": code,
        "retMsg": message,
        "result": result,
        "retExtInfo": ext,
        "time": now_ms,
    }
