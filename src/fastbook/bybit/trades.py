"""Public trades of one frame -> `Trade` values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastbook.core.fixed import parse_fixed
from fastbook.errors import FixedPointError, WireError
from fastbook.types import Instrument, Side, Trade

_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


def parse_trades(message: Mapping[str, Any], by_symbol: Mapping[str, Instrument]) -> list[Trade]:
    """The trades of one ``publicTrade`` message, in its order; other symbols' are left out.

    Any: JSON that the decoder has found sound. Raises WireError when a number cannot be held
    exactly at the instrument's scales.
    """
    trades = []
    for row in message["data"]:
        instrument = by_symbol.get(row["s"])
        if instrument is None:
            continue
        try:
            px = parse_fixed(row["p"], instrument.price_scale)
            qty = parse_fixed(row["v"], instrument.qty_scale)
        except FixedPointError as e:
            raise WireError(str(e), topic=str(message["topic"])) from None
        ts_ms, seq = row.get("T"), row.get("seq")
        trades.append(
            Trade(
                instrument.index,
                _SIDES[row["S"]],
                px,
                qty,
                ts_ms if isinstance(ts_ms, int) else 0,
                row["i"],
                seq if isinstance(seq, int) else 0,
            )
        )
    return trades
