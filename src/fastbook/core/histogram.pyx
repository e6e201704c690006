# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Durations counted in log-linear buckets, after Gil Tene's HdrHistogram.

Below 128 ns each nanosecond has a bucket; above, each power of two is cut into 128. So a quantile
is at most 1/128 above the true one, with 38 KB a histogram, whatever is recorded.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport NAN, ceil, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    static inline int fb_bit_length(unsigned long long v) {
        return v ? 64 - __builtin_clzll(v) : 0;
    }
    #else
    static inline int fb_bit_length(unsigned long long v) {
        int n = 0;
        while (v) { n++; v >>= 1; }
        return n;
    }
    #endif
    """
    int fb_bit_length(unsigned long long v) noexcept nogil


cdef inline Py_ssize_t bucket_of(uint64_t ns) noexcept nogil:
    cdef int shift = fb_bit_length(ns) - SUB_BITS - 1
    if shift <= 0:
        return <Py_ssize_t> ns
    return (<Py_ssize_t> shift << SUB_BITS) + <Py_ssize_t> (ns >> shift)


cdef inline int64_t upper_edge(Py_ssize_t bucket) noexcept nogil:
    """The largest duration that lands in `bucket`."""
    cdef Py_ssize_t shift = (bucket >> SUB_BITS) - 1
    if shift <= 0:
        return bucket
    return ((<int64_t> (bucket - (shift << SUB_BITS)) + 1) << shift) - 1


cdef void histogram_record(Counts* counts, int64_t ns) noexcept nogil:
    cdef Py_ssize_t bucket
    if ns < 0:
        counts.negative += 1
        ns = 0
    bucket = bucket_of(<uint64_t> ns)
    if bucket >= BUCKETS:
        counts.over += 1
        bucket = BUCKETS - 1
    counts.buckets[bucket] += 1
    counts.count += 1
    counts.total += <double> ns
    if ns > counts.most:
        counts.most = ns
    if ns < counts.least or counts.count == 1:
        counts.least = ns


cdef class Histogram:
    """Counts durations in nanoseconds; of fixed size, never allocates after it was made.

    Negative durations count as 0 and in `negative`; those beyond two hours land in the last
    bucket and in `over`. Not thread-safe; merge one histogram a thread instead.
    """

    def __cinit__(self):
        self.counts = <Counts*> PyMem_Calloc(1, sizeof(Counts))
        if self.counts is NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.counts)

    def record(self, int64_t ns):
        """Count one duration. O(1)."""
        histogram_record(self.counts, ns)

    def reset(self):
        """Forget everything."""
        memset(self.counts, 0, sizeof(Counts))

    def merge(self, Histogram other not None):
        """Add what `other` has counted."""
        cdef Counts* ours = self.counts
        cdef const Counts* theirs = other.counts
        cdef Py_ssize_t i
        if theirs.count == 0:
            return
        if ours.count == 0 or theirs.least < ours.least:
            ours.least = theirs.least
        if theirs.most > ours.most:
            ours.most = theirs.most
        ours.count += theirs.count
        ours.negative += theirs.negative
        ours.over += theirs.over
        ours.total += theirs.total
        for i in range(BUCKETS):
            ours.buckets[i] += theirs.buckets[i]

    def quantile(self, double q):
        """Duration in ns that a share `q` (0 to 1) does not exceed; nan when nothing was counted.

        The upper edge of its bucket, at most 1/128 above the true value and never above `most`.
        ValueError for `q` outside 0..1. O(buckets).
        """
        cdef int64_t wanted
        cdef int64_t seen = 0
        cdef Py_ssize_t i
        if isnan(q) or not 0.0 <= q <= 1.0:
            raise ValueError(f"q must be 0..1, was {q}")
        if self.counts.count == 0:
            return NAN
        wanted = max(1, <int64_t> ceil(q * <double> self.counts.count))
        for i in range(BUCKETS):
            seen += self.counts.buckets[i]
            if seen >= wanted:
                break
        if i == BUCKETS - 1 and self.counts.over:
            return <double> self.counts.most
        return <double> min(upper_edge(i), self.counts.most)

    def buckets(self):
        """[(largest duration in ns, count), ...] of the buckets that hold something, ascending."""
        return [
            (upper_edge(i), self.counts.buckets[i])
            for i in range(BUCKETS) if self.counts.buckets[i]
        ]

    @property
    def count(self):
        """Durations counted."""
        return self.counts.count

    @property
    def negative(self):
        """Of them, those below zero: a clock went back."""
        return self.counts.negative

    @property
    def over(self):
        """Of them, those beyond the last bucket."""
        return self.counts.over

    @property
    def least(self):
        """Shortest, in ns; nan when nothing was counted."""
        return <double> self.counts.least if self.counts.count else NAN

    @property
    def most(self):
        """Longest, in ns; nan when nothing was counted."""
        return <double> self.counts.most if self.counts.count else NAN

    @property
    def mean(self):
        """Mean, in ns; nan when nothing was counted."""
        return self.counts.total / <double> self.counts.count if self.counts.count else NAN
