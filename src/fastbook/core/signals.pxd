"""All statistics of many books for Cython users: `signals_update` after each applied frame."""

cimport cython
from libc.stdint cimport int64_t

from fastbook.core.bits cimport prefetch
from fastbook.core.book cimport Book
from fastbook.core.windows cimport Bars, Decay, Flow, Returns, Rolling, TrueRange


cdef enum:  # Signal
    SIGNAL_MID = 0
    SIGNAL_SPREAD_BPS = 1
    SIGNAL_MICROPRICE = 2
    SIGNAL_IMBALANCE = 3
    SIGNAL_ZSCORE = 4
    SIGNAL_MEAN = 5
    SIGNAL_STD = 6
    SIGNAL_OFI = 7
    SIGNAL_EWMA = 8
    SIGNAL_VOLATILITY = 9
    SIGNAL_ATR = 10
    SIGNAL_SAMPLES = 11
    SIGNAL_COUNT = 12

cdef enum:
    LEVELS_MAX = 50         # of the imbalance


cdef struct BookWindows:    # what is remembered of one book
    Rolling mids
    Returns returns
    Decay ewma
    Bars bars
    TrueRange ranges
    Flow flow
    int64_t sampled_ms      # exchange time of the newest sample, -1 before the first
    int64_t seen_ms         # latest exchange time seen
    double zscore           # of the newest sample
    int64_t bid_px          # the touch that the row speaks of; all 0 when it speaks of none
    int64_t bid_qty
    int64_t ask_px
    int64_t ask_qty
    bint live               # the book was SYNCED at the last update


@cython.final
cdef class SignalSet:
    cdef BookWindows* windows
    cdef double* memory     # one block: the windows of all books
    cdef double* rows_      # books x SIGNAL_COUNT, owned by `array`
    cdef object array
    cdef object view        # of `array`, read-only
    cdef tuple row_views
    cdef readonly Py_ssize_t books
    cdef readonly Py_ssize_t lookback
    cdef readonly Py_ssize_t imbalance_levels
    cdef readonly int64_t sample_ms
    cdef readonly Py_ssize_t ofi_window
    cdef readonly double ewma_halflife
    cdef readonly Py_ssize_t volatility_window
    cdef readonly Py_ssize_t atr_window
    cdef readonly int64_t bar_ms

    cdef int _make_rows(self) except -1
    cdef void _init_windows(self, Py_ssize_t doubles) noexcept
    cdef Py_ssize_t checked_index(self, Py_ssize_t index) except -1


# Bring the row of `book.index` up to date; an index outside the set does nothing. Call it after
# each applied frame and whenever the state of the book changes: a book that is not SYNCED loses
# its row and its windows. Never allocates; O(imbalance_levels).
cdef void signals_update(SignalSet signals, Book book) noexcept nogil
cdef void signals_reset(SignalSet signals, Py_ssize_t index) noexcept nogil


cdef inline void signals_expect(SignalSet signals, Py_ssize_t index) noexcept nogil:
    """An update of the row `index` comes soon: ask for its memory."""
    cdef const char* at
    cdef Py_ssize_t i
    if not 0 <= index < signals.books:
        return
    at = <const char*> &signals.windows[index]
    for i in range(0, sizeof(BookWindows), 64):
        prefetch(at + i)
    at = <const char*> (signals.rows_ + index * SIGNAL_COUNT)
    prefetch(at)
    prefetch(at + 8 * SIGNAL_COUNT - 1)
