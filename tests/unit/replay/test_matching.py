"""The matching book, rule by rule; the property test covers their combinations."""

from __future__ import annotations

import pytest

from fastbook.errors import CapacityError
from fastbook.replay.matching import MatchingBook
from fastbook.types import Side

LARGEST = 2**63 - 1


def book_of_three_asks() -> MatchingBook:
    book = MatchingBook(16)
    book.rest(1, Side.SELL, 101, 5, 7)
    book.rest(2, Side.SELL, 101, 4)
    book.rest(3, Side.SELL, 103, 2, 8)
    return book


def test_fills_best_price_first_then_oldest_first() -> None:
    book = book_of_three_asks()

    fills = book.match(Side.BUY, 103, 10)

    assert fills == [(1, 7, 101, 5), (2, 0, 101, 4), (3, 8, 103, 1)]
    assert book.levels(Side.SELL) == [(103, 1)]
    book.check()


def test_limit_price_stops_a_taker() -> None:
    book = book_of_three_asks()

    assert book.match(Side.BUY, 102, 100) == [(1, 7, 101, 5), (2, 0, 101, 4)]
    assert book.match(Side.BUY, 102, 100) == []
    assert book.best_ask() == 103


def test_available_counts_what_match_would_fill() -> None:
    book = book_of_three_asks()

    assert [book.available(Side.BUY, px) for px in (100, 101, 102, 103)] == [0, 9, 9, 11]
    assert book.available(Side.SELL, 1) == 0


def test_reduce_keeps_the_place_in_the_queue() -> None:
    book = book_of_three_asks()

    assert book.reduce(1, 2) == 3
    assert book.ahead(2) == 2
    assert book.orders(Side.SELL, 101) == [(1, 2, 7), (2, 4, 0)]
    assert book.reduce(99, 1) == 0
    with pytest.raises(ValueError, match="cannot be reduced"):
        book.reduce(1, 3)


def test_an_empty_book_has_no_prices() -> None:
    book = MatchingBook(4)

    assert (book.best_bid(), book.best_ask()) == (0, 0)
    assert book.levels(Side.BUY) == []
    assert book.match(Side.SELL, 1, 1) == []
    assert book.cancel(1) == 0
    assert book.order(1) is None
    assert book.ahead(1) == -1
    assert not book.crosses(Side.BUY, LARGEST)
    book.check()


def test_refuses_a_crossing_order_and_a_second_use_of_an_id() -> None:
    book = book_of_three_asks()

    with pytest.raises(ValueError, match="would trade"):
        book.rest(4, Side.BUY, 101, 1)
    with pytest.raises(ValueError, match="already resting"):
        book.rest(1, Side.SELL, 110, 1)
    book.check()


def test_a_full_pool_refuses_counts_and_recovers() -> None:
    book = MatchingBook(2)
    book.rest(1, Side.BUY, 100, 1)
    book.rest(2, Side.BUY, 99, 1)

    with pytest.raises(CapacityError, match="2 orders"):
        book.rest(3, Side.BUY, 98, 1)
    assert book.refused_full == 1
    assert book.cancel(1) == 1
    book.rest(3, Side.BUY, 98, 1)
    assert book.levels(Side.BUY) == [(99, 1), (98, 1)]
    book.check()


def test_quantities_that_would_pass_64_bits_are_refused() -> None:
    book = MatchingBook(4)
    book.rest(1, Side.BUY, 100, LARGEST - 1)

    with pytest.raises(OverflowError):
        book.rest(2, Side.BUY, 99, 2)
    with pytest.raises(OverflowError):
        book.rest(2, Side.BUY, 99, LARGEST + 1)
    book.rest(2, Side.BUY, LARGEST, 1)
    assert book.available(Side.SELL, 1) == LARGEST
    book.check()


@pytest.mark.parametrize(("side", "px", "qty"), [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_refuses_values_out_of_range(side: int, px: int, qty: int) -> None:
    book = MatchingBook(4)

    with pytest.raises(ValueError, match="must be"):
        book.rest(1, side, px, qty)
    with pytest.raises(ValueError, match="must be"):
        book.match(side, px, qty)


@pytest.mark.parametrize("capacity", [0, -1, 2**24 + 1])
def test_refuses_a_capacity_out_of_range(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity_orders"):
        MatchingBook(capacity)


def test_owned_by_forgets_what_left() -> None:
    book = book_of_three_asks()
    book.rest(4, Side.BUY, 90, 1, 7)

    assert sorted(book.owned_by(7)) == [1, 4]
    book.match(Side.BUY, 101, 5)
    assert book.owned_by(7) == [4]
