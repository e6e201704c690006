# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Seeded market flow: what everybody else does, so that a simulated book lives.

Its agents: makers, who add to and take from single prices, quote a wide spread and follow the
fair price; noise takers; takers who know where the fair price is; momentum takers, who follow
the last trades; and bursts, in which all of them do more. The fair price is a slow trend plus a
displacement that reverts. The numbers below were tuned until frames looked like recorded ones
(docs/simulator.md compares them) and are not claims about any market. No function of libm
is used and every market has its own generator, so a seed means the same bytes everywhere.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport floor, sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from fastbook.replay._matching cimport (
    NO_ORDER,
    REST_OK,
    Fill,
    Level,
    LevelSide,
    MatchingBook,
    Order,
    side_best,
    side_find,
)

cdef enum:
    LEVELS_FULL = 1300      # a side is filled up to this
    LEVELS_LOW = 1100       # and refilled below this, so that 1,000 can be published
    LEVELS_HIGH = 1800      # above this its worst levels are dropped
    LEVELS_KEPT = 30        # the flow takes nothing from a side with fewer
    QUEUE_MAX = 12          # orders of ours at one price
    CHASE_LEVELS = 6        # levels that one chasing event may clear
    FOLLOWERS = 2           # orders placed behind a chasing event
    TICKS_MIN = 4_000       # start price in ticks: room for the bids
    CAPACITY_MIN = 12_288   # orders a book must have room for; some 6,000 of ours rest
    SCAN_TICKS = 40_000     # how far a refill looks
    SECONDS_MAX = 60        # of one call

# Fair price. Fractions of the price; 1e-4 is one basis point.
cdef double TREND_MAX = 0.5e-4          # a second
cdef double TREND_HOLD_S = 20.0         # mean time a trend lasts
cdef double ANCHOR_VOL = 0.4e-4         # a square-root second
cdef double ANCHOR_RANGE = 0.1          # beyond this fraction of the start, trends point back
cdef double REVERSION = 0.35            # a second: half of a displacement is gone after 2 s
cdef double DISPLACEMENT_VOL = 1.2e-4   # a square-root second
cdef double JUMPS_PER_S = 0.05
cdef double JUMP_MIN = 10e-4
cdef double JUMP_MAX = 35e-4
cdef double TILT_FULL = 6e-4            # displacement at which resting sizes lean fully
cdef double TILT_SIZE = 0.7             # how much heavier the heavy side is at full lean
# Events.
cdef double TAKE_SHARE = 0.04
cdef double FAR_SHARE = 0.2
cdef double MOMENTUM_SHARE = 0.3        # of takers: they go where the last trades went
cdef double MOMENTUM_KEPT = 0.9         # of what past trades say, after one more
cdef double SWEEP_SHARE = 0.05          # of takers: they take the whole level
cdef double FLAT_SHARE = 0.75           # of orders in a sparse book: anywhere in the window
cdef double FLAT_LEVELS = 220.0
# In real time.
cdef double CALM = 0.35                 # how far the fair price moves
cdef double BURSTS_PER_S = 0.35
cdef double BURST_MIN = 1.0             # how much more there is to do
cdef double BURST_MAX = 8.0
cdef double BURST_DECAY = 2.5           # a second
cdef double STRAY_SHARE = 0.1           # of orders aimed at a shunned price: placed there
cdef double PULL_SHARE = 0.6            # of chases: makers cancel, rather than takers take
cdef double PASSED_TICKS = 0.2          # a level is passed when the fair price is this far beyond
cdef double CHASE_AFTER = 0.25e-4       # and the first one when it is also this fraction beyond


cdef struct MarketState:
    uint64_t random[4]      # xoshiro256**
    uint64_t salt           # which prices are popular in this market
    double anchor           # slow part of the fair price, in ticks
    double anchor_start
    double trend            # a second
    double displacement     # fast part, a fraction of the anchor
    double lean             # noise of the lean, -1..1
    double tilt             # -1..1: how the resting sizes lean, + to the bids
    int64_t next_id         # negative, going down
    int64_t tick
    int64_t lot
    int64_t typical_lots    # of a level
    double volatility       # scales every move of the fair price
    double occupancy        # share of ticks that hold a level
    double activity         # events a second, relative to the flow's
    double burst            # how much more there is to do
    double owed             # part of an event that is due
    double momentum         # -1..1: what past trades did
    int64_t flat_ticks      # window of orders that land anywhere; 0: there are none
    int near_bits           # near orders land within 2**near_bits ticks of the touch


cdef inline uint64_t rotate(uint64_t value, int by) noexcept nogil:
    return (value << by) | (value >> (64 - by))


cdef uint64_t scramble(uint64_t value) noexcept nogil:
    """One output of splitmix64 (Steele, Lea, Flood 2014), here as a hash."""
    value += <uint64_t> 0x9E3779B97F4A7C15
    value = (value ^ (value >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    value = (value ^ (value >> 27)) * <uint64_t> 0x94D049BB133111EB
    return value ^ (value >> 31)


cdef uint64_t random64(MarketState* s) noexcept nogil:
    """xoshiro256** (Blackman, Vigna 2018)."""
    cdef uint64_t result = rotate(s.random[1] * 5, 7) * 9
    cdef uint64_t shifted = s.random[1] << 17
    s.random[2] ^= s.random[0]
    s.random[3] ^= s.random[1]
    s.random[1] ^= s.random[2]
    s.random[0] ^= s.random[3]
    s.random[2] ^= shifted
    s.random[3] = rotate(s.random[3], 45)
    return result


cdef inline double uniform(MarketState* s) noexcept nogil:
    return <double> (random64(s) >> 11) * (1.0 / 9007199254740992.0)


cdef inline int64_t below(MarketState* s, int64_t n) noexcept nogil:
    """0 to n - 1; 0 when n is less than 2."""
    return <int64_t> (uniform(s) * <double> n) if n > 1 else 0


cdef int64_t log_uniform(MarketState* s, int64_t most) noexcept nogil:
    """1 to `most`, or not quite twice that; each power of two as often as the next."""
    cdef int bits = 1
    cdef int64_t low
    while most >> bits:
        bits += 1
    low = <int64_t> 1 << below(s, bits)
    return low + below(s, low)


cdef double normal(MarketState* s) noexcept nogil:
    """Sum of twelve uniforms less six: mean 0, variance 1, tails cut at 6; no libm."""
    cdef double total = -6.0
    for _ in range(12):
        total += uniform(s)
    return total


cdef inline double clamp(double value, double limit) noexcept nogil:
    return max(-limit, min(limit, value))


cdef double popularity(const MarketState* s, int64_t px) noexcept nogil:
    """What a level at this price is worth relative to a typical one; 0 for a shunned price."""
    cdef uint64_t mixed = scramble(<uint64_t> px ^ s.salt)
    cdef double low = <double> <uint32_t> mixed * (1.0 / 4294967296.0)
    cdef double high = <double> (mixed >> 32) * (1.0 / 4294967296.0)
    if low >= s.occupancy:
        return 0.0
    return 0.2 + 0.4 * high / (1.08 - high)  # from 0.2 to 5, half of them below 0.55


cdef double fair(const MarketState* s) noexcept nogil:
    """In ticks."""
    return s.anchor * (1.0 + s.displacement)


cdef void move_fair(MarketState* s, double dt, double calm) noexcept nogil:
    cdef double root = sqrt(dt) * s.volatility * calm
    cdef double away = s.anchor / s.anchor_start - 1.0
    cdef double size
    if uniform(s) * TREND_HOLD_S < dt:
        s.trend = TREND_MAX * s.volatility * (2.0 * uniform(s) - 1.0)
        if away > ANCHOR_RANGE or away < -ANCHOR_RANGE:
            s.trend = -TREND_MAX if away > 0.0 else TREND_MAX
    s.anchor *= 1.0 + s.trend * dt * calm + ANCHOR_VOL * root * normal(s)
    s.displacement -= s.displacement * min(1.0, REVERSION * dt)
    s.displacement += DISPLACEMENT_VOL * root * normal(s)
    if uniform(s) < JUMPS_PER_S * dt:
        size = JUMP_MIN + (JUMP_MAX - JUMP_MIN) * uniform(s)
        s.displacement += s.volatility * calm * (size if uniform(s) < 0.5 else -size)
    s.displacement = clamp(s.displacement, 0.05)
    s.lean = clamp(s.lean * (1.0 - min(1.0, dt)) + 0.5 * sqrt(dt) * normal(s), 1.0)
    s.tilt = clamp(0.3 * s.lean - s.displacement / (TILT_FULL * s.volatility * calm), 1.0)


cdef class MarketFlow:
    """Everybody else in the market: seeded orders, cancels and trades on every book."""

    cdef MarketState* states
    cdef list books
    cdef Py_ssize_t count
    cdef double seconds_per_event
    cdef list fills             # of the step under way
    cdef list trades
    cdef readonly int64_t events
    cdef readonly int64_t refused

    def __cinit__(self, books, markets, *, seed, double events_per_s=300.0):
        self.books = list(books)
        self.count = len(self.books)
        if self.count != len(markets) or self.count == 0:
            raise ValueError(f"{self.count} books for {len(markets)} markets")
        if not events_per_s > 0.0:
            raise ValueError(f"events_per_s must be above 0, was {events_per_s}")
        self.seconds_per_event = 1.0 / events_per_s
        self.fills = []
        self.trades = []
        self.states = <MarketState*> PyMem_Calloc(self.count, sizeof(MarketState))
        if self.states is NULL:
            raise MemoryError()
        for i, market in enumerate(markets):
            valid_book(self.books[i], market.instrument.symbol)
            self.begin(&self.states[i], market, (int(seed) + (i << 40)) & 0xFFFFFFFFFFFFFFFF)
            self.refill(&self.states[i], self.books[i], 1)
            self.refill(&self.states[i], self.books[i], -1)

    def __dealloc__(self):
        PyMem_Free(self.states)

    cdef void begin(self, MarketState* s, market, uint64_t seed) except *:
        cdef int i
        for i in range(4):
            seed = scramble(seed)
            s.random[i] = seed
        s.salt = scramble(seed)
        s.tick = market.instrument.tick
        s.lot = market.instrument.lot
        s.typical_lots = max(2, market.typical_qty // s.lot)
        if not (0.05 <= market.occupancy <= 1.0 and market.volatility > 0.0):
            raise ValueError(f"{market.instrument.symbol}: occupancy or volatility out of range")
        if not 0.0 < market.activity <= 100.0:
            raise ValueError(f"{market.instrument.symbol}: activity out of range")
        s.occupancy = market.occupancy
        s.volatility = market.volatility
        s.activity = market.activity
        s.flat_ticks = <int64_t> (FLAT_LEVELS / s.occupancy) if s.occupancy < 1.0 else 0
        s.near_bits = 6
        while s.occupancy * (1 << s.near_bits) < 48:
            s.near_bits += 1
        s.anchor_start = s.anchor = <double> (<int64_t> market.start_px // s.tick)
        if s.anchor < TICKS_MIN:
            raise ValueError(f"{market.instrument.symbol}: start_px must be {TICKS_MIN} ticks or more")
        s.trend = TREND_MAX * s.volatility * (2.0 * uniform(s) - 1.0)
        s.next_id = -1

    def step(self, index: int, n_events: int) -> tuple[list[tuple[int, int, int, int, int]],
                                                       list[tuple[int, int, int]]]:
        cdef Py_ssize_t count = n_events
        cdef MarketState* s = self.state_of(index)
        if count < 0:
            raise ValueError(f"n_events must not be negative, was {n_events}")
        move_fair(s, count * self.seconds_per_event, 1.0)
        return self.play_all(s, self.books[index], count)

    def live(self, index: int, seconds: float) -> tuple[list[tuple[int, int, int, int, int]],
                                                        list[tuple[int, int, int]]]:
        cdef double passed = seconds
        cdef MarketState* s = self.state_of(index)
        if not 0.0 <= passed <= SECONDS_MAX:
            raise ValueError(f"seconds must be 0 to {SECONDS_MAX}, was {seconds}")
        s.burst -= s.burst * min(1.0, BURST_DECAY * passed)
        if uniform(s) < BURSTS_PER_S * passed:
            s.burst += BURST_MIN + (BURST_MAX - BURST_MIN) * uniform(s) * uniform(s)
        cdef double luck = 0.3 + 1.4 * uniform(s)
        s.owed += luck * s.activity * (1.0 + s.burst) * passed / self.seconds_per_event
        cdef Py_ssize_t count = <Py_ssize_t> s.owed
        s.owed -= <double> count
        move_fair(s, passed, CALM)
        return self.play_all(s, self.books[index], count)

    cdef MarketState* state_of(self, index) except NULL:
        cdef Py_ssize_t at = index
        if not 0 <= at < self.count:
            raise IndexError(f"market must be 0..{self.count - 1}, was {index}")
        return &self.states[at]

    cdef tuple play_all(self, MarketState* s, MatchingBook book, Py_ssize_t count):
        cdef list fills, trades
        self.tend(s, book, 1)
        self.tend(s, book, -1)
        for _ in range(count):
            self.play(s, book)
        self.events += count
        fills, trades = self.fills, self.trades
        if fills:
            self.fills = []
        if trades:
            self.trades = []
            return fills, trades
        return [], []

    def fair_px(self, index: int) -> int:
        cdef MarketState* s = self.state_of(index)
        return <int64_t> floor(fair(s) + 0.5) * s.tick

    # One event.

    cdef void play(self, MarketState* s, MatchingBook book) except *:
        cdef double centre = fair(s)
        cdef int64_t bid = side_best(&book.bids)
        cdef int64_t ask = side_best(&book.asks)
        cdef int side
        cdef double passed = s.tick * max(PASSED_TICKS, CHASE_AFTER * centre)
        if centre * s.tick - ask > passed:
            self.chase(s, book, 1, centre)
        elif bid - centre * s.tick > passed:
            self.chase(s, book, -1, centre)
        elif ask - bid > s.tick and uniform(s) < 0.75:
            self.close_spread(s, book, centre)
        else:
            side = 1 if uniform(s) < 0.5 else -1
            if uniform(s) < TAKE_SHARE:
                self.take_some(s, book)
            else:
                self.adjust(s, book, side)

    cdef void adjust(self, MarketState* s, MatchingBook book, int side) noexcept:
        """Somebody adds to, or takes from, one price; more often near the touch."""
        cdef int bits = s.near_bits + (5 if uniform(s) < FAR_SHARE else 0)
        cdef int64_t reach = <int64_t> 1 << below(s, bits)
        cdef int64_t ticks_away = reach - 1 + below(s, reach)  # log-uniform
        cdef LevelSide* own = book.side_of(side)
        cdef int64_t px
        if s.flat_ticks and uniform(s) < FLAT_SHARE:
            ticks_away = below(s, s.flat_ticks)
        px = side_best(own) - side * ticks_away * s.tick
        if own.len == 0 or px < s.tick:
            return
        cdef double wanted = popularity(s, px) * (1.0 + TILT_SIZE * side * s.tilt)
        cdef int64_t wanted_lots = <int64_t> (wanted * s.typical_lots)
        cdef Py_ssize_t at = side_find(own, px)
        cdef Level* level = &own.levels[at]
        if at == own.len or level.px != px:
            if wanted_lots > 0 or at == own.len or uniform(s) < STRAY_SHARE:
                self.place(s, book, side, px, wanted_lots)
                return
            px = level.px  # a shunned price: the next better level has the event
            wanted = popularity(s, px) * (1.0 + TILT_SIZE * side * s.tilt)
            wanted_lots = <int64_t> (wanted * s.typical_lots)
        if (level.qty > (0.5 + uniform(s)) * wanted_lots * s.lot
                or level.orders >= QUEUE_MAX):
            self.shrink(s, book, level, wanted_lots > 0)
        else:
            self.place(s, book, side, px, wanted_lots)

    cdef void shrink(self, MarketState* s, MatchingBook book, Level* level,
                     bint keep) noexcept:
        """The newest anonymous order of a level is cancelled, or loses a part."""
        cdef int32_t at = level.last
        while at != NO_ORDER and book.pool[at].owner != 0:
            at = book.pool[at].prev
        if at == NO_ORDER:
            return
        cdef int64_t lots = book.pool[at].qty // s.lot
        cdef double cancel_share = 0.6
        if keep and level.orders == 1:
            cancel_share = 0.1
        if lots < 2 or uniform(s) < cancel_share:
            book.remove_at(at)
        else:
            book.reduce_at(at, (1 + below(s, lots - 1)) * s.lot)

    cdef void take_some(self, MarketState* s, MatchingBook book) except *:
        """A market order at the touch: mostly a small part of the best level."""
        cdef double up = 0.5 + 0.25 * s.tilt
        if uniform(s) < MOMENTUM_SHARE:
            up = 0.5 + 0.5 * s.momentum
        cdef int side = 1 if uniform(s) < up else -1
        cdef LevelSide* other = book.side_of(-side)
        if other.len < LEVELS_KEPT:
            return
        cdef Level* best = &other.levels[other.len - 1]
        cdef int64_t qty = best.qty
        cdef int64_t lots
        if uniform(s) >= SWEEP_SHARE:
            lots = log_uniform(s, best.qty // s.lot)
            qty = min(qty, lots * s.lot)
        s.momentum = MOMENTUM_KEPT * s.momentum + (1.0 - MOMENTUM_KEPT) * side
        self.take(book, side, best.px, qty)

    cdef void close_spread(self, MarketState* s, MatchingBook book, double centre) noexcept:
        """Quote next to the fair price, on the side that is further away from it."""
        cdef int64_t bid = side_best(&book.bids)
        cdef int64_t ask = side_best(&book.asks)
        cdef int64_t middle = <int64_t> floor(centre) * s.tick
        cdef int64_t new_bid = min(middle, ask - s.tick)
        cdef int64_t new_ask = max(middle + s.tick, bid + s.tick)
        if new_bid - bid >= ask - new_ask:
            self.place(s, book, 1, new_bid, s.typical_lots // 2)
        else:
            self.place(s, book, -1, new_ask, s.typical_lots // 2)

    cdef void chase(self, MarketState* s, MatchingBook book, int side, double centre) except *:
        """The fair price has passed some levels: they are pulled or taken, others follow."""
        cdef LevelSide* other = book.side_of(-side)
        cdef bint pull = uniform(s) < PULL_SHARE
        cdef double limit = centre - side * PASSED_TICKS
        cdef int64_t px, qty_max = 16 * s.typical_lots * s.lot
        cdef int64_t behind
        for _ in range(CHASE_LEVELS):
            px = side_best(other)
            if (limit * s.tick - px) * side <= 0 or other.len < LEVELS_KEPT:
                break
            if pull:
                self.pull_level(book, other)
            if side_best(other) == px:  # takers, and whoever cannot be pulled: the accounts
                self.take(book, side, px, min(qty_max, other.levels[other.len - 1].qty))
        behind = <int64_t> floor(centre) * s.tick
        if side < 0:
            behind = max(behind + s.tick, side_best(other) + s.tick)
        else:
            behind = min(behind, side_best(other) - s.tick)
        for _ in range(FOLLOWERS):
            self.place(s, book, side, behind, s.typical_lots // 2)
            behind -= side * (1 + below(s, 1 << (s.near_bits - 3))) * s.tick

    cdef void pull_level(self, MatchingBook book, LevelSide* side) noexcept:
        cdef int32_t at = side.levels[side.len - 1].first
        cdef int32_t after
        while at != NO_ORDER:
            after = book.pool[at].next
            if book.pool[at].owner == 0:
                book.remove_at(at)
            at = after

    # What events are made of.

    cdef void place(self, MarketState* s, MatchingBook book, int side, int64_t px,
                    int64_t wanted_lots) noexcept:
        cdef int64_t lots = 1 + below(s, max(2, wanted_lots))
        if px < s.tick or book.would_cross(side, px):
            return
        if book.rest_order(s.next_id, side, px, lots * s.lot, 0) == REST_OK:
            s.next_id -= 1
        else:
            self.refused += 1

    cdef void take(self, MatchingBook book, int side, int64_t px, int64_t qty) except *:
        cdef Fill fill
        while book.take_one(side, px, &qty, &fill):
            self.trades.append((side, fill.px, fill.qty))
            if fill.maker_owner != 0:
                self.fills.append((fill.maker_id, fill.maker_owner, side, fill.px, fill.qty))

    # Keeping the depth.

    cdef void tend(self, MarketState* s, MatchingBook book, int side) noexcept:
        cdef LevelSide* own = book.side_of(side)
        if own.len < LEVELS_LOW:
            self.refill(s, book, side)
        elif own.len > LEVELS_HIGH:
            self.drop_worst(book, own)

    cdef void refill(self, MarketState* s, MatchingBook book, int side) noexcept:
        """Levels at the popular prices that have none, beyond where near orders land."""
        cdef LevelSide* own = book.side_of(side)
        cdef int64_t px = side_best(own) - side * (s.tick << s.near_bits)
        cdef int64_t wanted_lots
        cdef Py_ssize_t at
        if own.len == 0:
            px = <int64_t> floor(fair(s)) * s.tick + (s.tick if side < 0 else 0)
            if book.would_cross(side, px):
                px = side_best(book.side_of(-side)) - side * s.tick
        for _ in range(SCAN_TICKS):
            if (own.len >= LEVELS_FULL or px < s.tick
                    or book.order_count == book.capacity_orders):
                break
            wanted_lots = <int64_t> (popularity(s, px) * s.typical_lots)
            at = side_find(own, px)
            if wanted_lots > 0 and (at == own.len or own.levels[at].px != px):
                self.place(s, book, side, px, wanted_lots)
                self.place(s, book, side, px, wanted_lots)
            px -= side * s.tick

    cdef void drop_worst(self, MatchingBook book, LevelSide* side) noexcept:
        """Cancel the anonymous orders of the worst levels; those of accounts stay."""
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t before
        cdef int32_t order, after
        while side.len > LEVELS_FULL and at < side.len - LEVELS_LOW:
            before = side.len
            order = side.levels[at].first
            while order != NO_ORDER:
                after = book.pool[order].next
                if book.pool[order].owner == 0:
                    book.remove_at(order)
                order = after
            if side.len == before:
                at += 1


cdef int valid_book(MatchingBook book, symbol) except -1:
    if book.order_count:
        raise ValueError(f"the book of {symbol} is not empty")
    if book.capacity_orders < CAPACITY_MIN:
        raise ValueError(
            f"the book of {symbol} has room for {book.capacity_orders} orders, not {CAPACITY_MIN}"
        )
    return 0
