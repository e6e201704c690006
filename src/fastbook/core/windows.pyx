# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Rolling statistics as free functions over structs; fastbook.core.kernels has the classes."""

from libc.math cimport NAN, expm1, fmax, fmin, isfinite
from libc.stdint cimport int64_t


# --- mean and variance ------------------------------------------------------------------------

cdef Py_ssize_t rolling_doubles(Py_ssize_t window) noexcept nogil:
    return 3 * window


cdef void rolling_init(Rolling* s, Py_ssize_t window, double* memory) noexcept nogil:
    s.window = window
    s.ring = memory
    s.tail_mean = memory + window
    s.tail_m2 = memory + 2 * window
    rolling_reset(s)


cdef void rolling_reset(Rolling* s) noexcept nogil:
    s.lap = 0
    s.full = False
    s.origin = 0.0
    s.head_mean = s.head_m2 = 0.0
    s.mean = s.m2 = 0.0
    s.last = NAN


cdef void rolling_turn(Rolling* s) noexcept nogil:
    # A lap is complete: ring[0:window] is the window, in order. Take the newest sample as origin.
    # It stays in the window for the whole next lap, so |x - origin| is never above the range of
    # the window, and the rounding of that difference is small against the standard deviation,
    # whatever the level of the prices.
    cdef Py_ssize_t i, n
    cdef double shift, step
    cdef double mean = 0.0
    cdef double m2 = 0.0
    s.origin = s.ring[s.window - 1]
    for i in range(s.window - 1, -1, -1):
        n = s.window - i
        shift = s.ring[i] - s.origin - mean
        step = shift * (1.0 / <double> n)   # the reciprocal waits for no sample
        mean += step
        m2 += shift * step * (n - 1)
        s.tail_mean[i] = mean
        s.tail_m2[i] = m2
    s.mean = mean
    s.m2 = m2
    s.head_mean = s.head_m2 = 0.0
    s.lap = 0
    s.full = True


cdef double rolling_zscore(const Rolling* s) noexcept nogil:
    cdef double std = rolling_std(s)
    if not std > 0.0:
        return NAN
    return (s.last - s.origin - s.mean) / std


# --- sums ---------------------------------------------------------------------------------------

cdef Py_ssize_t rolling_sum_doubles(Py_ssize_t window) noexcept nogil:
    return 2 * window


cdef void rolling_sum_init(RollingSum* s, Py_ssize_t window, double* memory) noexcept nogil:
    s.window = window
    s.ring = memory
    s.tail = memory + window
    rolling_sum_reset(s)


cdef void rolling_sum_reset(RollingSum* s) noexcept nogil:
    s.lap = 0
    s.full = False
    s.head = s.total = 0.0


cdef void rolling_sum_turn(RollingSum* s) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0.0
    for i in range(s.window - 1, -1, -1):
        total += s.ring[i]
        s.tail[i] = total
    s.total = total
    s.head = 0.0
    s.lap = 0
    s.full = True


# --- volume-weighted average price ----------------------------------------------------------------

cdef Py_ssize_t vwap_doubles(Py_ssize_t window) noexcept nogil:
    return 4 * window


cdef void vwap_init(Vwap* s, Py_ssize_t window, double* memory) noexcept nogil:
    s.window = window
    s.px = memory
    s.qty = memory + window
    s.tail_turnover = memory + 2 * window
    s.tail_qty = memory + 3 * window
    vwap_reset(s)


cdef void vwap_reset(Vwap* s) noexcept nogil:
    s.lap = 0
    s.full = False
    s.head_turnover = s.head_qty = 0.0
    s.turnover = s.total_qty = 0.0


cdef void _vwap_turn(Vwap* s) noexcept nogil:
    cdef Py_ssize_t i
    cdef double turnover = 0.0
    cdef double qty = 0.0
    for i in range(s.window - 1, -1, -1):
        turnover += s.px[i] * s.qty[i]
        qty += s.qty[i]
        s.tail_turnover[i] = turnover
        s.tail_qty[i] = qty
    s.turnover = turnover
    s.total_qty = qty
    s.head_turnover = s.head_qty = 0.0
    s.lap = 0
    s.full = True


cdef bint vwap_push(Vwap* s, double px, double qty) noexcept nogil:
    if not isfinite(px) or not isfinite(qty) or px <= 0.0 or qty <= 0.0:
        return False
    s.px[s.lap] = px
    s.qty[s.lap] = qty
    s.lap += 1
    if s.lap == s.window:
        _vwap_turn(s)
        return True
    s.head_turnover += px * qty
    s.head_qty += qty
    s.turnover = s.head_turnover
    s.total_qty = s.head_qty
    if s.full:
        s.turnover += s.tail_turnover[s.lap]
        s.total_qty += s.tail_qty[s.lap]
    return True


cdef double vwap_value(const Vwap* s) noexcept nogil:
    cdef double value
    if not s.total_qty > 0.0:
        return NAN
    value = s.turnover / s.total_qty
    return value if isfinite(s.turnover) and isfinite(value) else NAN


# --- exponentially weighted mean ----------------------------------------------------------------

cdef void decay_init(Decay* s, double halflife) noexcept nogil:
    s.alpha = -expm1(-0.6931471805599453 / halflife)  # 1 - 2 ** (-1 / halflife)
    decay_reset(s)


cdef void decay_reset(Decay* s) noexcept nogil:
    s.count = 0
    s.value = NAN


# --- realised volatility ------------------------------------------------------------------------

cdef void returns_init(Returns* s, Py_ssize_t window, double* memory) noexcept nogil:
    rolling_sum_init(&s.squares, window, memory)
    s.last = NAN


cdef void returns_reset(Returns* s) noexcept nogil:
    rolling_sum_reset(&s.squares)
    s.last = NAN


# --- bars and true range ------------------------------------------------------------------------

cdef void bars_init(Bars* s, int64_t bar_ms) noexcept nogil:
    s.bar_ms = bar_ms
    bars_reset(s)


cdef void bars_reset(Bars* s) noexcept nogil:
    s.open_ms = s.done_ms = -1
    s.open_ = s.high = s.low = s.close = NAN
    s.done_open = s.done_high = s.done_low = s.done_close = NAN
    s.count = s.late = 0


cdef void true_range_init(TrueRange* s, Py_ssize_t window) noexcept nogil:
    s.window = window
    true_range_reset(s)


cdef void true_range_reset(TrueRange* s) noexcept nogil:
    s.count = 0
    s.close = NAN
    s.value = 0.0


cdef bint true_range_push(TrueRange* s, double high, double low, double close) noexcept nogil:
    cdef double spread
    if not isfinite(high) or not isfinite(low) or not low <= close <= high:
        return False
    spread = high - low
    if s.count > 0:
        spread = fmax(high, s.close) - fmin(low, s.close)
    if not isfinite(spread):
        return False
    s.close = close
    s.count += 1
    # Only terms that are not negative: a wide range leaves no rounding noise behind.
    if s.count <= s.window:
        s.value += spread / s.window
    else:
        s.value = s.value * ((s.window - 1.0) / s.window) + spread / s.window
    return True


# --- order flow ---------------------------------------------------------------------------------

cdef void flow_init(Flow* s, Py_ssize_t window, double* memory) noexcept nogil:
    rolling_sum_init(&s.events, window, memory)
    flow_reset(s)


cdef void flow_reset(Flow* s) noexcept nogil:
    rolling_sum_reset(&s.events)
    s.primed = False
    s.bid_px = s.bid_qty = s.ask_px = s.ask_qty = NAN


