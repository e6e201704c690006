"""What the gate is shown of the world: a book's touch, the account, the health of the program."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from fastbook.core.states import BookState
from fastbook.risk.sizing import TrackRecord

NO_RECORD = TrackRecord()


class ReferenceBook(Protocol):
    """What the gate reads of a `Book`; prices at the book's own scale, 0 = empty side."""

    @property
    def symbol(self) -> str: ...
    @property
    def state(self) -> BookState: ...
    @property
    def price_scale(self) -> int: ...
    @property
    def best_bid_px(self) -> int: ...
    @property
    def best_ask_px(self) -> int: ...
    @property
    def recv_ns(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """The account as one intent meets it. Quantities and prices are those of its instrument.

    `working_buy` and `working_sell` are what may still trade: sent, resting, unknown, and traded
    according to the venue but not booked yet; of an order that is to be amended, everyone but
    itself. `own_bid_max` and `own_ask_min` are the best of those prices a side, 0 without one.
    `others_*` is the worst case of every other instrument, `strategy_notional` that of the
    strategy's own other instruments. `equity` is None when it cannot be told; then nothing risky
    is allowed. `share` is `Health.share`. `leverage` is the venue's for this symbol and `mark_px` its mark price, where known.
    """

    equity: Decimal | None
    position: int = 0
    working_buy: int = 0
    working_sell: int = 0
    own_bid_max: int = 0
    own_ask_min: int = 0
    working_px_max: int = 0
    working_px_min: int = 0  # 0 = no order works
    others_notional: Decimal = Decimal(0)
    others_margin: Decimal = Decimal(0)
    strategy_notional: Decimal = Decimal(0)
    leverage: Decimal | None = None
    mark_px: int = 0
    orders_open: int = 0
    record: TrackRecord = NO_RECORD
    volatility_bps: float = float("nan")
    share: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How late we are, how sure of the venue's clock, and how much of the account is ours.

    `share` is the part of every account-wide limit on exposure that this process may use, where
    several trade one account.
    """

    loop_lag_ms: float = 0.0
    clock_uncertainty_ms: float = 0.0
    share: Decimal = Decimal(1)


HEALTHY = Health()
