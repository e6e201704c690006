# cython: cdivision=True
"""Readings of a book and rolling statistics for Cython users: free functions, then thin classes.

The classes own the memory of a struct of fastbook.core.windows and nothing else.
"""

cimport cython
from libc.math cimport NAN
from libc.stdint cimport int64_t

from fastbook.core.windows cimport (
    WINDOW_MAX, Bars, Decay, Flow, Returns, Rolling, TrueRange, Vwap,
)


# Readings of the best quotes. The price of an empty side is nan, and so is then the answer.

cdef inline double quote_mid(double bid_px, double ask_px) noexcept nogil:
    return 0.5 * bid_px + 0.5 * ask_px  # halves first: the sum of two huge prices is infinite


cdef inline double quote_spread(double bid_px, double ask_px) noexcept nogil:
    return ask_px - bid_px


cdef inline double quote_spread_bps(double bid_px, double ask_px) noexcept nogil:
    cdef double mid = quote_mid(bid_px, ask_px)
    return 1e4 * ((ask_px - bid_px) / mid) if mid > 0.0 else NAN


cdef inline double quote_microprice(
    double bid_px, double bid_qty, double ask_px, double ask_qty
) noexcept nogil:
    cdef double qty = bid_qty + ask_qty
    if not qty > 0.0:
        return NAN
    return bid_px + (ask_px - bid_px) * (bid_qty / qty)


# Over raw levels, best first, fixed-point: the answer is in the units of the integers. O(n).
cdef double levels_qty(const int64_t* qty, Py_ssize_t n) noexcept nogil
cdef double levels_imbalance(const int64_t* bid_qty, Py_ssize_t bids,
                             const int64_t* ask_qty, Py_ssize_t asks) noexcept nogil
cdef double levels_vwap(const int64_t* px, const int64_t* qty, Py_ssize_t n) noexcept nogil


@cython.final
cdef class RollingZScore:
    cdef Rolling state
    cdef double* memory


@cython.final
cdef class RollingVwap:
    cdef Vwap state
    cdef double* memory


@cython.final
cdef class Ewma:
    cdef Decay state
    cdef readonly double halflife


@cython.final
cdef class RealizedVolatility:
    cdef Returns state
    cdef double* memory


@cython.final
cdef class BarSampler:
    cdef Bars state


@cython.final
cdef class AverageTrueRange:
    cdef TrueRange state


@cython.final
cdef class OrderFlowImbalance:
    cdef Flow state
    cdef double* memory


# Used by the constructors here and in signals: an int within limits, or a ValueError that names it.
cdef int64_t checked_int(str name, object value, int64_t low, int64_t high) except? -1
cdef double checked_positive(str name, object value) except? -1.0
