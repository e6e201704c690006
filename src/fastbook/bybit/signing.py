"""HMAC of REST requests and of socket authentication.

Sign the bytes that are sent, and send the bytes that were signed: a body serialised twice
or a query encoded twice gives another signature (retCode 10004).
"""

from __future__ import annotations

import hashlib
import hmac


def sign_rest(secret: bytes, ts_ms: int, key: str, recv_window_ms: int, payload: bytes) -> str:
    """Signature of one REST request: 64 lower-case hex digits.

    `payload` is, byte for byte as sent, the text after ``?`` of a GET (empty if none) or the
    body of a POST.
    """
    text = b"%d%s%d" % (ts_ms, key.encode("ascii"), recv_window_ms) + payload
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


def sign_ws(secret: bytes, expires_ms: int) -> str:
    """Signature of the `auth` request of a private or trade connection.

    `expires_ms` lies in the future by the venue's clock; the request carries the same number.
    """
    return hmac.new(secret, b"GET/realtime%d" % expires_ms, hashlib.sha256).hexdigest()
