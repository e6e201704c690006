# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Whole orders in price-time priority: the market that the simulator plays.

A side is one sorted array of levels, worst first, and a level is the head and tail of a queue
threaded through one pool of orders. Nearly everything happens near the touch, so a search that
gallops from the best level and a short memmove beat a tree. Written without a look at the
client's book (fastbook.core.book), which is checked against this one.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from libc.string cimport memmove

from fastbook.errors import BookInvariantError, CapacityError

cdef enum:
    CAPACITY_MAX = 1 << 24


cdef int64_t side_best(const LevelSide* side) noexcept nogil:
    return side.levels[side.len - 1].px if side.len else 0


cdef Py_ssize_t side_find(const LevelSide* side, int64_t px) noexcept nogil:
    cdef int64_t key = px * side.sign
    cdef Py_ssize_t high = side.len     # levels[high] and better: key above ours, or the end
    cdef Py_ssize_t step = 1
    cdef Py_ssize_t low = high - 1
    cdef Py_ssize_t middle
    while low >= 0 and side.levels[low].px * side.sign >= key:
        high = low
        low -= step
        step <<= 1
    low = low + 1 if low >= 0 else 0
    while low < high:
        middle = (low + high) >> 1
        if side.levels[middle].px * side.sign < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef void side_insert(LevelSide* side, Py_ssize_t at, int64_t px) noexcept nogil:
    cdef Level* level = &side.levels[at]
    memmove(level + 1, level, (side.len - at) * sizeof(Level))
    side.len += 1
    level.px = px
    level.qty = 0
    level.first = NO_ORDER
    level.last = NO_ORDER
    level.orders = 0


cdef void side_remove(LevelSide* side, Py_ssize_t at) noexcept nogil:
    cdef Level* level = &side.levels[at]
    side.len -= 1
    memmove(level, level + 1, (side.len - at) * sizeof(Level))


cdef inline Py_ssize_t hash_id(int64_t order_id) noexcept nogil:
    cdef uint64_t mixed = <uint64_t> order_id * <uint64_t> 0x9E3779B97F4A7C15
    return <Py_ssize_t> (mixed >> 32)  # the high half is the mixed one; 32 bits > any table


cdef class MatchingBook:
    """Price-time priority book of one instrument: whole orders, exact 64-bit integers."""

    def __cinit__(self, Py_ssize_t capacity_orders=65_536):
        if not 1 <= capacity_orders <= CAPACITY_MAX:
            raise ValueError(f"capacity_orders must be 1..{CAPACITY_MAX}, was {capacity_orders}")
        self.capacity_orders = capacity_orders
        cdef Py_ssize_t slots = 4
        while slots < 2 * capacity_orders:
            slots *= 2
        self.mask = slots - 1
        self.free_first = NO_ORDER
        self.bids.sign = 1
        self.asks.sign = -1
        self.table = <int32_t*> PyMem_Calloc(slots, sizeof(int32_t))
        self.pool = <Order*> PyMem_Malloc(capacity_orders * sizeof(Order))
        self.bids.levels = <Level*> PyMem_Malloc(capacity_orders * sizeof(Level))
        self.asks.levels = <Level*> PyMem_Malloc(capacity_orders * sizeof(Level))
        if (self.table is NULL or self.pool is NULL or self.bids.levels is NULL
                or self.asks.levels is NULL):
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.table)
        PyMem_Free(self.pool)
        PyMem_Free(self.bids.levels)
        PyMem_Free(self.asks.levels)

    # The id table.

    cdef Py_ssize_t slot_of(self, int64_t order_id) noexcept nogil:
        """Slot that holds the id, or the empty one where it belongs."""
        cdef Py_ssize_t slot = hash_id(order_id) & self.mask
        while self.table[slot] != 0 and self.pool[self.table[slot] - 1].id != order_id:
            slot = (slot + 1) & self.mask
        return slot

    cdef void forget_id(self, int64_t order_id) noexcept nogil:
        cdef Py_ssize_t hole = self.slot_of(order_id)
        cdef Py_ssize_t slot = hole
        cdef Py_ssize_t home
        # Pull later members of the run back into the hole, so that no tombstones are needed.
        while True:
            slot = (slot + 1) & self.mask
            if self.table[slot] == 0:
                break
            home = hash_id(self.pool[self.table[slot] - 1].id) & self.mask
            if ((slot - home) & self.mask) >= ((slot - hole) & self.mask):
                self.table[hole] = self.table[slot]
                hole = slot
        self.table[hole] = 0

    cdef int32_t find(self, int64_t order_id) noexcept nogil:
        return self.table[self.slot_of(order_id)] - 1

    # Orders.

    cdef LevelSide* side_of(self, int side) noexcept nogil:
        return &self.bids if side > 0 else &self.asks

    cdef bint would_cross(self, int side, int64_t px) noexcept nogil:
        if side > 0:
            return self.asks.len > 0 and side_best(&self.asks) <= px
        return self.bids.len > 0 and side_best(&self.bids) >= px

    cdef int rest_order(self, int64_t order_id, int side, int64_t px, int64_t qty,
                        int64_t owner) noexcept nogil:
        cdef LevelSide* own = self.side_of(side)
        cdef Py_ssize_t slot = self.slot_of(order_id)
        cdef Py_ssize_t at
        cdef int32_t index
        cdef Level* level
        cdef Order* order
        if self.table[slot] != 0:
            return REST_DUPLICATE
        if self.would_cross(side, px):
            return REST_CROSSES
        if qty > INT64_MAX - own.qty:
            return REST_OVERFLOW
        if self.order_count == self.capacity_orders:
            self.refused_full += 1
            return REST_FULL

        if self.free_first != NO_ORDER:
            index = self.free_first
            self.free_first = self.pool[index].next
        else:
            index = self.fresh
            self.fresh += 1
        self.order_count += 1
        self.table[slot] = index + 1

        at = side_find(own, px)
        if at == own.len or own.levels[at].px != px:
            side_insert(own, at, px)
        level = &own.levels[at]
        order = &self.pool[index]
        order.id = order_id
        order.px = px
        order.qty = qty
        order.owner = owner
        order.side = 1 if side > 0 else -1
        order.next = NO_ORDER
        order.prev = level.last
        if level.last == NO_ORDER:
            level.first = index
        else:
            self.pool[level.last].next = index
        level.last = index
        level.orders += 1
        level.qty += qty
        own.qty += qty
        return REST_OK

    cdef void remove_at(self, int32_t at) noexcept nogil:
        cdef Order* order = &self.pool[at]
        cdef LevelSide* own = self.side_of(order.side)
        cdef Py_ssize_t level_at = side_find(own, order.px)
        cdef Level* level = &own.levels[level_at]
        if order.prev == NO_ORDER:
            level.first = order.next
        else:
            self.pool[order.prev].next = order.next
        if order.next == NO_ORDER:
            level.last = order.prev
        else:
            self.pool[order.next].prev = order.prev
        own.qty -= order.qty
        level.qty -= order.qty
        level.orders -= 1
        if level.orders == 0:
            side_remove(own, level_at)
        self.forget_id(order.id)
        order.side = 0
        order.next = self.free_first
        self.free_first = at
        self.order_count -= 1

    cdef int64_t cancel_order(self, int64_t order_id) noexcept nogil:
        cdef int32_t at = self.find(order_id)
        cdef int64_t remaining
        if at == NO_ORDER:
            return 0
        remaining = self.pool[at].qty
        self.remove_at(at)
        return remaining

    cdef void reduce_at(self, int32_t at, int64_t remaining) noexcept nogil:
        cdef Order* order = &self.pool[at]
        cdef LevelSide* own = self.side_of(order.side)
        cdef int64_t off = order.qty - remaining
        order.qty = remaining
        own.levels[side_find(own, order.px)].qty -= off
        own.qty -= off

    cdef bint take_one(self, int side, int64_t limit_px, int64_t* qty, Fill* fill) noexcept nogil:
        cdef LevelSide* other = self.side_of(-side)
        cdef int32_t at
        cdef Order* maker
        if qty[0] == 0 or not self.would_cross(side, limit_px):
            return False
        at = other.levels[other.len - 1].first
        maker = &self.pool[at]
        fill.maker_id = maker.id
        fill.maker_owner = maker.owner
        fill.px = maker.px
        if maker.qty <= qty[0]:
            fill.qty = maker.qty
            self.remove_at(at)
        else:
            fill.qty = qty[0]
            self.reduce_at(at, maker.qty - fill.qty)
        qty[0] -= fill.qty
        return True

    # For Python.

    def match(self, side: int, px: int, qty: int) -> list[tuple[int, int, int, int]]:
        cdef int taker = valid_side(side)
        cdef int64_t limit_px = at_least_one("px", px)
        cdef int64_t left = at_least_one("qty", qty)
        cdef Fill fill
        fills = []
        while self.take_one(taker, limit_px, &left, &fill):
            fills.append((fill.maker_id, fill.maker_owner, fill.px, fill.qty))
        return fills

    def rest(self, order_id: int, side: int, px: int, qty: int, owner: int = 0) -> None:
        cdef int status = self.rest_order(
            order_id, valid_side(side), at_least_one("px", px), at_least_one("qty", qty), owner
        )
        if status == REST_DUPLICATE:
            raise ValueError(f"order {order_id} is already resting")
        if status == REST_CROSSES:
            raise ValueError(f"order {order_id} at {px} would trade: match it first")
        if status == REST_OVERFLOW:
            raise OverflowError(f"order {order_id}: total quantity of the side exceeds 64 bits")
        if status == REST_FULL:
            raise CapacityError(f"{self.capacity_orders} orders rest, capacity_orders allows no more")

    def cancel(self, order_id: int) -> int:
        return self.cancel_order(order_id)

    def reduce(self, order_id: int, remaining: int) -> int:
        cdef int64_t target = at_least_one("remaining", remaining)
        cdef int32_t at = self.find(order_id)
        if at == NO_ORDER:
            return 0
        cdef int64_t held = self.pool[at].qty
        if target > held:
            raise ValueError(f"order {order_id} has {held} left, cannot be reduced to {target}")
        self.reduce_at(at, target)
        return held - target

    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        cdef int32_t at = self.find(order_id)
        if at == NO_ORDER:
            return None
        cdef Order* order = &self.pool[at]
        return order.side, order.px, order.qty, order.owner

    def ahead(self, order_id: int) -> int:
        cdef int32_t at = self.find(order_id)
        cdef int64_t qty = 0
        if at == NO_ORDER:
            return -1
        at = self.pool[at].prev
        while at != NO_ORDER:
            qty += self.pool[at].qty
            at = self.pool[at].prev
        return qty

    def best_bid(self) -> int:
        return side_best(&self.bids)

    def best_ask(self) -> int:
        return side_best(&self.asks)

    def crosses(self, side: int, px: int) -> bool:
        return self.would_cross(valid_side(side), at_least_one("px", px))

    def available(self, side: int, px: int) -> int:
        cdef LevelSide* other = self.side_of(-valid_side(side))
        cdef int64_t limit_key = at_least_one("px", px) * other.sign
        cdef int64_t qty = 0
        cdef Py_ssize_t at = other.len - 1
        while at >= 0 and other.levels[at].px * other.sign >= limit_key:
            qty += other.levels[at].qty
            at -= 1
        return qty

    def level_count(self, side: int) -> int:
        return self.side_of(valid_side(side)).len

    def levels(self, side: int, n: int | None = None) -> list[tuple[int, int]]:
        cdef LevelSide* own = self.side_of(valid_side(side))
        cdef Py_ssize_t count = own.len if n is None else min(max(n, 0), own.len)
        cdef Py_ssize_t i
        found = []
        for i in range(own.len - 1, own.len - 1 - count, -1):
            found.append((own.levels[i].px, own.levels[i].qty))
        return found

    def orders(self, side: int, px: int) -> list[tuple[int, int, int]]:
        cdef LevelSide* own = self.side_of(valid_side(side))
        cdef int64_t at_px = at_least_one("px", px)
        cdef Py_ssize_t at = side_find(own, at_px)
        cdef int32_t index = NO_ORDER
        if at < own.len and own.levels[at].px == at_px:
            index = own.levels[at].first
        found = []
        while index != NO_ORDER:
            found.append((self.pool[index].id, self.pool[index].qty, self.pool[index].owner))
            index = self.pool[index].next
        return found

    def owned_by(self, owner: int) -> list[int]:
        cdef int64_t wanted = owner
        cdef int32_t i
        return [
            self.pool[i].id
            for i in range(self.fresh)
            if self.pool[i].side != 0 and self.pool[i].owner == wanted
        ]

    def check(self) -> None:
        if self.bids.len and self.asks.len and side_best(&self.bids) >= side_best(&self.asks):
            raise BookInvariantError("crossed")
        cdef Py_ssize_t held = self.check_side(&self.bids) + self.check_side(&self.asks)
        if held != self.order_count:
            raise BookInvariantError(f"{held} orders in the queues, {self.order_count} counted")
        cdef Py_ssize_t slot, used = 0
        for slot in range(self.mask + 1):
            used += self.table[slot] != 0
        if used != held:
            raise BookInvariantError(f"{used} ids in the table, {held} orders in the queues")

    cdef Py_ssize_t check_side(self, const LevelSide* side) except -1:
        cdef Py_ssize_t i, orders = 0
        cdef int64_t total = 0
        cdef const Level* level
        for i in range(side.len):
            level = &side.levels[i]
            if i and level.px * side.sign <= side.levels[i - 1].px * side.sign:
                raise BookInvariantError(f"level {level.px} is out of order")
            self.check_queue(level, side.sign)
            orders += level.orders
            total += level.qty
        if total != side.qty:
            raise BookInvariantError(f"levels sum to {total}, the side says {side.qty}")
        return orders

    cdef int check_queue(self, const Level* level, int64_t sign) except -1:
        cdef int32_t at = level.first, ahead = NO_ORDER
        cdef int64_t qty = 0
        cdef int32_t orders = 0
        cdef const Order* order
        while at != NO_ORDER:
            order = &self.pool[at]
            if order.px != level.px or order.side != sign or order.qty < 1 or order.prev != ahead:
                raise BookInvariantError(f"order {order.id} does not belong at {level.px}")
            if self.find(order.id) != at:
                raise BookInvariantError(f"order {order.id} is not where its id says")
            qty += order.qty
            orders += 1
            ahead = at
            at = order.next
        if ahead != level.last or qty != level.qty or orders != level.orders or orders == 0:
            raise BookInvariantError(f"level {level.px} does not match its queue")
        return 0


cdef int valid_side(side) except 0:
    if side == 1:
        return 1
    if side == -1:
        return -1
    raise ValueError(f"side must be 1 or -1, was {side!r}")


cdef int64_t at_least_one(str name, value) except 0:
    cdef int64_t number = value
    if number < 1:
        raise ValueError(f"{name} must be at least 1, was {value}")
    return number
