"""The order book for Cython users: structs, free functions, then a class that owns the memory."""

cimport cython
from libc.stdint cimport int64_t

from fastbook.core.bits cimport prefetch
from fastbook.core.sides cimport (
    SET_ABSENT, SET_CHANGED, SET_DROPPED, BookSide, Level,
    side_best_px, side_best_qty, side_clear, side_qty_at, side_set, side_top,
)


cdef enum:  # BookState
    STATE_NO_BOOK = 0
    STATE_UNSYNCED = 1
    STATE_SYNCING = 2
    STATE_SYNCED = 3
    STATE_STALE = 4

cdef enum:  # ApplyStatus
    APPLY_APPLIED = 0
    APPLY_SNAPSHOT = 1
    APPLY_STALE = 2
    APPLY_GAP = 3
    APPLY_TRADE = 4
    APPLY_OTHER = 5
    APPLY_MALFORMED = 6

cdef enum:  # SequencePolicy
    POLICY_CONTIGUOUS = 0
    POLICY_SNAPSHOT_ONLY = 1

cdef struct Update:
    # One whole book message. The arrays are borrowed for the call.
    const Level* bids
    Py_ssize_t n_bids
    const Level* asks
    Py_ssize_t n_asks
    int64_t u
    int64_t seq
    int64_t ts_ms
    int64_t cts_ms
    int64_t recv_ns
    bint snapshot


@cython.final
cdef class Book:
    cdef BookSide bid_side
    cdef BookSide ask_side
    cdef int state_             # one of STATE_*
    cdef int policy_            # one of POLICY_*
    cdef bint based             # a snapshot is held and no update since was lost
    cdef double px_unit         # 10 ** price_scale: float price = px / px_unit
    cdef double qty_unit
    cdef readonly Py_ssize_t depth
    cdef readonly int price_scale
    cdef readonly int qty_scale
    cdef readonly int index         # the caller's number for this book, -1 when none was given
    cdef readonly str symbol
    cdef readonly str topic
    cdef readonly int64_t u         # last update id, 0 before the first
    cdef readonly int64_t seq
    cdef readonly int64_t ts_ms     # venue push time of the last frame, 0 when not known
    cdef readonly int64_t cts_ms    # venue matching time of the last frame, 0 when not known
    cdef readonly int64_t recv_ns   # our receive time of the last frame, 0 when not given
    # Counted:
    cdef readonly int64_t gaps              # times an update was lost, or a book came out crossed
    cdef readonly int64_t crossed_frames
    cdef readonly int64_t policy_breaches   # a delta where only snapshots are promised, ...
    cdef readonly int64_t absent_deletes    # tolerated: a delete of a level that is not held
    cdef readonly int64_t dropped_levels    # tolerated: more levels than capacity
    cdef readonly int64_t over_depth        # tolerated: whole frames that left more than `depth`

    # What the ids alone say: APPLIED, SNAPSHOT, STALE or GAP. Changes nothing.
    cdef int verdict(self, const Update* update) noexcept nogil
    # Sequence rules, levels, crossing check and state, in this order. Returns APPLY_*.
    cdef int apply_update(self, const Update* update) noexcept nogil
    cdef bint crossed(self) noexcept nogil
    cdef int set_scales(self, int price_scale, int qty_scale) except -1
    cdef void set_levels(self, BookSide* side, const Level* levels, Py_ssize_t n) noexcept nogil
    cdef object apply_python(self, object bids, object asks, int64_t u, int64_t seq, bint snapshot)
    cdef int set_one(self, BookSide* side, int64_t px, int64_t qty) except -1
    cdef object as_array(self, BookSide* side, object levels)
    cdef void desync(self, int state) noexcept nogil
    # Raises FixedPointError, and changes nothing, when a level does not fit at the new scales.
    cdef int rescale(self, int price_scale, int qty_scale) except -1
    # Called before `apply_update` with an update that was read at finer scales than the book's.
    cdef bint fit_scales(self, int price_scale, int qty_scale, const Update* update) except -1


cdef inline void book_expect(Book book) noexcept nogil:
    """An update of `book` comes soon: ask for its memory."""
    cdef const char* at = <const char*> &book.bid_side
    cdef Py_ssize_t i
    for i in range(0, 2 * sizeof(BookSide) + 192, 64):  # the sides, and what the last update said
        prefetch(at + i)
