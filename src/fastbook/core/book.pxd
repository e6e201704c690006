"""The order book for Cython users: a struct, free functions, then a thin class that owns the memory."""

from libc.stdint cimport int64_t


cdef enum:
    STATE_NO_BOOK = 0
    STATE_UNSYNCED = 1
    STATE_SYNCING = 2
    STATE_SYNCED = 3
    STATE_STALE = 4


cdef enum:
    SET_CHANGED = 0     # inserted, modified or deleted
    SET_ABSENT = 1      # a delete of a level that is not held
    SET_DROPPED = 2     # full: the worst level, or this one, was let go


cdef struct BookSide:
    # Level i (0 = best) is at slot head + i. Free slots at both ends, so that an insert moves
    # the shorter half: near the touch and at the far edge cost the same.
    int64_t* px         # price, best first; fixed-point
    int64_t* qty        # quantity at px[i]; fixed-point, never 0
    Py_ssize_t head     # slot of the best level
    Py_ssize_t len      # levels held
    Py_ssize_t capacity # most levels held: topic depth plus slack
    Py_ssize_t slots    # slots allocated
    int64_t sign        # +1: asks, ascending; -1: bids, descending


# Whatever stands behind BookSide, these are how others use it.
cdef int side_set(BookSide* side, int64_t px, int64_t qty) noexcept nogil
cdef void side_clear(BookSide* side) noexcept nogil
# Copies the best `n` levels; returns how many there were. O(n).
cdef Py_ssize_t side_top(const BookSide* side, Py_ssize_t n, int64_t* px, int64_t* qty) noexcept nogil
# Best price and quantity, 0 when empty.
cdef int64_t side_best_px(const BookSide* side) noexcept nogil
cdef int64_t side_best_qty(const BookSide* side) noexcept nogil
# Quantity at `px`, 0 when not held. O(log n).
cdef int64_t side_qty_at(const BookSide* side, int64_t px) noexcept nogil


cdef class Book:
    cdef BookSide bids
    cdef BookSide asks
    cdef int state_             # one of STATE_*
    cdef double px_unit         # 10 ** price_scale: float price = px / px_unit
    cdef double qty_unit
    cdef readonly Py_ssize_t depth
    cdef readonly int price_scale
    cdef readonly int qty_scale
    cdef readonly int index     # caller's number for the book, -1 when none was given
    cdef readonly str symbol
    cdef readonly str topic
    cdef readonly int64_t u         # last update id, 0 before the first
    cdef readonly int64_t seq
    cdef readonly int64_t ts_ms     # venue push time of the last frame
    cdef readonly int64_t cts_ms    # venue matching time of the last frame, 0 when not sent
    cdef readonly int64_t recv_ns   # our receive time of the last frame
    # Anomalies, counted and tolerated:
    cdef readonly int64_t absent_deletes
    cdef readonly int64_t dropped_levels
    cdef readonly int64_t over_depth    # whole frames after which a side held more than `depth`

    cdef bint crossed(self) noexcept nogil
    cdef void clear_levels(self) noexcept nogil
    cdef void rescale(self, int price_scale, int qty_scale) except *
    # Reference (slow, clear) readings used by Python properties live in book.pyx.
