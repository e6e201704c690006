"""Our ledger against the exchange's own, to the last digit."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from .app import App
from .exchange_control import ExchangeControl

SETTLE_S_MAX = 3.0
POLL_S = 0.1


async def audit_against(app: App, control: ExchangeControl) -> dict[str, Any]:  # Any: JSON
    """Compare until everything agrees or `SETTLE_S_MAX` is over; rows may still be on their way."""
    waited_s = 0.0
    while True:
        account = (await control.state())["accounts"][0]
        differences = compare(app, account)
        if not differences or waited_s >= SETTLE_S_MAX:
            break
        await asyncio.sleep(POLL_S)
        waited_s += POLL_S
    return {
        "agrees": not differences,
        "differences": differences,
        "exchange": {
            "balance": money(account["balances"], app.portfolio.coin),
            "realized_pnl": money(account["realized"], app.portfolio.coin),
            "fees": money(account["fees"], app.portfolio.coin),
            "executions": account["executions"],
            "open_orders": account["open_orders"],
        },
    }


def compare(app: App, account: dict[str, Any]) -> list[str]:  # Any: JSON
    """What differs, in words; empty when nothing does."""
    ledger, coin = app.portfolio, app.portfolio.coin
    pairs: list[tuple[str, object, object]] = [
        ("balance", ledger.balance, money(account["balances"], coin)),
        ("realized P&L", ledger.realized, money(account["realized"], coin)),
        ("fees", ledger.fees, money(account["fees"], coin)),
        ("fills", app.engine.stats.fills, account["executions"]),
        ("working orders", app.orders.working_count, account["open_orders"]),
    ]
    theirs = {p["symbol"]: Decimal(p["qty"]) for p in account["positions"]}
    for instrument in app.instruments:
        ours = instrument.qty_decimal(ledger.qty(instrument.index))
        pairs.append(
            (f"position in {instrument.symbol}", ours, theirs.get(instrument.symbol, Decimal(0)))
        )
    return [f"{name}: {ours} here, {them} there" for name, ours, them in pairs if ours != them]


def money(coins: dict[str, str], coin: str) -> Decimal:
    return Decimal(coins.get(coin, "0"))
