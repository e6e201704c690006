"""One call of the REST API: signing, the envelope, and what an answer means as an error.

Reads are repeated with backoff; a POST goes out once, because whether it was executed is
for the caller to find out. The only exception is an answer that proves it was not (10002,
timestamp outside the window): then the clock is measured and the same body signed again, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from fastbook.bybit.codes import RATE_LIMIT, TIME_WINDOW, Outcome, classify
from fastbook.bybit.limits import Ask
from fastbook.bybit.signing import sign_rest
from fastbook.clock import Clock
from fastbook.errors import CredentialsError, TransportError, VenueError

from ..config import Credentials
from .pacer import Pacer, said_of_limits
from .transport import HttpAnswer, HttpExchange
from .venue_time import VenueTime

JSON_DEPTH_MAX = 64
BLOCK_S = 600.0
"""All REST is silent this long after an HTTP 403: the venue's own rule for this address."""

READ_ATTEMPTS = 3
BACKOFF_BASE_S = 0.2
BACKOFF_CAP_S = 2.0
_TEXT_MAX = 200
_REGION_BYTES = 2_000
_REGION_WORDS = (b"country", b"region", b"restricted", b"jurisdiction")

JsonObject = dict[str, Any]  # Any: JSON from outside; each value is checked when it is read


@dataclass(frozen=True, slots=True)
class Answer:
    """An envelope whose retCode was 0."""

    result: JsonObject
    time_ms: int  # the venue's clock; 0 when the envelope has none
    ext: JsonObject = field(default_factory=dict)  # `retExtInfo`: the codes of a batch's rows


class RestCaller:
    """Calls paths of one host. Counts in `calls`, `retries`, `resigned`, `rate_limited`."""

    def __init__(
        self,
        http: HttpExchange,
        credentials: Credentials | None,
        clock: Clock,
        venue_time: VenueTime,
        *,
        recv_window_ms: int,
        rng: Random,
        pacer: Pacer,
        resync: Callable[[], Awaitable[None]],
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._clock = clock
        self._venue_time = venue_time
        self._recv_window_ms = recv_window_ms
        self._rng = rng
        self._pacer = pacer
        self._resync = resync
        self._blocked_until_ns = 0
        self.calls = 0
        self.retries = 0
        self.resigned = 0
        self.rate_limited = 0

    @property
    def blocked_s(self) -> float:
        """Seconds that all REST still has to stay silent; 0.0 = it may speak."""
        return max(0, self._blocked_until_ns - self._clock.monotonic_ns()) / 1e9

    async def get(self, path: str, query: str = "", *, signed: bool = False) -> Answer:
        """Read `path`. Repeats what may succeed the next time, a bounded number of times.

        Raises `TransportError`, `VenueError` or `CredentialsError`.
        """
        request = _Request("GET", path, query)
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                return await self._call(request, signed=signed)
            except (TransportError, VenueError) as e:
                again = e.retryable if isinstance(e, TransportError) else _may_read_again(e.code)
                if attempt == READ_ATTEMPTS or not again or self.blocked_s:
                    raise
            self.retries += 1
            jitter_s = self._rng.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt))
            await asyncio.sleep(jitter_s)
        raise AssertionError("unreachable")

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        units: int = 1,
        urgent: bool = False,
        not_after_ns: int | None = None,
    ) -> Answer:
        """Send `body`, once. Raises as `get`; after `TransportError` the outcome is unknown.

        `units` of the rate limit; what is `urgent` may use the part kept for it. Nothing leaves
        after `not_after_ns` (monotonic), also not a second time: then the error has `sent` False.
        """
        request = _Request("POST", path, "", body, units, urgent, not_after_ns)
        return await self._call(request, signed=True)

    async def _call(self, request: _Request, *, signed: bool) -> Answer:
        try:
            return await self._once(request, signed=signed)
        except VenueError as e:
            if not signed or e.code not in TIME_WINDOW:
                raise
        self.resigned += 1
        try:
            await self._resync()
        except TransportError as e:
            # The refusal was proof; that the clock could not be measured takes nothing from it.
            raise TransportError(str(e), sent=False, status=e.status) from e
        return await self._once(request, signed=signed)

    async def _once(self, request: _Request, *, signed: bool) -> Answer:
        self._check_blocked(request)
        ask = Ask(request.path, units=request.units, urgent=request.urgent)
        permit = await self._pacer.permit(ask, request.not_after_ns)
        try:
            self._check_blocked(request)  # perhaps only since this one waits
            headers = {"Content-Type": "application/json"} if request.body is not None else {}
            if signed:
                # The stamp is taken last: a request that waited here would expire there.
                headers |= self._signature(request.payload)
            self.calls += 1
            http = await self._http.exchange(request.method, request.target, headers, request.body)
        finally:
            permit.done(self._clock.monotonic_ns())
        return self._answer(http, request, ask)

    def _check_blocked(self, request: _Request) -> None:
        if blocked_s := self.blocked_s:
            raise TransportError(
                f"{request.name}: REST stays silent for {blocked_s:.0f} s more after HTTP 403",
                sent=False,
                status=403,
            )

    def _signature(self, payload: bytes) -> dict[str, str]:
        if self._credentials is None:
            raise CredentialsError("this call needs FASTBOOK_API_KEY and FASTBOOK_API_SECRET")
        key = self._credentials.api_key.reveal()
        secret = self._credentials.api_secret.reveal().encode()
        ts_ms = self._venue_time.now_ms()
        return {
            "X-BAPI-API-KEY": key,
            "X-BAPI-TIMESTAMP": str(ts_ms),
            "X-BAPI-RECV-WINDOW": str(self._recv_window_ms),
            "X-BAPI-SIGN": sign_rest(secret, ts_ms, key, self._recv_window_ms, payload),
        }

    def _answer(self, http: HttpAnswer, request: _Request, ask: Ask) -> Answer:
        name = request.name
        envelope = _envelope(http.body) if http.status == 200 else None
        code = http.status if envelope is None else envelope["retCode"]
        self.rate_limited += code in RATE_LIMIT
        said = said_of_limits(http.headers, self._venue_time.now_ms())
        self._pacer.answered(ask, code, *said)
        if http.status == 403:
            self._blocked_until_ns = self._clock.monotonic_ns() + int(BLOCK_S * 1e9)
            if _names_region(http.body):
                # Waiting will not help: it is where we ask from.
                raise CredentialsError(f"{name}: HTTP 403: refused to this region", code=403)
            raise TransportError(f"{name}: HTTP 403: all REST stops for 10 minutes", status=403)
        if http.status == 401:
            raise CredentialsError(f"{name}: HTTP 401: key or signature refused", code=401)
        if envelope is None:
            what = "answer is not an envelope" if http.status == 200 else f"HTTP {http.status}"
            raise TransportError(f"{name}: {what}", status=http.status)
        return accepted(envelope, name)


def path_of(op: str) -> str:
    """The path of an order operation: "order.create-batch" -> "/v5/order/create-batch"."""
    return "/v5/" + op.replace(".", "/")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: str
    body: bytes | None = None
    units: int = 1
    urgent: bool = False
    not_after_ns: int | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def payload(self) -> bytes:
        """What is signed."""
        return self.query.encode() if self.body is None else self.body


def accepted(envelope: JsonObject, name: str) -> Answer:
    """The answer that an envelope is; raises `CredentialsError` or `VenueError` for a no."""
    code = envelope["retCode"]
    outcome = classify(code)
    if outcome is not Outcome.ACCEPTED:
        text = _clean(envelope.get("retMsg"))
        if outcome is Outcome.AUTH:
            raise CredentialsError(f"{name}: {code} {text}", code=code)
        raise VenueError(code, text, request=name)
    time_ms = envelope.get("time")
    return Answer(
        _object(envelope.get("result")),
        time_ms if type(time_ms) is int else 0,
        _object(envelope.get("retExtInfo")),
    )


def _names_region(body: bytes) -> bool:
    text = body[:_REGION_BYTES].lower()
    return b"too frequent" not in text and any(word in text for word in _REGION_WORDS)


def _may_read_again(code: int) -> bool:
    return classify(code) in (Outcome.UNKNOWN, Outcome.RETRY_SAFE) and code not in TIME_WINDOW


def _envelope(body: bytes) -> JsonObject | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or type(value.get("retCode")) is not int:
        return None
    return None if _deeper_than(value, JSON_DEPTH_MAX) else value


def _deeper_than(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)  # type: ignore[attr-defined]  # only containers get here
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _clean(text: object) -> str:
    """A venue's text is somebody else's: no control characters, and not for ever."""
    if not isinstance(text, str):
        return ""
    return "".join(c if c.isprintable() else "?" for c in text[:_TEXT_MAX])
