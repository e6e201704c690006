"""Signatures of REST requests and of socket authentication: HMAC, or RSA where the secret is a key.

Sign the bytes that are sent, and send the bytes that were signed: a body serialised twice
or a query encoded twice gives another signature (retCode 10004).
"""

from __future__ import annotations

import hashlib
import hmac

from fastbook.bybit.rsa import PEM_BEGINS, sign_rsa


def sign_rest(secret: bytes, ts_ms: int, key: str, recv_window_ms: int, payload: bytes) -> str:
    """Signature of one REST request: 64 lower-case hex digits (HMAC) or base64 (RSA).

    `payload` is, byte for byte as sent, the text after ``?`` of a GET (empty if none) or the
    body of a POST.
    """
    text = b"%d%s%d" % (ts_ms, key.encode("ascii"), recv_window_ms) + payload
    return sign(secret, text)


def sign_ws(secret: bytes, expires_ms: int) -> str:
    """Signature of the `auth` request of a private or trade connection.

    `expires_ms` lies in the future by the venue's clock; the request carries the same number.
    """
    return sign(secret, b"GET/realtime%d" % expires_ms)


def sign(secret: bytes, text: bytes) -> str:
    """By HMAC-SHA-256 in hex; where `secret` is a private key in PEM, by RSA in base64."""
    if secret.startswith(PEM_BEGINS):
        return sign_rsa(secret, text)
    return hmac.new(secret, text, hashlib.sha256).hexdigest()
