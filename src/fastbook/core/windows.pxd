"""Rolling statistics for Cython users: structs, and free functions over them.

A struct owns no memory: `*_doubles(window)` says how many doubles it wants and `*_init` takes
them, so that a caller with many windows can allocate one block for all. `*_reset` forgets every
sample and keeps the memory. No function allocates, raises or needs the interpreter.
"""

from libc.stdint cimport int64_t


cdef enum:
    WINDOW_MAX = 1 << 24    # most samples a window may hold; the largest struct wants 32 bytes a sample


# Every window below works in laps of `window` samples. Sample i of a lap overwrites slot i of the
# ring, so during a lap ring[lap:] holds what is left of the previous one, oldest first. What has
# left is never subtracted: the answer is joined from a total over the newest `lap` samples (head)
# and a total over ring[lap:] (tail), kept since the lap began. So an outlier cannot leave rounding
# noise behind, and nothing drifts however long the stream.

cdef struct Rolling:        # mean and variance
    double* ring            # the samples
    double* tail_mean       # mean of ring[i:] when the lap began, less origin
    double* tail_m2         # sum of squared distances from that mean
    Py_ssize_t window
    Py_ssize_t lap          # samples since the lap began, 0..window-1
    bint full               # one whole lap has been seen
    double origin           # a sample of the window; statistics are of the distances from it
    double head_mean        # of the newest `lap` samples, less origin
    double head_m2
    double mean             # of the whole window, less origin
    double m2
    double last             # the newest sample


cdef struct RollingSum:
    double* ring
    double* tail            # sum of ring[i:] when the lap began
    Py_ssize_t window
    Py_ssize_t lap
    bint full
    double head             # sum of the newest `lap` values
    double total


cdef struct Vwap:
    double* px
    double* qty
    double* tail_turnover   # sum of px * qty over slots i.. when the lap began
    double* tail_qty
    Py_ssize_t window
    Py_ssize_t lap
    bint full
    double head_turnover
    double head_qty
    double turnover
    double total_qty


cdef struct Decay:          # exponentially weighted mean
    double alpha            # weight of the newest sample
    double value
    int64_t count


cdef struct Returns:        # root mean square of log returns
    RollingSum squares
    double last             # the newest price, nan before the first


cdef struct Bars:
    int64_t bar_ms
    int64_t open_ms         # start of the open bar, -1 when none is open
    double open_            # the open bar
    double high
    double low
    double close
    int64_t done_ms         # start of the last completed bar, -1 before the first
    double done_open
    double done_high
    double done_low
    double done_close
    int64_t count           # bars completed
    int64_t late            # samples refused because they are older than the open bar


cdef struct TrueRange:      # Wilder's average
    Py_ssize_t window
    int64_t count           # bars seen
    double close            # of the last bar
    double value            # sum / window until `window` bars were seen, then Wilder's average


cdef struct Flow:           # order-flow imbalance
    RollingSum events
    bint primed             # a quote to compare with is held
    double bid_px
    double bid_qty
    double ask_px
    double ask_qty


cdef Py_ssize_t rolling_doubles(Py_ssize_t window) noexcept nogil
cdef void rolling_init(Rolling* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void rolling_reset(Rolling* s) noexcept nogil
cdef Py_ssize_t rolling_count(const Rolling* s) noexcept nogil
cdef bint rolling_push(Rolling* s, double x) noexcept nogil     # False: refused
cdef double rolling_mean(const Rolling* s) noexcept nogil
cdef double rolling_std(const Rolling* s) noexcept nogil
cdef double rolling_zscore(const Rolling* s) noexcept nogil     # of the newest sample

cdef Py_ssize_t rolling_sum_doubles(Py_ssize_t window) noexcept nogil
cdef void rolling_sum_init(RollingSum* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void rolling_sum_reset(RollingSum* s) noexcept nogil
cdef Py_ssize_t rolling_sum_count(const RollingSum* s) noexcept nogil
cdef void rolling_sum_push(RollingSum* s, double x) noexcept nogil

cdef Py_ssize_t vwap_doubles(Py_ssize_t window) noexcept nogil
cdef void vwap_init(Vwap* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void vwap_reset(Vwap* s) noexcept nogil
cdef bint vwap_push(Vwap* s, double px, double qty) noexcept nogil
cdef double vwap_value(const Vwap* s) noexcept nogil

cdef void decay_init(Decay* s, double halflife) noexcept nogil
cdef void decay_reset(Decay* s) noexcept nogil
cdef bint decay_push(Decay* s, double x) noexcept nogil

cdef void returns_init(Returns* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void returns_reset(Returns* s) noexcept nogil
cdef bint returns_push(Returns* s, double px) noexcept nogil
cdef double returns_value(const Returns* s) noexcept nogil

cdef void bars_init(Bars* s, int64_t bar_ms) noexcept nogil
cdef void bars_reset(Bars* s) noexcept nogil
cdef bint bars_push(Bars* s, int64_t ts_ms, double px) noexcept nogil   # True: a bar was completed

cdef void true_range_init(TrueRange* s, Py_ssize_t window) noexcept nogil
cdef void true_range_reset(TrueRange* s) noexcept nogil
cdef bint true_range_push(TrueRange* s, double high, double low, double close) noexcept nogil
cdef double true_range_value(const TrueRange* s) noexcept nogil

cdef void flow_init(Flow* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void flow_reset(Flow* s) noexcept nogil
cdef double flow_push(Flow* s, double bid_px, double bid_qty, double ask_px, double ask_qty) noexcept nogil
cdef double flow_value(const Flow* s) noexcept nogil
