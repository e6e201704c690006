"""A latency histogram for Cython users: `histogram_record` costs a few instructions."""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    SUB_BITS = 7                            # 128 buckets a power of two: at most 1/128 wide
    POWERS = 36                             # up to 2**43 ns, more than two hours
    BUCKETS = (POWERS + 1) << SUB_BITS


cdef struct Counts:
    int64_t count
    int64_t negative        # recorded as 0: a clock that went back
    int64_t over            # beyond the last bucket, counted in it
    int64_t least
    int64_t most
    double total
    int64_t[BUCKETS] buckets


cdef void histogram_record(Counts* counts, int64_t ns) noexcept nogil


cdef class Histogram:
    cdef Counts* counts
