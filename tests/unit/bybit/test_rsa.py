"""RSA signatures against the exchange's own check, which shares no code with them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fastbook.bybit.signing import sign_rest, sign_ws
from fastbook.errors import CredentialsError
from fastbook.runtime.config import parse
from fastbook.runtime.config.credentials import load_credentials
from fastbook.runtime.simulator.rsa import read_public_key


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_the_exchange_takes_them(key: rsa.RSAPrivateKey) -> None:
    public = read_public_key(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )
    signed = sign_rest(pem_of(key), 1_700_000_000_000, "KEY", 5_000, b'{"a":1}')
    assert len(signed) == 344
    assert public.verifies(b'1700000000000KEY5000{"a":1}', signed)
    assert not public.verifies(b'1700000000000KEY5000{"a":2}', signed)
    assert public.verifies(b"GET/realtime123", sign_ws(pem_of(key), 123))


def test_what_is_no_rsa_key() -> None:
    for secret in (
        b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n",
        pem_of(ec.generate_private_key(ec.SECP256R1())),
    ):
        with pytest.raises(CredentialsError, match="RSA secret") as caught:
            sign_ws(secret, 1)
        assert "nonsense" not in str(caught.value)


def test_from_the_environment(key: rsa.RSAPrivateKey) -> None:
    config = parse('[market_data]\nsymbols = ["BTCUSDT"]', name="c", environ={})
    pem = pem_of(key).decode()
    environ = {"FASTBOOK_API_KEY": "abc", "FASTBOOK_API_SECRET": pem}
    found = load_credentials(config, environ)
    assert found is not None
    assert found.api_secret.reveal() == pem
    assert environ == {}
    public = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----"
    with pytest.raises(CredentialsError, match="not a private key"):
        load_credentials(config, {"FASTBOOK_API_KEY": "abc", "FASTBOOK_API_SECRET": public})
