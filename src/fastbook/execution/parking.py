"""Executions whose order is not known yet: a fill may overtake the answer to its order."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from fastbook.types import Execution


@dataclass(slots=True)
class _Parked:
    execution: Execution
    since_ns: int
    told_overdue: bool = False
    told_stranger: bool = False


class Parking:
    """At most `most` executions by their id; the oldest gives way.

    What is parked is in the position already; only its order has not been told.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._parked: OrderedDict[str, _Parked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parked)

    def add(self, execution: Execution, now_ns: int) -> bool:
        """Park it; True if another had to go for it."""
        self._parked[execution.exec_id] = _Parked(execution, now_ns)
        if len(self._parked) <= self._most:
            return False
        self._parked.popitem(last=False)
        return True

    def claim(self, order_id: str) -> list[tuple[Execution, int]]:
        """Take out what belongs to the venue's `order_id`, with the times of parking."""
        mine = [p for p in self._parked.values() if p.execution.order_id == order_id]
        for parked in mine:
            del self._parked[parked.execution.exec_id]
        return [(p.execution, p.since_ns) for p in mine]

    def overdue(self, older_than_ns: int) -> list[Execution]:
        """What has been here since `older_than_ns` or before, oldest first."""
        return [p.execution for p in self._parked.values() if p.since_ns <= older_than_ns]

    def tell_stranger(self, execution: Execution) -> bool:
        """True the first time."""
        parked = self._parked[execution.exec_id]
        told, parked.told_stranger = parked.told_stranger, True
        return not told

    def tell_overdue(self, execution: Execution) -> bool:
        """True the first time."""
        parked = self._parked[execution.exec_id]
        told, parked.told_overdue = parked.told_overdue, True
        return not told
