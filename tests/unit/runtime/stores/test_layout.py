"""The bytes of a cached book: both forms agree, and damage is seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook import Book, BookState
from fastbook.errors import WireError
from fastbook.runtime.stores.layout import HEAD, l1_of, pack_l2, pack_l2_py, unpack

LEVELS = st.dictionaries(st.integers(1, 10**6), st.integers(1, 10**12), max_size=60)


def made(bids: dict[int, int], asks: dict[int, int]) -> Book:
    book = Book(50, price_scale=2, qty_scale=3, symbol="BTCUSDT")
    book.apply_snapshot([], [], 7, 9)
    for px, qty in bids.items():
        book.set_bid(px, qty)
    for px, qty in asks.items():
        book.set_ask(10**7 + px, qty)
    return book


@given(LEVELS, LEVELS, st.integers(0, 70), st.integers(0, 2**62))
def test_the_compiled_form_has_the_same_bytes(
    bids: dict[int, int], asks: dict[int, int], levels: int, written_ms: int
) -> None:
    book = made(bids, asks)
    assert pack_l2(book, levels, written_ms) == pack_l2_py(book, levels, written_ms)


@given(LEVELS, LEVELS)
def test_what_is_packed_is_read_again(bids: dict[int, int], asks: dict[int, int]) -> None:
    book = made(bids, asks)
    read = unpack(pack_l2(book, 20, 123))
    ours = book.levels()
    assert (read.bids, read.asks) == (ours[0][:20], ours[1][:20])
    assert (read.state, read.u, read.seq, read.written_ms) == (book.state, 7, 9, 123)
    assert (read.price_scale, read.qty_scale) == (2, 3)
    touch = unpack(l1_of(pack_l2(book, 20, 123)))
    assert (touch.bids, touch.asks) == (read.bids[:1], read.asks[:1])


def test_sizes_are_those_of_the_documentation() -> None:
    packed = pack_l2(made({1: 1, 2: 2}, {3: 3}), 50, 0)
    assert (HEAD.size, len(packed), len(l1_of(packed))) == (56, 56 + 3 * 16, 88)


def test_a_state_that_is_not_synced_is_kept() -> None:
    book = Book(50, symbol="X")
    assert unpack(pack_l2(book, 50, 1)).state is BookState.NO_BOOK


def test_too_many_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="1001"):
        pack_l2(made({}, {}), 1001, 0)


@pytest.mark.parametrize(
    "harm",
    [
        lambda b: b[:-1],
        lambda b: b + b"\0",
        lambda b: b"XX" + b[2:],
        lambda b: b[:2] + b"\x02" + b[3:],
        lambda b: b[:3] + b"\x09" + b[4:],
        lambda b: b"",
    ],
)
def test_damage_is_an_error(harm: object) -> None:
    packed = pack_l2(made({1: 1}, {3: 3}), 50, 0)
    with pytest.raises(WireError):
        unpack(harm(packed))  # type: ignore[operator]  # a list of lambdas
