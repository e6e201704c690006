"""The ledger: positions, realised and open P&L, fees, funding, cash. Exact decimals.

The rule: a position is a signed quantity and its cost, the sum of the values of what is open.
Adding adds to the cost. Taking q of Q off releases cost * q / Q, quantized to 1e-12 half-even (all
of it when q is Q), and realises the difference. A fill that turns the position closes it first and
opens the rest.

On spot a position is the balance of the base coin, in whole units; what a fee in that coin leaves
of a unit is kept beside it.

The value of a fill is price times quantity, exact. Of inverse contracts, which count dollars and
settle in the base coin, it is quantity by price, quantized to 1e-12 once a fill; they gain when the
same dollars are worth less of the coin, so their signs are the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from fastbook.errors import ConfigError
from fastbook.execution.position import Position, net_of_legs, older, since
from fastbook.execution.record import TradeRecord
from fastbook.types import (
    Category,
    Execution,
    Instrument,
    PositionSnapshot,
    Side,
    WalletSnapshot,
)

_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_QUANTUM = Decimal("1e-12")
_ZERO = Decimal(0)

_DUST = Decimal("1e-8")
"""Cash may differ by this much without a word: the cost of a position that was adopted is its
entry price as the venue rounded it, times its quantity, and shows in cash when it is closed."""

CASH_ONLY = frozenset({"Funding"})
"""Execution types that move money and no quantity."""

MOVES_QUANTITY = frozenset(
    {
        "Trade",
        "AdlTrade",
        "BustTrade",
        "Delivery",
        "Settle",
        "BlockTrade",
        "MovePosition",
        "FutureSpread",
        "CorporateAction",
    }
)


class Portfolio:
    """Positions and money of one account, in the settle coin.

    Parameters
    ----------
    instruments : sequence of Instrument
        By index; of one category.
    balance : Decimal, optional
        Cash at the start. None: taken from the first `WalletSnapshot` of `coin`.
    coin : str, optional
        The settle coin; by default that of the first instrument. All must agree.
    mismatch_grace_ms : int
        How long ledger and venue may differ (messages cross) before it counts as a mismatch.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        balance: Decimal | None = None,
        coin: str | None = None,
        mismatch_grace_ms: int = 2_000,
    ) -> None:
        coins = {i.settle or i.quote for i in instruments}
        if coin is None and len(coins) != 1:
            raise ConfigError(f"one settle coin is needed, the instruments have {sorted(coins)}")
        self.coin: str = coin if coin is not None else next(iter(coins))
        for instrument in instruments:
            if (instrument.settle or instrument.quote) != self.coin:
                raise ConfigError(f"{instrument.symbol} does not settle in {self.coin}")
        self.start: Decimal | None = balance
        self.realized = _ZERO
        self.fees = _ZERO
        self.funding = _ZERO
        self.adjustments = _ZERO
        """Deposits, withdrawals and whatever else was adopted from the venue's wallet."""
        self.records: dict[str, TradeRecord] = {}
        """Round trips by strategy; one entry each."""
        self.counters = {
            "mismatches": 0,
            "adopted_positions": 0,
            "adopted_balances": 0,
            "strange_executions": 0,
            "foreign_fees": 0,
        }
        self._grace_ns = mismatch_grace_ms * 1_000_000
        self._positions = [Position(i) for i in instruments]
        self._open: set[int] = set()
        self._wallet: WalletSnapshot | None = None
        self._wallet_differs_since_ns: int | None = None
        # Instruments (and -1 for the wallet) in mismatch now.
        self.mismatched: set[int] = set()

    # --- reading ---------------------------------------------------------------------------

    def qty(self, instrument: int) -> int:
        """Signed quantity held."""
        return self._positions[instrument].qty

    def cost(self, instrument: int) -> Decimal:
        return self._positions[instrument].cost

    def entry_px(self, instrument: int) -> float:
        """Average entry price, nan when flat."""
        p = self._positions[instrument]
        if p.qty == 0:
            return math.nan
        size = p.instrument.qty_decimal(abs(p.qty))
        if p.inverse:
            return float(_EXACT.divide(size, p.cost)) if p.cost else math.nan
        return float(_EXACT.divide(p.cost, size))

    def hedged(self, instrument: int) -> bool:
        """Whether the symbol has a long and a short leg, by the venue's last word."""
        return self._positions[instrument].hedged

    def leg(self, instrument: int, side: Side, qty: int, *, reduce_only: bool) -> int:
        """The `positionIdx` of an order: 0, or of hedge mode the leg that it closes or adds to.

        We hold one position a symbol: what goes against it and is no larger closes its leg.
        """
        p = self._positions[instrument]
        if not p.hedged:
            return 0
        closes = reduce_only or (p.qty * side < 0 and qty <= abs(p.qty))
        return 1 if (side is Side.BUY) != closes else 2

    def leverage(self, instrument: int) -> Decimal | None:
        """The venue's setting for the symbol, as last told."""
        return self._positions[instrument].leverage

    def stops(self, instrument: int) -> tuple[int, int]:
        """Stop loss and take profit that the venue has shown for the position; 0 = none."""
        return self._positions[instrument].stops

    def result_of(self, instrument: int) -> Decimal | None:
        """Realised and open P&L after fees and funding; None while it cannot be told."""
        p = self._positions[instrument]
        unrealized = self.unrealized_of(instrument)
        if unrealized is None:
            return None
        earned = _EXACT.add(_EXACT.subtract(p.realized, p.fees), p.funding)
        return _EXACT.add(earned, unrealized)

    def realized_of(self, instrument: int) -> Decimal:
        return self._positions[instrument].realized

    def fees_of(self, instrument: int) -> Decimal:
        return self._positions[instrument].fees

    @property
    def open_instruments(self) -> frozenset[int]:
        """Instruments with a position."""
        return frozenset(self._open)

    @property
    def balance(self) -> Decimal | None:
        """Cash: start + realised - fees + funding + adjustments. None before a start is known."""
        if self.start is None:
            return None
        return _EXACT.add(self.start, self._earned())

    def set_mark(self, instrument: int, bid_px: int, ask_px: int) -> None:
        """Mark at the mid of a SYNCED book; integers of the instrument, both above 0."""
        p = self._positions[instrument]
        p.mark = _EXACT.scaleb(Decimal((bid_px + ask_px) * 5), -1 - p.instrument.price_scale)
        if p.unpriced:
            p.price_coins(p.mark)

    def mark(self, instrument: int) -> Decimal | None:
        """The last good mark; None before the first."""
        return self._positions[instrument].mark

    def unrealized_of(self, instrument: int) -> Decimal | None:
        """Open P&L at the last good mark; None without one."""
        p = self._positions[instrument]
        if p.qty == 0:
            return _ZERO
        if p.mark is None:
            return None
        size = p.instrument.qty_decimal(abs(p.qty))
        if p.inverse:
            value = _EXACT.divide(size, p.mark).quantize(_QUANTUM, context=_EXACT)
        else:
            value = _EXACT.multiply(p.mark, size)
        gains_by_more = (p.qty > 0) != p.inverse
        return _EXACT.subtract(value, p.cost) if gains_by_more else _EXACT.subtract(p.cost, value)

    @property
    def unrealized(self) -> Decimal | None:
        """Open P&L of all positions; None while one has no mark. O(open positions)."""
        total = _ZERO
        for instrument in self._open:
            one = self.unrealized_of(instrument)
            if one is None:
                return None
            total = _EXACT.add(total, one)
        return total

    @property
    def equity(self) -> Decimal | None:
        """Balance and open P&L; None while either cannot be told."""
        balance, unrealized = self.balance, self.unrealized
        if balance is None or unrealized is None:
            return None
        return _EXACT.add(balance, unrealized)

    def record(self, strategy: str) -> TradeRecord:
        return self.records.setdefault(strategy, TradeRecord())

    def records_state(self) -> dict[str, Any]:  # Any: JSON
        """The track records, to be restored after a restart. Positions are the venue's to tell."""
        return {name: record.state() for name, record in self.records.items()}

    def restore_records(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        for name, kept in state.items():
            self.record(name).restore(kept)

    # --- booking ---------------------------------------------------------------------------

    def apply(self, execution: Execution, strategy: str = "") -> bool:
        """Book one execution (each exactly once: the caller sees to that).

        Returns False for a type that is not known to move quantity or cash: nothing is booked,
        and the account has to be compared with the venue.
        """
        p = self._positions[execution.instrument]
        if execution.exec_type in CASH_ONLY:
            self.funding = _EXACT.subtract(self.funding, execution.fee)
            p.funding = _EXACT.subtract(p.funding, execution.fee)
            p.trip = _EXACT.subtract(p.trip, execution.fee) if p.qty else p.trip
            self._agree_wallet()
            return True
        if execution.exec_type not in MOVES_QUANTITY:
            self.counters["strange_executions"] += 1
            return False
        qty, fee = self._fee_in_money(p, execution)
        self.fees = _EXACT.add(self.fees, fee)
        p.fees = _EXACT.add(p.fees, fee)
        p.trip = _EXACT.subtract(p.trip, fee)
        self._move(p, int(execution.side) * qty, execution.px, strategy)
        self._agree(p)
        self._agree_wallet()
        return True

    def _fee_in_money(self, p: Position, execution: Execution) -> tuple[int, Decimal]:
        """Quantity received and fee in the settle coin.

        A spot buy may pay in the base coin: then less was received, in whole units and dust, and
        what was given up is a fee at the price of the fill.
        """
        instrument, coin = p.instrument, execution.fee_coin
        if coin in ("", self.coin) or execution.fee == 0:
            return execution.qty, execution.fee
        if coin == instrument.base and instrument.category is Category.SPOT:
            units = _EXACT.scaleb(execution.fee, instrument.qty_scale)
            exact = _EXACT.add(_EXACT.subtract(Decimal(execution.qty), units), p.dust)
            received = max(math.floor(exact), 0)
            p.dust = max(_EXACT.subtract(exact, Decimal(received)), _ZERO)
            given = execution.qty - received
            return received, _EXACT.scaleb(
                Decimal(given * execution.px), -instrument.price_scale - instrument.qty_scale
            )
        # Paid in a third coin (a discount token): no price to book it at; said, not guessed.
        self.counters["foreign_fees"] += 1
        return execution.qty, _ZERO

    def _move(self, p: Position, change: int, px: int, strategy: str) -> None:
        if p.unpriced:
            p.price_coins(p.instrument.px_decimal(px))
        value = p.instrument.notional(px, abs(change))
        if p.qty and (p.qty > 0) != (change > 0):
            closing = min(abs(change), abs(p.qty))
            closed = value if closing == abs(change) else p.instrument.notional(px, closing)
            self._reduce(p, closing, closed, strategy)
            change += closing if change < 0 else -closing
            # The rest of it, so that both parts of a fill are worth what the fill is.
            value = _EXACT.subtract(value, closed)
        if change:
            p.cost = _EXACT.add(p.cost, value)
            p.qty += change
        if p.qty:
            self._open.add(p.instrument.index)
        else:
            self._open.discard(p.instrument.index)
            p.stops = (0, 0)  # they end with the position

    def _reduce(self, p: Position, qty: int, value: Decimal, strategy: str) -> None:
        held = abs(p.qty)
        sign = 1 if p.qty > 0 else -1
        if qty == held:
            released = p.cost
        else:
            share = _EXACT.divide(_EXACT.multiply(p.cost, Decimal(qty)), Decimal(held))
            released = share.quantize(_QUANTUM, context=_EXACT)
        gain = _EXACT.subtract(value, released)
        if (sign < 0) != p.inverse:
            gain = _EXACT.minus(gain)
        p.cost = _EXACT.subtract(p.cost, released)
        p.qty -= sign * qty
        p.realized = _EXACT.add(p.realized, gain)
        self.realized = _EXACT.add(self.realized, gain)
        p.trip = _EXACT.add(p.trip, gain)
        if p.qty == 0:
            if strategy:
                self.record(strategy).add(p.trip)
            p.trip = _ZERO

    def _earned(self) -> Decimal:
        return _EXACT.add(
            _EXACT.subtract(self.realized, self.fees), _EXACT.add(self.funding, self.adjustments)
        )

    # --- comparing with the venue ----------------------------------------------------------

    def on_position(self, snapshot: PositionSnapshot) -> None:
        """The venue's view; older than what is known is ignored."""
        p = self._positions[snapshot.instrument]
        idx = snapshot.position_idx
        known = p.legs.get(idx)
        if known is not None and older(snapshot, known):
            return
        # Another mode of the symbol: what was said in the old one is over.
        p.legs = {i: leg for i, leg in p.legs.items() if bool(i) == bool(idx)} | {idx: snapshot}
        p.hedged = idx != 0
        p.venue = snapshot if idx == 0 else net_of_legs(p.legs)
        p.stops = (p.venue.stop_loss_px, p.venue.take_profit_px)
        if snapshot.leverage is not None:
            p.leverage = snapshot.leverage
        self._agree(p)

    def on_wallet(self, snapshot: WalletSnapshot) -> None:
        """The venue's view of one coin: of cash, or on spot of what is held."""
        if snapshot.coin != self.coin:
            self._on_holding(snapshot)
            return
        if self.start is None:
            self.start = _EXACT.subtract(snapshot.balance, self._earned())
        self._wallet = snapshot
        self._agree_wallet()

    def _on_holding(self, snapshot: WalletSnapshot) -> None:
        for p in self._positions:
            i = p.instrument
            if i.category is not Category.SPOT or i.base != snapshot.coin:
                continue
            exact = _EXACT.scaleb(snapshot.balance, i.qty_scale)
            units = math.floor(exact)
            p.venue_dust = _EXACT.subtract(exact, Decimal(units))
            # What it cost, the venue does not know.
            p.venue = PositionSnapshot(
                instrument=i.index,
                qty=units,
                entry_px=_ZERO,
                realized_pnl=_ZERO,
                seq=-1,
                updated_ms=0,
            )
            self._agree(p)

    def forget_venue(self) -> None:
        """What the venue said before a gap is no measure of what is held after it."""
        for p in self._positions:
            p.venue = p.differs_since_ns = None
            p.legs = {}
        self._wallet = self._wallet_differs_since_ns = None

    def _agree(self, p: Position) -> None:
        # In a busy market both sides move all the time: to agree at one instant is enough.
        if p.venue is not None and p.venue.qty == p.qty:
            p.differs_since_ns = None

    def _agree_wallet(self) -> None:
        if self._wallet is not None and not self._cash_differs(self._wallet):
            self._wallet_differs_since_ns = None

    def _cash_differs(self, wallet: WalletSnapshot) -> bool:
        balance = self.balance
        if balance is None or not self.coin_is_margin:
            return False
        return abs(_EXACT.subtract(wallet.balance, balance)) > _DUST

    def compare(self, now_ns: int) -> bool:
        """Compare with the venue's last word; True if something new has differed for too long.

        Messages of different topics cross, so a difference has the grace time to resolve.
        """
        new = False
        for p in self._positions:
            if p.venue is None:
                continue
            differs = p.venue.qty != p.qty
            p.differs_since_ns = since(differs, p.differs_since_ns, now_ns)
            new |= self._flag(p.instrument.index, p.differs_since_ns, now_ns)
        if self._wallet is not None and self.start is not None:
            differs = self._cash_differs(self._wallet)
            self._wallet_differs_since_ns = since(differs, self._wallet_differs_since_ns, now_ns)
            new |= self._flag(-1, self._wallet_differs_since_ns, now_ns)
        return new

    @property
    def coin_is_margin(self) -> bool:
        """Whether the wallet holds all the money: not on spot, where it turns into base coins."""
        return all(p.instrument.category is not Category.SPOT for p in self._positions)

    def _flag(self, key: int, since_ns: int | None, now_ns: int) -> bool:
        if since_ns is None or now_ns - since_ns < self._grace_ns:
            if since_ns is None:
                self.mismatched.discard(key)
            return False
        if key in self.mismatched:
            return False
        self.mismatched.add(key)
        self.counters["mismatches"] += 1
        return True

    def differences(self) -> list[str]:
        """Where ledger and venue differ now, in words."""
        said = [
            f"{p.instrument.symbol}: position {p.qty}, venue {p.venue.qty}"
            for p in self._positions
            if p.venue is not None and p.venue.qty != p.qty
        ]
        wallet = self._wallet
        if wallet is not None and self._cash_differs(wallet):
            said.append(f"{self.coin}: balance {self.balance}, venue {wallet.balance}")
        return said

    def adopt(
        self, now_ns: int, *, missing_is_flat: bool = False, at_once: bool = False
    ) -> tuple[list[str], bool]:
        """Make the venue's last word ours, after a reconciliation.

        A position that differs is taken over with the venue's entry price, and cash that differs
        becomes an adjustment. But an answer may be older than a fill that has come meanwhile, so
        a difference is adopted only when it has lasted for the grace time, or `at_once` (a start,
        when nothing is ours yet). A position that the venue has not mentioned stays, or is flat
        with `missing_is_flat`.

        Returns what was changed, in words, and whether ledger and venue agree now.
        """
        said: list[str] = []
        agreed = True
        for p in self._positions:
            theirs = 0 if p.venue is None and missing_is_flat else p.qty
            if p.venue is not None:
                theirs = p.venue.qty
            p.differs_since_ns = since(theirs != p.qty, p.differs_since_ns, now_ns)
            if p.differs_since_ns is None:
                continue
            if at_once or now_ns - p.differs_since_ns >= self._grace_ns:
                said.append(self._take_over(p, theirs))
            else:
                agreed = False
        wallet, balance = self._wallet, self.balance
        if wallet is not None and balance is not None and self.coin_is_margin:
            off = _EXACT.subtract(wallet.balance, balance)
            since_ns = since(abs(off) > _DUST, self._wallet_differs_since_ns, now_ns)
            if since_ns is not None and (at_once or now_ns - since_ns >= self._grace_ns):
                said.append(f"{self.coin}: balance {balance}, venue {wallet.balance}: adopted")
                self.counters["adopted_balances"] += 1
                self.adjustments = _EXACT.add(self.adjustments, off)
                since_ns = None
            self._wallet_differs_since_ns = since_ns
            agreed = agreed and since_ns is None
        if agreed:
            self.mismatched.clear()
        return said, agreed

    def _take_over(self, p: Position, qty: int) -> str:
        said = f"{p.instrument.symbol}: position {p.qty}, venue {qty}: adopted"
        self.counters["adopted_positions"] += 1
        p.take_over(qty)
        if qty:
            self._open.add(p.instrument.index)
        else:
            self._open.discard(p.instrument.index)
        return said
