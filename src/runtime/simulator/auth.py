"""Signatures as an exchange checks them: over the bytes that came, with its own clock."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from fastbook.errors import VenueError

from .keys import ApiKey

EXPIRED = 10002
BAD_KEY = 10003
BAD_SIGN = 10004
RECV_WINDOW_DEFAULT_MS = 5000
_AHEAD_MAX_MS = 1000  # a client clock may be this far ahead, whatever its window
_DIGITS_MAX = 16


def _digest(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def _milliseconds(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
        return int(text)
    return None


class Keys:
    """The API keys that the exchange has given out."""

    def __init__(self, keys: Iterable[ApiKey], peer_ns: Callable[[], int] | None = None) -> None:
        """`peer_ns`: a second clock by which the stamps of requests may be right.

        It is that of the clients, where the exchange's own runs faster.
        """
        self._peer_ns = peer_ns
        self._by_key = {key.api_key: key for key in keys}
        self.auths_to_refuse = 0  # fault

    def check_rest(self, headers: Mapping[str, str], payload: bytes, now_ms: int) -> ApiKey:
        """The key that signed a request; `payload` is the raw query string or the raw body.

        Raises VenueError 10003 (unknown key), 10002 (outside the time window) or 10004
        (the signature is of something else).
        """
        name = headers.get("X-BAPI-API-KEY", "")
        key = self._by_key.get(name)
        if key is None:
            raise VenueError(BAD_KEY, "API key is invalid.")
        stamp, window = self.check_stamp(headers, now_ms)
        text = f"{stamp}{name}{window}".encode() + payload
        if not self._matches(key, text, headers.get("X-BAPI-SIGN", "")):
            raise VenueError(BAD_SIGN, "error sign! please check your signature generation")
        return key

    def check_stamp(self, headers: Mapping[str, object], now_ms: int) -> tuple[str, str]:
        """Time stamp and window of a request, as texts; VenueError 10002 outside the window."""
        stamp = str(headers.get("X-BAPI-TIMESTAMP", ""))
        window = str(headers.get("X-BAPI-RECV-WINDOW", ""))
        stamp_ms = _milliseconds(stamp)
        window_ms = _milliseconds(window) if window else RECV_WINDOW_DEFAULT_MS
        if (
            stamp_ms is None
            or window_ms is None
            or not any(
                now - window_ms <= stamp_ms < now + _AHEAD_MAX_MS for now in self._clocks(now_ms)
            )
        ):
            raise VenueError(
                EXPIRED,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
            )
        return stamp, window

    def check_ws(self, args: object, now_ms: int) -> ApiKey:
        """The key of a socket's `auth` request: [key, expires ms, signature].

        Raises VenueError with the text that the venue answers.
        """
        if self.auths_to_refuse > 0:
            self.auths_to_refuse -= 1
            raise VenueError(BAD_SIGN, "Sign error")
        if not isinstance(args, list) or len(args) != 3:
            raise VenueError(EXPIRED, "Params Error")
        name, expires, sign = args
        expires_ms = _milliseconds(str(expires)) if not isinstance(expires, bool) else None
        if expires_ms is None or expires_ms <= min(self._clocks(now_ms)):
            raise VenueError(EXPIRED, "Params Error")
        key = self._by_key.get(name) if isinstance(name, str) else None
        if key is None:
            raise VenueError(BAD_KEY, "API key is invalid.")
        if not isinstance(sign, str) or not self._matches(
            key, f"GET/realtime{expires_ms}".encode(), sign
        ):
            raise VenueError(BAD_SIGN, "Sign error")
        return key

    def _clocks(self, now_ms: int) -> tuple[int, ...]:
        return (now_ms,) if self._peer_ns is None else (now_ms, self._peer_ns() // 1_000_000)

    @staticmethod
    def _matches(key: ApiKey, text: bytes, sign: str) -> bool:
        if key.rsa is not None:
            return key.rsa.verifies(text, sign)
        return hmac.compare_digest(_digest(key.api_secret, text).encode(), sign.encode())
