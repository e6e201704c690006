# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""A matching book whose anonymous orders are what a recording says.

A recording knows quantities and no orders. What comes at a price is therefore one order behind
whatever rests there, and what goes is taken from the back of the queue: an order of an account
never gains a place by a cancel that it cannot know of. Only trades move it to the front.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t

from fastbook.replay._matching cimport (
    NO_ORDER,
    REST_OK,
    Level,
    LevelSide,
    MatchingBook,
    Order,
    side_best,
    side_find,
)


cdef class RecordedBook:
    """Sets the anonymous orders of one matching book from recorded levels and trades."""

    cdef MatchingBook book
    cdef dict bids              # px -> quantity, as the recording last said
    cdef dict asks
    cdef dict unsettled         # (side, px) whose anonymous quantity is not the recorded one
    cdef int64_t next_id        # negative, going down
    cdef list fills             # of the call under way
    cdef list trades
    cdef readonly int64_t refused

    def __cinit__(self, MatchingBook book not None):
        if book.order_count:
            raise ValueError("the book is not empty")
        self.book = book
        self.bids = {}
        self.asks = {}
        self.unsettled = {}
        self.next_id = -1
        self.fills = []
        self.trades = []

    def apply(self, bids, asks, snapshot: bool) -> tuple[list[tuple[int, int, int, int, int]],
                                                         list[tuple[int, int, int]]]:
        cdef list all_bids = list(bids)
        cdef list all_asks = list(asks)
        if snapshot:
            all_bids.extend(gone(self.bids, all_bids))
            all_asks.extend(gone(self.asks, all_asks))
        # What goes, goes first: in between, a side may pass where the other one was.
        self.lower(1, all_bids)
        self.lower(-1, all_asks)
        for px, qty in all_bids:
            self.set_level(1, px, qty)
        for px, qty in all_asks:
            self.set_level(-1, px, qty)
        self.settle()
        return self.taken()

    def trade(self, side: int, px: int, qty: int, late: bool = False) -> tuple[
            list[tuple[int, int, int, int, int]], list[tuple[int, int, int]]]:
        if side not in (1, -1) or px < 1 or qty < 1:
            raise ValueError(f"no trade: side {side}, px {px}, qty {qty}")
        cdef int64_t left = self.sweep_better(side, px, qty)
        left = self.sweep_level(side, px, left)
        if late:
            self.settle()
        return self.taken()

    def recorded(self, side: int, px: int) -> int:
        quantity: int = (self.bids if side > 0 else self.asks).get(px, 0)
        return quantity

    cdef tuple taken(self):
        cdef list fills = self.fills
        cdef list trades = self.trades
        self.fills = []
        self.trades = []
        return fills, trades

    # Levels.

    cdef void lower(self, int side, list levels) except *:
        cdef int64_t have
        for px, qty in levels:
            have = self.anonymous_at(side, px)
            if qty < have:
                self.cut(side, px, have - <int64_t> qty)

    cdef void set_level(self, int side, int64_t px, int64_t qty) except *:
        """The recording says: `qty` at `px`. What comes trades with accounts that it crosses."""
        cdef dict said = self.bids if side > 0 else self.asks
        cdef int64_t before = said.get(px, 0)
        cdef int64_t have, arriving
        if qty:
            said[px] = qty
        else:
            said.pop(px, None)
        have = self.anonymous_at(side, px)
        if qty <= have:
            self.cut(side, px, have - qty)
            return
        if self.book.would_cross(side, px):
            arriving = max(0, qty - before)
            qty -= self.clear_way(side, px, arriving)
            if self.book.would_cross(side, px):
                self.unsettled[side, px] = None
                return
        if qty > have:
            self.add(side, px, qty - have)

    cdef void settle(self) except *:
        """Let every price be as recorded, but for those where orders of accounts stand."""
        if not self.unsettled:
            return
        cdef dict waiting = self.unsettled
        self.unsettled = {}
        for side, px in waiting:
            self.set_level(side, px, (self.bids if side > 0 else self.asks).get(px, 0))

    cdef int64_t clear_way(self, int side, int64_t px, int64_t arriving) except -1:
        """Trade what arrives at `px` with the accounts it meets; how much of it they took."""
        cdef LevelSide* other = self.book.side_of(-side)
        cdef dict said = self.asks if side > 0 else self.bids
        cdef int64_t left = arriving
        cdef int64_t at_px
        cdef int32_t at
        while self.book.would_cross(side, px):
            at_px = side_best(other)
            at = other.levels[other.len - 1].first
            if self.book.pool[at].owner == 0:
                # The recording crosses itself: it lost a message. The newer word holds.
                said.pop(at_px, None)
                self.book.remove_at(at)
                continue
            if left == 0:
                break
            left -= self.fill(at, side, left)
        return arriving - left

    cdef int64_t anonymous_at(self, int side, int64_t px) noexcept:
        cdef LevelSide* own = self.book.side_of(side)
        cdef Py_ssize_t at = side_find(own, px)
        cdef int32_t order
        cdef int64_t qty = 0
        if at == own.len or own.levels[at].px != px:
            return 0
        order = own.levels[at].first
        while order != NO_ORDER:
            if self.book.pool[order].owner == 0:
                qty += self.book.pool[order].qty
            order = self.book.pool[order].next
        return qty

    cdef void cut(self, int side, int64_t px, int64_t qty) noexcept:
        """Take anonymous quantity from the back of a queue; there is that much."""
        cdef LevelSide* own
        cdef int32_t at, before
        cdef int64_t held
        if qty == 0:
            return
        own = self.book.side_of(side)
        at = own.levels[side_find(own, px)].last
        while qty > 0:
            before = self.book.pool[at].prev
            if self.book.pool[at].owner == 0:
                held = self.book.pool[at].qty
                if held <= qty:
                    self.book.remove_at(at)
                    qty -= held
                else:
                    self.book.reduce_at(at, held - qty)
                    qty = 0
            at = before

    cdef void add(self, int side, int64_t px, int64_t qty) noexcept:
        """Anonymous quantity at the back of a queue."""
        cdef LevelSide* own = self.book.side_of(side)
        cdef Py_ssize_t at = side_find(own, px)
        cdef Level* level = &own.levels[at]
        cdef Order* last
        if at < own.len and level.px == px and qty <= INT64_MAX - own.qty:
            last = &self.book.pool[level.last]
            if last.owner == 0:  # one order or two behind each other: the same to everybody
                last.qty += qty
                level.qty += qty
                own.qty += qty
                return
        if self.book.rest_order(self.next_id, side, px, qty, 0) == REST_OK:
            self.next_id -= 1
        else:
            self.refused += 1

    # Trades.

    cdef int64_t fill(self, int32_t at, int side, int64_t most) except -1:
        """Fill the resting order `at` of an account for at most `most`; how much it was."""
        cdef Order* maker = &self.book.pool[at]
        cdef int64_t qty = min(most, maker.qty)
        self.fills.append((maker.id, maker.owner, side, maker.px, qty))
        self.trades.append((side, maker.px, qty))
        if qty == maker.qty:
            self.book.remove_at(at)
        else:
            self.book.reduce_at(at, maker.qty - qty)
        return qty

    cdef int64_t sweep_better(self, int side, int64_t px, int64_t left) except -1:
        """A taker that traded at `px` has met everything better: accounts trade with it.

        Anonymous orders there must have gone before; the next recorded book says so, or
        brings them back.
        """
        cdef LevelSide* other = self.book.side_of(-side)
        cdef int64_t at_px
        cdef int32_t at
        while left > 0 and other.len:
            at_px = side_best(other)
            if (px - at_px) * side <= 0:
                break
            at = other.levels[other.len - 1].first
            if self.book.pool[at].owner == 0:
                self.unsettled[-side, at_px] = None
                self.book.remove_at(at)
            else:
                left -= self.fill(at, side, left)
        return left

    cdef int64_t sweep_level(self, int side, int64_t px, int64_t left) except -1:
        """The rest trades at `px`, through the queue there; what nobody here had, elsewhere."""
        cdef LevelSide* other = self.book.side_of(-side)
        cdef int64_t anonymous = 0
        cdef int64_t qty
        cdef Py_ssize_t place = len(self.trades)
        cdef int32_t at
        while left > 0 and other.len and side_best(other) == px:
            at = other.levels[other.len - 1].first
            if self.book.pool[at].owner:
                left -= self.fill(at, side, left)
                continue
            self.unsettled[-side, px] = None
            qty = min(left, self.book.pool[at].qty)
            if qty == self.book.pool[at].qty:
                self.book.remove_at(at)
            else:
                self.book.reduce_at(at, self.book.pool[at].qty - qty)
            left -= qty
            anonymous += qty
        if anonymous + left:
            self.trades.insert(place, (side, px, anonymous + left))
        return 0


cdef list gone(dict said, list levels):
    """Deletions of what was there and is in a snapshot no more."""
    now = {px for px, _ in levels}
    return [(px, 0) for px in said if px not in now]
