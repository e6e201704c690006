"""Where every order request ends up, whichever way it came: REST or the trade stream.

Checks the key's permission and the account's rate, hands the request to the venue, and puts
the outcome into the words of v5. Single orders and batches have budgets of their own, shared
by both ways in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fastbook.errors import ConfigError, VenueError
from fastbook.replay.accounts import Event, Order
from fastbook.replay.intake import PARAMETER_ERROR
from fastbook.replay.rows import order_row
from fastbook.replay.venue import Venue

from .keys import PERMISSION_DENIED, ApiKey
from .limits import RATE_LIMITED, Allowance, RollingLimits, per_second
from .market import Json
from .options import CATEGORIES, SimulatorOptions
from .order_faults import OrderFaults, kind_of

BATCH_MAX = {"spot": 10, "linear": 20, "inverse": 20}
FUNDING_RATE_MAX = Decimal("0.05")
TOO_MANY_VISITS = "Too many visits. Exceeded the API Rate Limit."
OPERATIONS = frozenset(
    f"order.{what}{batch}" for what in ("create", "amend", "cancel") for batch in ("", "-batch")
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one request, before it is put into an envelope."""

    code: int
    message: str
    result: Json
    ext: Json
    allowance: Allowance | None = None
    gateway: bool = False  # refused before the trading service saw it


class OrderDesk:
    """Create, amend and cancel, one by one and in batches."""

    def __init__(
        self,
        options: SimulatorOptions,
        venue: Venue,
        counters: Counter[str],
        now_ms: Callable[[], int],
        after_orders: Callable[[], None],
    ) -> None:
        """`after_orders()` is called when a request may have changed something."""
        self.faults = OrderFaults()
        self.limits = RollingLimits()
        self._options = options
        self._venue = venue
        self._counters = counters
        self._now_ms = now_ms
        self._after_orders = after_orders
        self._single: dict[str, Callable[[int, Json, int], Order]] = {
            "create": self._place,
            "amend": self._amend,
            "cancel": self._cancel,
        }

    def per_second(self, endpoint: str, category: str) -> int:
        options = self._options
        order = endpoint.startswith("order.")
        chosen = options.orders_per_s_max if order else options.queries_per_s_max
        return chosen or per_second(options.tier, endpoint, category)

    def take(self, key: ApiKey, endpoint: str, category: str, units: int = 1) -> Allowance:
        """Count a request against the budget of the key's account."""
        bucket = category if category in CATEGORIES else ""
        limit = self.per_second(endpoint, bucket)
        return self.limits.take(key.account, endpoint, bucket, limit, self._now_ms(), units)

    def run(self, key: ApiKey, operation: str, params: Json) -> Outcome:
        """Carry out one of OPERATIONS. Never raises VenueError: a refusal is an outcome."""
        category = str(params.get("category", ""))
        if not key.may_trade(category):
            return Outcome(PERMISSION_DENIED, "Permission denied, please check your API key "
                           "permissions.", {}, {}, gateway=True)  # fmt: skip
        what, _, batch = operation.removeprefix("order.").partition("-")
        if batch:
            return self._batch(key, operation, what, category, params)
        allowance = self.take(key, operation, category)
        reset_ms = self.faults.rate_limit_for(kind_of(operation))
        if reset_ms is not None:
            allowance = replace(
                allowance, granted=0, remaining=0, reset_ms=self._now_ms() + reset_ms
            )
        if not allowance.allowed:
            return Outcome(RATE_LIMITED, TOO_MANY_VISITS, {}, {}, allowance, gateway=True)
        try:
            order = self._single[what](key.account, params, self._now_ms())
        except VenueError as e:
            return Outcome(e.code, e.message, {}, {}, allowance)
        finally:
            self._after_orders()
        result = {"orderId": order.order_id, "orderLinkId": order.link_id}
        return Outcome(0, "OK", result, {}, allowance)

    def _place(self, account: int, params: Json, now_ms: int) -> Order:
        self._refuse_by_fault("create")
        if self.faults.late_rejects:
            order = self._venue.place(account, params, now_ms, reject=True)
            self.faults.late_rejects -= 1
        else:
            order = self._venue.place(account, params, now_ms)
        self._counters["orders"] += 1
        return order

    def _refuse_by_fault(self, what: str) -> None:
        refusal = self.faults.error_for(what)
        if refusal is not None:
            raise VenueError(*refusal)

    def _amend(self, account: int, params: Json, now_ms: int) -> Order:
        self._refuse_by_fault("amend")
        return self._venue.amend(account, params, now_ms)

    def _cancel(self, account: int, params: Json, now_ms: int) -> Order:
        self._refuse_by_fault("cancel")
        try:
            return self._venue.cancel(account, params, now_ms)
        except VenueError:
            order = self._filled(account, params) if self.faults.cancel_races else None
            if order is None:
                raise
        self.faults.cancel_races -= 1
        row = order_row(order) | {
            "cancelType": "CancelByUser",
            "rejectReason": "EC_OrigClOrdIDDoesNotExist",
            "updatedTime": str(now_ms),
        }
        category, number = str(order.instrument.category), self._venue.next_seq()
        owner = self._venue.account(account)
        event_id = f"{owner.uid}_{order.instrument.symbol}_{number}"
        owner.tell(Event("order", category, event_id, now_ms, (row,)))
        return order

    def _filled(self, account: int, params: Json) -> Order | None:
        """The filled order that a cancel names, if it names one."""
        names = [params.get(key) for key in ("orderId", "orderLinkId")]
        order_id, link_id = (name if isinstance(name, str) else "" for name in names)
        order = self._venue.account(account).find(order_id, link_id)
        return order if order is not None and order.status == "Filled" else None

    def set_funding_rate(self, category: str, symbol: str, rate: Decimal) -> None:
        """VenueError for an unknown symbol, or one without funding."""
        if not abs(rate) <= FUNDING_RATE_MAX:
            raise VenueError(PARAMETER_ERROR, f"the rate must be at most {FUNDING_RATE_MAX}")
        self._venue.set_funding_rate(self._venue.instrument(category, symbol).index, rate)

    def place_outside(self, account: int, params: Json, exec_type: str = "Trade") -> None:
        """An order that the owner of the account did not send. KeyError: no such account."""
        self._venue.place(account, params, self._now_ms(), exec_type=exec_type)
        self._after_orders()

    def next_seq(self) -> int:
        return self._venue.next_seq()

    def change_filters(self, category: str, symbol: str, tick: str, lot: str) -> None:
        """Other steps for a symbol; ConfigError when the scales cannot hold them."""
        try:
            instrument = self._venue.instrument(category, symbol)
            steps = [
                int(scaled) if (scaled := Decimal(text or "0").scaleb(scale)) == int(scaled) else -1
                for text, scale in ((tick, instrument.price_scale), (lot, instrument.qty_scale))
            ]
            self._venue.change_filters(instrument.index, tick=steps[0], lot=steps[1])
        except (VenueError, ArithmeticError, ValueError) as e:
            raise ConfigError(f"filters: {e}") from None

    def set_trading(self, category: str, symbol: str, on: bool) -> int:
        """Open or close a symbol; how many orders it cost."""
        try:
            index = self._venue.instrument(category, symbol).index
        except VenueError as e:
            raise ConfigError(f"symbol_status: {e}") from None
        return self.by_hand(lambda venue, now_ms: venue.set_trading(index, on, now_ms))

    def by_hand(self, change: Callable[[Venue, int], int]) -> int:
        """Do something to the venue that no request asked for, at the present time; tell it."""
        hit = change(self._venue, self._now_ms())
        self._after_orders()
        return hit

    def _batch(
        self, key: ApiKey, operation: str, what: str, category: str, params: Json
    ) -> Outcome:
        """Each order on its own; what the rate budget does not cover fails at the tail."""
        items = params.get("request")
        most = BATCH_MAX.get(category, 0)
        if category not in self._options.categories or not isinstance(items, list) or not items:
            return Outcome(PARAMETER_ERROR, "params error: category or request invalid", {}, {})
        if len(items) > most:
            return Outcome(PARAMETER_ERROR, f"params error: at most {most} orders", {}, {})
        allowance = self.take(key, operation, category, len(items))
        rows, codes = [], []
        for number, item in enumerate(items):
            row, code = self._batch_item(
                key, what, category, item, refused=number >= allowance.granted
            )
            rows.append(row)
            codes.append(code)
        self._after_orders()
        return Outcome(0, "OK", {"list": rows}, {"list": codes}, allowance)

    def _batch_item(
        self, key: ApiKey, what: str, category: str, item: Any, *, refused: bool
    ) -> tuple[Json, Json]:
        params: Json = item if isinstance(item, dict) else {}
        row = {"category": category, "symbol": "", "orderId": "", "orderLinkId": ""}
        for name in ("symbol", "orderLinkId"):
            value = params.get(name)
            row[name] = value if isinstance(value, str) else ""
        created = {"createAt": ""} if what == "create" else {}
        try:
            if refused:
                raise VenueError(RATE_LIMITED, TOO_MANY_VISITS)
            if not params:
                raise VenueError(PARAMETER_ERROR, "params error: an order must be a JSON object")
            order = self._single[what](
                key.account, {**params, "category": category}, self._now_ms()
            )
        except VenueError as e:
            return row | created, {"code": e.code, "msg": e.message}
        row["orderId"], row["orderLinkId"] = order.order_id, order.link_id
        if created:
            created["createAt"] = str(order.created_ms)
        return row | created, {"code": 0, "msg": "OK"}
