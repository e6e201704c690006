"""The trade stream: orders over a WebSocket, answered by `reqId`."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from fastbook.errors import VenueError
from fastbook.replay.intake import PARAMETER_ERROR

from .auth import BAD_KEY, EXPIRED, Keys
from .desk import OPERATIONS, OrderDesk, Outcome
from .keys import PERMISSION_DENIED, ApiKey
from .limits import AddressLimit
from .options import CATEGORIES
from .order_faults import FAULTS_MAX, kind_of
from .sessions import Session, SessionHost

REPEATED_AUTH = 20001
DUPLICATE_REQ_ID = 20006
NOT_FOUND = 10404
TOO_MANY_REQUESTS = 10403
REQ_ID_CHARS_MAX = 36
REQ_IDS_MAX = 100_000  # remembered by one connection; the oldest are forgotten
REQUESTS_PER_S_MAX = 3000  # of one address


class TradeExchange(SessionHost):
    """All trade connections."""

    def __init__(
        self,
        keys: Keys,
        desk: OrderDesk,
        counters: Counter[str],
        clock: Callable[[], tuple[float, int]],
        *,
        queue_max: int,
        idle_timeout_s: float,
    ) -> None:
        super().__init__(
            "trade", keys, counters, clock, queue_max=queue_max, idle_timeout_s=idle_timeout_s
        )
        self.desk = desk
        self.addresses = AddressLimit(REQUESTS_PER_S_MAX, 1.0)
        # Faults: the gateway's answers to the next requests, and whether they name the request.
        self.gateway_errors: deque[tuple[int, str, bool]] = deque(maxlen=FAULTS_MAX)

    def stray(self, count: int) -> int:
        """Fault: answers to requests that nobody made; how many connections heard them."""
        for session in list(self.sessions):
            for number in range(count):
                session.send(
                    {
                        "reqId": f"stray-{number}", "retCode": 0, "retMsg": "OK",
                        "op": "order.create", "data": {"orderId": "stray", "orderLinkId": ""},
                        "retExtInfo": {}, "header": {}, "connId": session.conn_id,
                    }
                )  # fmt: skip
        return len(self.sessions)

    def make_session(self, socket: web.WebSocketResponse, request: web.Request) -> Session:
        return TradeSession(self, socket, request)


class TradeSession(Session):
    """One connection of one key, after `auth`."""

    def __init__(
        self, exchange: TradeExchange, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        super().__init__(exchange, socket, request)
        self._exchange = exchange
        self._key: ApiKey | None = None
        self._req_ids: dict[str, None] = {}

    # Answers. Names are in camel case here, unlike on the other streams.

    def refuse_malformed(self) -> None:
        self._refuse({}, PARAMETER_ERROR, "params error: not a JSON object")

    def _head(self, request: dict[str, Any], code: int, message: str) -> dict[str, Any]:
        req_id, op = request.get("reqId"), request.get("op")
        head = {"reqId": req_id} if isinstance(req_id, str) and req_id else {}
        return head | {"retCode": code, "retMsg": message, "op": op if isinstance(op, str) else ""}

    def _refuse(self, request: dict[str, Any], code: int, message: str) -> None:
        """An answer of the gateway: without header and data."""
        self._exchange.counters[f"trade_{code}"] += 1
        self.send(self._head(request, code, message) | {"connId": self.conn_id})

    def _answer(self, request: dict[str, Any], outcome: Outcome) -> None:
        if outcome.gateway:
            self._refuse(request, outcome.code, outcome.message)
            return
        self._exchange.counters[f"trade_{outcome.code}"] += 1
        header = outcome.allowance.headers() if outcome.allowance is not None else {}
        self.send(
            self._head(request, outcome.code, outcome.message)
            | {
                "data": outcome.result,
                "retExtInfo": outcome.ext,
                "header": header
                | {"Traceid": secrets.token_hex(16), "Timenow": str(self._exchange.now_ms())},
                "connId": self.conn_id,
            }
        )

    # Requests.

    def take(self, request: dict[str, Any]) -> None:
        op = request.get("op")
        if op == "ping":
            if not self._exchange.mute_pongs:
                pong = self._head(request, 0, "OK") | {"op": "pong"}
                now = [str(self._exchange.now_ms())]
                self.send(pong | {"data": now, "connId": self.conn_id})
        elif op == "auth":
            self._authenticate(request)
        else:
            self._order(request)

    def _authenticate(self, request: dict[str, Any]) -> None:
        if self._key is not None:
            self._refuse(request, REPEATED_AUTH, "Repeat auth")
            return
        try:
            key = self._exchange.keys.check_ws(request.get("args"), self._exchange.now_ms())
        except VenueError as e:
            self._exchange.counters["refused_credentials"] += 1
            code = PARAMETER_ERROR if e.code == EXPIRED else e.code
            self._refuse(request, code, e.message)
            return
        if key.read_only:
            self._refuse(request, PERMISSION_DENIED, "Permission denied for current apikey")
            return
        self._key = key
        if not self._exchange.loses_ack():
            self._refuse(request, 0, "OK")

    def _order(self, request: dict[str, Any]) -> None:
        try:
            key, operation, params = self._checked(request)
        except VenueError as e:
            self._refuse(request, e.code, e.message)
            return
        exchange = self._exchange
        if exchange.gateway_errors:
            code, message, named = exchange.gateway_errors.popleft()
            self._refuse(request if named else {"op": operation}, code, message)
            return
        faults = exchange.desk.faults
        what = kind_of(operation)
        late_s = faults.delay_for(what)
        if late_s is not None:
            asyncio.get_running_loop().call_later(late_s, exchange.desk.run, key, operation, params)
        if late_s is not None or faults.loses_request(what):
            self.drop()
        elif faults.slow_in_s:
            loop = asyncio.get_running_loop()
            loop.call_later(faults.slow_in_s, self._carry_out, request, key, operation, params)
        else:
            self._carry_out(request, key, operation, params)

    def _carry_out(
        self, request: dict[str, Any], key: ApiKey, operation: str, params: dict[str, Any]
    ) -> None:
        exchange = self._exchange
        faults = exchange.desk.faults
        outcome = exchange.desk.run(key, operation, params)
        loss = faults.loss_for(kind_of(operation)) if outcome.code == 0 else ""
        if loss:
            if loss == "cut":
                self.drop()
        elif faults.slow_out_s:
            loop = asyncio.get_running_loop()
            loop.call_later(faults.slow_out_s, self._answer, request, outcome)
        else:
            self._answer(request, outcome)

    def _checked(self, request: dict[str, Any]) -> tuple[ApiKey, str, dict[str, Any]]:
        """What the gateway checks before the trading service sees a request."""
        exchange = self._exchange
        req_id, op, args = request.get("reqId"), request.get("op"), request.get("args")
        if req_id is not None and not (isinstance(req_id, str) and len(req_id) <= REQ_ID_CHARS_MAX):
            raise VenueError(PARAMETER_ERROR, "params error: reqId invalid")
        if self._key is None:
            raise VenueError(BAD_KEY, "Request not authorized")
        if not isinstance(op, str) or op not in OPERATIONS:
            raise VenueError(NOT_FOUND, "op not found")
        if not exchange.addresses.allows(self.peer, exchange.clock()[0]):
            raise VenueError(TOO_MANY_REQUESTS, "IP rate limit exceeded")
        if req_id:
            if req_id in self._req_ids:
                raise VenueError(DUPLICATE_REQ_ID, "Duplicate reqId")
            self._req_ids[req_id] = None
            if len(self._req_ids) > REQ_IDS_MAX:
                del self._req_ids[next(iter(self._req_ids))]
        header = request.get("header")
        exchange.keys.check_stamp(header if isinstance(header, dict) else {}, exchange.now_ms())
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise VenueError(PARAMETER_ERROR, "params error: args must be one object")
        if args[0].get("category") not in CATEGORIES:
            raise VenueError(NOT_FOUND, "category not found")
        return self._key, op, args[0]
