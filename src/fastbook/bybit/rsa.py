"""RSA signatures, for keys whose secret half the venue never had. Needs the extra `rsa`."""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING

from fastbook.errors import CredentialsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

PEM_BEGINS = b"-----BEGIN"
BITS_MIN = 2048


def sign_rsa(pem: bytes, text: bytes) -> str:
    """RSASSA-PKCS1-v1_5 with SHA-256, base64. About half a millisecond with 2,048 bits.

    Raises `CredentialsError` when `pem` is not a private RSA key without a password.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return base64.b64encode(_load(pem).sign(text, PKCS1v15(), SHA256())).decode("ascii")


@functools.lru_cache(maxsize=4)  # the engine's, the watchdog's
def _load(pem: bytes) -> RSAPrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError:
        raise CredentialsError("RSA keys need: pip install 'fastbook-engine[rsa]'") from None
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as e:
        # Its text may quote what it could not read.
        raise CredentialsError(f"the RSA secret is no private key ({type(e).__name__})") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < BITS_MIN:
        raise CredentialsError(f"the RSA secret must be an RSA key of {BITS_MIN} bits or more")
    return key
