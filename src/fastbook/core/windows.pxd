# cython: cdivision=True
"""Rolling statistics for Cython users: structs, and free functions over them.

A struct owns no memory: `*_doubles(window)` says how many doubles it wants and `*_init` takes
them, so that a caller with many windows can allocate one block for all. `*_reset` forgets every
sample and keeps the memory. No function allocates, raises or needs the interpreter.
"""

from libc.math cimport INFINITY, NAN, fabs, isfinite, log, log1p, sqrt
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
cdef void rolling_turn(Rolling* s) noexcept nogil       # a lap is complete
cdef double rolling_zscore(const Rolling* s) noexcept nogil     # of the newest sample

cdef Py_ssize_t rolling_sum_doubles(Py_ssize_t window) noexcept nogil
cdef void rolling_sum_init(RollingSum* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void rolling_sum_reset(RollingSum* s) noexcept nogil
cdef void rolling_sum_turn(RollingSum* s) noexcept nogil

cdef Py_ssize_t vwap_doubles(Py_ssize_t window) noexcept nogil
cdef void vwap_init(Vwap* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void vwap_reset(Vwap* s) noexcept nogil
cdef bint vwap_push(Vwap* s, double px, double qty) noexcept nogil
cdef double vwap_value(const Vwap* s) noexcept nogil

cdef void decay_init(Decay* s, double halflife) noexcept nogil
cdef void decay_reset(Decay* s) noexcept nogil

cdef void returns_init(Returns* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void returns_reset(Returns* s) noexcept nogil

cdef void bars_init(Bars* s, int64_t bar_ms) noexcept nogil
cdef void bars_reset(Bars* s) noexcept nogil

cdef void true_range_init(TrueRange* s, Py_ssize_t window) noexcept nogil
cdef void true_range_reset(TrueRange* s) noexcept nogil
cdef bint true_range_push(TrueRange* s, double high, double low, double close) noexcept nogil

cdef void flow_init(Flow* s, Py_ssize_t window, double* memory) noexcept nogil
cdef void flow_reset(Flow* s) noexcept nogil


# --- what runs for every frame: here, so that callers need no call ------------------------------


cdef inline Py_ssize_t rolling_count(const Rolling* s) noexcept nogil:
    return s.window if s.full else s.lap


cdef inline bint rolling_push(Rolling* s, double x) noexcept nogil:
    # Welford (1962) for the new samples, Chan, Golub and LeVeque (1979) to join them with what is
    # left of the last lap. Both only ever add terms that are not negative, so m2 is exactly 0
    # when all samples are equal and above 0 when they are not (unless the square underflows).
    # The reciprocals wait for no sample, so that no division stands between two of them.
    cdef double shift, step, share
    if not isfinite(x):
        return False
    if s.lap == 0 and not s.full:
        s.origin = x
    s.ring[s.lap] = x
    s.last = x
    s.lap += 1
    if s.lap == s.window:
        rolling_turn(s)
        return True

    share = 1.0 / <double> s.lap
    shift = x - s.origin - s.head_mean
    step = shift * share
    s.head_mean += step
    s.head_m2 += shift * step * (s.lap - 1)
    if not s.full:
        s.mean = s.head_mean
        s.m2 = s.head_m2
        return True
    share = <double> (s.window - s.lap) / <double> s.window
    shift = s.tail_mean[s.lap] - s.head_mean
    step = shift * share
    s.mean = s.head_mean + step
    s.m2 = s.head_m2 + s.tail_m2[s.lap] + shift * step * s.lap
    return True


cdef inline double rolling_mean(const Rolling* s) noexcept nogil:
    cdef double mean
    if not s.full and s.lap == 0:
        return NAN
    mean = s.origin + s.mean
    return mean if isfinite(mean) else NAN


cdef inline double rolling_std(const Rolling* s) noexcept nogil:
    cdef Py_ssize_t count = rolling_count(s)
    # m2 is not finite while the window holds samples further apart than 1e154.
    if count < 2 or not isfinite(s.m2):
        return NAN
    return sqrt(s.m2 / count)


cdef inline Py_ssize_t rolling_sum_count(const RollingSum* s) noexcept nogil:
    return s.window if s.full else s.lap


cdef inline void rolling_sum_push(RollingSum* s, double x) noexcept nogil:
    s.ring[s.lap] = x
    s.head += x
    s.lap += 1
    if s.lap < s.window:
        s.total = s.head + s.tail[s.lap] if s.full else s.head
    else:
        rolling_sum_turn(s)


cdef inline bint decay_push(Decay* s, double x) noexcept nogil:
    if not isfinite(x):
        return False
    if s.count == 0:
        s.value = x
    elif fabs(x - s.value) < INFINITY:
        s.value += s.alpha * (x - s.value)
    else:  # further apart than the largest double: weigh each alone
        s.value = s.alpha * x + (1.0 - s.alpha) * s.value
    s.count += 1
    return True


cdef inline bint returns_push(Returns* s, double px) noexcept nogil:
    cdef double x, r
    if not isfinite(px) or px <= 0.0:
        return False
    if isfinite(s.last):
        # log(px / last) keeps few digits when the two are close: the quotient is rounded near 1.
        x = (px - s.last) / s.last
        if fabs(x) < 5e-4:
            # log1p without a call: what the series leaves out is below 1.4e-17 of it.
            r = x * (1.0 - x * (0.5 - x * (1.0 / 3.0 - x * (0.25 - x * (0.2 - x * (1.0 / 6.0))))))
        elif 0.5 * s.last < px and 0.5 * px < s.last:
            r = log1p(x)
        else:
            r = log(px) - log(s.last)
        rolling_sum_push(&s.squares, r * r)
    s.last = px
    return True


cdef inline double returns_value(const Returns* s) noexcept nogil:
    cdef Py_ssize_t count = rolling_sum_count(&s.squares)
    return sqrt(s.squares.total / count) if count > 0 else NAN


cdef inline bint bars_push(Bars* s, int64_t ts_ms, double px) noexcept nogil:
    cdef bint completed = False
    if not isfinite(px) or ts_ms < 0:
        return False
    if ts_ms < s.open_ms:
        s.late += 1  # its bar is closed, and a closed bar does not change
        return False
    if s.open_ms < 0 or ts_ms - s.open_ms >= s.bar_ms:
        if s.open_ms >= 0:
            completed = True
            s.done_ms = s.open_ms
            s.done_open = s.open_
            s.done_high = s.high
            s.done_low = s.low
            s.done_close = s.close
            s.count += 1
        s.open_ms = ts_ms - ts_ms % s.bar_ms
        s.open_ = s.high = s.low = px
    s.high = px if px > s.high else s.high
    s.low = px if px < s.low else s.low
    s.close = px
    return completed


cdef inline double true_range_value(const TrueRange* s) noexcept nogil:
    return s.value if s.count >= s.window else NAN


cdef inline double flow_push(
    Flow* s, double bid_px, double bid_qty, double ask_px, double ask_qty
) noexcept nogil:
    cdef double e = 0.0
    if not (isfinite(bid_px) and isfinite(bid_qty) and isfinite(ask_px) and isfinite(ask_qty)):
        return NAN
    if bid_qty < 0.0 or ask_qty < 0.0:
        return NAN
    if not s.primed:
        e = NAN
    elif (
        bid_px == s.bid_px and bid_qty == s.bid_qty and ask_px == s.ask_px and ask_qty == s.ask_qty
    ):
        return 0.0  # not an event
    else:
        # No branches: which way the market goes nobody can predict.
        e += bid_qty if bid_px >= s.bid_px else 0.0
        e -= s.bid_qty if bid_px <= s.bid_px else 0.0
        e -= ask_qty if ask_px <= s.ask_px else 0.0
        e += s.ask_qty if ask_px >= s.ask_px else 0.0
        rolling_sum_push(&s.events, e)
    s.primed = True
    s.bid_px = bid_px
    s.bid_qty = bid_qty
    s.ask_px = ask_px
    s.ask_qty = ask_qty
    return e if isfinite(e) else NAN


cdef inline double flow_value(const Flow* s) noexcept nogil:
    if rolling_sum_count(&s.events) == 0 or not isfinite(s.events.total):
        return NAN
    return s.events.total
