"""Checking RSA signatures of API requests: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2.2).

Verification uses no secret and is one modular power, so the integers of Python are enough.
Nothing here signs, and nothing here is for protecting anything: the exchange is a test double.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from fastbook.errors import ConfigError

_BITS_MIN, _BITS_MAX = 2048, 8192
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # DigestInfo, RFC 8017, 9.2
_SEQUENCE, _INTEGER, _BIT_STRING = 0x30, 0x02, 0x03


@dataclass(frozen=True, slots=True)
class RsaPublicKey:
    modulus: int
    exponent: int

    def verifies(self, text: bytes, sign: str) -> bool:
        """Whether `sign`, base64, is this key's signature of `text`."""
        size = (self.modulus.bit_length() + 7) // 8
        try:
            raw = base64.b64decode(sign.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return False
        if len(raw) != size or int.from_bytes(raw) >= self.modulus:
            return False
        digest = _SHA256_INFO + hashlib.sha256(text).digest()
        wanted = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
        got = pow(int.from_bytes(raw), self.exponent, self.modulus).to_bytes(size)
        return hmac.compare_digest(got, wanted)


def read_public_key(pem: str) -> RsaPublicKey:
    """A PEM public key, PKCS#8 or PKCS#1. ConfigError when it is not an RSA key."""
    lines = [line.strip() for line in pem.strip().splitlines()]
    if len(lines) < 3 or "PUBLIC KEY" not in lines[0]:
        raise ConfigError("the RSA key must be a PEM public key")
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
        outer, _ = _take(der, _SEQUENCE)
        if outer[:1] == bytes((_SEQUENCE,)):  # PKCS#8: algorithm, then the key as a bit string
            _, rest = _take(outer, _SEQUENCE)
            bits, _ = _take(rest, _BIT_STRING)
            outer, _ = _take(bits[1:], _SEQUENCE)
        modulus, rest = _take(outer, _INTEGER)
        exponent, _ = _take(rest, _INTEGER)
    except (binascii.Error, ValueError) as e:
        raise ConfigError(f"the RSA key cannot be read: {e}") from None
    key = RsaPublicKey(int.from_bytes(modulus), int.from_bytes(exponent))
    if not _BITS_MIN <= key.modulus.bit_length() <= _BITS_MAX or key.exponent < 3:
        raise ConfigError(f"the RSA key must have {_BITS_MIN} to {_BITS_MAX} bits")
    return key


def _take(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first DER element, which must have this tag, and what follows it."""
    if len(der) < 2 or der[0] != tag:
        raise ValueError(f"no element {tag:#04x}")
    size, start = der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start])
    if start + size > len(der):
        raise ValueError("it is cut short")
    return der[start : start + size], der[start + size :]
