"""`/v5/asset/coin/query-info`: the coins of the exchange. None can be deposited or withdrawn."""

from __future__ import annotations

from collections.abc import Iterable

from fastbook.types import Instrument

from .market import Json


def coin_info(instruments: Iterable[Instrument], wanted: str) -> Json:
    """Every coin that is traded or settled in, or the one that was asked for."""
    coins = {coin: None for i in instruments for coin in (i.base, i.quote, i.settle) if coin}
    return {"rows": [_row(coin) for coin in coins if not wanted or coin == wanted]}


def _row(coin: str) -> Json:
    chain = {
        "chainType": coin,
        "confirmation": "1",
        "withdrawFee": "",
        "depositMin": "0",
        "withdrawMin": "0",
        "chain": coin,
        "chainDeposit": "0",
        "chainWithdraw": "0",
        "minAccuracy": "8",
        "withdrawPercentageFee": "0",
        "contractAddress": "",
        "safeConfirmNumber": "1",
    }
    return {"name": coin, "coin": coin, "remainAmount": "0", "chains": [chain]}
