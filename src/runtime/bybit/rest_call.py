"""One call of the REST API: signing, the envelope, and what an answer means as an error.

Reads are repeated with backoff; a POST goes out once, because whether it was executed is
for the caller to find out. The only exception is an answer that proves it was not (10002,
timestamp outside the window): then the clock is measured and the same body signed again, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from fastbook.bybit.codes import RATE_LIMIT, TIME_WINDOW, Outcome, classify
from fastbook.bybit.signing import sign_rest
from fastbook.clock import Clock
from fastbook.errors import CredentialsError, TransportError, VenueError

from ..config import Credentials
from .transport import HttpAnswer, HttpExchange
from .venue_time import VenueTime

JSON_DEPTH_MAX = 64
BLOCK_S = 600.0
"""All REST is silent this long after an HTTP 403: the venue's own rule for this address."""

READ_ATTEMPTS = 3
BACKOFF_BASE_S = 0.2
BACKOFF_CAP_S = 2.0
RATE_PAUSE_S_MAX = 1.0
_TEXT_MAX = 200

JsonObject = dict[str, Any]  # Any: JSON from outside; each value is checked when it is read


@dataclass(frozen=True, slots=True)
class Answer:
    """An envelope whose retCode was 0."""

    result: JsonObject
    time_ms: int  # the venue's clock; 0 when the envelope has none


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the venue last said of one endpoint."""

    limit: int
    remaining: int
    reset_ms: int


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
        resync: Callable[[], Awaitable[None]],
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._clock = clock
        self._venue_time = venue_time
        self._recv_window_ms = recv_window_ms
        self._rng = rng
        self._resync = resync
        self._blocked_until_ns = 0
        self._paused_until_ms: dict[str, int] = {}  # bounded: one entry a path, paths are fixed
        self.rate_limits: dict[str, RateLimit] = {}
        self.calls = 0
        self.retries = 0
        self.resigned = 0
        self.rate_limited = 0

    @property
    def blocked_s(self) -> float:
        """Seconds that all REST still has to stay silent; 0.0 = it may speak."""
        return max(0, self._blocked_until_ns - self._clock.monotonic_ns()) / 1e9

    def pause_s(self, path: str) -> float:
        """Seconds to wait before `path` after the venue said "too often"; at most one."""
        left_s = (self._paused_until_ms.get(path, 0) - self._venue_time.now_ms()) / 1000
        return min(max(0.0, left_s), RATE_PAUSE_S_MAX)

    async def get(self, path: str, query: str = "", *, signed: bool = False) -> Answer:
        """Read `path`. Repeats what may succeed the next time, a bounded number of times.

        Raises `TransportError`, `VenueError` or `CredentialsError`.
        """
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                return await self._call("GET", path, query, None, signed=signed)
            except (TransportError, VenueError) as e:
                again = e.retryable if isinstance(e, TransportError) else _may_read_again(e.code)
                if attempt == READ_ATTEMPTS or not again or self.blocked_s:
                    raise
            self.retries += 1
            jitter_s = self._rng.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt))
            await asyncio.sleep(max(jitter_s, self.pause_s(path)))
        raise AssertionError("unreachable")

    async def post(self, path: str, body: bytes) -> Answer:
        """Send `body`, once. Raises as `get`; after `TransportError` the outcome is unknown."""
        return await self._call("POST", path, "", body, signed=True)

    async def _call(
        self, method: str, path: str, query: str, body: bytes | None, *, signed: bool
    ) -> Answer:
        try:
            return await self._once(method, path, query, body, signed=signed)
        except VenueError as e:
            if not signed or e.code not in TIME_WINDOW:
                raise
        self.resigned += 1
        try:
            await self._resync()
        except TransportError as e:
            # The refusal was proof; that the clock could not be measured takes nothing from it.
            raise TransportError(str(e), sent=False, status=e.status) from e
        return await self._once(method, path, query, body, signed=signed)

    async def _once(
        self, method: str, path: str, query: str, body: bytes | None, *, signed: bool
    ) -> Answer:
        if blocked_s := self.blocked_s:
            raise TransportError(
                f"{method} {path}: REST stays silent for {blocked_s:.0f} s more after HTTP 403",
                sent=False,
                status=403,
            )
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if signed:
            # The stamp is taken last: a request that waited here would expire there.
            headers |= self._signature(query.encode() if body is None else body)
        self.calls += 1
        target = f"{path}?{query}" if query else path
        http = await self._http.exchange(method, target, headers, body)
        self._note_rate_limit(path, http.headers)
        return self._answer(http, f"{method} {path}", path)

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

    def _answer(self, http: HttpAnswer, name: str, path: str) -> Answer:
        if http.status == 403:
            self._blocked_until_ns = self._clock.monotonic_ns() + int(BLOCK_S * 1e9)
            raise TransportError(f"{name}: HTTP 403: all REST stops for 10 minutes", status=403)
        if http.status == 401:
            raise CredentialsError(f"{name}: HTTP 401: key or signature refused", code=401)
        envelope = _envelope(http.body) if http.status == 200 else None
        if envelope is None:
            what = "answer is not an envelope" if http.status == 200 else f"HTTP {http.status}"
            raise TransportError(f"{name}: {what}", status=http.status)
        code = envelope["retCode"]
        text = _clean(envelope.get("retMsg"))
        if code in RATE_LIMIT:
            self._note_refusal(path)
        outcome = classify(code)
        if outcome is Outcome.AUTH:
            raise CredentialsError(f"{name}: {code} {text}", code=code)
        if outcome is not Outcome.ACCEPTED:
            raise VenueError(code, text, request=name)
        time_ms = envelope.get("time")
        return Answer(_object(envelope.get("result")), time_ms if type(time_ms) is int else 0)

    def _note_rate_limit(self, path: str, headers: Mapping[str, str]) -> None:
        names = ("x-bapi-limit", "x-bapi-limit-status", "x-bapi-limit-reset-timestamp")
        values = [headers.get(name, "") for name in names]
        if all(v.isdecimal() and len(v) <= 18 for v in values):
            self.rate_limits[path] = RateLimit(*map(int, values))

    def _note_refusal(self, path: str) -> None:
        self.rate_limited += 1
        now_ms = self._venue_time.now_ms()
        limit = self.rate_limits.get(path)
        reset_ms = limit.reset_ms if limit is not None else 0
        self._paused_until_ms[path] = max(reset_ms, now_ms + 50) + self._rng.randrange(50)


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
