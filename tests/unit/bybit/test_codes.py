"""What each answer proves. The lists are the reference's, written out a second time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastbook.bybit.code_names import MEANINGS
from fastbook.bybit.codes import (
    FUNDS,
    OVERLOAD,
    RATE_LIMIT,
    REDUCE_ONLY_SYMBOL,
    TIME_WINDOW,
    Outcome,
    classify,
    classify_http,
)

EXPECTED = {
    Outcome.ACCEPTED: [0],
    Outcome.RETRY_SAFE: [-1, 10002, 10403, 20003, 110063, 170191, 170222],
    Outcome.UNKNOWN: [
        *(429, 10000, 10006, 10014, 10016, 10019, 10429, 110079, 20006),
        *(170001, 170005, 170007, 170032, 170146, 170147, 170310, 170234),
    ],
    Outcome.DUPLICATE: [110072, 170141],
    Outcome.IDEMPOTENT: [110025, 110026, 110027, 110043, 34040, 20001],
    Outcome.GONE: [110001, 110008, 110010, 170139, 170142, 170143, 170213],
    Outcome.AUTH: [10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, -2015, 33004],
    Outcome.REJECTED: [10001, 110003, 110004, 110007, 110017, 110020, 110094, 170131, 170140, 1],
}


@pytest.mark.parametrize(
    ("code", "outcome"), [(c, o) for o, codes in EXPECTED.items() for c in codes]
)
def test_ret_code(code: int, outcome: Outcome) -> None:
    assert classify(code) is outcome


@pytest.mark.parametrize("status", [301, 307, 403, 408, 429, 500, 502, 503, 504])
def test_http_status_that_proves_nothing(status: int) -> None:
    assert classify_http(status) is Outcome.UNKNOWN


def test_http_status_that_proves_refusal() -> None:
    assert classify_http(400) is classify_http(404) is Outcome.REJECTED
    assert classify_http(401) is Outcome.AUTH


def test_every_code_that_is_told_apart_has_a_name() -> None:
    told_apart = {code for code in range(-3_000, 200_000) if classify(code) is not Outcome.REJECTED}
    assert told_apart <= set(MEANINGS)
    assert set(RATE_LIMIT | FUNDS | REDUCE_ONLY_SYMBOL | OVERLOAD | TIME_WINDOW) <= set(MEANINGS)


def test_the_table_in_the_documents_is_what_the_code_does() -> None:
    text = (Path(__file__).parents[3] / "docs" / "orders.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| -?\d+ \|", line)]
    assert rows == [
        f"| {code} | {meaning} | `{classify(code).value}` |" for code, meaning in MEANINGS.items()
    ]
    classes = re.findall(r"^\| `(\w+)` \| [^|]*\| [^|]*\| [^|]*\| [^|]*\|$", text, re.MULTILINE)
    assert classes == [outcome.value for outcome in Outcome]
