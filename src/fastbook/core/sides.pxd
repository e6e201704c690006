# cython: cdivision=True, boundscheck=False, wraparound=False
"""One side of a book for Cython users: a struct in two layouts, and free functions over it.

Use the functions: which layout a side is in changes at run time, and no answer depends on it.

- Array: two sorted arrays, best first, with room at both ends. Takes any prices. A level costs
  a search and half a move of what lies between it and the nearer end.
- Ladder: quantities by tick ("rungs") around the touch, and a bitmap of the rungs that hold
  something. A level costs the same anywhere. Takes prices on one tick within a span of
  `rungs_max` ticks.
"""

from libc.stdint cimport int64_t, uint64_t

from fastbook.core.bits cimport ctz64, likely


cdef enum:  # what side_set did
    SET_CHANGED = 0     # inserted, modified or deleted
    SET_ABSENT = 1      # a delete of a level that is not held: nothing done
    SET_DROPPED = 2     # full: the worst level, or this one, was let go

cdef enum:  # what a side may be (BookSide.wanted), and what it is (a ladder if `on_ladder`)
    LAYOUT_AUTO = 0     # a ladder where the levels fit one and are many enough to pay
    LAYOUT_ARRAY = 1    # never a ladder
    LAYOUT_LADDER = 2   # a ladder wherever the levels fit one, at once: for tests


cdef struct Level:
    int64_t px
    int64_t qty         # 0 deletes


cdef struct BookSide:       # what every update of a ladder needs stands first
    Py_ssize_t len          # levels held
    Py_ssize_t capacity     # most levels held: topic depth plus slack
    int64_t patience        # updates before the layout may change again: what a change costs is paid
    bint on_ladder
    int shift               # see `inverse`

    # The ladder, allocated when first used and grown to what the levels span. Rung k is the price
    # base + sign * k * tick, modulo 2**64. It is empty while the side is an array.
    int64_t* rung           # quantity by rung
    uint64_t* bits          # bit k % 64 of word k / 64: rung k holds a level
    uint64_t rungs          # rungs in use: a power of two, at least 64
    uint64_t best           # rung of the best level; `rungs` when the side is empty
    uint64_t base           # price of rung 0
    uint64_t step           # sign * tick
    # step = odd * 2**shift; (px - base) * inverse of odd, rotated right by shift, is the rung when
    # px is on one, and not below `rungs` in every other case.
    uint64_t inverse
    uint64_t qty_bits       # every bit that a quantity has had since the ladder was built

    # The last answer of `side_qty_sum`, as long as nothing changes up to rung top_end.
    Py_ssize_t top_levels   # 0: no answer is kept
    uint64_t top_end
    double top_sum

    uint64_t rungs_allocated
    uint64_t rungs_max
    int64_t sign            # +1: asks, ascending; -1: bids, descending
    int wanted              # one of LAYOUT_*

    # The array, always allocated. Level i (0 = best) is at slot head + i. Free slots at both ends,
    # so that an insert moves the shorter half: near the touch and at the far edge cost the same.
    int64_t* px             # price, best first; fixed-point
    int64_t* qty            # quantity at px[i]; fixed-point, never 0
    Py_ssize_t head         # slot of the best level
    Py_ssize_t slots        # slots allocated


cdef struct Tally:      # what `side_apply` could not do, counted
    int64_t absent
    int64_t dropped


cdef int side_set(BookSide* side, int64_t px, int64_t qty) noexcept nogil
# What `side_apply` (below) leaves: whatever is not a level within a ladder that has room.
cdef void side_apply_slowly(BookSide* side, const Level* levels, Py_ssize_t n, Tally* tally) noexcept nogil
# Choose the layout for the levels held; after a snapshot. O(levels).
cdef void side_settle(BookSide* side) noexcept nogil
cdef void side_clear(BookSide* side) noexcept nogil
# Copies the best `n` levels; returns how many there were. O(n).
cdef Py_ssize_t side_top(const BookSide* side, Py_ssize_t n, int64_t* px, int64_t* qty) noexcept nogil
# Quantity at `px`, 0 when not held. O(log n), on a ladder O(1).
cdef int64_t side_qty_at(const BookSide* side, int64_t px) noexcept nogil
cdef double array_qty_sum(const BookSide* side, Py_ssize_t levels) noexcept nogil
cdef double ladder_qty_sum(BookSide* side, Py_ssize_t levels) noexcept nogil
# Quantity-weighted price of the best levels, in fixed-point units; nan when empty.
cdef double side_vwap(const BookSide* side, Py_ssize_t levels) noexcept nogil

cdef int side_alloc(BookSide* side, Py_ssize_t capacity, int64_t sign, int wanted) except -1
cdef void side_free(BookSide* side) noexcept
# Multiplies every level, or changes nothing and returns -1 when one would overflow.
cdef int side_rescale(BookSide* side, int64_t px_factor, int64_t qty_factor) noexcept nogil
cdef void side_undo_rescale(BookSide* side, int64_t px_factor, int64_t qty_factor) noexcept nogil
# What is wrong inside, in words; None when nothing is. O(levels + rungs).
cdef object side_fault(const BookSide* side)


cdef inline uint64_t rung_of(const BookSide* side, int64_t px) noexcept nogil:
    """The rung of `px`; not below side.rungs when it is on none."""
    cdef uint64_t scaled = (<uint64_t> px - side.base) * side.inverse
    return scaled >> side.shift | scaled << (-side.shift & 63)


cdef inline int64_t rung_px(const BookSide* side, uint64_t rung) noexcept nogil:
    return <int64_t> (side.base + rung * side.step)


cdef inline uint64_t rung_from(const BookSide* side, uint64_t rung) noexcept nogil:
    """The first rung from this one on that holds a level; side.rungs when there is none."""
    cdef uint64_t at = rung >> 6
    cdef uint64_t word
    if rung >= side.rungs:
        return side.rungs
    word = side.bits[at] >> (rung & 63) << (rung & 63)
    while word == 0:
        at += 1
        if at == side.rungs >> 6:
            return side.rungs
        word = side.bits[at]
    return at * 64 + <uint64_t> ctz64(word)


# --- what runs for every frame: here, so that callers need no call ------------------------------


cdef inline int64_t side_best_px(const BookSide* side) noexcept nogil:
    """Best price, 0 when empty."""
    if side.len == 0:
        return 0
    return rung_px(side, side.best) if side.on_ladder else side.px[side.head]


cdef inline int64_t side_best_qty(const BookSide* side) noexcept nogil:
    """Quantity at the best price, 0 when empty."""
    if side.len == 0:
        return 0
    return side.rung[side.best] if side.on_ladder else side.qty[side.head]


cdef inline double side_qty_sum(BookSide* side, Py_ssize_t levels) noexcept nogil:
    """Sum of the quantities of the best `levels`, added best first."""
    if not side.on_ladder:
        return array_qty_sum(side, levels)
    if side.top_levels == levels:
        return side.top_sum
    return ladder_qty_sum(side, levels)


cdef inline Py_ssize_t ladder_take(BookSide* side, const Level* levels, Py_ssize_t n, int64_t* absent) noexcept nogil:
    """Apply levels up to the first that no rung is for; return how many were applied.

    `n` more levels fit the side. No branch depends on whether a level is inserted, changed or
    deleted: which one it is nobody can predict. What is only needed at the end is kept out of
    memory until then: a sum that goes through memory waits for it at every level.
    """
    cdef int64_t* rung = side.rung
    cdef uint64_t* bits = side.bits
    cdef uint64_t rungs = side.rungs
    cdef uint64_t base = side.base
    cdef uint64_t inverse = side.inverse
    cdef int shift = side.shift
    cdef uint64_t nearest = rungs
    cdef uint64_t qty_bits = 0
    cdef uint64_t more = 0
    cdef uint64_t nothing = 0
    cdef const Level* level = levels
    cdef const Level* end = levels + n
    cdef uint64_t at, qty, word, had, has
    while level < end:
        at = (<uint64_t> level.px - base) * inverse
        at = at >> shift | at << (-shift & 63)
        if not likely(at < rungs):
            break
        qty = <uint64_t> level.qty
        word = bits[at >> 6]
        had = word >> (at & 63) & 1     # the bits are near; the rung is only written
        has = qty != 0
        level += 1
        rung[at] = <int64_t> qty
        qty_bits |= qty
        bits[at >> 6] = word ^ (had ^ has) << (at & 63)
        more += has - had
        nothing += (had | has) ^ 1
        nearest = min(nearest, at)
    side.len += <Py_ssize_t> more
    side.qty_bits |= qty_bits
    absent[0] += <int64_t> nothing
    if nearest <= side.best:
        side.best = rung_from(side, nearest)
    if nearest <= side.top_end:
        side.top_levels = 0
    return level - levels


cdef inline void side_apply(BookSide* side, const Level* levels, Py_ssize_t n, Tally* tally) noexcept nogil:
    """Many levels at once, in order. One costs a multiplication, a load and two stores on a ladder."""
    cdef Py_ssize_t done = 0
    side.patience -= n
    if likely(side.on_ladder and n <= side.capacity - side.len):
        done = ladder_take(side, levels, n, &tally.absent)
        if likely(done == n):
            return
    side_apply_slowly(side, levels + done, n - done, tally)
