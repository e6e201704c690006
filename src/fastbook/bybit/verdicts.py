"""What the end of a request means for the order: the one place where that is decided.

Whatever way a request went, it ends in an answer or in an error of `fastbook.errors`, and the
same end means the same thing by REST and by socket. The rule that money hangs on: a create whose
end does not prove that it was refused is `OrderUnknown`. It is never sent again under another id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from fastbook.bybit.codes import Outcome, classify, classify_http
from fastbook.errors import CredentialsError, FastbookError, TransportError, VenueError
from fastbook.types import (
    AmendRejected,
    CancelRejected,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    OrderUnknown,
    SetStops,
    StopsRejected,
    StopsSet,
)

LOCAL = 0
"""The code of a refusal that no venue gave."""

DUPLICATE = "duplicate client id"
_ID_CHARS_MAX = 64
_TEXT_MAX = 200

Json = Mapping[str, Any]  # Any: JSON from outside; each value is checked when it is read


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """What the venue said of one row of a batch; None = it said nothing that can be read."""

    code: int
    text: str
    order_id: str


def created(client_id: str, result: Json) -> OrderAccepted:
    """The venue's gateway took the create."""
    return OrderAccepted(client_id=client_id, order_id=order_id_of(result))


def create_failed(client_id: str, error: FastbookError) -> OrderEvent:
    """A create ended in `error`: rejected only where that is proved, else unknown."""
    if isinstance(error, CredentialsError):
        return OrderRejected(client_id=client_id, code=error.code, reason=str(error))
    if isinstance(error, VenueError):
        return _create_refused(client_id, error.code, error.message)
    # Of what was sent, some statuses prove all the same that it was turned away at the door.
    if _left(error) and classify_http(error.status) is not Outcome.REJECTED:
        return OrderUnknown(client_id=client_id, reason=str(error))
    return OrderRejected(client_id=client_id, code=LOCAL, reason=str(error))


def _left(error: FastbookError) -> TypeGuard[TransportError]:
    return isinstance(error, TransportError) and error.sent


def _create_refused(client_id: str, code: int, text: str) -> OrderEvent:
    outcome = classify(code)
    if outcome is Outcome.DUPLICATE:
        # An order with this id is there: ours, of an attempt whose answer was lost.
        return OrderUnknown(client_id=client_id, reason=f"{DUPLICATE}: {code} {text}")
    if outcome in (Outcome.REJECTED, Outcome.RETRY_SAFE, Outcome.AUTH):
        return OrderRejected(client_id=client_id, code=code, reason=text)
    return OrderUnknown(client_id=client_id, reason=f"{code} {text}")


def is_duplicate(event: OrderEvent) -> bool:
    """Whether `event` says that the venue has an order of this id already: look at once."""
    return isinstance(event, OrderUnknown) and event.reason.startswith(DUPLICATE)


def cancel_failed(client_id: str, error: FastbookError) -> CancelRejected | None:
    """A cancel ended in `error`; None when it is as asked all the same.

    Says nothing of the order itself: it may have traded, and must be asked for.
    """
    if isinstance(error, (VenueError, CredentialsError)):
        if classify(error.code) is Outcome.IDEMPOTENT:
            return None
        return CancelRejected(client_id=client_id, code=error.code, reason=str(error))
    return CancelRejected(client_id=client_id, code=LOCAL, reason=str(error))


def amend_failed(client_id: str, error: FastbookError) -> AmendRejected | None:
    """An amend ended in `error`; None when that is no definite no: ask what stands.

    It was refused, or the order is gone; either way these values will not come.
    """
    if isinstance(error, TransportError):
        if error.sent and classify_http(error.status) is not Outcome.REJECTED:
            return None
        return AmendRejected(client_id=client_id, code=LOCAL, reason=str(error))
    if isinstance(error, (VenueError, CredentialsError)):
        if classify(error.code) in (Outcome.UNKNOWN, Outcome.IDEMPOTENT):
            return None
        return AmendRejected(client_id=client_id, code=error.code, reason=str(error))
    return AmendRejected(client_id=client_id, code=LOCAL, reason=str(error))


def stops_set(stops: SetStops) -> StopsSet:
    return StopsSet(
        instrument=stops.instrument,
        stop_loss_px=stops.stop_loss_px,
        take_profit_px=stops.take_profit_px,
        position_idx=stops.position_idx,
    )


def stops_failed(stops: SetStops, error: FastbookError) -> StopsSet | StopsRejected:
    """Setting stops ended in `error`; "not modified" means that they stand as asked."""
    code = error.code if isinstance(error, (VenueError, CredentialsError)) else LOCAL
    if isinstance(error, VenueError):
        outcome = classify(code)
        if outcome is Outcome.IDEMPOTENT:
            return stops_set(stops)
        if outcome is Outcome.UNKNOWN:
            code = LOCAL  # nobody refused them: we could not learn it
    return StopsRejected(
        instrument=stops.instrument,
        code=code,
        reason=str(error),
        position_idx=stops.position_idx,
    )


def worth_repeating(error: FastbookError) -> bool:
    """Whether a request that may safely be made twice (cancel, stops) should be made again."""
    if isinstance(error, TransportError):
        return True
    if isinstance(error, VenueError):
        return classify(error.code) in (Outcome.UNKNOWN, Outcome.RETRY_SAFE)
    return False


# Batches: the envelope says 0 even when every row failed.


def batch_rows(client_ids: Sequence[str], result: Json, ext: Json) -> list[RowAnswer | None]:
    """The answer to each row, in the order asked. A row that names another order is no answer."""
    named, codes = _list(result), _list(ext)
    if len(named) != len(client_ids) or len(codes) != len(client_ids):
        return [None] * len(client_ids)
    return [_row(*pair) for pair in zip(client_ids, named, codes, strict=True)]


def _row(client_id: str, named: object, said: object) -> RowAnswer | None:
    if not isinstance(named, Mapping) or not isinstance(said, Mapping):
        return None
    code, text = said.get("code"), said.get("msg")
    if type(code) is not int or named.get("orderLinkId") not in (client_id, "", None):
        return None
    return RowAnswer(code, text[:_TEXT_MAX] if isinstance(text, str) else "", order_id_of(named))


def created_in_batch(client_id: str, row: RowAnswer | None) -> OrderEvent:
    if row is None:
        return OrderUnknown(client_id=client_id, reason="the batch's answer does not name it")
    if row.code == 0:
        return OrderAccepted(client_id=client_id, order_id=row.order_id)
    return _create_refused(client_id, row.code, row.text)


def batch_failed(client_id: str, error: FastbookError) -> OrderEvent:
    """A whole batch of creates ended in `error`.

    A refusal of the whole says nothing of its rows, so it proves less than one of a single
    order: nothing was created only if the batch never left or never got past the door.
    """
    if isinstance(error, VenueError) and classify(error.code) is not Outcome.RETRY_SAFE:
        return OrderUnknown(client_id=client_id, reason=f"whole batch: {error}")
    return create_failed(client_id, error)


def cancelled_in_batch(client_id: str, row: RowAnswer | None) -> FastbookError | None:
    """What a single cancel would have raised; None = taken."""
    if row is None:
        return TransportError("the batch's answer does not name it")
    if classify(row.code) in (Outcome.ACCEPTED, Outcome.IDEMPOTENT):
        return None
    return VenueError(row.code, row.text, request=f"cancel {client_id}")


def order_id_of(result: Json) -> str:
    order_id = result.get("orderId")
    return order_id[:_ID_CHARS_MAX] if isinstance(order_id, str) else ""


def _list(value: Json) -> list[object]:
    rows = value.get("list")
    return rows if isinstance(rows, list) else []
