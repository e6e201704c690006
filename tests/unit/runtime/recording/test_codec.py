"""Values to JSON and back."""

from __future__ import annotations

import math
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook import types
from fastbook.errors import FastbookError
from fastbook.runtime.config import parse
from fastbook.runtime.config.written import config_text
from fastbook.runtime.recording.codec import from_plain, to_plain

INTS = st.integers(-(2**63), 2**63 - 1)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=8)

EXECUTIONS = st.builds(types.Execution, instrument=INTS, px=INTS, qty=INTS, fee=MONEY, ts_ms=INTS)
EVENTS = EXECUTIONS | st.builds(
    types.OrderUpdate, instrument=INTS, px=INTS, qty=INTS, cum_qty=INTS, updated_ms=INTS
)


@given(event=EVENTS | st.builds(types.Control))
def test_events_come_back_as_they_were(event: object) -> None:
    assert from_plain(orjson.loads(orjson.dumps(to_plain(event)))) == event


def test_numbers_that_json_does_not_have() -> None:
    plain = orjson.loads(orjson.dumps(to_plain([math.nan, math.inf, 0.1, Decimal("1.10")])))
    nan, infinite, tenth, exact = from_plain(plain)
    assert math.isnan(nan)
    assert (infinite, tenth, str(exact)) == (math.inf, 0.1, "1.10")


@pytest.mark.parametrize(
    "plain",
    [
        {"type": "Popen", "with": {}},
        {"type": "Any", "with": {}},
        {"type": "Execution", "with": {"px": 1}},
        {"enum": "Side", "is": 7},
        {"dec": "one"},
        {"what": 1},
    ],
)
def test_nothing_else_is_made(plain: object) -> None:
    with pytest.raises(FastbookError):
        from_plain(plain)


def test_a_configuration_is_kept_without_passwords() -> None:
    text = """
[venue]
environment = "simulator"
rest_url = "http://127.0.0.1:1"
ws_public_url = "ws://127.0.0.1:1/v5/public"
ws_private_url = "ws://127.0.0.1:1/v5/private"
[market_data]
symbols = ["BTCUSDT", "ETHUSDT"]
stale_after_s = 2.5
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
"""
    environ = {"FASTBOOK__CACHE__URL": "redis://user:secret@127.0.0.1:6379"}
    config = parse(text, name="t", environ=environ)
    kept = config_text(config)
    assert "secret" not in kept
    again = parse(kept, name="kept", environ={})
    assert (again.venue, again.market_data, again.risk) == (
        *(config.venue, config.market_data, config.risk),
    )
