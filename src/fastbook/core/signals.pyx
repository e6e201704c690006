# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""The kernels that run on every book, and the rows of numbers that they write.

One compiled call brings one row up to date. Whatever time matters, it is the exchange's
(`Book.ts_ms`), so that the same frames give the same rows however the socket cut them up.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport NAN
from libc.stdint cimport int64_t

from enum import IntEnum

from fastbook.core.book cimport STATE_SYNCED, Book
from fastbook.core.kernels cimport (
    checked_int, checked_positive,
    quote_microprice, quote_mid, quote_spread_bps,
)
from fastbook.core.sides cimport side_best_px, side_best_qty, side_qty_sum
from fastbook.core.windows cimport (
    bars_init, bars_push, bars_reset,
    decay_init, decay_push, decay_reset,
    flow_init, flow_push, flow_reset, flow_value,
    returns_init, returns_push, returns_reset, returns_value,
    rolling_count, rolling_doubles, rolling_init, rolling_mean, rolling_push, rolling_reset,
    rolling_std, rolling_sum_doubles,
    true_range_init, true_range_push, true_range_reset, true_range_value,
)

cdef enum:
    BOOKS_MAX = 100_000
    SET_WINDOW_MAX = 1_000_000
    SET_DOUBLES_MAX = 1 << 27       # 1 GiB of windows
    DAY_MS = 86_400_000
    CLOCK_STEP_MS = 60_000          # exchange time that falls back further has been set anew


class Signal(IntEnum):
    """Columns of a row. Prices in quote currency, quantities in base currency; nan: no answer.

    MID: (best bid + best ask) / 2.
    SPREAD_BPS: (best ask - best bid) / MID, in 1/10,000.
    MICROPRICE: best prices, each weighted with the quantity of the other side.
    IMBALANCE: (B - A) / (B + A) of the quantities in the best `imbalance_levels`; +1 = all bids.
    ZSCORE: the newest sample less MEAN, over STD. nan while a side is empty, and when STD is 0.
    MEAN, STD: of the last `lookback` samples of MID; STD is that of a population, nan before two.
    OFI: order-flow imbalance of the best quotes, summed over the last `ofi_window` changes of them.
    EWMA: of the samples of MID, with a half-life of `ewma_halflife` samples.
    VOLATILITY: root mean square of the last `volatility_window` log returns between samples;
        a sample's, not annualised.
    ATR: Wilder's average true range of `atr_window` bars of `bar_ms`; bars see every MID.
    SAMPLES: samples of MID in the lookback window, 0..lookback: how much ZSCORE is worth.

    A sample is MID at a frame whose exchange time is at least `sample_ms` after that of the last
    sample; with 0 every frame is one. Formulas and sources stand at the classes of
    fastbook.core.kernels.
    """

    MID = SIGNAL_MID
    SPREAD_BPS = SIGNAL_SPREAD_BPS
    MICROPRICE = SIGNAL_MICROPRICE
    IMBALANCE = SIGNAL_IMBALANCE
    ZSCORE = SIGNAL_ZSCORE
    MEAN = SIGNAL_MEAN
    STD = SIGNAL_STD
    OFI = SIGNAL_OFI
    EWMA = SIGNAL_EWMA
    VOLATILITY = SIGNAL_VOLATILITY
    ATR = SIGNAL_ATR
    SAMPLES = SIGNAL_SAMPLES


cdef void _clear_row(SignalSet signals, Py_ssize_t index) noexcept nogil:
    cdef Py_ssize_t column
    for column in range(SIGNAL_COUNT):
        signals.rows_[index * SIGNAL_COUNT + column] = NAN


cdef void signals_reset(SignalSet signals, Py_ssize_t index) noexcept nogil:
    cdef BookWindows* w = &signals.windows[index]
    rolling_reset(&w.mids)
    returns_reset(&w.returns)
    decay_reset(&w.ewma)
    bars_reset(&w.bars)
    true_range_reset(&w.ranges)
    flow_reset(&w.flow)
    w.sampled_ms = w.seen_ms = -1
    w.zscore = NAN
    w.bid_px = w.bid_qty = w.ask_px = w.ask_qty = 0
    w.live = False
    _clear_row(signals, index)


cdef void _sample(BookWindows* w, double mid, double* row) noexcept nogil:
    cdef double std
    rolling_push(&w.mids, mid)
    returns_push(&w.returns, mid)
    decay_push(&w.ewma, mid)
    std = rolling_std(&w.mids)
    # As rolling_zscore, with the root taken once.
    w.zscore = (w.mids.last - w.mids.origin - w.mids.mean) / std if std > 0.0 else NAN
    row[SIGNAL_MEAN] = rolling_mean(&w.mids)
    row[SIGNAL_STD] = std
    row[SIGNAL_EWMA] = w.ewma.value
    row[SIGNAL_VOLATILITY] = returns_value(&w.returns)
    row[SIGNAL_SAMPLES] = <double> rolling_count(&w.mids)


cdef void _quote(BookWindows* w, Book book, double* row) noexcept nogil:
    """What depends on the touch alone; most frames leave that as it was."""
    # Mid and spread of the integers, where they are exact, and divided once: as Book.mid.
    cdef double bid_ticks = <double> w.bid_px
    cdef double ask_ticks = <double> w.ask_px
    cdef double bid_px = bid_ticks / book.px_unit
    cdef double ask_px = ask_ticks / book.px_unit
    cdef double bid_qty = <double> w.bid_qty / book.qty_unit
    cdef double ask_qty = <double> w.ask_qty / book.qty_unit
    row[SIGNAL_MID] = quote_mid(bid_ticks, ask_ticks) / book.px_unit
    row[SIGNAL_SPREAD_BPS] = quote_spread_bps(bid_ticks, ask_ticks)
    row[SIGNAL_MICROPRICE] = quote_microprice(bid_px, bid_qty, ask_px, ask_qty)
    flow_push(&w.flow, bid_px, bid_qty, ask_px, ask_qty)
    row[SIGNAL_OFI] = flow_value(&w.flow)


cdef inline double _imbalance(Book book, Py_ssize_t levels) noexcept nogil:
    cdef double bids = side_qty_sum(&book.bid_side, levels)
    cdef double asks = side_qty_sum(&book.ask_side, levels)
    return (bids - asks) / (bids + asks) if bids + asks > 0.0 else NAN


cdef void signals_update(SignalSet signals, Book book) noexcept nogil:
    cdef BookWindows* w
    cdef double* row
    cdef int64_t bid_px, bid_qty, ask_px, ask_qty
    cdef double mid
    cdef int64_t ts_ms = book.ts_ms
    if not 0 <= book.index < signals.books:
        return
    w = &signals.windows[book.index]
    row = signals.rows_ + book.index * SIGNAL_COUNT
    if book.state_ != STATE_SYNCED:
        if w.live:
            signals_reset(signals, book.index)
        return
    if w.live and ts_ms < w.seen_ms - CLOCK_STEP_MS:
        signals_reset(signals, book.index)  # or nothing would be sampled until time caught up
    if not w.live:
        w.live = True
        row[SIGNAL_SAMPLES] = 0.0
    w.seen_ms = max(w.seen_ms, ts_ms)

    if book.bid_side.len == 0 or book.ask_side.len == 0:
        # What needs both sides has no answer now. The windows keep theirs: nothing was lost.
        row[SIGNAL_MID] = row[SIGNAL_SPREAD_BPS] = row[SIGNAL_MICROPRICE] = NAN
        row[SIGNAL_ZSCORE] = NAN
        w.bid_px = w.bid_qty = w.ask_px = w.ask_qty = 0
        row[SIGNAL_IMBALANCE] = _imbalance(book, signals.imbalance_levels)
        return

    bid_px = side_best_px(&book.bid_side)
    bid_qty = side_best_qty(&book.bid_side)
    ask_px = side_best_px(&book.ask_side)
    ask_qty = side_best_qty(&book.ask_side)
    if (bid_px != w.bid_px or bid_qty != w.bid_qty or ask_px != w.ask_px or ask_qty != w.ask_qty):
        w.bid_px = bid_px
        w.bid_qty = bid_qty
        w.ask_px = ask_px
        w.ask_qty = ask_qty
        _quote(w, book, row)
    mid = row[SIGNAL_MID]
    if bars_push(&w.bars, ts_ms, mid):
        true_range_push(&w.ranges, w.bars.done_high, w.bars.done_low, w.bars.done_close)
        row[SIGNAL_ATR] = true_range_value(&w.ranges)
    if signals.sample_ms == 0 or w.sampled_ms < 0 or ts_ms - w.sampled_ms >= signals.sample_ms:
        w.sampled_ms = ts_ms
        _sample(w, mid, row)
    # After the samples: while their divisions and roots take their time, this only adds integers.
    row[SIGNAL_IMBALANCE] = _imbalance(book, signals.imbalance_levels)
    row[SIGNAL_ZSCORE] = w.zscore


@cython.final
cdef class SignalSet:
    """A row of signals for each of `books` books, by `Book.index`; see `Signal` for the columns.

    Parameters
    ----------
    books : int
        Rows, 1 to 100,000.
    lookback : int, optional
        Samples of the mid behind ZSCORE, MEAN and STD, 2 to 1,000,000.
    imbalance_levels : int, optional
        Levels a side behind IMBALANCE, 1 to 50.
    sample_ms : int, optional
        Least exchange time between two samples of the mid, in milliseconds; 0 samples every frame.
    ofi_window : int, optional
        Changes of the best quotes that OFI sums over, 1 to 1,000,000.
    ewma_halflife : float, optional
        Half-life of EWMA, in samples, above 0.
    volatility_window : int, optional
        Log returns behind VOLATILITY, 1 to 1,000,000.
    atr_window : int, optional
        Bars behind ATR, 1 to 1,000,000.
    bar_ms : int, optional
        Length of a bar in milliseconds, 1 to a day.

    All memory is taken here: 8 * (3 * lookback + 2 * ofi_window + 2 * volatility_window) bytes a
    book, at most 1 GiB in all. An argument out of range raises ValueError with its name and value.
    Not thread-safe.
    """

    def __cinit__(self, books, *, lookback=20, imbalance_levels=10, sample_ms=100, ofi_window=100,
                  ewma_halflife=20.0, volatility_window=100, atr_window=14, bar_ms=1000):
        cdef Py_ssize_t doubles
        self.books = checked_int("books", books, 1, BOOKS_MAX)
        self.lookback = checked_int("lookback", lookback, 2, SET_WINDOW_MAX)
        self.imbalance_levels = checked_int("imbalance_levels", imbalance_levels, 1, LEVELS_MAX)
        self.sample_ms = checked_int("sample_ms", sample_ms, 0, DAY_MS)
        self.ofi_window = checked_int("ofi_window", ofi_window, 1, SET_WINDOW_MAX)
        self.ewma_halflife = checked_positive("ewma_halflife", ewma_halflife)
        self.volatility_window = checked_int(
            "volatility_window", volatility_window, 1, SET_WINDOW_MAX)
        self.atr_window = checked_int("atr_window", atr_window, 1, SET_WINDOW_MAX)
        self.bar_ms = checked_int("bar_ms", bar_ms, 1, DAY_MS)
        doubles = rolling_doubles(self.lookback) + rolling_sum_doubles(
            self.ofi_window) + rolling_sum_doubles(self.volatility_window)
        if self.books * doubles > SET_DOUBLES_MAX:
            raise ValueError(
                f"{self.books} books with lookback {self.lookback}, ofi_window {self.ofi_window} "
                f"and volatility_window {self.volatility_window} want {8 * self.books * doubles} "
                f"bytes, more than {8 * SET_DOUBLES_MAX}")
        self.memory = <double*> PyMem_RawCalloc(self.books * doubles, sizeof(double))
        self.windows = <BookWindows*> PyMem_RawCalloc(self.books, sizeof(BookWindows))
        if self.memory is NULL or self.windows is NULL:
            raise MemoryError()
        self._make_rows()
        self._init_windows(doubles)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)
        PyMem_RawFree(self.windows)

    cdef int _make_rows(self) except -1:
        import numpy  # here: importing fastbook must not cost numpy's import
        cdef double[:, ::1] rows
        self.array = numpy.empty((self.books, SIGNAL_COUNT))
        rows = self.array
        self.rows_ = &rows[0, 0]
        self.view = self.array.view()
        self.view.flags.writeable = False
        self.row_views = tuple(memoryview(row) for row in self.view)
        return 0

    cdef void _init_windows(self, Py_ssize_t doubles) noexcept:
        cdef Py_ssize_t i
        cdef BookWindows* w
        cdef double* free = self.memory
        for i in range(self.books):
            w = &self.windows[i]
            rolling_init(&w.mids, self.lookback, free)
            flow_init(&w.flow, self.ofi_window, free + rolling_doubles(self.lookback))
            returns_init(&w.returns, self.volatility_window, free + rolling_doubles(
                self.lookback) + rolling_sum_doubles(self.ofi_window))
            decay_init(&w.ewma, self.ewma_halflife)
            bars_init(&w.bars, self.bar_ms)
            true_range_init(&w.ranges, self.atr_window)
            signals_reset(self, i)
            free += doubles

    cdef Py_ssize_t checked_index(self, Py_ssize_t index) except -1:
        if not 0 <= index < self.books:
            raise IndexError(f"index must be 0..{self.books - 1}, was {index}")
        return index

    def update(self, Book book not None):
        """Bring the row of `book.index` up to date.

        Call it after each applied frame and after each change of state: a book that is not
        SYNCED gets a row of nan and loses its windows, for a window with a hole is no window.
        So does one whose exchange time falls back by more than a minute. IndexError when the
        set has no row for the book. O(imbalance_levels), amortised.
        """
        self.checked_index(book.index)
        signals_update(self, book)

    def reset(self, Py_ssize_t index):
        """Forget everything about one book; its row becomes nan."""
        signals_reset(self, self.checked_index(index))

    def row(self, Py_ssize_t index):
        """Live, read-only float64 memoryview of one book's row; the same object every time."""
        return self.row_views[self.checked_index(index)]

    @property
    def rows(self):
        """Live, read-only float64 array (books, columns)."""
        return self.view
