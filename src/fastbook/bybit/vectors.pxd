"""One whole order book frame, read with the vector instructions of the machine; see vectors.h."""

from libc.stdint cimport int64_t


cdef extern from "fastbook/bybit/vectors.h":
    ctypedef struct fastbook_head:
        int length
        int snapshot

    ctypedef struct fastbook_read:
        Py_ssize_t bids
        Py_ssize_t asks
        int64_t ts_ms
        int64_t u
        int64_t seq
        int64_t cts_ms

    bint vectors_start "fastbook_vectors_start"()
    bint read_frame "fastbook_read_frame"(
        const char* frame, Py_ssize_t size, const fastbook_head* head, int px_scale, int qty_scale,
        int64_t* bids, int64_t* asks, fastbook_read* read) noexcept nogil
    const char* read_side "fastbook_read_side"(
        const char* p, const char* end, int px_scale, int qty_scale, int64_t* levels,
        Py_ssize_t* count) noexcept nogil
    void learn_head "fastbook_learn_head"(
        fastbook_head* head, const char* frame, Py_ssize_t length, bint snapshot) noexcept nogil
