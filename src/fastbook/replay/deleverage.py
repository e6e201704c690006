"""Auto-deleveraging: positions of those who gain are closed against those who are bankrupt.

It happens when the insurance fund is used up, or by order of a test. The counterparty with the
highest score goes first: profit over cost, times the leverage (a loss: divided by it). Both
sides trade at the bankruptcy price, in no book.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from fastbook.replay.accounts import Account, Order, Position
from fastbook.replay.clearing import Clearing, Told
from fastbook.replay.matcher import Matcher
from fastbook.replay.ranking import ranked
from fastbook.types import OrderType, Side, TimeInForce


class Deleveraging:
    """Closes positions at a price, past the books."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self.count = 0  # positions that were reduced for others

    def take_over(self, loser: Position, account: Account, px: int, now_ms: int) -> int:
        """Close `loser` against the positions on the other side, at `px`; what was closed."""
        matcher = self._matcher
        closed = 0
        for owner, position in self._opposite(loser):
            left = abs(loser.qty)
            if not left:
                break
            qty = min(left, abs(position.qty))
            self._cancel_orders(owner, position, now_ms)
            seq = matcher.next_seq()
            self._trade(account, loser, px, qty, "BustTrade", "CreateByLiq", now_ms, seq)
            self._trade(
                owner, position, px, qty, "AdlTrade", "CreateByAdl_PassThrough", now_ms, seq
            )
            closed += qty
        return closed

    def reduce(self, account: Account, position: Position, px: int, qty: int, now_ms: int) -> None:
        """Take `qty` off one position in favour of the anonymous market."""
        self._cancel_orders(account, position, now_ms)
        seq = self._matcher.next_seq()
        self._trade(account, position, px, qty, "AdlTrade", "CreateByAdl_PassThrough", now_ms, seq)

    def _opposite(self, loser: Position) -> Iterable[tuple[Account, Position]]:
        return ranked(
            self._matcher.accounts.values(),
            loser.instrument,
            Side.SELL if loser.qty > 0 else Side.BUY,
            self._matcher.prices.mark(loser.instrument.index),
        )

    def _cancel_orders(self, account: Account, position: Position, now_ms: int) -> None:
        for order in list(account.open_orders.values()):
            if order.open and order.key == (position.instrument.index, position.idx):
                self._matcher.cancel(order, now_ms, "CancelAllBeforeAdl")

    def _trade(
        self, account: Account, position: Position, px: int, qty: int, exec_type: str,
        create_type: str, now_ms: int, seq: int,
    ) -> None:  # fmt: skip
        matcher, instrument = self._matcher, position.instrument
        clearing: Clearing = matcher.clearing
        forced = exec_type == "AdlTrade"
        order = Order(
            number=matcher.next_number(),
            order_id=clearing.new_id(instrument.category),
            link_id="",
            account=account.number,
            instrument=instrument,
            side=Side.SELL if position.qty > 0 else Side.BUY,
            order_type=OrderType.MARKET,
            tif=TimeInForce.IOC,
            px=px,
            qty=qty,
            reduce_only=True,
            close_on_trigger=True,
            created_ms=now_ms,
            updated_ms=now_ms,
            last_px=matcher.prices.last(instrument.index),
            position_idx=position.idx,
            create_type=create_type,
        )
        account.add_order(order)
        told = Told(account.silent)
        told.executions.append(
            clearing.book_fill(
                order, px, qty, is_maker=False, now_ms=now_ms, seq=seq,
                exec_id=clearing.new_id(instrument.category), exec_type=exec_type,
            )
        )  # fmt: skip
        told.fills.append((order, qty))
        matcher.end(order, "UNKNOWN", "EC_NoError", "Filled")
        told.note(order)
        before, position.status = position.status, "Adl" if forced else "Liq"
        matcher.tell_all(instrument, {account.number: told}, now_ms, seq)
        position.status = before if position.qty and not forced else "Normal"
        self.count += forced


def mark_px(mark: Decimal, scale: int, tick: int) -> int:
    """A mark price on the tick below, at least one tick."""
    return max(int(mark.scaleb(scale)) // tick, 1) * tick
