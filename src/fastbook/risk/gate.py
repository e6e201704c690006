"""The one gate: every order passes here, and nothing else makes `Approved`.

All checks are hard. What may still trade counts as traded, in the worse direction: a position
counts together with all that is in flight, resting or of unknown outcome. Comparisons are made in
integers of the instrument (price times quantity units), and every rounding is towards the smaller
order and the less eager price.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Protocol

from fastbook.clock import TokenBucket
from fastbook.core.states import BookState
from fastbook.risk.limits import Number, RiskLimits
from fastbook.risk.sizing import Sizer, TrackRecord
from fastbook.types import (
    Approved,
    Category,
    Instrument,
    OrderIntent,
    OrderType,
    Refused,
    Side,
    TradingState,
)

_FLOOR = Context(prec=60, rounding=ROUND_FLOOR)
_MINUTE_NS = 60_000_000_000
_DAY_NS = 86_400_000_000_000
_EXIT_ORDERS_EXTRA = 10
NO_RECORD = TrackRecord()

Decision = Approved[OrderIntent] | Refused[OrderIntent]


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
    according to the venue but not booked yet. `own_bid_max` and `own_ask_min` are the best of
    those prices a side, 0 without one. `others_notional` is the worst case of every other
    instrument. `equity` is None when it cannot be told; then nothing risky is allowed.
    """

    equity: Decimal | None
    position: int = 0
    working_buy: int = 0
    working_sell: int = 0
    own_bid_max: int = 0
    own_ask_min: int = 0
    working_px_max: int = 0
    others_notional: Decimal = Decimal(0)
    orders_open: int = 0
    record: TrackRecord = NO_RECORD
    volatility_bps: float = float("nan")


class _Denied(Exception):
    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail


class RiskGate:
    """Decides on one intent at a time; the only maker of `Approved`.

    It remembers what no single intent can show: the equity at the start of the UTC day, how many
    orders were let through and when, and which latch has fallen. A latch stays until `rearm`,
    over midnight as well; `state` and `restore` carry it over a restart.
    """

    def __init__(self, limits: RiskLimits, sizer: Sizer | None = None) -> None:
        self.limits = limits
        self.sizer = sizer or Sizer()
        self.latched = ""
        """Why only exits are let through; empty when armed."""
        self.stopped: dict[int, str] = {}
        """Instruments without entries until re-armed, and why. At most one each."""
        self.day = -1
        self.day_equity: Decimal | None = None
        self.day_orders = 0
        self.rejections_in_a_row = 0
        burst = max(1, int(limits.orders_per_second_max))
        self._bucket = TokenBucket(float(limits.orders_per_second_max), burst)
        self._exit_reserve = burst // 5
        self._collar_bps = _decimal(limits.price_collar_bps)
        self._daily_loss_pct = _decimal(limits.daily_loss_pct_max)
        self._stale_ns = limits.stale_after_ms * 1_000_000
        self._duplicate_ns = limits.duplicate_window_ms * 1_000_000
        # One entry per instrument and side: the last order let through.
        self._last: dict[tuple[int, Side], tuple[int, int, int]] = {}
        # Per instrument, the times of its last entries, at most as many as are allowed.
        self._entries: dict[int, deque[int]] = {}

    # --- latches ---------------------------------------------------------------------------

    def on_equity(self, equity: Decimal, wall_ns: int) -> bool:
        """Take note of the equity; True if the daily-loss latch fell just now.

        The first equity of a UTC day is that day's start. A wall clock that goes back does not
        start a day again.
        """
        self._roll_day(wall_ns)
        if self.day_equity is None:
            self.day_equity = equity
        if self.latched or self.day_equity <= 0:
            return False
        lost = self.day_equity - equity
        if lost * 100 < self._daily_loss_pct * self.day_equity:
            return False
        self.latched = f"daily_loss_pct_max: lost {lost} of {self.day_equity} since 00:00 UTC"
        return True

    def on_venue_answer(self, *, rejected: bool) -> bool:
        """Count rejections in a row; True if that latch fell just now."""
        self.rejections_in_a_row = self.rejections_in_a_row + 1 if rejected else 0
        limit = self.limits.rejections_in_a_row_max
        if limit is None or self.latched or self.rejections_in_a_row < limit:
            return False
        self.latched = f"rejections_in_a_row_max: {self.rejections_in_a_row}"
        return True

    def rearm(self, equity: Decimal | None = None) -> None:
        """A person's decision: lift every latch. The day's loss counts from `equity` on."""
        self.latched = ""
        self.stopped.clear()
        self._entries.clear()
        self.rejections_in_a_row = 0
        self.day_equity = equity

    def state(self) -> dict[str, str | int]:
        """What must survive a restart, as plain values."""
        return {
            "latched": self.latched,
            "day": self.day,
            "day_equity": "" if self.day_equity is None else str(self.day_equity),
            "day_orders": self.day_orders,
        }

    def restore(self, state: dict[str, str | int]) -> None:
        """Take up where `state` left off."""
        self.latched = str(state["latched"])
        self.day = int(state["day"])
        self.day_equity = Decimal(state["day_equity"]) if state["day_equity"] else None
        self.day_orders = int(state["day_orders"])

    def _roll_day(self, wall_ns: int) -> None:
        day = wall_ns // _DAY_NS
        if day > self.day:
            self.day = day
            self.day_equity = None
            self.day_orders = 0

    # --- the decision ----------------------------------------------------------------------

    def check(
        self,
        intent: OrderIntent,
        *,
        instrument: Instrument,
        book: ReferenceBook,
        account: AccountView,
        state: TradingState,
        now_ns: int,
        wall_ns: int,
    ) -> Decision:
        """Approve `intent`, perhaps smaller and on the grid, or refuse it with rule and numbers.

        `now_ns` is of the same clock as `book.recv_ns`; `wall_ns` decides the UTC day only.
        An intent with `qty` 0 is sized and cut to what the limits leave; one with a quantity is
        refused when it breaks one. A reduce-only intent passes the limits on exposure, and is cut
        so that it cannot turn the position.
        """
        try:
            item = self._examine(intent, instrument, book, account, state, now_ns, wall_ns)
        except _Denied as denied:
            return Refused(intent, denied.rule, denied.detail)
        return Approved(item)

    def _examine(
        self,
        intent: OrderIntent,
        instrument: Instrument,
        book: ReferenceBook,
        account: AccountView,
        state: TradingState,
        now_ns: int,
        wall_ns: int,
    ) -> OrderIntent:
        self._roll_day(wall_ns)
        if account.equity is not None:
            self.on_equity(account.equity, wall_ns)
        self._check_state(intent, state)
        self._check_instrument(intent, instrument, book)
        bid, ask = self._reference(instrument, book, now_ns)
        px = self._px_on_grid(intent, instrument)
        self._check_collar(px, bid, ask)
        _check_self_trade(intent.side, px, account)

        if intent.reduce_only:
            qty = self._exit_qty(intent, instrument, px, account)
        else:
            qty = self._entry_qty(intent, instrument, px, max(px, ask), account)
        _check_size(intent, instrument, px, qty)
        self._check_pace(intent, px, qty, account, now_ns)

        self._note(intent, px, qty, now_ns)
        return replace(intent, px=px, qty=qty)

    def _check_state(self, intent: OrderIntent, state: TradingState) -> None:
        if state is TradingState.HALTED:
            raise _Denied("trading_state", "halted: only cancels leave")
        if intent.reduce_only:
            return
        if state is not TradingState.ACTIVE:
            raise _Denied("trading_state", f"{state.value}: only what lowers risk leaves")
        if self.latched:
            rule, _, detail = self.latched.partition(": ")
            raise _Denied(rule, f"{detail}; until re-armed")
        if intent.instrument in self.stopped:
            raise _Denied("entries_per_minute_max", self.stopped[intent.instrument])

    def _check_instrument(
        self, intent: OrderIntent, instrument: Instrument, book: ReferenceBook
    ) -> None:
        if intent.instrument != instrument.index or book.symbol != instrument.symbol:
            raise _Denied("instrument", f"{intent.instrument} is not {instrument.symbol}'s book")
        if not instrument.trading:
            raise _Denied("not_trading", f"{instrument.symbol} is not open for trading")
        if instrument.category is Category.INVERSE:
            raise _Denied("category", "inverse contracts are not supported yet")

    def _reference(
        self, instrument: Instrument, book: ReferenceBook, now_ns: int
    ) -> tuple[int, int]:
        """Best bid and ask of a book that may be trusted."""
        if book.state is not BookState.SYNCED:
            raise _Denied("book_not_synced", f"{book.symbol} is {book.state.name}")
        age_ns = now_ns - book.recv_ns
        if age_ns > self._stale_ns:
            raise _Denied(
                "book_stale",
                f"{book.symbol} is {age_ns // 1_000_000} ms old, "
                f"stale_after_ms is {self.limits.stale_after_ms}",
            )
        bid = instrument.px_from(book.best_bid_px, book.price_scale)
        ask = instrument.px_from(book.best_ask_px, book.price_scale, up=True)
        if bid <= 0 or ask <= 0:
            raise _Denied("no_reference", f"{book.symbol} has an empty side: bid {bid}, ask {ask}")
        return bid, ask

    def _px_on_grid(self, intent: OrderIntent, instrument: Instrument) -> int:
        """The nearest price on the grid that is not more eager: buys down, sells up."""
        tick = instrument.tick
        px = intent.px // tick * tick if intent.side is Side.BUY else -(-intent.px // tick) * tick
        if px <= 0:
            raise _Denied("tick", f"price {intent.px} leaves nothing on a grid of {tick}")
        return px

    def _check_collar(self, px: int, bid: int, ask: int) -> None:
        twice_mid = bid + ask
        off = abs(2 * px - twice_mid)
        if off * 10_000 > self._collar_bps * twice_mid:
            raise _Denied(
                "price_collar_bps",
                f"price {px} is {off * 10_000 / twice_mid:.1f} bps from the mid of {bid}/{ask}, "
                f"limit {self._collar_bps}",
            )

    # --- quantities ------------------------------------------------------------------------

    def _exit_qty(
        self, intent: OrderIntent, instrument: Instrument, px: int, account: AccountView
    ) -> int:
        """At most what closes the position, less what is on its way to close it already."""
        working = account.working_buy if intent.side is Side.BUY else account.working_sell
        closable = -account.position * intent.side - working
        if closable <= 0:
            raise _Denied(
                "reduce_only",
                f"nothing to close with a {intent.side.wire}: position {account.position}, "
                f"working {working}",
            )
        qty = min(intent.qty or closable, closable, _qty_max(intent, instrument))
        if self.limits.order_notional_max is not None:
            qty = min(qty, _qty_within(_decimal(self.limits.order_notional_max), instrument, px))
        return qty // instrument.lot * instrument.lot

    def _entry_qty(
        self,
        intent: OrderIntent,
        instrument: Instrument,
        px: int,
        value_px: int,
        account: AccountView,
    ) -> int:
        equity = account.equity
        if equity is None or equity <= 0:
            raise _Denied("equity", f"equity is {equity}")
        value_px = max(value_px, account.working_px_max)
        room, rule = self._room(intent.side, instrument, px, value_px, account, equity)
        if intent.qty > 0:
            qty = intent.qty // instrument.lot * instrument.lot
            if qty > room:
                raise _Denied(rule, f"quantity {qty}, room for {max(room, 0)} at {value_px}")
            return qty

        stake = self.sizer.stake(
            account.record, confidence=intent.confidence, volatility_bps=account.volatility_bps
        )
        if stake <= 0.0:
            raise _Denied(
                "sizing",
                f"stake 0: {account.record.trades} trades, win rate {account.record.win_rate:.3f}, "
                f"payoff {account.record.payoff:.3f}, confidence {intent.confidence:.3f}",
            )
        wanted = _qty_within(_FLOOR.multiply(equity, Decimal(stake)), instrument, value_px)
        qty = min(wanted, room, _qty_max(intent, instrument)) // instrument.lot * instrument.lot
        if qty < instrument.qty_min and room < wanted:
            raise _Denied(rule, f"quantity {wanted} wanted, room for {max(room, 0)} at {value_px}")
        return qty

    def _room(
        self,
        side: Side,
        instrument: Instrument,
        px: int,
        value_px: int,
        account: AccountView,
        equity: Decimal,
    ) -> tuple[int, str]:
        """How much more of `side` every limit allows, and the limit that allows least."""
        limits = self.limits
        long_worst = account.position + account.working_buy
        short_worst = account.working_sell - account.position
        toward, away = (long_worst, short_worst) if side is Side.BUY else (short_worst, long_worst)
        total = {
            "exposure_pct_max": _percent(equity, limits.exposure_pct_max),
            "leverage_max": _FLOOR.multiply(equity, _decimal(limits.leverage_max)),
        }
        alone = {
            "position_pct_max": _percent(equity, limits.position_pct_max),
            "instrument_leverage_max": _FLOOR.multiply(equity, instrument.leverage_max),
        }
        rooms: list[tuple[int, str]] = []
        for rule, limit in alone.items():
            most = _qty_within(limit, instrument, value_px)
            rooms.append((most - toward if away <= most else 0, rule))
        for rule, limit in total.items():
            most = _qty_within(
                _FLOOR.subtract(limit, account.others_notional), instrument, value_px
            )
            rooms.append((most - toward if away <= most else 0, rule))
        if limits.order_notional_max is not None:
            most = _qty_within(_decimal(limits.order_notional_max), instrument, px)
            rooms.append((most, "order_notional_max"))
        if side is Side.SELL and instrument.category is Category.SPOT:
            rooms.append((account.position - account.working_sell, "spot_long_only"))
        return min(rooms)

    # --- pace ------------------------------------------------------------------------------

    def _check_pace(
        self, intent: OrderIntent, px: int, qty: int, account: AccountView, now_ns: int
    ) -> None:
        limits = self.limits
        open_max = limits.orders_open_max + (_EXIT_ORDERS_EXTRA if intent.reduce_only else 0)
        if account.orders_open >= open_max:
            raise _Denied("orders_open_max", f"{account.orders_open} open, limit {open_max}")
        day_max = limits.orders_per_day_max
        if not intent.reduce_only and day_max is not None and self.day_orders >= day_max:
            raise _Denied("orders_per_day_max", f"{self.day_orders} orders today, limit {day_max}")
        last = self._last.get((intent.instrument, intent.side))
        if last is not None and last[:2] == (px, qty) and now_ns - last[2] < self._duplicate_ns:
            raise _Denied(
                "duplicate_window_ms",
                f"the same {qty} at {px} was sent {(now_ns - last[2]) // 1_000_000} ms ago",
            )
        if not intent.reduce_only:
            self._check_runaway(intent.instrument, now_ns)
        reserve = 0 if intent.reduce_only else self._exit_reserve
        if not self._bucket.take(now_ns, leave=reserve):
            raise _Denied(
                "orders_per_second_max", f"more than {limits.orders_per_second_max} a second"
            )

    def _check_runaway(self, instrument: int, now_ns: int) -> None:
        limit = self.limits.entries_per_minute_max
        if limit is None:
            return
        entries = self._entries.get(instrument)
        if entries is None or len(entries) < limit or now_ns - entries[0] >= _MINUTE_NS:
            return
        self.stopped[instrument] = f"{limit} entries within a minute; until re-armed"
        raise _Denied("entries_per_minute_max", self.stopped[instrument])

    def _note(self, intent: OrderIntent, px: int, qty: int, now_ns: int) -> None:
        self.day_orders += 1
        self._last[intent.instrument, intent.side] = (px, qty, now_ns)
        limit = self.limits.entries_per_minute_max
        if limit is not None and not intent.reduce_only:
            self._entries.setdefault(intent.instrument, deque(maxlen=limit)).append(now_ns)


def _decimal(value: Number) -> Decimal:
    """A limit as it was written: 0.1 is a tenth, not the nearest binary fraction."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _percent(equity: Decimal, percent: Number) -> Decimal:
    return _FLOOR.divide(_FLOOR.multiply(equity, _decimal(percent)), Decimal(100))


def _qty_within(notional: Decimal, instrument: Instrument, px: int) -> int:
    """The most quantity whose value at `px` is not above `notional`; 0 when that is negative."""
    if notional <= 0:
        return 0
    scale = instrument.price_scale + instrument.qty_scale
    return int(_FLOOR.scaleb(notional, scale)) // px


def _qty_max(intent: OrderIntent, instrument: Instrument) -> int:
    if intent.order_type is OrderType.MARKET:
        return instrument.qty_max_market
    return instrument.qty_max


def _check_self_trade(side: Side, px: int, account: AccountView) -> None:
    if side is Side.BUY and 0 < account.own_ask_min <= px:
        raise _Denied("self_trade", f"buy at {px} meets an own sell at {account.own_ask_min}")
    if side is Side.SELL and account.own_bid_max >= px:
        raise _Denied("self_trade", f"sell at {px} meets an own buy at {account.own_bid_max}")


def _check_size(intent: OrderIntent, instrument: Instrument, px: int, qty: int) -> None:
    most = _qty_max(intent, instrument)
    if intent.qty < 0 or qty > most:
        raise _Denied("qty_max", f"quantity {qty if intent.qty >= 0 else intent.qty}, most {most}")
    if qty < max(instrument.qty_min, 1):
        raise _Denied("qty_min", f"quantity {qty}, least {instrument.qty_min}")
    # The venue lets reduce-only orders of derivatives be smaller: a rest must be closable.
    if intent.reduce_only and instrument.category is not Category.SPOT:
        return
    notional = instrument.notional(px, qty)
    if notional < instrument.notional_min:
        raise _Denied("notional_min", f"worth {notional}, least {instrument.notional_min}")
