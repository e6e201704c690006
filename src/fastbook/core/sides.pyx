# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""One side of a book: a sorted array, or a ladder of ticks where the levels fit one.

A ladder is left for the array as soon as a level comes that it cannot hold, and built again, on
another tick or around another price, when enough updates have paid for the move. Whatever the
sequence of updates, moving costs a constant share of them.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport NAN
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy, memmove

from fastbook.core.bits cimport clz64, ctz64

cdef extern from "fastbook/core/sums.h":
    bint sums_start "fastbook_sums_start"()
    uint64_t top_plain "fastbook_top_plain"(
        const int64_t* rung, const uint64_t* bits, uint64_t best, Py_ssize_t levels,
        Py_ssize_t* span) noexcept nogil
    uint64_t top_avx2 "fastbook_top_avx2"(
        const int64_t* rung, const uint64_t* bits, uint64_t best, Py_ssize_t levels,
        Py_ssize_t* span) noexcept nogil

cdef bint AVX2 = sums_start()

cdef enum:
    RUNGS_MIN = 256
    RUNGS_MAX = 1 << 17         # 1 MiB of quantities a side, at the greatest depth
    RUNGS_A_LEVEL = 16          # wider than this, on average, and the array is better
    LADDER_LEVELS_MIN = 12      # below this many levels the array is as fast
    SUM_LEVELS_MAX = 64         # so many quantities of SUM_QTY_BITS add up to less than 2**53
    SUM_QTY_BITS = 47
cdef uint64_t TICK_MAX = <uint64_t> 1 << 40


# --- the array --------------------------------------------------------------------------------


cdef inline Py_ssize_t find(const BookSide* side, int64_t px) noexcept nogil:
    """Index of the first level that is not better than `px`; side.len when all are better."""
    cdef const int64_t* levels = side.px + side.head
    cdef int64_t sign = side.sign
    cdef int64_t key = px * sign  # grows away from the touch on both sides
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = 1
    cdef Py_ssize_t middle
    if side.len == 0 or levels[0] * sign >= key:
        return 0
    if levels[side.len - 1] * sign < key:
        return side.len
    # Most updates land near the touch: gallop from there, then halve.
    while high < side.len and levels[high] * sign < key:
        low = high
        high *= 2
    if high > side.len:
        high = side.len
    while low + 1 < high:  # levels[low] is better than px, levels[high] is not
        middle = (low + high) >> 1
        if levels[middle] * sign < key:
            low = middle
        else:
            high = middle
    return high


cdef void recentre(BookSide* side) noexcept nogil:
    cdef Py_ssize_t head = (side.slots - side.len) >> 1
    memmove(side.px + head, side.px + side.head, side.len * sizeof(int64_t))
    memmove(side.qty + head, side.qty + side.head, side.len * sizeof(int64_t))
    side.head = head


cdef inline void shift(BookSide* side, Py_ssize_t start, Py_ssize_t n, Py_ssize_t by) noexcept nogil:
    memmove(side.px + start + by, side.px + start, n * sizeof(int64_t))
    memmove(side.qty + start + by, side.qty + start, n * sizeof(int64_t))


cdef inline void remove(BookSide* side, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t tail = side.len - i - 1
    if i < tail:
        shift(side, side.head, i, 1)
        side.head += 1
    else:
        shift(side, side.head + i + 1, tail, -1)
    side.len -= 1


cdef inline void insert(BookSide* side, Py_ssize_t i, int64_t px, int64_t qty) noexcept nogil:
    cdef Py_ssize_t tail = side.len - i
    cdef bint front = i < tail
    if (front and side.head == 0) or (not front and side.head + side.len == side.slots):
        recentre(side)  # slots are twice the capacity: there is room at both ends again
    if front:
        shift(side, side.head, i, -1)
        side.head -= 1
    else:
        shift(side, side.head + i, tail, 1)
    side.px[side.head + i] = px
    side.qty[side.head + i] = qty
    side.len += 1


cdef int array_set(BookSide* side, int64_t px, int64_t qty) noexcept nogil:
    cdef Py_ssize_t i = find(side, px)
    if i < side.len and side.px[side.head + i] == px:
        if qty != 0:
            side.qty[side.head + i] = qty
        else:
            remove(side, i)
        return SET_CHANGED
    if qty == 0:
        return SET_ABSENT
    if side.len < side.capacity:
        insert(side, i, px, qty)
        return SET_CHANGED
    if i < side.len:
        remove(side, side.len - 1)
        insert(side, i, px, qty)
    return SET_DROPPED


# --- the ladder -------------------------------------------------------------------------------


cdef int ladder_set_full(BookSide* side, int64_t px, int64_t qty) noexcept nogil:
    """Set a level of a full side: to insert one, the worst has to go, or this one if it is that."""
    cdef uint64_t at = rung_of(side, px)
    cdef uint64_t word = (side.rungs >> 6) - 1
    cdef uint64_t worst
    side.top_levels = 0
    side.qty_bits |= <uint64_t> qty
    if side.rung[at] != 0:
        side.rung[at] = qty
        if qty == 0:
            side.bits[at >> 6] &= ~(<uint64_t> 1 << (at & 63))
            side.len -= 1
            if at == side.best:
                side.best = rung_from(side, at)
        return SET_CHANGED
    if qty == 0:
        return SET_ABSENT
    while side.bits[word] == 0:
        word -= 1
    worst = word * 64 + 63 - <uint64_t> clz64(side.bits[word])
    if at < worst:
        side.rung[worst] = 0
        side.bits[word] &= ~(<uint64_t> 1 << (worst & 63))
        side.rung[at] = qty
        side.bits[at >> 6] |= <uint64_t> 1 << (at & 63)
        side.best = min(side.best, at)
    return SET_DROPPED


cdef void ladder_leave(BookSide* side) noexcept nogil:
    """Back to the array: the same levels. O(levels + rungs / 64)."""
    cdef uint64_t words = side.rungs >> 6
    cdef uint64_t at, k, word
    cdef Py_ssize_t slot
    side.top_levels = 0
    side.head = slot = (side.slots - side.len) >> 1
    for at in range(side.best >> 6, words):
        word = side.bits[at]
        side.bits[at] = 0
        while word != 0:
            k = at * 64 + <uint64_t> ctz64(word)
            word &= word - 1
            side.px[slot] = rung_px(side, k)
            side.qty[slot] = side.rung[k]
            side.rung[k] = 0
            slot += 1
    side.on_ladder = False


cdef uint64_t common_tick(const BookSide* side) noexcept nogil:
    """Greatest common divisor of the distances between the levels of an array; 1 when there are none."""
    cdef const int64_t* px = side.px + side.head
    cdef uint64_t tick = 0
    cdef uint64_t a, b
    cdef Py_ssize_t i
    for i in range(1, side.len):
        a = <uint64_t> px[i] - <uint64_t> px[i - 1]
        if side.sign < 0:
            a = 0 - a
        if tick == 1 or a == tick:  # mostly
            continue
        b = tick
        while b != 0:
            a, b = b, a % b
        tick = a
    return tick if tick else 1


cdef bint ladder_reserve(BookSide* side, uint64_t rungs) noexcept nogil:
    """Room for `rungs`, all empty. False when there is no memory: the side stays an array."""
    cdef int64_t* rung
    if rungs > side.rungs_allocated:
        # One word more than there are rungs for: whoever reads 64 bits from a rung on reads it.
        rung = <int64_t*> PyMem_RawCalloc(rungs + (rungs >> 6) + 1, sizeof(int64_t))
        if rung is NULL:
            return False
        PyMem_RawFree(side.rung)
        side.rung = rung
        side.rungs_allocated = rungs
    side.bits = <uint64_t*> (side.rung + side.rungs_allocated)
    side.rungs = rungs
    return True


cdef void ladder_choose_tick(BookSide* side, uint64_t tick) noexcept nogil:
    cdef uint64_t odd
    cdef uint64_t inverse
    cdef int i
    side.shift = ctz64(tick)
    odd = tick >> side.shift
    inverse = odd       # right in 3 bits; each step of Newton's doubles them
    for i in range(5):
        inverse *= 2 - odd * inverse
    side.step = <uint64_t> side.sign * tick
    side.inverse = <uint64_t> side.sign * inverse


cdef void side_settle(BookSide* side) noexcept nogil:
    cdef const int64_t* px = side.px + side.head
    cdef uint64_t tick, span, rungs, at
    cdef Py_ssize_t i
    if side.on_ladder or side.wanted == LAYOUT_ARRAY:
        return
    side.patience = 4 * side.capacity
    if side.len < (LADDER_LEVELS_MIN if side.wanted == LAYOUT_AUTO else 1):
        side.patience = LADDER_LEVELS_MIN
        return
    tick = common_tick(side)
    span = (<uint64_t> px[side.len - 1] - <uint64_t> px[0]) * <uint64_t> side.sign // tick
    if tick > TICK_MAX or span >= side.rungs_max - (side.rungs_max >> 2):
        return
    rungs = RUNGS_MIN
    while rungs < 2 * (span + 1) and rungs < side.rungs_max:
        rungs *= 2
    if not ladder_reserve(side, rungs):
        return
    ladder_choose_tick(side, tick)
    side.best = (rungs - span - 1) >> 1     # the same room at both ends
    side.base = <uint64_t> px[0] - side.best * side.step
    side.qty_bits = 0
    for i in range(side.len):
        at = rung_of(side, px[i])
        side.rung[at] = side.qty[side.head + i]
        side.qty_bits |= <uint64_t> side.rung[at]
        side.bits[at >> 6] |= <uint64_t> 1 << (at & 63)
    side.on_ladder = True
    side.patience = side.len


cdef int side_outside(BookSide* side, int64_t px, int64_t qty) noexcept nogil:
    """A level that no rung is for: between the ticks, or beyond the ends."""
    cdef bint soon = side.patience > 0 and side.wanted == LAYOUT_AUTO
    cdef int did
    if qty == 0:
        return SET_ABSENT
    ladder_leave(side)
    did = array_set(side, px, qty)
    if soon:
        side.patience = 4 * side.capacity
    else:
        side_settle(side)
    return did


# --- either -----------------------------------------------------------------------------------


cdef void side_apply_slowly(BookSide* side, const Level* levels, Py_ssize_t n, Tally* tally) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef int did
    while i < n:
        if side.on_ladder:
            i += ladder_take(side, levels + i, min(n - i, side.capacity - side.len), &tally.absent)
            if i == n:
                return
            if rung_of(side, levels[i].px) >= side.rungs:
                did = side_outside(side, levels[i].px, levels[i].qty)
            elif side.len == side.capacity:
                did = ladder_set_full(side, levels[i].px, levels[i].qty)
            else:
                continue    # deletes have made room for more
        else:
            did = array_set(side, levels[i].px, levels[i].qty)
            if side.wanted == LAYOUT_LADDER:
                side_settle(side)
        tally.absent += did == SET_ABSENT
        tally.dropped += did == SET_DROPPED
        i += 1
    if side.patience <= 0 and not side.on_ladder:
        side_settle(side)


cdef int side_set(BookSide* side, int64_t px, int64_t qty) noexcept nogil:
    cdef Level level = Level(px, qty)
    cdef Tally tally = Tally(0, 0)
    side_apply(side, &level, 1, &tally)
    if tally.dropped:
        return SET_DROPPED
    return SET_ABSENT if tally.absent else SET_CHANGED


cdef void side_clear(BookSide* side) noexcept nogil:
    if side.on_ladder:
        ladder_leave(side)
    side.len = 0
    side.patience = 4 * side.capacity
    # A snapshot is appended best first, and later inserts favour the touch.
    side.head = (side.slots - side.capacity) >> 1


cdef Py_ssize_t side_top(const BookSide* side, Py_ssize_t n, int64_t* px, int64_t* qty) noexcept nogil:
    cdef uint64_t at
    cdef Py_ssize_t i
    if n > side.len:
        n = side.len
    if not side.on_ladder:
        memcpy(px, side.px + side.head, n * sizeof(int64_t))
        memcpy(qty, side.qty + side.head, n * sizeof(int64_t))
        return n
    at = side.best
    for i in range(n):
        at = rung_from(side, at)
        px[i] = rung_px(side, at)
        qty[i] = side.rung[at]
        at += 1
    return n


cdef int64_t side_qty_at(const BookSide* side, int64_t px) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t at
    if side.on_ladder:
        at = rung_of(side, px)
        return side.rung[at] if at < side.rungs else 0
    i = find(side, px)
    if i < side.len and side.px[side.head + i] == px:
        return side.qty[side.head + i]
    return 0


# Integers add in a quarter of the time of floats, and exactly. When the sum could pass 2**53, floats
# add them, best first.


cdef double array_qty_sum(const BookSide* side, Py_ssize_t levels) noexcept nogil:
    cdef const int64_t* qty = side.qty + side.head
    cdef Py_ssize_t n = min(levels, side.len)
    cdef Py_ssize_t i
    cdef uint64_t sum = 0
    cdef uint64_t any = 0
    cdef double total = 0.0
    if n <= SUM_LEVELS_MAX:
        for i in range(n):
            sum += <uint64_t> qty[i]
            any |= <uint64_t> qty[i]
        if any >> SUM_QTY_BITS == 0:
            return <double> <int64_t> sum
    for i in range(n):
        total += <double> qty[i]
    return total


cdef double ladder_qty_sum(BookSide* side, Py_ssize_t levels) noexcept nogil:
    """As `ladder_walk_sum`; in integers, which add in any order, while they are small enough."""
    cdef uint64_t sum
    cdef Py_ssize_t span
    if side.len < levels or not 0 < levels <= SUM_LEVELS_MAX or side.qty_bits >> SUM_QTY_BITS != 0:
        return ladder_walk_sum(side, levels)
    if AVX2:
        sum = top_avx2(side.rung, side.bits, side.best, levels, &span)
    else:
        sum = top_plain(side.rung, side.bits, side.best, levels, &span)
    if span == 0:
        return ladder_walk_sum(side, levels)
    side.top_levels = levels
    side.top_end = side.best + <uint64_t> span - 1
    side.top_sum = <double> <int64_t> sum
    return side.top_sum


cdef double ladder_walk_sum(BookSide* side, Py_ssize_t levels) noexcept nogil:
    cdef Py_ssize_t left = min(levels, side.len)
    cdef uint64_t at = side.best >> 6
    cdef uint64_t word, k
    cdef const int64_t* rung
    cdef double total = 0.0
    if left <= 0:
        return 0.0
    word = side.bits[at]
    rung = side.rung + 64 * at
    k = 0
    while True:
        if word == 0:
            at += 1
            word = side.bits[at]
            rung += 64
            continue
        k = <uint64_t> ctz64(word)
        word &= word - 1
        total += <double> rung[k]
        left -= 1
        if left == 0:
            break
    side.top_levels = levels
    side.top_end = 64 * at + k if levels <= side.len else side.rungs
    side.top_sum = total
    return total


cdef double side_vwap(const BookSide* side, Py_ssize_t levels) noexcept nogil:
    cdef double value = 0.0
    cdef double total = 0.0
    cdef Py_ssize_t i
    cdef int64_t qty
    cdef uint64_t at = side.best
    for i in range(min(levels, side.len)):
        if side.on_ladder:
            at = rung_from(side, at)
            qty = side.rung[at]
            value += <double> rung_px(side, at) * <double> qty
            at += 1
        else:
            qty = side.qty[side.head + i]
            value += <double> side.px[side.head + i] * <double> qty
        total += <double> qty
    return value / total if total > 0.0 else NAN


# --- memory and scales ------------------------------------------------------------------------


cdef int side_alloc(BookSide* side, Py_ssize_t capacity, int64_t sign, int wanted) except -1:
    side.capacity = capacity
    side.slots = 2 * capacity
    side.sign = sign
    side.wanted = wanted
    side.rungs_max = RUNGS_MIN
    while side.rungs_max < RUNGS_A_LEVEL * capacity and side.rungs_max < RUNGS_MAX:
        side.rungs_max *= 2
    side.px = <int64_t*> PyMem_Calloc(2 * side.slots, sizeof(int64_t))
    if side.px is NULL:
        raise MemoryError()
    side.qty = side.px + side.slots     # one block holds both
    side_clear(side)
    return 0


cdef void side_free(BookSide* side) noexcept:
    PyMem_Free(side.px)
    PyMem_RawFree(side.rung)


cdef int side_rescale(BookSide* side, int64_t px_factor, int64_t qty_factor) noexcept nogil:
    cdef Py_ssize_t i
    if side.on_ladder:
        ladder_leave(side)
    for i in range(side.head, side.head + side.len):
        if side.px[i] > INT64_MAX // px_factor or side.qty[i] > INT64_MAX // qty_factor:
            side_settle(side)
            return -1
    for i in range(side.head, side.head + side.len):
        side.px[i] *= px_factor
        side.qty[i] *= qty_factor
    side_settle(side)
    return 0


cdef void side_undo_rescale(BookSide* side, int64_t px_factor, int64_t qty_factor) noexcept nogil:
    cdef Py_ssize_t i
    if side.on_ladder:
        ladder_leave(side)
    for i in range(side.head, side.head + side.len):
        side.px[i] //= px_factor
        side.qty[i] //= qty_factor
    side_settle(side)


cdef object side_fault(const BookSide* side):
    cdef uint64_t at
    cdef Py_ssize_t held = 0
    if not 0 <= side.len <= side.capacity:
        return f"holds {side.len} levels of {side.capacity}"
    if not (0 <= side.head and (side.on_ladder or side.head + side.len <= side.slots)):
        return f"head={side.head} len={side.len} slots={side.slots}"
    for at in range(side.rungs):
        if not side.on_ladder and (side.rung[at] != 0 or side.bits[at >> 6] != 0):
            return f"rung {at} was left behind"
        if (side.bits[at >> 6] >> (at & 63) & 1) != (side.rung[at] != 0):
            return f"the bit of rung {at} is wrong"
        held += side.rung[at] != 0
    if side.on_ladder and held != side.len:
        return f"holds {held} levels, counted {side.len}"
    if side.on_ladder and rung_from(side, 0) != side.best:
        return f"the best is at rung {rung_from(side, 0)}, not {side.best}"
    return None


def ladder_sums(list quantities, Py_ssize_t best, Py_ssize_t levels):
    """For tests: sum and span of the best `levels` from rung `best` on, portably and with AVX2.

    `quantities` are those of all rungs, a multiple of 64; at least `levels` of them from `best` on
    are not 0. Returns ((sum, span), (sum, span)); without AVX2 both are the portable answer.
    """
    cdef Py_ssize_t n = len(quantities)
    cdef Py_ssize_t i
    cdef Py_ssize_t spans[2]
    cdef uint64_t sums[2]
    if n % 64 != 0 or not 0 <= best < n or not 0 < levels <= n - best - quantities[best:].count(0):
        raise ValueError("rungs and levels do not fit each other")
    cdef int64_t* rung = <int64_t*> PyMem_Calloc(n + n // 64 + 1, sizeof(int64_t))
    if rung is NULL:
        raise MemoryError()
    cdef uint64_t* bits = <uint64_t*> (rung + n)
    try:
        for i in range(best, n):
            rung[i] = quantities[i]
            if rung[i] != 0:
                bits[i >> 6] |= <uint64_t> 1 << (i & 63)
        sums[0] = top_plain(rung, bits, best, levels, &spans[0])
        sums[1] = (top_avx2 if AVX2 else top_plain)(rung, bits, best, levels, &spans[1])
    finally:
        PyMem_Free(rung)
    return (sums[0], spans[0]), (sums[1], spans[1])
