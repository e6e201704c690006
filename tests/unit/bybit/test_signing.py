"""Signatures against vectors computed once, outside this code, with made-up keys."""

from __future__ import annotations

import pytest

from fastbook.bybit.signing import sign_rest, sign_ws

KEY = "DEMOKEY0000000001"
SECRET = b"demo-secret-0123456789abcdef"
TS_MS = 1700000000000
CREATE = (
    b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001",'
    b'"price":"30000.5","timeInForce":"PostOnly","positionIdx":0,"orderLinkId":"mm-0001"}'
)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (
            b"category=linear&symbol=BTCUSDT&limit=1",
            "5cfc166ca130309a01f3f6334394fddba6433fea7b0b154d724319ae4bd92351",
        ),
        (CREATE, "917319e6b01073bf5658b19ebff240be645bedde451663d7d3ef61c5be059a7a"),
        (
            CREATE.replace(b":", b": ").replace(b",", b", "),
            "26bd1015fae8d139b72b36e05ffdf088d4522309636352ea0f2345803d561e4a",
        ),
        (b"", "f431bcfe8bd2714c9fb20d7d646dd54cdcd2a10f82bda30b82985bbce95bdb35"),
    ],
    ids=["get", "post", "post with white space", "get without query"],
)
def test_rest_signature(payload: bytes, signature: str) -> None:
    assert sign_rest(SECRET, TS_MS, KEY, 5000, payload) == signature


def test_socket_signature() -> None:
    expected = "92e108ad227c8dbeee4b080cda6e6512fb06c80e30d40401e911ba711950d12f"
    assert sign_ws(SECRET, 1700000010000) == expected
