"""Whether the venue takes an order: what needs the account and the market to say so.

Every refusal is a `VenueError` with the venue's code; nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from fastbook.errors import VenueError
from fastbook.replay import intake
from fastbook.replay.accounts import Account, Order, Working, weight
from fastbook.replay.clearing import Clearing, VenueRules
from fastbook.replay.intake import NewOrder
from fastbook.replay.margin import Prices, symbol_margin
from fastbook.replay.money import EXACT, ZERO, contract_value, minus, notional, plus, times
from fastbook.replay.order import Trigger
from fastbook.replay.tiers import size_of, tier_for_leverage
from fastbook.types import Category, Instrument, OrderType, Side


class Admission:
    """Checks orders against accounts, prices and rules."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        prices: Prices,
        rules: VenueRules,
        clearing: Clearing,
    ) -> None:
        self._instruments = instruments
        self._prices = prices
        self._rules = rules
        self._clearing = clearing

    @staticmethod
    def check_link(account: Account, instrument: Instrument, link_id: str) -> None:
        if link_id and link_id in account.links:
            spot = instrument.category is Category.SPOT
            code = intake.SPOT_DUPLICATE_LINK_ID if spot else intake.DUPLICATE_LINK_ID
            raise VenueError(code, "OrderLinkedID is duplicate")

    @staticmethod
    def check_position_idx(account: Account, instrument: Instrument, idx: int) -> None:
        """10001 unless the index is one of the symbol's mode."""
        if idx not in account.indexes(instrument):
            raise VenueError(intake.PARAMETER_ERROR, "position idx not match position mode")

    def check_count(self, account: Account, instrument: Instrument, *, waiting: bool) -> None:
        """Room for one more order; conditional orders have a limit of their own."""
        spot = instrument.category is Category.SPOT
        if waiting:
            stops = sum(
                order.waiting and order.instrument is instrument and order.stop_type == "Stop"
                for order in account.open_orders.values()
            )
            rules = self._rules
            most = rules.spot_conditional_orders_max if spot else rules.conditional_orders_max
            if stops >= most:
                code = intake.SPOT_TOO_MANY_ORDERS if spot else intake.TOO_MANY_STOPS
                raise VenueError(code, "The number of stop orders exceeds the limit")
            return
        active = len(account.open_orders) if spot else account.resting_orders(instrument)
        if active >= self._rules.active_orders_max:
            code = intake.SPOT_TOO_MANY_ORDERS if spot else intake.TOO_MANY_ORDERS
            raise VenueError(code, "The number of active orders exceeds the limit")

    def reduced_qty(
        self, account: Account, instrument: Instrument, idx: int, side: Side, qty: int, most: int
    ) -> int:
        """A reduce-only quantity: no more than the position, which must be on the other side.

        0 asks for the whole position, up to the largest order.
        """
        position = account.positions.get((instrument.index, idx))
        held = position.qty if position is not None else 0
        if held * side >= 0:
            raise VenueError(
                intake.REDUCE_ONLY_NO_POSITION,
                "current position is zero, cannot fix reduce-only order qty",
            )
        return min(qty or most, abs(held))

    def entry_px(
        self, account: Account, instrument: Instrument, side: Side, order_type: OrderType, px: int
    ) -> int:
        """The limit price that the order gets on the book."""
        if order_type is OrderType.MARKET:
            px = self._prices.protection_px(instrument, side, self._rules.market_band)
            if px <= 0:
                raise VenueError(intake.NO_MARKET_PRICE, "no market price")
            return px
        worst = self._prices.worst_limit_px(instrument, side, self._rules.limit_band)
        if worst <= 0 or (worst - px) * side >= 0:
            return px
        if instrument.category is Category.SPOT:
            buy = side is Side.BUY
            code = intake.SPOT_PRICE_TOO_HIGH if buy else intake.SPOT_PRICE_TOO_LOW
            raise VenueError(code, "Order price is outside the allowed range")
        clamps = account.clamps_limit_px
        if not (self._rules.clamp_limit_px if clamps is None else clamps):
            raise VenueError(intake.PRICE_OUT_OF_RANGE, "Order price exceeds the allowable range")
        return worst

    @staticmethod
    def check_value(instrument: Instrument, px: int, qty: int) -> None:
        """The minimum value of an order that may raise a position."""
        if instrument.category is Category.INVERSE:
            return
        if notional(instrument, px, qty) < instrument.notional_min:
            spot = instrument.category is Category.SPOT
            raise VenueError(
                intake.SPOT_VALUE_TOO_SMALL if spot else intake.NOTIONAL_TOO_SMALL,
                f"Order does not meet minimum order value {instrument.notional_min}"
                f"{instrument.quote}",
            )

    def check_cover(
        self,
        account: Account,
        new: NewOrder | Order,
        instrument: Instrument,
        px: int,
        qty: int,
        *,
        reduce_only: bool,
        replaces: Order | None = None,
    ) -> None:
        """Coins or margin must be there for `qty` at `px`, besides what `replaces` ties now."""
        if instrument.category is Category.SPOT:
            self._check_coins(account, instrument, new, px, qty, replaces)
        elif not reduce_only:
            idx = new.position_idx
            self._check_tier(account, instrument, idx, new.side, px, qty, replaces)

    def _check_coins(
        self,
        account: Account,
        instrument: Instrument,
        new: NewOrder | Order,
        px: int,
        qty: int,
        replaces: Order | None,
    ) -> None:
        """A spot order must be covered by coins that are not locked."""
        locked = ZERO
        if new.side is Side.SELL:
            coin, need = instrument.base, instrument.qty_decimal(qty)
            if replaces is not None:
                locked = instrument.qty_decimal(replaces.leaves)
        else:
            coin = instrument.quote
            need = new.quote_budget or notional(instrument, px, qty)
            if replaces is not None:
                locked = notional(instrument, replaces.px, replaces.leaves)
        more = minus(need, locked)
        if more > 0 and self._clearing.shortfall(account, coin, more):
            raise VenueError(intake.SPOT_INSUFFICIENT_BALANCE, "Insufficient balance.")

    def _check_margin(
        self,
        account: Account,
        instrument: Instrument,
        idx: int,
        side: Side,
        px: int,
        qty: int,
        replaces: Order | None,
    ) -> None:
        """An order that raises the margin of its position must find that margin free."""
        key = instrument.index, idx
        position = account.positions.get(key)
        working = account.working.get(key) or Working()
        after = Working(working.buy, working.sell)
        change = weight(instrument, side, px) * qty
        if replaces is not None:
            change -= weight(instrument, side, replaces.px) * replaces.leaves
        if side is Side.BUY:
            after.buy += change
        else:
            after.sell += change
        mark = self._prices.mark(instrument.index)
        leverage = account.leverage(instrument)
        _, old = symbol_margin(instrument, position, working, mark, leverage)
        _, new = symbol_margin(instrument, position, after, mark, leverage)
        more = minus(new, old)
        if more <= 0:
            return
        rates = self._rules.fees(instrument.category)
        fee = times(contract_value(instrument, px, qty), rates.taker)
        if self._clearing.shortfall(account, instrument.settle, plus(more, max(ZERO, fee))):
            raise VenueError(intake.INSUFFICIENT_BALANCE, "ab not enough for new order")

    def _check_tier(
        self,
        account: Account,
        instrument: Instrument,
        idx: int,
        side: Side,
        px: int,
        qty: int,
        replaces: Order | None,
    ) -> None:
        """110023 where only leaving is allowed, 110007, 110090 beyond the leverage's tiers."""
        position = account.positions.get((instrument.index, idx))
        held = position.qty if position is not None else 0
        after = abs(held + side * qty)
        grows = after > abs(held)
        if grows and instrument.index in account.reduce_only:
            raise VenueError(
                intake.ONLY_REDUCING, "Currently only reducing the position is allowed"
            )
        self._check_margin(account, instrument, idx, side, px, qty, replaces)
        most = tier_for_leverage(instrument, account.leverage(instrument)).limit
        if grows and size_of(instrument, after, instrument.px_decimal(px)) > most:
            raise VenueError(
                intake.RISK_LIMIT_EXCEEDED, "Position value exceeds the risk limit of the leverage"
            )

    # Prices that must be on the right side of the market.

    def watched(self, instrument: Instrument, by: str) -> Decimal:
        """The price that a trigger looks at, fixed-point; index and mark are the same here."""
        if by == "LastPrice":
            return Decimal(self._prices.last(instrument.index))
        return EXACT.scaleb(self._prices.mark(instrument.index), instrument.price_scale)

    def check_trigger(self, instrument: Instrument, trigger: Trigger) -> Trigger:
        """The trigger with its direction; 110092 or 110093 when the price is there already."""
        now = self.watched(instrument, trigger.by)
        if trigger.direction == 0:
            return Trigger(trigger.px, 1 if trigger.px > now else 2, trigger.by)
        if trigger.direction == 1 and trigger.px <= now:
            raise VenueError(
                intake.EXPECTS_RISING, f"expect Rising, but trigger_price[{trigger.px}] <= current"
            )
        if trigger.direction == 2 and trigger.px >= now:
            raise VenueError(
                intake.EXPECTS_FALLING,
                f"expect Falling, but trigger_price[{trigger.px}] >= current",
            )
        return trigger

    @staticmethod
    def check_protection(side: Side, base: Decimal, take_profit: int, stop_loss: int) -> None:
        """Take profit on the winning side of `base`, stop loss on the losing one; 10001."""
        if take_profit and (take_profit - base) * side <= 0:
            word = "higher" if side is Side.BUY else "lower"
            raise VenueError(
                intake.PARAMETER_ERROR,
                f"TakeProfit set for {side.wire} position should be {word} than base_price",
            )
        if stop_loss and (base - stop_loss) * side <= 0:
            word = "lower" if side is Side.BUY else "higher"
            raise VenueError(
                intake.PARAMETER_ERROR,
                f"StopLoss set for {side.wire} position should be {word} than base_price",
            )
