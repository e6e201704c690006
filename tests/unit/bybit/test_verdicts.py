"""What each end of a request is taken to prove."""

from __future__ import annotations

import pytest

from fastbook.bybit import codes, verdicts
from fastbook.bybit.codes import Outcome
from fastbook.bybit.verdicts import RowAnswer
from fastbook.errors import (
    CredentialsError,
    FastbookError,
    RequestError,
    TransportError,
    VenueError,
)
from fastbook.types import (
    AmendRejected,
    CancelRejected,
    OrderAccepted,
    OrderRejected,
    OrderUnknown,
    SetStops,
    StopsRejected,
    StopsSet,
)

EVERY_CODE = sorted(
    {
        *(-2015, -1, 429, 3400045, 30208, 999_999),
        *range(10000, 10100),
        *(10403, 10404, 10429, 20001, 20003, 20006, 33004, 34040, 40004),
        *range(110000, 110140),
        *range(170000, 170400),
    }
)
STOPS = SetStops(instrument=3, stop_loss_px=10, take_profit_px=20, position_idx=1)


def test_refused_create_is_rejected_only_by_a_code_that_proves_it() -> None:
    proofs = (Outcome.REJECTED, Outcome.RETRY_SAFE, Outcome.AUTH)
    for code in EVERY_CODE:
        verdict = verdicts.create_failed("c", VenueError(code, "no"))
        if codes.classify(code) in proofs:
            assert verdict == OrderRejected(client_id="c", code=code, reason="no"), code
        else:
            assert isinstance(verdict, OrderUnknown), code
            assert verdicts.is_duplicate(verdict) is (code in (110072, 170141)), code


@pytest.mark.parametrize(
    ("error", "rejected"),
    [
        (TransportError("never left", sent=False), True),
        (TransportError("never left", sent=False, status=403), True),
        (TransportError("bad request", status=400), True),
        (TransportError("no such path", status=404), True),
        (TransportError("cut"), False),
        (TransportError("forbidden", status=403), False),
        (TransportError("slow down", status=429), False),
        (TransportError("gateway", status=502), False),
        (RequestError("off the grid"), True),
        (CredentialsError("key refused", code=10003), True),
    ],
)
def test_create_that_ended_otherwise(error: FastbookError, rejected: bool) -> None:
    verdict = verdicts.create_failed("c", error)
    assert isinstance(verdict, OrderRejected if rejected else OrderUnknown)
    assert verdict.reason == str(error)
    if isinstance(verdict, OrderRejected):
        assert verdict.code == getattr(error, "code", verdicts.LOCAL)


def test_accepted_create_keeps_a_readable_order_id() -> None:
    assert verdicts.created("c", {"orderId": "o"}) == OrderAccepted(client_id="c", order_id="o")
    assert verdicts.created("c", {"orderId": 5}).order_id == ""
    assert len(verdicts.created("c", {"orderId": "x" * 999}).order_id) == 64
    assert not verdicts.is_duplicate(verdicts.created("c", {}))


def test_refused_change_says_nothing_of_the_order() -> None:
    assert verdicts.cancel_failed("c", VenueError(110001, "gone")) == CancelRejected(
        client_id="c", code=110001, reason="110001 gone"
    )
    assert verdicts.cancel_failed("c", CredentialsError("key", code=10003)) == CancelRejected(
        client_id="c", code=10003, reason="key"
    )
    assert verdicts.cancel_failed("c", TransportError("cut")) == CancelRejected(
        client_id="c", code=verdicts.LOCAL, reason="cut"
    )
    assert verdicts.cancel_failed("c", VenueError(34040, "not modified")) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VenueError(110001, "gone"), 110001),
        (VenueError(110064, "below the fill"), 110064),
        (VenueError(10002, "stamp"), 10002),
        (CredentialsError("key", code=10003), 10003),
        (RequestError("off the grid"), verdicts.LOCAL),
        (TransportError("never left", sent=False), verdicts.LOCAL),
        (TransportError("bad request", status=400), verdicts.LOCAL),
    ],
)
def test_refused_amend_leaves_the_order_as_it_was(error: FastbookError, code: int) -> None:
    assert verdicts.amend_failed("c", error) == AmendRejected(
        client_id="c", code=code, reason=str(error)
    )


@pytest.mark.parametrize(
    "error",
    [VenueError(10016, ""), VenueError(110079, ""), VenueError(34040, ""), TransportError("cut")],
)
def test_amend_without_a_definite_no_may_have_been_done(error: FastbookError) -> None:
    assert verdicts.amend_failed("c", error) is None


def test_stops() -> None:
    done = StopsSet(instrument=3, stop_loss_px=10, take_profit_px=20, position_idx=1)
    assert verdicts.stops_set(STOPS) == done
    assert verdicts.stops_failed(STOPS, VenueError(34040, "not modified")) == done
    refused = verdicts.stops_failed(STOPS, VenueError(10001, "wrong side"))
    assert refused == StopsRejected(
        instrument=3, code=10001, reason="10001 wrong side", position_idx=1
    )
    for error in (VenueError(10016, "restarting"), TransportError("cut")):
        unknown = verdicts.stops_failed(STOPS, error)
        assert isinstance(unknown, StopsRejected)
        assert unknown.code == verdicts.LOCAL


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (TransportError("cut"), True),
        (VenueError(10016, ""), True),
        (VenueError(20003, ""), True),
        (VenueError(110001, ""), False),
        (VenueError(10001, ""), False),
        (CredentialsError("no"), False),
        (RequestError("no"), False),
    ],
)
def test_what_is_worth_repeating(error: FastbookError, again: bool) -> None:
    assert verdicts.worth_repeating(error) is again


NAMED = {"list": [{"orderId": "o", "orderLinkId": "a"}, {"orderId": "", "orderLinkId": ""}]}
SAID = {"list": [{"code": 0, "msg": "OK"}, {"code": 110007, "msg": "ab not enough"}]}


def test_batch_rows_answer_for_themselves() -> None:
    rows = verdicts.batch_rows(["a", "b"], NAMED, SAID)
    assert rows == [RowAnswer(0, "OK", "o"), RowAnswer(110007, "ab not enough", "")]
    assert verdicts.created_in_batch("a", rows[0]) == OrderAccepted(client_id="a", order_id="o")
    assert verdicts.created_in_batch("b", rows[1]) == OrderRejected(
        client_id="b", code=110007, reason="ab not enough"
    )


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, SAID),
        (NAMED, {}),
        (NAMED, {"list": [{"code": 0}]}),
        ({"list": [5, 5]}, SAID),
        (NAMED, {"list": [5, 5]}),
        (NAMED, {"list": [{"code": "0"}, {"code": True}]}),
        ({"list": [{"orderLinkId": "b"}, {"orderLinkId": "a"}]}, SAID),
    ],
)
def test_unreadable_batch_rows_are_unknown(named: dict[str, object], said: object) -> None:
    rows = verdicts.batch_rows(["a", "b"], named, said)  # type: ignore[arg-type]  # as JSON has it
    assert rows == [None, None]
    verdict = verdicts.created_in_batch("a", rows[0])
    assert isinstance(verdict, OrderUnknown)
    assert isinstance(verdicts.cancelled_in_batch("a", rows[0]), TransportError)


def test_row_without_a_text_has_none() -> None:
    (row,) = verdicts.batch_rows(["a"], {"list": [{}]}, {"list": [{"code": 1, "msg": 5}]})
    assert row == RowAnswer(1, "", "")


@pytest.mark.parametrize(
    ("error", "rejected"),
    [
        (VenueError(10001, "too many rows"), False),
        (VenueError(10016, "restarting"), False),
        (VenueError(10002, "stamp"), True),
        (TransportError("cut"), False),
        (TransportError("never left", sent=False), True),
        (CredentialsError("key"), True),
    ],
)
def test_failed_batch_leaves_its_rows_unknown(error: FastbookError, rejected: bool) -> None:
    verdict = verdicts.batch_failed("a", error)
    assert isinstance(verdict, OrderRejected if rejected else OrderUnknown)


def test_cancel_rows() -> None:
    assert verdicts.cancelled_in_batch("a", RowAnswer(0, "OK", "o")) is None
    gone = verdicts.cancelled_in_batch("a", RowAnswer(110001, "gone", ""))
    assert isinstance(gone, VenueError)
    assert gone.code == 110001
