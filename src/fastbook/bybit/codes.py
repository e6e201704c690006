"""What an answer of the exchange proves about the request.

The dangerous mistake is to read an ambiguous answer as a no: the order may stand. So a code
is a rejection only when it is known to be one of "not executed", and every code that leaves
the outcome open is in a list of its own. Members: the reference's classification for code.
"""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """What one retCode proves."""

    ACCEPTED = "accepted"
    """The gateway took it. The truth still comes by the private stream."""
    REJECTED = "rejected"
    """Not executed, and the same request will not be: do not retry blindly."""
    RETRY_SAFE = "retry_safe"
    """Not executed; the same request may succeed later."""
    UNKNOWN = "unknown"
    """It may or may not have been executed: ask."""
    DUPLICATE = "duplicate"
    """An order with this client id exists: on a retry, proof that the first one got there."""
    IDEMPOTENT = "idempotent"
    """Already as asked: success."""
    GONE = "gone"
    """The order is not open any more. Filled or cancelled: ask, never assume."""
    AUTH = "auth"
    """Key, permission or region. Fatal: not executed, and nothing else will be."""


TIME_WINDOW = frozenset({-1, 10002})
"""Timestamp outside the window: measure the clock again, sign again, once."""

RATE_LIMIT = frozenset({429, 10006, 10018, 10403, 10429, 20003, 170005, 170222})

OVERLOAD = frozenset({429, 10403, 10429, 20003})
"""Refusals for load, not for an endpoint's own count: everything slows down."""

FUNDS = frozenset(
    {110004, 110006, 110007, 110012, 110014, 110044, 110045, 110047, 110051, 110052, 110053}
    | {170033, 170131}
)
"""Rejections for want of balance or margin."""

REDUCE_ONLY_SYMBOL = frozenset({110021, 110022, 110023, 110042, 30228})
"""The venue takes only orders that lower the position in this symbol."""

_ACCEPTED = frozenset({0})
_RETRY_SAFE = TIME_WINDOW | {10018, 10403, 20003, 110063, 170191, 170222}
_DUPLICATE = frozenset({110072, 170141})
_IDEMPOTENT = frozenset({110025, 110026, 110027, 110043, 34040, 20001})
_GONE = frozenset({110001, 110008, 110010, 170139, 170142, 170143, 170213})
_AUTH = frozenset({10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, -2015, 33004})
_UNKNOWN = frozenset(
    {429, 10000, 10006, 10014, 10016, 10019, 10429, 20006, 40004, 110079}
    | {170001, 170005, 170007, 170032, 170144, 170146, 170147, 170149, 170150}
    | {170190, 170212, 170234, 170310, 170311}
)

_BY_CODE: dict[int, Outcome] = {
    code: outcome
    for outcome, codes in (
        (Outcome.ACCEPTED, _ACCEPTED),
        (Outcome.RETRY_SAFE, _RETRY_SAFE),
        (Outcome.DUPLICATE, _DUPLICATE),
        (Outcome.IDEMPOTENT, _IDEMPOTENT),
        (Outcome.GONE, _GONE),
        (Outcome.AUTH, _AUTH),
        (Outcome.UNKNOWN, _UNKNOWN),
    )
    for code in codes
}


def classify(code: int) -> Outcome:
    """What `code` proves. A code that no list names is a permanent rejection of that request."""
    return _BY_CODE.get(code, Outcome.REJECTED)


def classify_http(status: int) -> Outcome:
    """What an HTTP status without a readable envelope proves about a POST.

    401 is refused before anything is looked at, and so are 400 and 404. Every other failure
    (403, 429, 5xx, a redirect) may have been said by a proxy after the venue had acted.
    """
    if status == 401:
        return Outcome.AUTH
    return Outcome.REJECTED if status in (400, 404, 405, 413, 415) else Outcome.UNKNOWN
