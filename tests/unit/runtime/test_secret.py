"""A secret must not get out by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import orjson
import pytest

from fastbook.runtime.secret import Secret

CANARY = "canary-7f3a9b"
SECRET = Secret(CANARY)


@dataclasses.dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "text",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r}",
        f"{SECRET:>40}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031  # the old way must not leak either
        repr([SECRET]),
        repr({"a": SECRET}),
        repr(Holder(SECRET)),
    ],
)
def test_no_form_of_printing_shows_it(text: str) -> None:
    assert CANARY not in text
    assert "***" in text


@pytest.mark.parametrize(
    "leak",
    [
        *(pickle.dumps, copy.copy, copy.deepcopy, json.dumps, orjson.dumps, bytes, list, hash),
        *(vars, lambda s: dataclasses.asdict(Holder(s))),
    ],
)
def test_no_form_of_copying_takes_it(leak: object) -> None:
    assert callable(leak)
    with pytest.raises(TypeError) as caught:
        leak(SECRET)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_compares_with_secrets_only() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert SECRET != CANARY
    assert CANARY != SECRET
    assert Secret("ü") == Secret("ü")


def test_reveals_when_asked() -> None:
    assert SECRET.reveal() == CANARY
    assert SECRET
    assert not Secret("")
