"""The matching book for Cython users: structs, then the class with its C methods."""

from libc.stdint cimport int32_t, int64_t


cdef enum:
    REST_OK = 0
    REST_FULL = 1       # no free order in the pool; counted
    REST_DUPLICATE = 2  # the id is already resting
    REST_OVERFLOW = 3   # the side's total would not fit in 64 bits
    REST_CROSSES = 4    # would trade at once: match first

    NO_ORDER = -1       # end of a queue, empty free list


cdef struct Order:
    int64_t id
    int64_t px
    int64_t qty         # remaining, at least 1
    int64_t owner       # 0 = anonymous
    int32_t next        # behind in the queue, or NO_ORDER; next free order when free
    int32_t prev        # ahead in the queue, or NO_ORDER
    int32_t side        # +1 bid, -1 ask; 0 when free


cdef struct Level:
    int64_t px
    int64_t qty         # sum over the queue
    int32_t first       # oldest order
    int32_t last
    int32_t orders


cdef struct LevelSide:
    # Worst first: the best level is levels[len - 1], so that what happens near the touch, which
    # is nearly everything, moves few levels.
    Level* levels       # one for each order of the pool: more levels than orders cannot be
    Py_ssize_t len
    int64_t qty         # sum over all levels: no partial sum can overflow
    int64_t sign        # +1 bids, -1 asks: px * sign grows towards the touch


cdef struct Fill:
    int64_t maker_id
    int64_t maker_owner
    int64_t px
    int64_t qty


cdef class MatchingBook:
    cdef LevelSide bids
    cdef LevelSide asks
    cdef Order* pool
    cdef int32_t* table         # open addressing: id -> index in pool + 1; 0 is empty
    cdef Py_ssize_t mask        # table slots - 1, a power of two - 1
    cdef int32_t free_first     # head of the list of freed orders
    cdef int32_t fresh          # orders from here on were never used
    cdef readonly Py_ssize_t capacity_orders
    cdef readonly Py_ssize_t order_count
    cdef readonly Py_ssize_t refused_full

    cdef Py_ssize_t slot_of(self, int64_t order_id) noexcept nogil
    cdef void forget_id(self, int64_t order_id) noexcept nogil
    cdef Py_ssize_t check_side(self, const LevelSide* side) except -1
    cdef int check_queue(self, const Level* level, int64_t sign) except -1

    cdef LevelSide* side_of(self, int side) noexcept nogil
    # Index in pool, or NO_ORDER.
    cdef int32_t find(self, int64_t order_id) noexcept nogil
    cdef int rest_order(self, int64_t order_id, int side, int64_t px, int64_t qty,
                        int64_t owner) noexcept nogil
    # Remaining quantity of what was taken out, 0 when unknown.
    cdef int64_t cancel_order(self, int64_t order_id) noexcept nogil
    # `remaining` must be 1 to what the order has now.
    cdef void reduce_at(self, int32_t at, int64_t remaining) noexcept nogil
    # One fill of a taker: lowers `qty`, says what happened in `fill`; False when none is left.
    cdef bint take_one(self, int side, int64_t limit_px, int64_t* qty, Fill* fill) noexcept nogil
    cdef bint would_cross(self, int side, int64_t px) noexcept nogil
    cdef void remove_at(self, int32_t at) noexcept nogil


# Best price of a side, 0 when empty.
cdef int64_t side_best(const LevelSide* side) noexcept nogil
# Index of the level at `px`, or where it would be inserted; the caller compares.
cdef Py_ssize_t side_find(const LevelSide* side, int64_t px) noexcept nogil
