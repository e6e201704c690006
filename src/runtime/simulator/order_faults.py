"""What should go wrong with the next order requests, whichever way they come."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TypeVar

FAULTS_MAX = 10_000  # waiting faults of one kind; the oldest go first
ORDER_KINDS = ("create", "amend", "cancel")
ANSWER_LOSSES = ("cut", "silent")
SILENCE_S_MAX = 600.0  # how long an unanswered request is kept open

T = TypeVar("T")


def _few() -> deque[tuple[str, T]]:
    return deque(maxlen=FAULTS_MAX)


def kind_of(operation: str) -> str:
    """``create`` of ``order.create-batch``; "" of what is no order request."""
    what = operation.removeprefix("order.").partition("-")[0]
    return what if operation.startswith("order.") and what in ORDER_KINDS else ""


@dataclass(slots=True)
class OrderFaults:
    """All empty is a healthy exchange. The first of each pair says which requests are meant."""

    order_errors: deque[tuple[str, tuple[int, str]]] = field(default_factory=_few)
    lost: deque[tuple[str, str]] = field(default_factory=_few)  # carried out, then not answered
    lost_requests: Counter[str] = field(default_factory=Counter)  # neither done nor answered
    late_creates: deque[tuple[str, float]] = field(default_factory=_few)  # seconds after a cut
    rate_limits: deque[tuple[str, int]] = field(default_factory=_few)  # ms to the told reset
    late_rejects: int = 0  # creates that are acknowledged and then refused by the engine
    cancel_races: int = 0  # cancels of filled orders that succeed all the same
    # How long order requests are held up: on their way in, or their answers on the way out.
    slow_in_s: float = 0.0
    slow_out_s: float = 0.0

    @property
    def lost_answers(self) -> int:
        """How many requests will be carried out and not answered."""
        return len(self.lost)

    def error_for(self, what: str) -> tuple[int, str] | None:
        """Code and message with which the next request of this kind is refused."""
        return _take(self.order_errors, what)

    def loss_for(self, what: str) -> str:
        """How the answer to this request is lost, "" when it is not."""
        return _take(self.lost, what) or ""

    def loses_request(self, what: str) -> bool:
        if not self.lost_requests[what]:
            return False
        self.lost_requests[what] -= 1
        return True

    def delay_for(self, what: str) -> float | None:
        """How much later than its connection breaks this request is carried out."""
        return _take(self.late_creates, what)

    def rate_limit_for(self, what: str) -> int | None:
        return _take(self.rate_limits, what)


def _take(waiting: deque[tuple[str, T]], what: str) -> T | None:
    """The first one that is meant for `what`, taken out."""
    for at, (meant, value) in enumerate(waiting):
        if meant == what:
            del waiting[at]
            return value
    return None
