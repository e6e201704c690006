# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Recorded lines through a decoder, stopping only where somebody has to be asked.

A backtest has to come back to Python when a socket read is over, because then the strategy is
asked, and when something else is due before the next frame. Between two such points everything
is compiled.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t
from libc.string cimport memchr, memcmp

from fastbook.bybit.frames cimport BookDecoder, Topic
from fastbook.core.book cimport APPLY_MALFORMED, APPLY_OTHER, APPLY_TRADE, Book
from fastbook.core.signals cimport SIGNAL_COUNT, SIGNAL_IMBALANCE, SIGNAL_ZSCORE

cdef enum:
    TS_WITHIN = 256         # how far into a frame its time is looked for

cpdef enum Step:
    STEP_MORE = 0           # the lines are used up: feed more, or finish
    STEP_DUE = 1            # the next frame is later than what is due
    STEP_READ = 2           # a socket read is over, and books were touched
    STEP_MESSAGE = 3        # `decoder.message` is a trade, or another topic that is wanted
    STEP_DAMAGED = 4        # `line` is no frame, or a malformed one; it has been passed over
    STEP_UNSTAMPED = 5      # `line` has no receive time, and no latency was given to make one


@cython.final
cdef class FrameCursor:
    """Steps `decoder` through lines ``recv_ns frame`` or ``frame``.

    Parameters
    ----------
    decoder : BookDecoder
    latencies_ns : sequence of int
        Empty: receive times are the recorded ones. Else they are made: a frame's own time plus
        one of these, drawn evenly (so a table of quantiles is a distribution), never backwards.
    seed : int
        Of the drawing.
    trades, others : bool
        Whether to stop at public trades, and at messages of other topics; else they are passed
        over unread.
    """

    cdef BookDecoder decoder
    cdef bytes chunk                # what `at` points into
    cdef const char* at
    cdef const char* end
    cdef const char* frame          # the next one, once `ready`
    cdef Py_ssize_t size
    cdef bint ready
    cdef bint is_open               # frames were applied since the last READ
    cdef int64_t* latencies
    cdef Py_ssize_t latencies_len
    cdef uint64_t state
    cdef int64_t drawn_ns
    cdef int64_t least_ns           # smallest recorded delay
    cdef int64_t stamp_ns
    cdef public bint trades
    cdef public bint others
    cdef readonly int64_t recv_ns   # receive time of the read under way
    cdef readonly int64_t next_ns   # of the frame after it, after STEP_DUE
    cdef readonly int64_t line      # of the last line read, over all that was fed; from 1
    cdef readonly int64_t frames    # order book frames applied
    cdef readonly int64_t skipped   # reads that nobody had to be asked about
    cdef double quiet_below
    cdef double quiet_lean
    cdef bytearray watched          # by book index: somebody wants every read
    cdef readonly int64_t delay_ns  # how old the last order book frame was when it came

    def __cinit__(self, BookDecoder decoder not None, latencies_ns=(), *, seed=1,
                  bint trades=False, bint others=False):
        cdef Py_ssize_t i
        self.decoder = decoder
        self.latencies_len = len(latencies_ns)
        if self.latencies_len:
            self.latencies = <int64_t*> PyMem_Malloc(self.latencies_len * sizeof(int64_t))
            if self.latencies is NULL:
                raise MemoryError()
            for i in range(self.latencies_len):
                self.latencies[i] = latencies_ns[i]
        self.state = (<uint64_t> (seed & 0xFFFFFFFF) + 1) * <uint64_t> 0x9E3779B97F4A7C15
        self.trades = trades
        self.others = others
        self.recv_ns = self.next_ns = INT64_MIN
        self.least_ns = INT64_MAX

    def __dealloc__(self):
        PyMem_Free(self.latencies)

    def feed(self, bytes lines not None):
        """More whole lines. RuntimeError while there are some left of the last ones."""
        if self.ready or self.at < self.end:
            raise RuntimeError("the last lines are not used up")
        self.chunk = lines
        self.at = PyBytes_AS_STRING(lines)
        self.end = self.at + PyBytes_GET_SIZE(lines)

    def step(self, int64_t due_ns):
        """Go on until the next reason to stop; returns one of STEP_*.

        A frame that is not later than `due_ns` is applied; STEP_DUE leaves it for the next call.
        """
        cdef int status
        while True:
            if not self.ready:
                if self.at >= self.end:
                    return <int> STEP_MORE
                status = self.look()
                if status != STEP_READ:
                    return status
                if self.frame is NULL:
                    continue  # passed over
            if self.is_open and self.next_ns != self.recv_ns:
                self.is_open = False
                if self.decoder.touched_len and not self.quiet():
                    return <int> STEP_READ
            if self.next_ns > due_ns:
                return <int> STEP_DUE
            self.recv_ns = self.next_ns
            self.ready = False
            self.is_open = True
            status = self.decoder.apply_bytes(self.frame, self.size, self.recv_ns)
            if status == APPLY_TRADE:
                if self.trades:
                    return <int> STEP_MESSAGE
            elif status == APPLY_OTHER:
                if self.others:
                    return <int> STEP_MESSAGE
            elif status == APPLY_MALFORMED:
                return <int> STEP_DAMAGED
            else:
                self.frames += 1
                self.learn_delay()

    def skip_quiet(self, double below, bytearray watched not None, double lean=-2.0):
        """Pass over reads whose books are all flat and calm.

        A book is calm when `watched` at its index is 0 (the caller writes there), and |ZSCORE| of
        its row is below `below` or nan, or IMBALANCE against the stretch is below `lean` or nan. Books beyond `watched` are nobody's. Asks the decoder's
        signals; ValueError if it has none, or of fewer books.
        """
        if self.decoder.signals is None or self.decoder.signals.books < len(watched):
            raise ValueError("the decoder has no signals for these books")
        self.quiet_below = below
        self.quiet_lean = lean
        self.watched = watched

    cdef bint quiet(self):
        """Whether nobody has to be asked about the books just touched; then they are forgotten."""
        cdef Py_ssize_t i, index
        cdef double z, lean
        cdef double* signals
        cdef Topic* row
        if self.watched is None:
            return False
        cdef Py_ssize_t count = PyByteArray_GET_SIZE(self.watched)
        cdef char* watched = PyByteArray_AS_STRING(self.watched)
        for i in range(self.decoder.touched_len):
            index = (<Book> self.decoder.table[self.decoder.touched_rows[i]].book).index
            if index < 0 or index >= count:
                continue
            if watched[index]:
                return False
            signals = self.decoder.signals.rows_ + index * <int> SIGNAL_COUNT
            z = signals[<int> SIGNAL_ZSCORE]
            if z >= self.quiet_below or z <= -self.quiet_below:
                lean = signals[<int> SIGNAL_IMBALANCE]
                if self.quiet_lean < -1.0 or (lean if z < 0.0 else -lean) >= self.quiet_lean:
                    return False
        for i in range(self.decoder.touched_len):
            row = &self.decoder.table[self.decoder.touched_rows[i]]
            row.touched = False
        self.decoder.touched_len = 0
        self.skipped += 1
        return True

    def finish(self):
        """No more lines. True when books were touched that no STEP_READ has told of."""
        cdef bint told = self.is_open and self.decoder.touched_len != 0
        self.is_open = False
        return told

    cdef void learn_delay(self) noexcept:
        cdef int64_t delay
        if self.latencies_len:
            self.delay_ns = self.drawn_ns
            return
        if self.decoder.last_book_ptr is NULL:
            return
        delay = self.recv_ns - (<Book> self.decoder.last_book_ptr).ts_ms * 1_000_000
        if delay < self.least_ns:
            self.least_ns = delay
        self.delay_ns = delay - self.least_ns

    cdef int look(self) except -1:
        """Find the next frame and its time. READ: it is there, or was passed over (frame NULL)."""
        cdef const char* start = self.at
        cdef const char* stop = <const char*> memchr(start, c'\n', self.end - start)
        cdef int64_t stamp = 0
        cdef int digits = 0
        self.line += 1
        self.frame = NULL
        if stop is NULL:
            stop = self.end
        self.at = stop + 1
        while stop > start and ((stop - 1)[0] == c'\r' or (stop - 1)[0] == c' '):
            stop -= 1
        while start < stop and c'0' <= start[0] <= c'9' and digits < 19:
            stamp = stamp * 10 + (start[0] - c'0')
            start += 1
            digits += 1
        if start == stop:
            return STEP_READ if digits == 0 else STEP_DAMAGED  # an empty line is nothing
        if digits:
            if start[0] != c' ' or stamp < 0:
                return STEP_DAMAGED
            start += 1
        if start == stop or start[0] != c'{':
            return STEP_DAMAGED
        if self.unwanted(start, stop - start):
            return STEP_READ
        if self.latencies_len:
            stamp = self.made_time(start, stop)
        elif digits == 0:
            return STEP_UNSTAMPED
        self.frame = start
        self.size = stop - start
        self.next_ns = stamp if stamp > self.recv_ns else self.recv_ns
        self.ready = True
        return STEP_READ

    cdef bint unwanted(self, const char* frame, Py_ssize_t size) noexcept nogil:
        if size < 22 or memcmp(frame, b'{"topic":"', 10) != 0:
            return False
        if memcmp(frame + 10, b"orderbook.", 10) == 0:
            return False
        if memcmp(frame + 10, b"publicTrade.", 12) == 0:
            return not self.trades
        return not self.others

    cdef int64_t made_time(self, const char* frame, const char* end) noexcept nogil:
        """The frame's own time plus a latency; the time of the last frame when it has none."""
        cdef const char* p = frame
        cdef int64_t ts = 0
        cdef uint64_t drawn
        if end - frame > TS_WITHIN:
            end = frame + TS_WITHIN
        end -= 5
        while p < end:
            p = <const char*> memchr(p, c'"', end - p)
            if p is NULL:
                return self.recv_ns
            if memcmp(p, b'"ts":', 5) == 0:
                break
            p += 1
        else:
            return self.recv_ns
        p += 5
        while c'0' <= p[0] <= c'9' and ts < <int64_t> 100_000_000_000_000:
            ts = ts * 10 + (p[0] - c'0')
            p += 1
        self.state ^= self.state >> 12
        self.state ^= self.state << 25
        self.state ^= self.state >> 27
        drawn = ((self.state * <uint64_t> 0x2545F4914F6CDD1D) >> 33) % <uint64_t> self.latencies_len
        self.drawn_ns = self.latencies[drawn]
        return ts * 1_000_000 + self.drawn_ns
