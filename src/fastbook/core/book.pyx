# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""A price-level book: two sides, the rules of its ids, and what it says about itself.

Applied in the order of the wire, a side passes its topic's depth in the middle of a frame:
the level that comes into the window is inserted before the one that leaves is deleted. So a
side holds up to twice the depth and a little more, and what is beyond `depth` after a whole
frame is counted, not cut.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint64_t

from decimal import Decimal
from operator import index

from fastbook.core.fixed cimport (
    FIXED_OK, FIXED_PRECISION, FIXED_SCALE_MAX, FIXED_TEXT_MAX, fixed_decimals, fixed_parse,
    fixed_pow10,
)
from fastbook.core.sides cimport (
    LAYOUT_ARRAY, LAYOUT_AUTO, LAYOUT_LADDER, Tally, side_alloc, side_apply, side_fault, side_free,
    side_qty_sum, side_rescale, side_settle, side_undo_rescale, side_vwap,
)
from fastbook.core.states import ApplyStatus, BookState, SequencePolicy
from fastbook.errors import BookInvariantError, FixedPointError

cdef tuple STATES = tuple(BookState)
cdef tuple STATUSES = tuple(ApplyStatus)
cdef tuple POLICIES = tuple(SequencePolicy)

cdef enum:
    DEPTH_MAX = 10_000
    SLACK = 64

cdef dict LAYOUTS = {"auto": LAYOUT_AUTO, "array": LAYOUT_ARRAY, "ladder": LAYOUT_LADDER}


# --- the book ---------------------------------------------------------------------------------


cdef inline int verdict_of(Book book, const Update* update) noexcept nogil:
    """What the update ids say of this update: APPLIED, SNAPSHOT, STALE or GAP."""
    if update.snapshot:
        if (book.policy_ == POLICY_SNAPSHOT_ONLY and book.based and update.u != 1
                and update.seq < book.seq):
            return APPLY_STALE
        return APPLY_SNAPSHOT
    if not book.based or book.policy_ == POLICY_SNAPSHOT_ONLY:
        return APPLY_GAP
    # Unsigned: the id after the largest one must not overflow.
    if update.u > book.u and <uint64_t> update.u - <uint64_t> book.u == 1:
        return APPLY_APPLIED
    # u = 1 is not old: the service restarted and did not say with what.
    return APPLY_STALE if update.u <= book.u and update.u != 1 else APPLY_GAP


cdef inline bint is_crossed(Book book) noexcept nogil:
    return (book.bid_side.len != 0 and book.ask_side.len != 0
            and side_best_px(&book.bid_side) >= side_best_px(&book.ask_side))


@cython.final
cdef class Book:
    """Order book of one topic. Not thread-safe; share it within one thread.

    Parameters
    ----------
    depth : int
        Levels a side that the topic promises, 1 to 10,000. Up to ``2 * depth + 64`` are held.
    price_scale, qty_scale : int, optional
        Decimal digits of the integers inside. Widened when an update shows more.
    symbol, topic : str, optional
        For people who read logs.
    policy : SequencePolicy, optional
        What the update ids promise; `CONTIGUOUS` unless told.
    index : int, optional
        The caller's number for this book.
    layout : {"auto", "array", "ladder"}, optional
        How a side keeps its levels: sorted arrays, a ladder of ticks, or what suits them. Changes
        speed and memory, never an answer. For tests and measurements.

    Readings are floats, nan when there is no answer. They say what was last received, whatever
    the `state`: trade on them only when it is `SYNCED`.
    """

    def __cinit__(self, Py_ssize_t depth, *, price_scale=None, qty_scale=None, str symbol="",
                  str topic="", policy=SequencePolicy.CONTIGUOUS, int index=-1, str layout="auto"):
        if not 1 <= depth <= DEPTH_MAX:
            raise ValueError(f"depth must be 1..{DEPTH_MAX}, was {depth}")
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, was {layout!r}")
        self.depth = depth
        self.symbol = symbol
        self.topic = topic
        self.policy_ = SequencePolicy(policy)
        self.index = index
        self.set_scales(price_scale or 0, qty_scale or 0)
        side_alloc(&self.bid_side, 2 * depth + SLACK, -1, LAYOUTS[layout])
        side_alloc(&self.ask_side, 2 * depth + SLACK, 1, LAYOUTS[layout])

    def __dealloc__(self):
        side_free(&self.bid_side)
        side_free(&self.ask_side)

    def __repr__(self):
        name = self.topic or self.symbol or "?"
        return f"<Book {name} {self.state.name} u={self.u} {self.best_bid}/{self.best_ask}>"

    cdef int set_scales(self, int price_scale, int qty_scale) except -1:
        for scale in (price_scale, qty_scale):
            if not 0 <= scale <= FIXED_SCALE_MAX:
                raise ValueError(f"a scale must be 0..{FIXED_SCALE_MAX}, was {scale}")
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self.px_unit = <double> fixed_pow10(price_scale)
        self.qty_unit = <double> fixed_pow10(qty_scale)
        return 0

    cdef int rescale(self, int price_scale, int qty_scale) except -1:
        if price_scale < self.price_scale or qty_scale < self.qty_scale:
            raise ValueError("scales only grow")
        if price_scale > FIXED_SCALE_MAX or qty_scale > FIXED_SCALE_MAX:
            raise FixedPointError(f"more than {FIXED_SCALE_MAX} decimals")
        cdef int64_t px_factor = fixed_pow10(price_scale - self.price_scale)
        cdef int64_t qty_factor = fixed_pow10(qty_scale - self.qty_scale)
        if side_rescale(&self.bid_side, px_factor, qty_factor) != 0:
            raise FixedPointError(f"{self.topic}: a level does not fit at scale {price_scale}")
        if side_rescale(&self.ask_side, px_factor, qty_factor) != 0:
            side_undo_rescale(&self.bid_side, px_factor, qty_factor)
            raise FixedPointError(f"{self.topic}: a level does not fit at scale {price_scale}")
        return self.set_scales(price_scale, qty_scale)

    # --- updates ---

    cdef int verdict(self, const Update* update) noexcept nogil:
        return verdict_of(self, update)

    cdef int apply_update(self, const Update* update) noexcept nogil:
        cdef Tally tally = Tally(0, 0)
        cdef int verdict = verdict_of(self, update)
        if verdict == APPLY_STALE:
            return APPLY_STALE
        if verdict == APPLY_GAP:
            if self.based:
                self.policy_breaches += self.policy_ == POLICY_SNAPSHOT_ONLY
                self.desync(STATE_UNSYNCED)
            return APPLY_GAP
        if update.snapshot:
            side_clear(&self.bid_side)
            side_clear(&self.ask_side)
            self.based = True
        side_apply(&self.bid_side, update.bids, update.n_bids, &tally)
        side_apply(&self.ask_side, update.asks, update.n_asks, &tally)
        self.absent_deletes += tally.absent
        self.dropped_levels += tally.dropped
        if update.snapshot:
            side_settle(&self.bid_side)
            side_settle(&self.ask_side)
        self.u = update.u
        self.seq = update.seq
        self.ts_ms = update.ts_ms
        self.cts_ms = update.cts_ms
        self.recv_ns = update.recv_ns
        if self.bid_side.len > self.depth or self.ask_side.len > self.depth:
            self.over_depth += 1
        if is_crossed(self):
            self.crossed_frames += 1
            self.desync(STATE_UNSYNCED)
            return APPLY_GAP
        if update.snapshot and update.u == 1 and self.bid_side.len + self.ask_side.len == 0:
            self.state_ = STATE_NO_BOOK  # delisted, or before an auction
        else:
            self.state_ = STATE_SYNCED
        return APPLY_SNAPSHOT if update.snapshot else APPLY_APPLIED

    cdef void set_levels(self, BookSide* side, const Level* levels, Py_ssize_t n) noexcept nogil:
        cdef Tally tally = Tally(0, 0)
        side_apply(side, levels, n, &tally)
        self.absent_deletes += tally.absent
        self.dropped_levels += tally.dropped

    cdef void desync(self, int state) noexcept nogil:
        if self.based and state == STATE_UNSYNCED:
            self.gaps += 1
        self.based = False
        self.state_ = state

    cdef bint crossed(self) noexcept nogil:
        return is_crossed(self)

    def apply_snapshot(self, bids, asks, int64_t u, int64_t seq=0):
        """Replace the book. Levels are (price, size) as decimal text, Decimal, int or float.

        Returns an `ApplyStatus`: SNAPSHOT, or GAP when the book came out crossed.
        Raises FixedPointError, and changes nothing, when a level cannot be read.
        """
        return self.apply_python(bids, asks, u, seq, True)

    def apply_delta(self, bids, asks, int64_t u, int64_t seq=0):
        """Set levels to absolute sizes; size 0 deletes. Levels as in `apply_snapshot`.

        Returns an `ApplyStatus`: APPLIED when `u` is the last plus one; STALE when it is
        older, the book stays; GAP when updates are missing, the book is UNSYNCED.
        Raises FixedPointError, and changes nothing, when a level cannot be read.
        """
        return self.apply_python(bids, asks, u, seq, False)

    cdef object apply_python(self, object bids, object asks, int64_t u, int64_t seq, bint snapshot):
        cdef Update update
        cdef list bid_texts = level_texts(bids)
        cdef list ask_texts = level_texts(asks)
        cdef Py_ssize_t n_bids = len(bid_texts)
        cdef Py_ssize_t n_asks = len(ask_texts)
        cdef int price_scale = self.price_scale
        cdef int qty_scale = self.qty_scale
        widen_for(bid_texts, &price_scale, &qty_scale)
        widen_for(ask_texts, &price_scale, &qty_scale)
        cdef Level* levels = <Level*> PyMem_Malloc((n_bids + n_asks + 1) * sizeof(Level))
        if levels is NULL:
            raise MemoryError()
        try:
            read_levels(bid_texts, price_scale, qty_scale, levels)
            read_levels(ask_texts, price_scale, qty_scale, levels + n_bids)
            update.bids = levels
            update.n_bids = n_bids
            update.asks = levels + n_bids
            update.n_asks = n_asks
            update.u = u
            update.seq = seq
            update.ts_ms = update.cts_ms = update.recv_ns = 0
            update.snapshot = snapshot
            self.fit_scales(price_scale, qty_scale, &update)
            return STATUSES[self.apply_update(&update)]
        finally:
            PyMem_Free(levels)

    cdef bint fit_scales(self, int price_scale, int qty_scale, const Update* update) except -1:
        """Take the scales that `update` was read at, if it is going to be applied.

        True when they grew. FixedPointError, and no change, when a held level does not fit.
        """
        if price_scale == self.price_scale and qty_scale == self.qty_scale:
            return False
        cdef int verdict = self.verdict(update)
        if verdict != APPLY_APPLIED and verdict != APPLY_SNAPSHOT:
            return False
        if update.snapshot:  # what it replaces must not stand in its way
            side_clear(&self.bid_side)
            side_clear(&self.ask_side)
        self.rescale(price_scale, qty_scale)
        return True

    def set_bid(self, int64_t px, int64_t qty):
        """Set one bid in fixed-point integers; `qty` 0 deletes. No sequence rules, no state."""
        self.set_one(&self.bid_side, px, qty)

    def set_ask(self, int64_t px, int64_t qty):
        """Set one ask in fixed-point integers; `qty` 0 deletes. No sequence rules, no state."""
        self.set_one(&self.ask_side, px, qty)

    cdef int set_one(self, BookSide* side, int64_t px, int64_t qty) except -1:
        if px < 0 or qty < 0:
            raise ValueError(f"price and quantity must not be negative, were {px}, {qty}")
        cdef Level level = Level(px, qty)
        self.set_levels(side, &level, 1)
        return 0

    def mark(self, state):
        """Say from outside what the book is worth: a connection was cut, a snapshot asked for.

        STALE is taken only from SYNCED, and the next update in order undoes it. Every other
        state makes the book wait for a snapshot. SYNCED cannot be declared: only frames prove it.
        """
        cdef int wanted = BookState(state)
        if wanted == STATE_SYNCED:
            raise ValueError("only a snapshot makes a book SYNCED")
        if wanted == STATE_STALE:
            if self.state_ == STATE_SYNCED:
                self.state_ = STATE_STALE
            return
        self.based = False
        self.state_ = wanted

    def check(self):
        """Raise BookInvariantError if a rule of the book is broken. O(depth)."""
        for name, side_levels in zip(("bids", "asks"), self.levels()):
            prices = [px for px, _ in side_levels]
            if prices != sorted(set(prices), reverse=name == "bids"):
                raise BookInvariantError(f"{self!r}: {name} are not in order: {prices}")
            if any(qty <= 0 or px < 0 for px, qty in side_levels):
                raise BookInvariantError(f"{self!r}: {name} hold an empty level")
        for name, fault in (("bids", side_fault(&self.bid_side)), ("asks", side_fault(&self.ask_side))):
            if fault is not None:
                raise BookInvariantError(f"{self!r}: {name}: {fault}")
        if self.state_ in (STATE_SYNCED, STATE_STALE):
            if self.crossed():
                raise BookInvariantError(f"{self!r} is {self.state.name} and crossed")
            if not self.based:
                raise BookInvariantError(f"{self!r} is {self.state.name} without a snapshot")

    # --- readings ---

    @property
    def state(self):
        """BookState: whether this book may be read."""
        return STATES[self.state_]

    @property
    def policy(self):
        """SequencePolicy: what the update ids promise."""
        return POLICIES[self.policy_]

    @property
    def best_bid(self):
        """Best bid price; nan when there is none."""
        return side_best_px(&self.bid_side) / self.px_unit if self.bid_side.len else NAN

    @property
    def best_ask(self):
        """Best ask price; nan when there is none."""
        return side_best_px(&self.ask_side) / self.px_unit if self.ask_side.len else NAN

    @property
    def best_bid_px(self):
        """Best bid as a fixed-point integer; 0 when there is none."""
        return side_best_px(&self.bid_side)

    @property
    def best_ask_px(self):
        """Best ask as a fixed-point integer; 0 when there is none."""
        return side_best_px(&self.ask_side)

    @property
    def best_bid_qty(self):
        """Quantity at the best bid, fixed-point; 0 when there is none."""
        return side_best_qty(&self.bid_side)

    @property
    def best_ask_qty(self):
        """Quantity at the best ask, fixed-point; 0 when there is none."""
        return side_best_qty(&self.ask_side)

    @property
    def mid(self):
        """(best bid + best ask) / 2; nan unless both sides are there."""
        if not (self.bid_side.len and self.ask_side.len):
            return NAN
        return (<double> side_best_px(&self.bid_side) + <double> side_best_px(&self.ask_side)) / (
            2.0 * self.px_unit)

    @property
    def spread(self):
        """Best ask - best bid, in price units; nan unless both sides are there."""
        if not (self.bid_side.len and self.ask_side.len):
            return NAN
        return (side_best_px(&self.ask_side) - side_best_px(&self.bid_side)) / self.px_unit

    @property
    def spread_bps(self):
        """Spread over mid, in basis points; nan unless both sides are there."""
        cdef double mid = self.mid
        cdef double spread = self.spread
        return spread / mid * 1e4  # in C: nan, not an error, at price zero

    @property
    def microprice(self):
        """(bid * ask size + ask * bid size) / (bid size + ask size) at the touch; nan if one-sided."""
        if not (self.bid_side.len and self.ask_side.len):
            return NAN
        cdef double bid_qty = <double> side_best_qty(&self.bid_side)
        cdef double ask_qty = <double> side_best_qty(&self.ask_side)
        cdef double bid = <double> side_best_px(&self.bid_side)
        cdef double ask = <double> side_best_px(&self.ask_side)
        return (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty) / self.px_unit

    def imbalance(self, Py_ssize_t levels=10):
        """(B - A) / (B + A) of the quantities in the best `levels`; +1 = all bids; nan when empty."""
        check_levels(levels)
        cdef double bids = side_qty_sum(&self.bid_side, levels)
        cdef double asks = side_qty_sum(&self.ask_side, levels)
        return (bids - asks) / (bids + asks) if bids + asks > 0.0 else NAN

    def vwap(self, Py_ssize_t levels=10):
        """Quantity-weighted price of the best `levels`, as (bid, ask); nan for an empty side."""
        check_levels(levels)
        return (side_vwap(&self.bid_side, levels) / self.px_unit,
                side_vwap(&self.ask_side, levels) / self.px_unit)

    def bids(self, levels=None):
        """Best `levels` bids (all when None) as a new float64 array (n, 2): price, size; best first."""
        return self.as_array(&self.bid_side, levels)

    def asks(self, levels=None):
        """Best `levels` asks (all when None) as a new float64 array (n, 2): price, size; best first."""
        return self.as_array(&self.ask_side, levels)

    cdef object as_array(self, BookSide* side, object levels):
        import numpy  # here: importing fastbook must not cost numpy's import
        cdef Py_ssize_t n = side.len
        if levels is not None:
            check_levels(levels)
            n = min(n, <Py_ssize_t> levels)
        raw = numpy.empty((2, n), dtype=numpy.int64)
        cdef int64_t[:, ::1] view = raw
        if n:
            side_top(side, n, &view[0, 0], &view[1, 0])
        array = numpy.empty((n, 2))
        numpy.divide(raw[0], self.px_unit, out=array[:, 0])
        numpy.divide(raw[1], self.qty_unit, out=array[:, 1])
        return array

    def levels(self):
        """([(px, qty), ...], [(px, qty), ...]): bids and asks as exact integers, best first."""
        return side_list(&self.bid_side), side_list(&self.ask_side)

    @property
    def layouts(self):
        """(bids, asks): "array" or "ladder", as they are now."""
        return ("ladder" if self.bid_side.on_ladder else "array",
                "ladder" if self.ask_side.on_ladder else "array")

    @property
    def bid_levels(self):
        """Bid levels held."""
        return self.bid_side.len

    @property
    def ask_levels(self):
        """Ask levels held."""
        return self.ask_side.len


# --- helpers of the Python face ---------------------------------------------------------------


cdef list side_list(const BookSide* side):
    cdef Py_ssize_t n = side.len
    cdef Py_ssize_t i
    cdef int64_t* px = <int64_t*> PyMem_Malloc((2 * n + 1) * sizeof(int64_t))
    if px is NULL:
        raise MemoryError()
    try:
        side_top(side, n, px, px + n)
        return [(px[i], px[n + i]) for i in range(n)]
    finally:
        PyMem_Free(px)


cdef int check_levels(Py_ssize_t levels) except -1:
    if levels < 1:
        raise ValueError(f"levels must be at least 1, was {levels}")
    return 0


cdef bytes number_text(object number):
    """The plain decimal text of text, Decimal, int or float."""
    if isinstance(number, str):
        return (<str> number).encode("utf-8", "surrogatepass")
    if isinstance(number, bytes):
        return number
    if isinstance(number, bool):
        raise TypeError("a level's number must not be a bool")
    if isinstance(number, float):
        number = Decimal(float.__repr__(number))  # numpy's float64 is a float and prints otherwise
    if isinstance(number, Decimal):
        if not number.is_finite():
            raise FixedPointError(f"{number} is not a number")
        if not -FIXED_TEXT_MAX < number.adjusted() < FIXED_TEXT_MAX:
            raise FixedPointError(f"{number} does not fit in 64 bits")  # nor, written out, in memory
        return format(number, "f").encode()
    if isinstance(number, int):
        return b"%d" % number
    if hasattr(number, "__index__"):  # numpy's integers
        return b"%d" % index(number)
    return number_text(float(number))


cdef list level_texts(object levels):
    return [(number_text(px), number_text(qty)) for px, qty in levels]


cdef int widen_for(list texts, int* price_scale, int* qty_scale) except -1:
    """Raise the scales to the decimals that the texts show; what cannot be read is left alone."""
    cdef int64_t ignored
    cdef bytes px, qty
    for px, qty in texts:
        if fixed_parse(px, len(px), price_scale[0], &ignored) == FIXED_PRECISION:
            price_scale[0] = checked_decimals(px)
        if fixed_parse(qty, len(qty), qty_scale[0], &ignored) == FIXED_PRECISION:
            qty_scale[0] = checked_decimals(qty)
    return 0


cdef int checked_decimals(bytes text) except -1:
    cdef int decimals = fixed_decimals(text, len(text))
    if decimals > FIXED_SCALE_MAX:
        raise FixedPointError(f"{text.decode()} has more than {FIXED_SCALE_MAX} decimals")
    return decimals


cdef int read_levels(list texts, int price_scale, int qty_scale, Level* out) except -1:
    cdef Py_ssize_t i = 0
    cdef bytes px, qty
    for px, qty in texts:
        if fixed_parse(px, len(px), price_scale, &out[i].px) != FIXED_OK:
            raise FixedPointError(f"price {px.decode(errors='replace')!r} cannot be read")
        if fixed_parse(qty, len(qty), qty_scale, &out[i].qty) != FIXED_OK:
            raise FixedPointError(f"size {qty.decode(errors='replace')!r} cannot be read")
        i += 1
    return 0
