"""Who would be deleveraged first: positions of one side of a symbol, by profit and leverage."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from fastbook.replay.accounts import Account, Position
from fastbook.replay.money import over, times
from fastbook.types import Instrument, Side

RANK_MAX = 5


def score(position: Position, mark: Decimal, leverage: Decimal) -> Decimal:
    """Profit over cost, times the leverage; a loss is divided by it."""
    gain = over(position.unrealized(mark), position.cost) if position.cost else Decimal(0)
    return times(gain, leverage) if gain > 0 else over(gain, leverage)


def ranked(
    accounts: Iterable[Account], instrument: Instrument, side: Side, mark: Decimal
) -> list[tuple[Account, Position]]:
    """Open positions of `side`, highest score first. O(accounts)."""
    found = [
        (account, position)
        for account in accounts
        for idx in (0, 1, 2)
        if (position := account.positions.get((instrument.index, idx))) is not None
        and position.qty * side > 0
    ]
    return sorted(
        found,
        key=lambda at: (
            -score(at[1], mark, at[0].leverage(instrument)), at[0].number, at[1].idx,
        ),
    )  # fmt: skip


def adl_rank(accounts: Iterable[Account], position: Position, mark: Decimal) -> int:
    """`adlRankIndicator`: 5 for the first fifth of its side, 1 for the last; 0 when flat."""
    if not position.qty:
        return 0
    side = Side.BUY if position.qty > 0 else Side.SELL
    line = ranked(accounts, position.instrument, side, mark)
    place = next(n for n, (_, other) in enumerate(line) if other is position)
    return RANK_MAX - place * RANK_MAX // len(line)
