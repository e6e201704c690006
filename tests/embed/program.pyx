# cython: language_level=3
"""What an embedder writes: books filled and read without the interpreter."""

from libc.stdint cimport int64_t

from fastbook cimport Book, BookSide, side_best_px, side_qty_at, side_set, side_top
from fastbook.bybit.frames cimport BookDecoder
from fastbook.core.fixed cimport FIXED_OK, fixed_parse


cdef int64_t touch(const BookSide* bids, const BookSide* asks) noexcept nogil:
    return side_best_px(asks) - side_best_px(bids)


cdef int64_t filled(Book book, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        side_set(&book.bid_side, 1000 - i, i + 1)
        side_set(&book.ask_side, 1001 + i, i + 1)
    side_set(&book.ask_side, 1001, 0)
    return touch(&book.bid_side, &book.ask_side)


def fill(int n):
    cdef Book book = Book(50, price_scale=1)
    cdef int64_t[3] px
    cdef int64_t[3] qty
    cdef int64_t spread
    cdef Py_ssize_t got
    with nogil:
        spread = filled(book, n)
        got = side_top(&book.ask_side, 3, px, qty)
    top = [[px[i], qty[i]] for i in range(got)]
    held = side_qty_at(&book.bid_side, 999)
    book.check()
    return {"spread": spread, "top": top, "held": held, "depth": book.depth, "mid": book.mid}


def decode(list frames):
    """Frames as pointers, as a WebSocket library would hand them over."""
    cdef BookDecoder decoder = BookDecoder()
    cdef bytes frame
    cdef list statuses = []
    for frame in frames:
        statuses.append(decoder.apply_bytes(<const char*> frame, len(frame), 7))
    cdef Book book = decoder.book("BTCUSDT")
    return {"statuses": statuses, "u": book.u, "recv_ns": book.recv_ns, "state": book.state_}


def parse(bytes text, int scale):
    cdef int64_t value = -1
    cdef int status = fixed_parse(text, len(text), scale, &value)
    return value if status == FIXED_OK else None
