"""Liquidation: positions that their margin no longer carries are closed at the market.

Cross margin: the account as a whole, when its equity is below the maintenance margin; open
derivative orders go first, then one position after another until the rest is carried. Isolated:
each position by its own margin, its cost over the leverage. What a liquidated account then owes,
the insurance fund pays; once the fund is used up, positions on the other side are closed at the
bankruptcy price instead (deleverage.py), and only what is left of the position meets the book.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fastbook.replay.accounts import Account, Order, Position
from fastbook.replay.clearing import Told
from fastbook.replay.deleverage import Deleveraging, mark_px
from fastbook.replay.intake import PX_TICKS_MAX
from fastbook.replay.margin import health
from fastbook.replay.matcher import Matcher
from fastbook.replay.money import ZERO, minus, over, plus, times
from fastbook.replay.ruin import ruin_px
from fastbook.replay.tiers import maintenance
from fastbook.types import Category, Instrument, OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What the public learns of one closing: `side` is that of the position, `px` its bankruptcy price."""

    index: int
    side: Side
    qty: int
    px: int
    ts_ms: int


class Liquidator:
    """Watches accounts and closes what must be closed."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._liquidations: list[Liquidation] = []
        self.deleveraging = Deleveraging(matcher)
        self.insurance: dict[str, Decimal] = {}  # coin -> paid out to accounts
        self.count = 0

    def take(self) -> list[Liquidation]:
        """Closings since the last call."""
        taken, self._liquidations = self._liquidations, []
        return taken

    def check(self, now_ms: int) -> None:
        """Liquidate every account that is below its maintenance margin. O(positions)."""
        for account in self._matcher.accounts.values():
            held = [p for _, p in sorted(account.positions.items()) if p.qty]
            if not held:
                continue
            if account.margin_mode == "ISOLATED_MARGIN":
                for position in held:
                    if not self._isolated_gone(account, position):
                        position.status = "Normal"
                    else:
                        self._cancel_orders(account, now_ms, position)
                        self._close(account, position, now_ms)
                        self._settle_debt(account, now_ms)
            elif self._cross_gone(account):
                self._cancel_orders(account, now_ms, None)
                for position in held:
                    if self._cross_gone(account):
                        self._close(account, position, now_ms)
                self._settle_debt(account, now_ms)
            else:
                for position in held:
                    position.status = "Normal"

    def _cross_gone(self, account: Account) -> bool:
        equity, kept = health(account, self._matcher.prices)
        return equity < kept

    def _isolated_gone(self, account: Account, position: Position) -> bool:
        mark = self._matcher.prices.mark(position.instrument.index)
        margin = over(position.cost, account.leverage(position.instrument))
        left = plus(margin, position.unrealized(mark))
        return left < maintenance(position.instrument, position.qty, mark)

    def _fund_is_used_up(self) -> bool:
        """Whether the fund has paid all that it had, in dollars."""
        prices = self._matcher.prices
        paid = (times(amount, prices.dollars(coin)) for coin, amount in self.insurance.items())
        return plus(*paid) >= self._matcher.rules.insurance_fund

    def liquidate(self, account: Account, position: Position, now_ms: int) -> None:
        """Close one position by force, as if its margin were gone."""
        self._cancel_orders(account, now_ms, position)
        self._close(account, position, now_ms)
        self._settle_debt(account, now_ms)

    def _bankruptcy_px(self, account: Account, position: Position) -> int:
        matcher, instrument = self._matcher, position.instrument
        clearing = matcher.clearing
        mark = matcher.prices.mark(instrument.index)
        backing = clearing.backing(account, instrument, clearing.figures(account))
        px = ruin_px(position, mark, account.leverage(instrument), backing)[1]
        return px or mark_px(mark, instrument.price_scale, instrument.tick)

    def _cancel_orders(self, account: Account, now_ms: int, only: Position | None) -> None:
        for order in list(account.open_orders.values()):
            if order.instrument.category is Category.SPOT or not order.open:
                continue
            if only is None or order.key == (only.instrument.index, only.idx):
                self._matcher.cancel(order, now_ms, "CancelAllBeforeLiq")

    def _close(self, account: Account, position: Position, now_ms: int) -> None:
        """Sell or buy the position at whatever the book offers; the rest waits for more."""
        matcher, instrument = self._matcher, position.instrument
        long, qty = position.qty > 0, abs(position.qty)
        position.status = "Liq"
        bankruptcy_px = self._bankruptcy_px(account, position)
        if self._fund_is_used_up():
            taken = self.deleveraging.take_over(position, account, bankruptcy_px, now_ms)
            self._note(instrument, long, taken, bankruptcy_px, now_ms)
            qty -= taken
            if not qty:
                position.status = "Normal"
                return
        order = Order(
            number=matcher.next_number(),
            order_id=matcher.clearing.new_id(instrument.category),
            link_id="",
            account=account.number,
            instrument=instrument,
            side=Side.SELL if long else Side.BUY,
            order_type=OrderType.MARKET,
            tif=TimeInForce.IOC,
            px=instrument.tick * (1 if long else PX_TICKS_MAX),
            qty=qty,
            reduce_only=True,
            close_on_trigger=True,
            created_ms=now_ms,
            updated_ms=now_ms,
            last_px=matcher.prices.last(instrument.index),
            position_idx=position.idx,
            create_type="CreateByLiq",
        )
        account.add_order(order)
        matcher.enter(order, now_ms, exec_type="BustTrade")
        if position.qty == 0:
            position.status = "Normal"
        self._note(instrument, long, order.cum_qty, bankruptcy_px, now_ms)

    def _note(self, instrument: Instrument, long: bool, qty: int, px: int, now_ms: int) -> None:
        if qty:
            self.count += 1
            side = Side.BUY if long else Side.SELL
            self._liquidations.append(Liquidation(instrument.index, side, qty, px, now_ms))

    def _settle_debt(self, account: Account, now_ms: int) -> None:
        """The fund pays what an account owes that has nothing left to lose."""
        if any(p.qty for p in account.positions.values()):
            return
        if health(account, self._matcher.prices)[0] >= 0:
            return
        for coin, balance in sorted(account.balances.items()):
            if balance < 0:
                account.pay(coin, balance.copy_negate())
                self.insurance[coin] = minus(self.insurance.get(coin, ZERO), balance)
        position = next(iter(account.positions.values()))
        self._matcher.clearing.tell(
            account, position.instrument, Told(), now_ms, self._matcher.next_seq()
        )
