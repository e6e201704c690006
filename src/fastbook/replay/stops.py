"""Orders that wait for a price: conditional orders, take profit, stop loss, trailing stop.

They stand in no book. `check` compares what they watch with where it has been since the last
check; an order that has just been added sees only where the price is now. Take profit and stop
loss of a whole position are two such orders that end with the position; partial ones come in
pairs of which one ends the other. They lock nothing until they trigger.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from fastbook.errors import VenueError
from fastbook.replay import intake
from fastbook.replay.accounts import Account, Order, Position
from fastbook.replay.admission import Admission
from fastbook.replay.clearing import Told
from fastbook.replay.intake import decimal_of, position_idx_of, protection_of, text_of
from fastbook.replay.matcher import Matcher
from fastbook.replay.order import PriceKind, Protection, Trigger
from fastbook.replay.trailing import follow, trailing_of
from fastbook.types import Instrument, OrderType, Side, TimeInForce

NOT_MODIFIED = 34040
PARTIAL_STOPS_MAX = 20
"""Partial take profits and stop losses waiting on one position; one pair more is refused."""
_CLEARED = "CancelByTpSlTsClear"
_PARTIAL = ("PartialTakeProfit", "PartialStopLoss")


class Stops:
    """Keeps every waiting order of the venue and starts those whose price has come."""

    def __init__(self, matcher: Matcher, admission: Admission) -> None:
        self._matcher = matcher
        self._admission = admission
        self._waiting: dict[int, dict[int, Order]] = {}  # instrument -> number -> order
        self.triggered = 0
        matcher.after_fills = self._after_fills

    def add(self, order: Order) -> None:
        """Let an order wait; it is known to its account already."""
        order.status = "Untriggered"
        self._waiting.setdefault(order.instrument.index, {})[order.number] = order
        order.fresh = True

    def check(self, now_ms: int) -> None:
        """Start every order whose price has come, oldest first; O(waiting orders)."""
        for index in sorted(self._waiting):
            while self._waiting[index] and self._check_symbol(index, now_ms):
                pass  # what started may have traded, and moved the price to others

    def _check_symbol(self, index: int, now_ms: int) -> bool:
        waiting = self._waiting[index]
        low, high = self._matcher.prices.take_range(index)
        ranges = {PriceKind.LAST: (Decimal(low), Decimal(high))}
        instrument = self._matcher.instruments[index]
        mark = self._admission.watched(instrument, PriceKind.MARK)
        ranges[PriceKind.MARK] = ranges[PriceKind.INDEX] = (mark, mark)
        last = Decimal(self._matcher.prices.last(index))
        ready = []
        for order in list(waiting.values()):
            if not order.waiting:
                del waiting[order.number]
                continue
            fresh, order.fresh = order.fresh, False
            if order.trail:
                best = last if fresh else Decimal(high if order.side is Side.SELL else low)
                follow(order, best, last)
            trigger = order.trigger
            if trigger is None:
                continue
            seen = ranges[trigger.by]
            if (fresh or order.trail) and trigger.by is PriceKind.LAST:
                seen = (last, last)
            if trigger.reached(*seen):
                ready.append(order)
        for order in ready:
            waiting.pop(order.number, None)
            if order.waiting:
                self._start(order, now_ms)
        return bool(ready)

    def _start(self, order: Order, now_ms: int) -> None:
        """The price has come: the order becomes active, or ends if it cannot."""
        self.triggered += 1
        matcher, account = self._matcher, self._matcher.accounts[order.account]
        for other in order.pair:
            if other.waiting:
                matcher.cancel(other, now_ms, _CLEARED)
        position = account.positions.get(order.key)
        if position is not None:
            if position.take_profit is order:
                position.take_profit = None
            elif position.stop_loss is order:
                position.stop_loss = None
            elif position.trailing is order:
                position.trailing = None
        order.status = "Triggered"
        matcher.clearing.tell_order(order, now_ms, matcher.next_seq())
        order.status = "New"
        try:
            self._size(account, order)
        except VenueError as e:
            if e.code == intake.REDUCE_ONLY_NO_POSITION:
                matcher.end(order, "CancelByReduceOnly", "EC_NoError")
            else:
                matcher.end(order, "UNKNOWN", "EC_Others", "Rejected")
            matcher.clearing.tell_order(order, now_ms, matcher.next_seq())
            return
        matcher.enter(order, now_ms)

    def _size(self, account: Account, order: Order) -> None:
        """Price and quantity of the moment; VenueError when the account cannot afford it."""
        instrument, admission = order.instrument, self._admission
        if order.reduce_only:
            market = order.order_type is OrderType.MARKET
            most = instrument.qty_max_market if market else instrument.qty_max
            whole = order.stop_type in ("TakeProfit", "StopLoss", "TrailingStop")
            order.qty = admission.reduced_qty(
                account, instrument, order.position_idx, order.side, 0 if whole else order.qty, most
            )
        order.px = admission.entry_px(account, instrument, order.side, order.order_type, order.px)
        admission.check_count(account, instrument, waiting=False)
        admission.check_cover(
            account, order, instrument, order.px, order.qty, reduce_only=order.reduce_only
        )

    # Take profit and stop loss.

    def trading_stop(
        self, account: Account, instrument: Instrument, params: Mapping[str, object], now_ms: int
    ) -> None:
        """Set, change or remove ("0") take profit and stop loss of a position.

        10001 without a position or on the wrong side of the price; 34040 when nothing changes.
        """
        idx = position_idx_of(params)
        self._admission.check_position_idx(account, instrument, idx)
        position = account.position(instrument, idx)
        if position.qty == 0:
            raise VenueError(intake.PARAMETER_ERROR, "can not set tp/sl/ts for zero position")
        wanted = protection_of(params, instrument)
        given = [key for key in ("takeProfit", "stopLoss") if text_of(params, key)]
        trails = bool(text_of(params, "trailingStop"))
        if not (given or trails):
            raise VenueError(NOT_MODIFIED, "not modified")
        side = Side.BUY if position.qty > 0 else Side.SELL
        last = self._admission.watched(instrument, PriceKind.LAST)
        distance, active_px = trailing_of(params, instrument, side, last)
        for px, by, winning in (
            (wanted.take_profit, wanted.tp_by, True),
            (wanted.stop_loss, wanted.sl_by, False),
        ):
            base = self._admission.watched(instrument, by)
            self._admission.check_protection(side, base, px * winning, px * (not winning))
        told = Told(account.silent)
        if wanted.partial and given:
            qty = self._partial_qty(params, account, position)
            self._add_pair(account, position, wanted, qty, told, now_ms)
        elif given:
            self._set_whole(account, position, wanted, given, told, now_ms)
        if trails:
            self._set_trailing(account, position, distance, active_px, told, now_ms)
        if not told.changed:
            raise VenueError(NOT_MODIFIED, "not modified")
        matcher = self._matcher
        matcher.clearing.tell(account, instrument, told, now_ms, matcher.next_seq())

    def _partial_qty(
        self, params: Mapping[str, object], account: Account, position: Position
    ) -> int:
        """Size of a partial pair: `tpSize` and `slSize`, which must agree."""
        sizes = {text_of(params, key) for key in ("tpSize", "slSize")} - {""}
        if len(sizes) > 1:
            raise VenueError(intake.PARAMETER_ERROR, "params error: tpSize and slSize differ")
        here = [o for o in self._partials(account, position) if o.waiting]
        if len(here) >= PARTIAL_STOPS_MAX:
            raise VenueError(intake.TOO_MANY_STOPS, "too many partial TP/SL orders")
        if not sizes:
            return abs(position.qty)
        key = "tpSize" if text_of(params, "tpSize") else "slSize"
        instrument = position.instrument
        scaled = decimal_of(params, key).scaleb(instrument.qty_scale)
        if (
            scaled != int(scaled)
            or int(scaled) % instrument.lot
            or not 0 < scaled <= abs(position.qty)
        ):
            raise VenueError(intake.PARAMETER_ERROR, f"params error: {key} invalid")
        return int(scaled)

    @staticmethod
    def _partials(account: Account, position: Position) -> list[Order]:
        key = position.instrument.index, position.idx
        return [o for o in account.open_orders.values() if o.stop_type in _PARTIAL and o.key == key]

    def _set_whole(
        self,
        account: Account,
        position: Position,
        wanted: Protection,
        given: list[str],
        told: Told,
        now_ms: int,
    ) -> None:
        """Bring the two stops of the whole position to what is wanted; rows of what changed."""
        for key, px, by in (
            ("takeProfit", wanted.take_profit, wanted.tp_by),
            ("stopLoss", wanted.stop_loss, wanted.sl_by),
        ):
            if key not in given:
                continue
            winning = key == "takeProfit"
            old = position.take_profit if winning else position.stop_loss
            if px == 0:
                if old is not None:
                    self._clear(old, told, now_ms)
                new = None
            elif old is not None and old.trigger is not None:
                new, trigger = old, Trigger(px, old.trigger.direction, by)
                if trigger == old.trigger:
                    continue
                old.trigger, old.updated_ms, old.fresh = trigger, now_ms, True
                told.note(old)
            else:
                kind = "TakeProfit" if winning else "StopLoss"
                new = self._stop(account, position, kind, px, by, 0, abs(position.qty), now_ms)
                told.note(new)
            if winning:
                position.take_profit = new
            else:
                position.stop_loss = new

    def _set_trailing(
        self,
        account: Account,
        position: Position,
        distance: int,
        active_px: int,
        told: Told,
        now_ms: int,
    ) -> None:
        """Replace the trailing stop of the position by this one; none for distance 0."""
        old = position.trailing
        if old is not None:
            if (old.trail, old.active_px) == (distance, active_px):
                return
            self._clear(old, told, now_ms)
            position.trailing = None
        if not distance:
            return
        last = self._matcher.prices.last(position.instrument.index)
        px = last - distance if position.qty > 0 else last + distance
        by, size = PriceKind.LAST, abs(position.qty)
        new = self._stop(account, position, "TrailingStop", px, by, 0, size, now_ms)
        new.trail, new.active_px = distance, active_px
        if active_px:
            new.trigger = None
        position.trailing = new
        told.note(new)

    def _add_pair(
        self,
        account: Account,
        position: Position,
        wanted: Protection,
        qty: int,
        told: Told,
        now_ms: int,
    ) -> list[Order]:
        made = []
        for kind, px, by, limit_px in (
            ("PartialTakeProfit", wanted.take_profit, wanted.tp_by, wanted.tp_limit_px),
            ("PartialStopLoss", wanted.stop_loss, wanted.sl_by, wanted.sl_limit_px),
        ):
            if px:
                made.append(self._stop(account, position, kind, px, by, limit_px, qty, now_ms))
        for order in made:
            order.pair = [other for other in made if other is not order]
            told.note(order)
        return made

    def _stop(
        self,
        account: Account,
        position: Position,
        kind: str,
        px: int,
        by: PriceKind,
        limit_px: int,
        qty: int,
        now_ms: int,
    ) -> Order:
        """A waiting order that closes (part of) a position."""
        long = position.qty > 0
        instrument, matcher = position.instrument, self._matcher
        rises = long == kind.endswith("TakeProfit")
        order = Order(
            number=matcher.next_number(),
            order_id=matcher.clearing.new_id(instrument.category),
            link_id="",
            account=account.number,
            instrument=instrument,
            side=Side.SELL if long else Side.BUY,
            order_type=OrderType.LIMIT if limit_px else OrderType.MARKET,
            tif=TimeInForce.GTC if limit_px else TimeInForce.IOC,
            px=limit_px,
            qty=qty,
            reduce_only=True,
            close_on_trigger=True,
            created_ms=now_ms,
            updated_ms=now_ms,
            last_px=matcher.prices.last(instrument.index),
            position_idx=position.idx,
            create_type=f"CreateBy{kind}",
            stop_type=kind,
            trigger=Trigger(px, 1 if rises else 2, by),
            tpsl_mode="Partial" if kind in _PARTIAL else "Full",
        )
        account.add_order(order)
        self.add(order)
        return order

    def _clear(self, order: Order, told: Told, now_ms: int) -> None:
        if order.waiting:
            order.updated_ms = now_ms
            self._matcher.end(order, _CLEARED, "EC_NoError")
            told.note(order)

    def _after_fills(
        self, account: Account, instrument: Instrument, told: Told, now_ms: int
    ) -> None:
        """Positions changed: end the stops of what is gone, set up those that came along."""
        attached = [(order, qty) for order, qty in told.fills if order.protection]
        if not attached and not self._waiting.get(instrument.index):
            return
        for idx in account.indexes(instrument):
            self._settle(account, account.position(instrument, idx), told, now_ms)
        for order, qty in attached:
            position = account.position(instrument, order.position_idx)
            if position.qty * order.side <= 0:
                continue  # it closed, or what it opened is gone again
            guard = order.protection
            if not guard.partial:
                keys = [
                    key
                    for key, px in (
                        ("takeProfit", guard.take_profit),
                        ("stopLoss", guard.stop_loss),
                    )
                    if px
                ]
                self._set_whole(account, position, guard, keys, told, now_ms)
            elif any(stop.waiting for stop in order.pair):
                for stop in order.pair:
                    stop.qty += qty
                    told.note(stop)
            else:
                order.pair = self._add_pair(account, position, guard, qty, told, now_ms)

    def _settle(self, account: Account, position: Position, told: Told, now_ms: int) -> None:
        """Stops of a side that is no longer held end; those of the whole follow its size."""
        whole = position.take_profit, position.stop_loss, position.trailing
        stops = [stop for stop in whole if stop is not None]
        for stop in [*stops, *self._partials(account, position)]:
            if stop.side * position.qty >= 0:
                self._clear(stop, told, now_ms)
            elif stop in stops:
                stop.qty = abs(position.qty)
        for stop in stops:
            if not stop.waiting and position.take_profit is stop:
                position.take_profit = None
            elif not stop.waiting and position.stop_loss is stop:
                position.stop_loss = None
            elif not stop.waiting and position.trailing is stop:
                position.trailing = None
