"""Values that cross a layer. Frozen; fixed-point integers for prices and quantities.

A price `px` stands for ``px / 10**price_scale`` quote units and a quantity `qty` for
``qty / 10**qty_scale``; the scales belong to the `Instrument`. Money (fees, P&L, balances)
is `decimal.Decimal`, exact. Floats appear in statistics only.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MONEY = Context(prec=80, rounding=ROUND_HALF_EVEN)
_PICO = Decimal("1e-12")


class Side(IntEnum):
    """Of an order or a trade (the taker's). The value is the sign of the position change."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def wire(self) -> str:
        return "Buy" if self is Side.BUY else "Sell"


class Category(StrEnum):
    LINEAR = "linear"
    SPOT = "spot"
    INVERSE = "inverse"


class OrderType(StrEnum):
    LIMIT = "Limit"
    MARKET = "Market"


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class OrderState(Enum):
    """Where an order is, as far as we can prove. `UNKNOWN` is a state, not an error."""

    SENT = "sent"
    UNKNOWN = "unknown"
    NEW = "new"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    NEVER_ACCEPTED = "never_accepted"

    @property
    def terminal(self) -> bool:
        return self not in _OPEN_STATES


_OPEN_STATES = frozenset({OrderState.SENT, OrderState.UNKNOWN, OrderState.NEW, OrderState.PARTIAL})


class TradingState(Enum):
    """What may leave: everything, only what lowers risk, or only cancels."""

    ACTIVE = "active"
    RECONCILING = "reconciling"  # after start or a private gap; behaves as REDUCE_ONLY
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One tradable symbol with its grid and limits, all in fixed-point integers.

    `price_scale` and `qty_scale` are decimal digits. `tick` and `lot` are the steps of
    price and quantity at those scales; every order price is a multiple of `tick`, every
    quantity a multiple of `lot`.
    """

    index: int
    category: Category
    symbol: str
    base: str
    quote: str
    settle: str
    price_scale: int
    qty_scale: int
    tick: int
    lot: int
    qty_min: int
    qty_max: int
    qty_max_market: int
    notional_min: Decimal
    leverage_max: Decimal = Decimal(1)
    trading: bool = True

    def px_decimal(self, px: int) -> Decimal:
        return Decimal(px).scaleb(-self.price_scale)

    def qty_decimal(self, qty: int) -> Decimal:
        return Decimal(qty).scaleb(-self.qty_scale)

    def px_from(self, px: int, scale: int, *, up: bool = False) -> int:
        """`px` of another scale (a book's, which the wire may have widened) at this one.

        Exact where it can be; else down, or `up`. 0 ("no price") stays 0.
        """
        if scale == self.price_scale:
            return px
        if scale < self.price_scale:
            finer: int = 10 ** (self.price_scale - scale)
            return px * finer
        unit: int = 10 ** (scale - self.price_scale)
        return -(-px // unit) if up else px // unit

    def notional(self, px: int, qty: int) -> Decimal:
        """Value of `qty` at `px` in the coin it settles in.

        Exact for linear and spot. An inverse contract is one dollar, worth 1 / px of the base
        coin: rounded half to even at 1e-12, as the venue books it; 0 without a price.
        """
        if self.category is Category.INVERSE:
            if not px:
                return Decimal(0)
            size = _MONEY.divide(self.qty_decimal(qty), self.px_decimal(px))
            return _MONEY.quantize(size, _PICO)
        return _MONEY.scaleb(Decimal(px * qty), -self.price_scale - self.qty_scale)


@dataclass(frozen=True, slots=True)
class Trade:
    """One public trade."""

    instrument: int
    side: Side
    px: int
    qty: int
    ts_ms: int
    trade_id: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """What a strategy wants. Not an order: nothing leaves without `Approved`.

    `qty` 0 asks the sizer to choose it. `px` is the limit price; a market order carries
    the worst price it may trade at. `book_u` and `book_ts_ms` name the book it was decided on.
    """

    instrument: int
    side: Side
    px: int
    qty: int = 0
    order_type: OrderType = OrderType.LIMIT
    tif: TimeInForce = TimeInForce.IOC
    reduce_only: bool = False
    strategy: str
    reason: str
    confidence: float = 1.0
    book_u: int = 0
    book_ts_ms: int = 0
    stop_loss_px: int = 0  # attached to the order, kept by the venue; 0 = none
    take_profit_px: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a strategy wants to rest: one post-only order of its own on this side, here.

    `qty` 0 withdraws it. The engine places, amends or cancels so that it comes true; a side that
    is not mentioned stays as it is.
    """

    instrument: int
    side: Side
    px: int
    qty: int
    strategy: str
    reason: str
    book_u: int = 0
    book_ts_ms: int = 0


Intent = OrderIntent | Quote
"""What a strategy may answer with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendIntent:
    """New price and new total quantity of a resting order. Leaves only when `Approved`."""

    client_id: str
    instrument: int
    side: Side
    px: int
    qty: int
    strategy: str
    reason: str
    book_u: int = 0
    book_ts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Approved(Generic[T]):
    """Made by RiskGate and by nothing else."""

    item: T


@dataclass(frozen=True, slots=True)
class Refused(Generic[T]):
    """A decision, not an error: which rule said no, with its numbers."""

    item: T
    rule: str
    detail: str


# Commands: engine -> gateway. The engine returns them; it never sends.


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    client_id: str
    instrument: int
    side: Side
    px: int
    qty: int
    order_type: OrderType
    tif: TimeInForce
    reduce_only: bool
    position_idx: int = 0  # 0 one-way; 1 and 2: the long and the short leg of hedge mode
    stop_loss_px: int = 0  # attached to the order; 0 = none
    take_profit_px: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendOrder:
    client_id: str
    instrument: int
    px: int | None = None
    qty: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    client_id: str
    instrument: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAll:
    """Cancel every order of the account in the engine's category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOrder:
    """Ask what became of an order whose outcome is unknown."""

    client_id: str
    instrument: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStops:
    """Keep these stops at the venue for a whole position, whatever its size becomes.

    A price of 0 takes that stop away. Repeating it is safe: the last word counts.
    """

    instrument: int
    stop_loss_px: int
    take_profit_px: int = 0
    position_idx: int = 0


Command = PlaceOrder | AmendOrder | CancelOrder | CancelAll | QueryOrder | SetStops


# Events: gateway and private stream -> engine.


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted:
    """The gateway took the request. Not proof that the order rests or traded."""

    client_id: str
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """A definite no to a create: proof that it is not and will not be on the book."""

    client_id: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUnknown:
    """We could not learn what became of a create: time-out, cut, 5xx, ambiguous code."""

    client_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAbsent:
    """Every place to look answered, and none of them knows the id. Evidence, not yet proof."""

    client_id: str
    venue_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRejected:
    """A cancel was refused; says nothing about the order itself."""

    client_id: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendRejected:
    """A definite no to an amend: the order stands as it was, or is gone.

    An amend whose outcome is open has no event: the order counts at the worse of both until a
    row tells.
    """

    client_id: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopsSet:
    """The venue took the stops of a position. Proof is the next `PositionSnapshot`."""

    instrument: int
    stop_loss_px: int
    take_profit_px: int
    position_idx: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopsRejected:
    """The stops of a position were not set, or we could not learn it (`code` 0)."""

    instrument: int
    code: int
    reason: str
    position_idx: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdate:
    """One row of the private order stream, or of a query."""

    client_id: str
    order_id: str
    instrument: int
    status: str  # the venue's word: New, PartiallyFilled, Filled, Cancelled, Rejected, ...
    px: int
    qty: int
    cum_qty: int
    reject_reason: str
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill, or a cash flow such as funding (`exec_type`). `fee` > 0 is a cost."""

    exec_id: str
    client_id: str
    order_id: str
    instrument: int
    side: Side
    px: int
    qty: int
    fee: Decimal
    fee_coin: str
    is_maker: bool
    exec_type: str
    ts_ms: int
    created_by: str = ""  # the venue's word: CreateByUser, CreateByStopLoss, ...; "" = not told


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSnapshot:
    """The venue's view of one position. `qty` is signed."""

    instrument: int
    qty: int
    entry_px: Decimal
    realized_pnl: Decimal
    seq: int
    updated_ms: int
    position_idx: int = 0
    stop_loss_px: int = 0  # resident at the venue; 0 = none
    take_profit_px: int = 0
    leverage: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletSnapshot:
    """The venue's view of one coin."""

    coin: str
    balance: Decimal
    equity: Decimal


OrderEvent = (
    OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderAbsent
    | CancelRejected
    | AmendRejected
    | OrderUpdate
    | Execution
    | PositionSnapshot
    | WalletSnapshot
    | StopsSet
    | StopsRejected
)


class ControlKind(Enum):
    PAUSE = "pause"  # no new risk
    RESUME = "resume"
    CANCEL_ALL = "cancel_all"
    FLATTEN = "flatten"
    KILL = "kill"  # HALTED, cancel everything


@dataclass(frozen=True, slots=True)
class Control:
    """An operator's word, through the same front door as everything else."""

    kind: ControlKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One numbered line of the journal: an input or a decision."""

    seq: int
    recv_ns: int
    kind: str
    value: Any  # Any: every input and decision type of the engine passes through here
