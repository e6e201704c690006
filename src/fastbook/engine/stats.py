"""What the engine counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counters since the start; they only grow."""

    book_updates: int = 0
    books_unfit: int = 0  # not SYNCED, or too old: no strategy was asked
    books_late: int = 0  # received long after their time: what strategies wanted was dropped
    trades: int = 0
    bars: int = 0
    signals: int = 0  # intents that strategies emitted
    intents: int = 0  # those that reached the gate, and the operator's exits
    denied: Counter[str] = field(default_factory=Counter)  # by rule: as many keys as rules
    orders: int = 0
    amends: int = 0
    quotes_pulled: int = 0  # resting entries withdrawn because they could not be looked after
    fills: int = 0
    duplicate_fills: int = 0
    external_fills: int = 0
    parked_overdue: int = 0  # fills that have waited long for an order that may be theirs
    stopped_out: int = 0  # fills of stops that the venue kept for us
    rejected: int = 0
    unsent: int = 0  # refused on our side of the wire: no way, no turn in time, off the grid
    unknown: int = 0
    never_accepted: int = 0
    ghosts: int = 0
    strange_orders: int = 0  # open at the venue and not ours
    mismatches: int = 0
    reconciliations: int = 0
    drop_copies: int = 0
    strategy_errors: int = 0
    stops_set: int = 0
    stops_rejected: int = 0
    unprotected: int = 0  # positions left because the venue kept no stop for them
    held_back: int = 0  # commands that the gate had not approved: a bug of ours
