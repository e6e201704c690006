# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Statistics of a stream of prices and of the best quotes, one sample at a time.

Every kernel costs O(1) a sample, amortised: once in `window` samples a push walks the window
(windows.pxd says why). "No answer" is nan, never 0.0. A sample that cannot be a sample (nan,
infinite, a price or a quantity that is not positive) is refused: the push returns nan and the
window stays as it was. Nothing here is thread-safe.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t

from operator import index as as_index

from fastbook.core.windows cimport (
    bars_init, bars_push, bars_reset,
    decay_init, decay_push, decay_reset,
    flow_init, flow_push, flow_reset, flow_value,
    returns_init, returns_push, returns_reset, returns_value,
    rolling_count, rolling_doubles, rolling_init, rolling_mean, rolling_push, rolling_reset,
    rolling_std, rolling_sum_count, rolling_sum_doubles, rolling_zscore,
    true_range_init, true_range_push, true_range_reset, true_range_value,
    vwap_doubles, vwap_init, vwap_push, vwap_reset, vwap_value,
)


# --- readings of a book ---------------------------------------------------------------------------

cdef double levels_qty(const int64_t* qty, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0.0  # a sum of int64 may not fit in int64
    for i in range(n):
        total += <double> qty[i]
    return total


cdef double levels_imbalance(
    const int64_t* bid_qty, Py_ssize_t bids, const int64_t* ask_qty, Py_ssize_t asks
) noexcept nogil:
    cdef double bid = levels_qty(bid_qty, bids)
    cdef double ask = levels_qty(ask_qty, asks)
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else NAN


cdef double levels_vwap(const int64_t* px, const int64_t* qty, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double turnover = 0.0
    cdef double total = levels_qty(qty, n)
    if not total > 0.0:
        return NAN
    for i in range(n):
        turnover += <double> px[i] * <double> qty[i]
    return turnover / total


# --- arguments ------------------------------------------------------------------------------------

cdef int64_t checked_int(str name, object value, int64_t low, int64_t high) except? -1:
    number = as_index(value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be {low}..{high}, was {number}")
    return number


cdef double checked_positive(str name, object value) except? -1.0:
    cdef double number = value
    if not (isfinite(number) and number > 0.0):
        raise ValueError(f"{name} must be a finite number above 0, was {value}")
    return number


cdef double* _doubles(Py_ssize_t n) except NULL:
    cdef double* memory = <double*> PyMem_RawMalloc(n * sizeof(double))
    if memory is NULL:
        raise MemoryError()
    return memory


# --- for Python -----------------------------------------------------------------------------------

def mid(double bid_px, double ask_px):
    """Middle of the best prices, in their unit; nan when a side is missing (nan)."""
    return quote_mid(bid_px, ask_px)


def spread(double bid_px, double ask_px):
    """Best ask less best bid, in price units; nan when a side is missing (nan)."""
    return quote_spread(bid_px, ask_px)


def spread_bps(double bid_px, double ask_px):
    """Spread in basis points (1/10,000) of the mid; nan when a side is missing or the mid is not positive."""
    return quote_spread_bps(bid_px, ask_px)


def microprice(double bid_px, double bid_qty, double ask_px, double ask_qty):
    """Best prices, each weighted with the quantity of the other side.

    The heavier side pushes the price away from itself: (bid_px * ask_qty + ask_px * bid_qty) /
    (bid_qty + ask_qty), as Gatheral and Oomen (2010) use it; Stoikov (2018) calls it the
    weighted mid. nan when a side is missing.
    """
    return quote_microprice(bid_px, bid_qty, ask_px, ask_qty)


def imbalance(const int64_t[::1] bid_qty, const int64_t[::1] ask_qty):
    """(B - A) / (B + A) of all quantities given: +1 = all bids, -1 = all asks; nan when both are empty.

    Takes C-contiguous int64 buffers, best level first. O(levels).
    """
    return levels_imbalance(
        &bid_qty[0] if bid_qty.shape[0] else NULL, bid_qty.shape[0],
        &ask_qty[0] if ask_qty.shape[0] else NULL, ask_qty.shape[0],
    )


def vwap(const int64_t[::1] px, const int64_t[::1] qty):
    """Volume-weighted average price of one side's levels, in the unit of `px`; nan when empty.

    Takes C-contiguous int64 buffers of one length, best level first. O(levels).
    """
    if px.shape[0] != qty.shape[0]:
        raise ValueError(f"px and qty must be of one length, were {px.shape[0]} and {qty.shape[0]}")
    if px.shape[0] == 0:
        return NAN
    return levels_vwap(&px[0], &qty[0], px.shape[0])


@cython.final
cdef class RollingZScore:
    """Distance of a sample from the mean of the last `window`, in their standard deviations.

    The window includes the sample, and the deviation is that of a population (divided by n, as
    `np.std`). Relative error a few units of the last place times `window` whatever the level of the samples
    and however many came before. O(1) amortised, 24 bytes a sample of the window.
    """

    def __cinit__(self, window):
        cdef Py_ssize_t n = checked_int("window", window, 1, WINDOW_MAX)
        self.memory = _doubles(rolling_doubles(n))
        rolling_init(&self.state, n, self.memory)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def push(self, double x):
        """Add a sample; return its z-score.

        nan when there are fewer than 2 samples, when all are equal, when they are so far apart
        that their squares overflow (1e154), or when `x` is not finite and so refused.
        """
        return rolling_zscore(&self.state) if rolling_push(&self.state, x) else NAN

    def push_many(self, const double[::1] samples, double[::1] out=None):
        """Push each of `samples`; write the z-scores to `out` if given. Return the last one.

        Both are C-contiguous float64 buffers of one length. nan when `samples` is empty.
        """
        cdef Py_ssize_t i
        cdef double z = NAN
        if out is not None and out.shape[0] != samples.shape[0]:
            raise ValueError(f"out must be of length {samples.shape[0]}, was {out.shape[0]}")
        for i in range(samples.shape[0]):
            z = rolling_zscore(&self.state) if rolling_push(&self.state, samples[i]) else NAN
            if out is not None:
                out[i] = z
        return z

    def reset(self):
        """Forget every sample."""
        rolling_reset(&self.state)

    @property
    def mean(self):
        """Mean of the samples held; nan when there are none."""
        return rolling_mean(&self.state)

    @property
    def std(self):
        """Population standard deviation of the samples held; nan with fewer than 2, 0.0 when all are equal."""
        return rolling_std(&self.state)

    @property
    def count(self):
        """Samples held, 0..window."""
        return rolling_count(&self.state)

    @property
    def window(self):
        """Most samples held."""
        return self.state.window


@cython.final
cdef class RollingVwap:
    """Volume-weighted average price of the last `window` trades: sum(px * qty) / sum(qty).

    O(1) amortised, 32 bytes a trade of the window.
    """

    def __cinit__(self, window):
        cdef Py_ssize_t n = checked_int("window", window, 1, WINDOW_MAX)
        self.memory = _doubles(vwap_doubles(n))
        vwap_init(&self.state, n, self.memory)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def push(self, double px, double qty):
        """Add a trade; return the average, in units of `px`.

        nan when the trade is refused (`px` or `qty` not finite, or not above 0) and while a sum is
        beyond the largest double.
        """
        return vwap_value(&self.state) if vwap_push(&self.state, px, qty) else NAN

    def reset(self):
        """Forget every trade."""
        vwap_reset(&self.state)

    @property
    def value(self):
        """The average; nan when there is none."""
        return vwap_value(&self.state)

    @property
    def qty(self):
        """Total quantity of the trades held."""
        return self.state.total_qty

    @property
    def count(self):
        """Trades held, 0..window."""
        return self.state.window if self.state.full else self.state.lap

    @property
    def window(self):
        """Most trades held."""
        return self.state.window


@cython.final
cdef class Ewma:
    """Exponentially weighted moving average: a sample `halflife` samples old weighs half of a new one.

    value += alpha * (x - value) with alpha = 1 - 2 ** (-1 / halflife), from value = first sample
    (Roberts 1959, "Control chart tests based on geometric moving averages"). O(1).
    """

    def __cinit__(self, halflife):
        self.halflife = checked_positive("halflife", halflife)
        decay_init(&self.state, self.halflife)

    def push(self, double x):
        """Add a sample; return the average. nan when `x` is not finite and so refused."""
        return self.state.value if decay_push(&self.state, x) else NAN

    def reset(self):
        """Forget every sample."""
        decay_reset(&self.state)

    @property
    def value(self):
        """The average; nan before the first sample."""
        return self.state.value

    @property
    def count(self):
        """Samples seen."""
        return self.state.count


@cython.final
cdef class RealizedVolatility:
    """Root mean square of the last `window` log returns: sqrt(sum(r * r) / n), r = ln(px / previous px).

    The square root of realised variance (Andersen, Bollerslev, Diebold and Labys 2003) a sample:
    no mean is subtracted, and nothing is annualised; multiply by the square root of the samples
    in a year for that. Dimensionless. 0.0 is an answer: the price did not move. O(1) amortised.
    """

    def __cinit__(self, window):
        cdef Py_ssize_t n = checked_int("window", window, 1, WINDOW_MAX)
        self.memory = _doubles(rolling_sum_doubles(n))
        returns_init(&self.state, n, self.memory)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def push(self, double px):
        """Add a price; return the volatility.

        nan before the second price, and for one that is refused (not finite, or not above 0).
        """
        return returns_value(&self.state) if returns_push(&self.state, px) else NAN

    def reset(self):
        """Forget every price."""
        returns_reset(&self.state)

    @property
    def value(self):
        """The volatility; nan before the second price."""
        return returns_value(&self.state)

    @property
    def count(self):
        """Returns held, 0..window: one fewer than prices."""
        return rolling_sum_count(&self.state.squares)

    @property
    def window(self):
        """Most returns held."""
        return self.state.squares.window


@cython.final
cdef class BarSampler:
    """Open, high, low and close of `bar_ms` milliseconds, from samples (time, price).

    Bars begin at multiples of `bar_ms`. A bar is complete when a sample of a later one comes; an
    interval without a sample makes no bar. `open` to `start_ms` speak of the last complete bar. O(1).
    """

    def __cinit__(self, bar_ms):
        bars_init(&self.state, checked_int("bar_ms", bar_ms, 1, 1 << 53))

    def push(self, ts_ms, double px):
        """Add a sample; return whether it completed a bar (the one before its own).

        Refused (False): a time before the open bar (counted in `late`) or below 0; a price
        that is not finite.
        """
        return bool(bars_push(&self.state, ts_ms, px))

    def reset(self):
        """Forget every sample and bar."""
        bars_reset(&self.state)

    @property
    def open(self):
        """First price; nan before the first complete bar."""
        return self.state.done_open

    @property
    def high(self):
        """Highest price; nan before the first complete bar."""
        return self.state.done_high

    @property
    def low(self):
        """Lowest price; nan before the first complete bar."""
        return self.state.done_low

    @property
    def close(self):
        """Last price; nan before the first complete bar."""
        return self.state.done_close

    @property
    def start_ms(self):
        """When the last complete bar began; -1 before the first."""
        return self.state.done_ms

    @property
    def count(self):
        """Bars completed."""
        return self.state.count

    @property
    def late(self):
        """Samples refused because their bar was closed already."""
        return self.state.late

    @property
    def bar_ms(self):
        """Length of a bar."""
        return self.state.bar_ms


@cython.final
cdef class AverageTrueRange:
    """Wilder's average true range over `window` bars, in price units.

    True range: the higher of high and previous close, less the lower of low and previous close;
    high less low for the first bar. The average is the mean of the first `window` true ranges,
    then (average * (window - 1) + true range) / window (Wilder 1978, "New Concepts in Technical
    Trading Systems"). O(1).
    """

    def __cinit__(self, window):
        true_range_init(&self.state, checked_int("window", window, 1, WINDOW_MAX))

    def push(self, double high, double low, double close):
        """Add a bar; return the average.

        nan before `window` bars, and for one that is refused: not finite, or not low <= close <= high.
        """
        if not true_range_push(&self.state, high, low, close):
            return NAN
        return true_range_value(&self.state)

    def reset(self):
        """Forget every bar."""
        true_range_reset(&self.state)

    @property
    def value(self):
        """The average; nan before `window` bars."""
        return true_range_value(&self.state)

    @property
    def count(self):
        """Bars seen."""
        return self.state.count

    @property
    def window(self):
        """Bars that the first average takes."""
        return self.state.window


@cython.final
cdef class OrderFlowImbalance:
    """Order-flow imbalance of the best quotes, summed over the last `window` events.

    Each change of a best price or quantity is an event (Cont, Kukanov and Stoikov 2014, "The
    price impact of order book events"):
    e = [bid >= bid'] bid_qty - [bid <= bid'] bid_qty' - [ask <= ask'] ask_qty + [ask >= ask'] ask_qty',
    where ' marks the quotes before. In units of quantity; above 0: buyers press. O(1) amortised.
    """

    def __cinit__(self, window):
        cdef Py_ssize_t n = checked_int("window", window, 1, WINDOW_MAX)
        self.memory = _doubles(rolling_sum_doubles(n))
        flow_init(&self.state, n, self.memory)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def push(self, double bid_px, double bid_qty, double ask_px, double ask_qty):
        """Take the best quotes; return e of this event.

        0.0 when nothing changed (no event, the window stays). nan for the first quotes, and for
        quotes that are refused: not finite, or a quantity below 0.
        """
        return flow_push(&self.state, bid_px, bid_qty, ask_px, ask_qty)

    def reset(self):
        """Forget every event and the last quotes."""
        flow_reset(&self.state)

    @property
    def value(self):
        """Sum of e over the events held; nan when there are none."""
        return flow_value(&self.state)

    @property
    def count(self):
        """Events held, 0..window."""
        return rolling_sum_count(&self.state.events)

    @property
    def window(self):
        """Most events held."""
        return self.state.events.window
