"""The last look: what leaves is what was approved, each approval once, under a new name."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TypeVar

from fastbook.types import AmendIntent, AmendOrder, OrderIntent, OrderType, PlaceOrder, Side

OUTSTANDING_MAX = 256
"""Approvals that nobody has used yet; the oldest lapses first."""

IDS_MAX = 65_536
"""Client ids remembered against a second use."""

_OrderTerms = tuple[int, Side, int, int, OrderType, bool, int, int]
_AmendTerms = tuple[str, int | None, int | None]
T = TypeVar("T")


class Egress:
    """Compares each command with the approvals given, one to one.

    So the sum of what is sent can never exceed the sum of what was approved, whatever goes wrong
    between the gate and the way out.
    """

    def __init__(self) -> None:
        self.approved_qty = 0
        self.sent_qty = 0
        self._orders: deque[_OrderTerms] = deque(maxlen=OUTSTANDING_MAX)
        self._amends: deque[_AmendTerms] = deque(maxlen=OUTSTANDING_MAX)
        self._ids: OrderedDict[str, None] = OrderedDict()

    def expect(self, item: OrderIntent | AmendIntent) -> None:
        """One approval more."""
        if isinstance(item, AmendIntent):
            self._amends.append((item.client_id, item.px, item.qty))
        else:
            self._orders.append(_terms(item))
            self.approved_qty += item.qty

    def take_back(self, item: OrderIntent | AmendIntent) -> None:
        """The approval will not be used."""
        if isinstance(item, AmendIntent):
            _use(self._amends, (item.client_id, item.px, item.qty))
        elif _use(self._orders, _terms(item)):
            self.approved_qty -= item.qty

    def objection(self, command: PlaceOrder | AmendOrder) -> str:
        """Why `command` must not leave; empty when it may, and then its approval is used up."""
        if isinstance(command, AmendOrder):
            wanted = (command.client_id, command.px, command.qty)
            return "" if _use(self._amends, wanted) else f"amend {wanted} that nobody approved"
        if command.client_id in self._ids:
            return f"client id {command.client_id} was used before"
        if not _use(self._orders, _terms(command)):
            return f"{command.side.wire} {command.qty} at {command.px} that nobody approved"
        self._ids[command.client_id] = None
        if len(self._ids) > IDS_MAX:
            self._ids.popitem(last=False)
        self.sent_qty += command.qty
        return ""


def _terms(order: OrderIntent | PlaceOrder) -> _OrderTerms:
    return (
        order.instrument,
        order.side,
        order.px,
        order.qty,
        order.order_type,
        order.reduce_only,
        order.stop_loss_px,
        order.take_profit_px,
    )


def _use(held: deque[T], wanted: T) -> bool:
    """Take out one that is equal; O(approvals outstanding), mostly one."""
    try:
        held.remove(wanted)
    except ValueError:
        return False
    return True
