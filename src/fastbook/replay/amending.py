"""Amending an order: what may change, and what the change costs it.

A smaller quantity at the same price keeps the place in the queue; any other change gives it up
(the venue does not say; this is the cautious reading). An order whose new price crosses becomes
a taker, unless it is post-only: then it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastbook.errors import VenueError
from fastbook.replay import intake
from fastbook.replay.accounts import Account, Order
from fastbook.replay.admission import Admission
from fastbook.replay.intake import amended_qty, optional_px, price_kind_of, text_of
from fastbook.replay.matcher import Matcher
from fastbook.replay.order import Protection, Trigger
from fastbook.types import Category, OrderType


class Amending:
    """Takes amend requests for orders that were found open."""

    def __init__(self, matcher: Matcher, admission: Admission) -> None:
        self._matcher = matcher
        self._admission = admission

    def amend(
        self, account: Account, order: Order, params: Mapping[str, object], now_ms: int
    ) -> None:
        """Change an open order. VenueError when refused; nothing has changed then."""
        px, qty = self._new_px(account, order, params), self._new_qty(account, order, params)
        trigger, protection = self._new_trigger(order, params), self._new_protection(order, params)
        same = (px, qty) == (order.px, order.qty)
        if same and trigger == order.trigger and protection == order.protection:
            raise VenueError(
                intake.PARAMETER_ERROR,
                "The order remains unchanged as the parameters entered match the existing ones.",
            )
        if not order.waiting and not same:
            if not order.reduce_only:
                self._admission.check_value(order.instrument, px, qty)
            self._admission.check_cover(
                account, order, order.instrument, px, qty - order.cum_qty,
                reduce_only=order.reduce_only, replaces=order,
            )  # fmt: skip
        order.fresh = order.fresh or trigger != order.trigger
        order.trigger, order.protection = trigger, protection
        if protection:
            order.tpsl_mode = "Partial" if protection.partial else "Full"
        order.updated_ms = now_ms
        if order.waiting:
            order.px, order.qty = px, qty
            self._tell(order, now_ms)
        elif same:
            self._tell(order, now_ms)
        elif px == order.px and qty < order.qty:
            self._shrink(account, order, qty)
            self._tell(order, now_ms)
        else:
            self._matcher.take_off(order)
            order.px, order.qty = px, qty
            self._matcher.enter(order, now_ms)

    def _shrink(self, account: Account, order: Order, qty: int) -> None:
        account.change_resting(order, qty - order.qty)
        order.qty = qty
        self._matcher.books[order.instrument.index].reduce(order.number, order.leaves)

    def _tell(self, order: Order, now_ms: int) -> None:
        self._matcher.clearing.tell_order(order, now_ms, self._matcher.next_seq())

    def _new_px(self, account: Account, order: Order, params: Mapping[str, object]) -> int:
        px = optional_px(params, "price", order.instrument)
        if not px or order.order_type is OrderType.MARKET:
            return order.px
        return self._admission.entry_px(account, order.instrument, order.side, OrderType.LIMIT, px)

    def _new_qty(self, account: Account, order: Order, params: Mapping[str, object]) -> int:
        """The new total quantity; what is filled stays filled."""
        qty = amended_qty(params, order.instrument, order.side)
        if not qty:
            return order.qty
        if qty <= order.cum_qty:
            spot = order.instrument.category is Category.SPOT
            raise VenueError(
                intake.SPOT_AMENDED_BELOW_FILLED if spot else intake.AMENDED_BELOW_FILLED,
                "The new quantity must exceed what is filled already",
            )
        if order.reduce_only and not order.waiting:
            left = self._admission.reduced_qty(
                account, order.instrument, order.position_idx, order.side,
                qty - order.cum_qty, order.instrument.qty_max,
            )  # fmt: skip
            qty = order.cum_qty + left
        return qty

    def _new_trigger(self, order: Order, params: Mapping[str, object]) -> Trigger | None:
        px = optional_px(params, "triggerPrice", order.instrument)
        if not px:
            return order.trigger
        if order.trigger is None or not order.waiting:
            raise VenueError(intake.PARAMETER_ERROR, "params error: the order has no trigger")
        by = order.trigger.by
        if text_of(params, "triggerBy"):
            by = price_kind_of(params, "triggerBy")
        changed = Trigger(px, order.trigger.direction, by)
        return changed if changed == order.trigger else self._checked(order, changed)

    def _checked(self, order: Order, changed: Trigger) -> Trigger:
        return self._admission.check_trigger(order.instrument, changed)

    def _new_protection(self, order: Order, params: Mapping[str, object]) -> Protection:
        """Omitted keys stay; "0" removes."""
        instrument, old = order.instrument, order.protection
        given = {key for key in ("takeProfit", "stopLoss") if text_of(params, key)}
        if not given:
            return old
        if order.reduce_only or instrument.category is Category.SPOT or order.stop_type != "":
            raise VenueError(intake.PROTECTION_CONFLICT, "TP/SL do not go with this order")
        new = intake.protection_of(params, instrument)
        if "takeProfit" not in given:
            new = replace(new, take_profit=old.take_profit, tp_by=old.tp_by,
                          tp_limit_px=old.tp_limit_px)  # fmt: skip
        if "stopLoss" not in given:
            new = replace(new, stop_loss=old.stop_loss, sl_by=old.sl_by,
                          sl_limit_px=old.sl_limit_px)  # fmt: skip
        if not text_of(params, "tpslMode"):
            new = replace(new, partial=old.partial)
        base = self._admission.watched(instrument, "LastPrice")
        self._admission.check_protection(order.side, base, new.take_profit, new.stop_loss)
        return new
