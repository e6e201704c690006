# cython: language_level=3
"""How deep an order would reach, read from a book without the interpreter."""

from libc.stdint cimport int64_t

from fastbook cimport Book, BookSide
from fastbook.core.book cimport side_top

cdef enum:
    LEVELS_MAX = 50


cdef int64_t worst_px(const BookSide* side, int64_t qty) noexcept nogil:
    """The last price that a market order of `qty` would pay; 0 when the book is too thin."""
    cdef int64_t[LEVELS_MAX] px
    cdef int64_t[LEVELS_MAX] size
    cdef Py_ssize_t n = side_top(side, LEVELS_MAX, px, size)
    cdef Py_ssize_t i
    for i in range(n):
        qty -= size[i]
        if qty <= 0:
            return px[i]
    return 0


def worst_prices(Book book, int64_t qty):
    """(a seller's, a buyer's) worst price for `qty`, as integers of the book's scales."""
    cdef int64_t sell, buy
    with nogil:
        sell = worst_px(&book.bid_side, qty)
        buy = worst_px(&book.ask_side, qty)
    return sell, buy
