# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""`layout.pack_l2`, compiled: one bytes object a book, no Python object a level.

Little-endian machines only; `layout` takes its own Python form elsewhere. Tests hold the two to
the same bytes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.string cimport memset

from fastbook.core.book cimport Book
from fastbook.core.sides cimport side_top

cdef enum:
    LEVELS_MAX = 1000
    VERSION = 1

cdef struct Head:  # the fields of layout.HEAD, in its order; 56 bytes without padding
    uint8_t magic[2]
    uint8_t version
    uint8_t state
    uint8_t price_scale
    uint8_t qty_scale
    uint16_t n_bids
    uint16_t n_asks
    uint8_t zero[6]
    int64_t u
    int64_t seq
    int64_t ts_ms
    int64_t cts_ms
    int64_t written_ms


def pack_l2(Book book not None, Py_ssize_t levels, int64_t written_ms):
    """See `layout.pack_l2_py`. ValueError for more levels than the layout has room for."""
    cdef int64_t bid_px[LEVELS_MAX]
    cdef int64_t bid_qty[LEVELS_MAX]
    cdef int64_t ask_px[LEVELS_MAX]
    cdef int64_t ask_qty[LEVELS_MAX]
    cdef Py_ssize_t n_bids, n_asks
    cdef Head* head
    if levels < 0 or levels > LEVELS_MAX:
        raise ValueError(f"levels must be 0 to {LEVELS_MAX}, was {levels}")
    n_bids = side_top(&book.bid_side, levels, bid_px, bid_qty)
    n_asks = side_top(&book.ask_side, levels, ask_px, ask_qty)
    packed = PyBytes_FromStringAndSize(NULL, sizeof(Head) + (n_bids + n_asks) * 16)
    head = <Head*> PyBytes_AS_STRING(packed)
    memset(head, 0, sizeof(Head))
    head.magic[0] = c"F"
    head.magic[1] = c"2"
    head.version = VERSION
    head.state = <uint8_t> book.state_
    head.price_scale = <uint8_t> book.price_scale
    head.qty_scale = <uint8_t> book.qty_scale
    head.n_bids = <uint16_t> n_bids
    head.n_asks = <uint16_t> n_asks
    head.u = book.u
    head.seq = book.seq
    head.ts_ms = book.ts_ms
    head.cts_ms = book.cts_ms
    head.written_ms = written_ms
    put_levels(<int64_t*> (head + 1), bid_px, bid_qty, n_bids)
    put_levels(<int64_t*> (head + 1) + 2 * n_bids, ask_px, ask_qty, n_asks)
    return packed


cdef void put_levels(int64_t* to, const int64_t* px, const int64_t* qty, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[2 * i] = px[i]
        to[2 * i + 1] = qty[i]
