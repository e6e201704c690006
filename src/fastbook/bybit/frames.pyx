# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Bytes of one public frame to a book and a status.

Three readers with one result. The scanner knows the two key orders in which Bybit sends
``orderbook.*`` frames, compact and without escapes; it touches no Python object. Where the
machine has AVX2, a second scanner reads most of these frames in vectors of 32 bytes, and leaves
the others to the first. Whatever neither recognises to the last byte, orjson reads: other key
orders, white space, unknown keys, new topics, finer decimals, and everything that is not a book.
In every case the whole frame is read and checked before the book changes.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy, memset

import re
from types import MappingProxyType

import orjson

from fastbook.bybit.scan cimport (
    FRAME_LEVELS_MAX, ids_and_end, level_array, literal, same_text, topic_words, type_and_ts,
)
from fastbook.bybit.vectors cimport (
    fastbook_head, fastbook_read, learn_head, read_frame, read_side, vectors_start,
)
from fastbook.core.bits cimport load64
from fastbook.core.book cimport (
    APPLY_APPLIED, APPLY_MALFORMED, APPLY_OTHER, APPLY_SNAPSHOT, APPLY_TRADE, STATE_SYNCING,
    STATE_UNSYNCED, Book, Level, Update, book_expect,
)
from fastbook.core.fixed cimport (
    FIXED_OK, FIXED_PRECISION, FIXED_SCALE_MAX, fixed_decimals, fixed_parse,
)
from fastbook.core.signals cimport SignalSet, signals_expect, signals_update
from fastbook.core.states import ApplyStatus, BookState, SequencePolicy
from fastbook.errors import FixedPointError, WireError

cdef extern from "Python.h":
    PyObject* PyList_GET_ITEM(object frames, Py_ssize_t i)  # Cython's own would count references

cdef bint VECTORS = vectors_start()
cdef tuple STATUSES = tuple(ApplyStatus)
BOOK_TOPIC = re.compile(r"orderbook\.([1-9][0-9]{0,3})\.([A-Za-z0-9_-]{1,40})")
TOPIC_IN_DAMAGED_FRAME = re.compile(rb'"topic"\s*:\s*"(orderbook\.[A-Za-z0-9_.-]{1,60})"')


cdef inline uint64_t hash_words(const uint64_t* words, Py_ssize_t length) noexcept nogil:
    """Of a topic in words; the first one, "orderboo", is the same in all."""
    cdef uint64_t value = <uint64_t> length
    cdef Py_ssize_t i
    for i in range(1, (length + 7) >> 3):
        value = (value ^ words[i]) * <uint64_t> 0x9E3779B97F4A7C15  # 2**64 over the golden ratio
        value ^= value >> 32
    return value


cdef inline void padded(const char* text, Py_ssize_t length, uint64_t* words) noexcept nogil:
    """`text` as words, zeros behind it. At most TOPIC_TEXT_MAX characters."""
    cdef char[TOPIC_TEXT_MAX + 1] copied
    cdef int i
    memset(copied, 0, TOPIC_TEXT_MAX + 1)
    memcpy(copied, text, length)
    for i in range(TOPIC_WORDS):
        words[i] = load64(copied + 8 * i)


# --- decoder ----------------------------------------------------------------------------------


@cython.final
cdef class BookDecoder:
    """Decodes Bybit v5 public frames into books that say whether they can be trusted.

    Parameters
    ----------
    instruments : iterable of Instrument, or mapping of symbol to Instrument, optional
        Gives the decimal scales of their symbols; others are learned from the wire.
    signals : SignalSet, optional
        Brought up to date with every frame; a book's row is the one of its index.
    use_scanner : bool
        False sends every frame through orjson: slower, for tests and for doubts.

    One decoder serves any number of topics and connections of one category, within one
    thread. A new ``orderbook.*`` topic gets a book at its first frame.
    """

    def __cinit__(self, instruments=None, *, SignalSet signals=None, bint use_scanner=True):
        self.table_size = 64
        self.table = <Topic*> PyMem_Calloc(self.table_size, sizeof(Topic))
        self.bid_levels = <Level*> PyMem_Malloc(2 * FRAME_LEVELS_MAX * sizeof(Level))
        self.touched_rows = <int*> PyMem_Malloc(TOPICS_MAX * sizeof(int))
        if self.table is NULL or self.bid_levels is NULL or self.touched_rows is NULL:
            raise MemoryError()
        self.ask_levels = self.bid_levels + FRAME_LEVELS_MAX
        self.use_scanner = use_scanner
        self.vectors = VECTORS
        self.signals = signals
        self._books = {}
        self._desynced = {}
        values = instruments.values() if hasattr(instruments, "values") else instruments or ()
        self._scales = {i.symbol: (i.price_scale, i.qty_scale) for i in values}

    def __dealloc__(self):
        PyMem_Free(self.table)
        PyMem_Free(self.heads)
        PyMem_Free(self.bid_levels)
        PyMem_Free(self.touched_rows)

    # --- frames ---

    def apply(self, frame, int64_t recv_ns=0):
        """Apply one whole text frame; never raises for what the frame contains.

        Parameters
        ----------
        frame : bytes-like
            Read, not kept.
        recv_ns : int
            When it was received; kept as `Book.recv_ns`.

        Returns
        -------
        ApplyStatus
            GAP and MALFORMED leave the book UNSYNCED: see `take_desynced`. After TRADE and
            OTHER, `message` is the decoded object.
        """
        cdef Py_buffer view
        if PyBytes_CheckExact(frame):
            return STATUSES[self.apply_bytes(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), recv_ns)]
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            return STATUSES[self.apply_bytes(<const char*> view.buf, view.len, recv_ns)]
        finally:
            PyBuffer_Release(&view)

    def apply_many(self, list frames, int64_t recv_ns=0):
        """Apply frames one after the other without coming back to Python in between.

        For replay and for measuring what the core itself costs: what `apply` returns is only
        counted, in `counters`; `message` is that of the last frame.

        Parameters
        ----------
        frames : list of bytes
            Whole text frames, in order. TypeError, with the frames before it applied, at
            anything else.
        recv_ns : int
            The same for all of them.

        Returns
        -------
        int
            How many changed a book: APPLIED or SNAPSHOT.
        """
        cdef Py_ssize_t changed = 0
        cdef Py_ssize_t i = 0
        cdef PyObject* frame    # borrowed: `frames` keeps it, and nothing here can change `frames`
        cdef int status
        while i < PyList_GET_SIZE(frames):
            frame = PyList_GET_ITEM(frames, i)
            if not PyBytes_CheckExact(<object> frame):
                raise TypeError(f"frame {i} is {type(<object> frame).__name__}, not bytes")
            status = self.apply_bytes(
                PyBytes_AS_STRING(<object> frame), PyBytes_GET_SIZE(<object> frame), recv_ns)
            changed += status == APPLY_APPLIED or status == APPLY_SNAPSHOT
            i += 1
        return changed

    cdef int apply_bytes(self, const char* data, Py_ssize_t size, int64_t recv_ns) except -1:
        cdef Update update
        cdef Topic* row = NULL
        cdef int status
        if self._message is not None:   # seldom: no reference is counted for a book's frame
            self._message = None
        if self.use_scanner:
            row = self.scan(data, size, &update)
        if row is not NULL:
            update.recv_ns = recv_ns
            status = self.commit(row, &update)
        else:
            self.slow_frames += 1
            self.last_book_ptr = NULL
            status = self.apply_slowly(data[:size], recv_ns)
        self.statuses[status] += 1
        return status

    cdef Topic* scan(self, const char* data, Py_ssize_t size, Update* update) noexcept nogil:
        """The row of the frame's book, and `update` filled; NULL when the shape is not known."""
        cdef Topic* last = self.last_row
        cdef Topic* row = NULL
        cdef Topic* guess = NULL
        if self.vectors and last is not NULL:
            # Topics tend to come in the order in which they came before; one alone follows itself.
            guess = last.next
            if guess is not last:
                self.expect(guess)
            if self.scan_vectors(guess, data, size, update):
                self.last_row = guess
                return guess
        row = self.named_row(data, data + size)
        if row is NULL:
            return NULL
        self.last_row = row
        if last is not NULL:
            last.next = row
        if self.vectors and row is not guess:
            self.expect(row)
            if self.scan_vectors(row, data, size, update):
                return row
        return row if self.scan_words(row, data, size, update) else NULL

    cdef bint scan_vectors(self, Topic* row, const char* data, Py_ssize_t size, Update* update) noexcept nogil:
        cdef fastbook_read found
        cdef fastbook_head* head = <fastbook_head*> row.head
        if not read_frame(data, size, head, row.price_scale[0], row.qty_scale[0],
                          <int64_t*> self.bid_levels, <int64_t*> self.ask_levels, &found):
            return False
        self.vector_frames += 1
        update.bids = self.bid_levels
        update.n_bids = found.bids
        update.asks = self.ask_levels
        update.n_asks = found.asks
        update.u = found.u
        update.seq = found.seq
        update.ts_ms = found.ts_ms
        update.cts_ms = found.cts_ms
        update.snapshot = head.snapshot
        return True

    cdef Topic* named_row(self, const char* data, const char* end) noexcept nogil:
        """The row whose topic the frame names first of all; NULL when there is none."""
        cdef uint64_t[TOPIC_WORDS] words
        cdef Py_ssize_t length
        cdef const char* p = literal(data, end, b'{"topic":"orderbook.', 20)
        if p is NULL:
            return NULL
        if self.last_row is not NULL:
            p = same_text(data + 10, end, self.last_row.text, self.last_row.length)
            if p is not NULL and p < end and p[0] == c'"':
                return self.last_row
        length = topic_words(data + 10, end, words, TOPIC_WORDS)
        return self.find_words(words, length) if length != 0 else NULL

    cdef bint scan_words(self, Topic* row, const char* data, Py_ssize_t size, Update* update) noexcept nogil:
        """As `scan`, eight bytes at a time, on any machine; `data` names the topic of `row`."""
        cdef const char* end = data + size
        cdef const char* p = data + 10 + row.length
        p = literal(p, end, b'",', 2)
        if p is NULL:
            return False
        p = type_and_ts(p, end, update)
        if p is NULL:
            return False
        p = literal(p, end, b',"data":{"s":"', 14)
        if p is NULL:
            return False
        p = same_text(p, end, row.text + row.symbol_at, row.length - row.symbol_at)
        if p is NULL:
            return False
        p = literal(p, end, b'","b":', 6)
        if p is NULL or not self.scan_levels(row, p, end, update):
            return False
        # Snapshots of a topic of deltas are too few to be remembered.
        cdef fastbook_head* head = <fastbook_head*> row.head
        if self.vectors and (not update.snapshot or head.length == 0 or head.snapshot):
            learn_head(head, data, p + 1 - data, update.snapshot)
        return True

    cdef bint scan_levels(self, Topic* row, const char* p, const char* end, Update* update) noexcept nogil:
        p = self.scan_side(row, p, end, self.bid_levels, &update.n_bids)
        if p is NULL:
            return False
        p = literal(p, end, b',"a":', 5)
        if p is NULL:
            return False
        p = self.scan_side(row, p, end, self.ask_levels, &update.n_asks)
        if p is NULL:
            return False
        if ids_and_end(p, end, update) != end:
            return False
        update.bids = self.bid_levels
        update.asks = self.ask_levels
        return True

    cdef const char* scan_side(self, Topic* row, const char* p, const char* end, Level* levels, Py_ssize_t* count) noexcept nogil:
        cdef int price_scale = row.price_scale[0]
        cdef int qty_scale = row.qty_scale[0]
        cdef const char* after = NULL
        if self.vectors:    # a whole book is worth it
            after = read_side(p, end, price_scale, qty_scale, <int64_t*> levels, count)
        if after is NULL:
            after = level_array(p, end, price_scale, qty_scale, levels, count, &row.price)
        return after

    cdef void expect(self, Topic* row) noexcept nogil:
        """Ask for the memory that the frame of `row` will change, while it is still being read.

        With many books it is in no near cache, and what is there leads to what comes next.
        """
        book_expect(<Book> row.book)
        if self.signals is not None:
            signals_expect(self.signals, row.index)

    cdef int commit(self, Topic* row, Update* update) except -1:
        # Casts, not a variable: a variable would count references.
        cdef bint was_based = (<Book> row.book).based
        # A whole book that cannot be trusted either answers a request for one: ask again.
        cdef bint lost = was_based or update.snapshot
        cdef int status = (<Book> row.book).apply_update(update)
        self.last_book_ptr = row.book
        if status == APPLY_APPLIED or status == APPLY_SNAPSHOT:
            self.touch(row)
        elif lost and not (<Book> row.book).based:
            self.touch(row)
            self._desynced[(<Book> row.book).topic] = None
        return status

    # --- the slow reader ---

    cdef int apply_slowly(self, bytes frame, int64_t recv_ns) except -1:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError:
            found = TOPIC_IN_DAMAGED_FRAME.search(frame, 0, 200)
            return self.refuse(found[1].decode() if found else None)
        if not isinstance(message, dict):
            return self.refuse(None)
        topic = message.get("topic")
        if topic is None:
            self._message = message
            return APPLY_OTHER
        if not isinstance(topic, str):
            return self.refuse(None)
        if BOOK_TOPIC.fullmatch(topic) is not None:
            return self.apply_book_message(message, topic, recv_ns)
        if (<str> topic).startswith("publicTrade."):
            if not trades_are_sound(message):
                return self.refuse(None)
            self._message = message
            return APPLY_TRADE
        self._message = message
        return APPLY_OTHER

    cdef int apply_book_message(self, dict message, str topic, int64_t recv_ns) except -1:
        cdef Update update
        cdef Book book
        try:
            bids, asks = read_message(message, topic, &update)
        except WireError:
            return self.refuse(topic)
        book = self._books.get(topic)
        if book is None:
            if len(self._books) >= TOPICS_MAX:
                self.topics_refused += 1
                self._message = message
                return APPLY_OTHER
            book = self.add_book(topic)
        cdef int price_scale = book.price_scale
        cdef int qty_scale = book.qty_scale
        try:
            widen_for(bids, &price_scale, &qty_scale)
            widen_for(asks, &price_scale, &qty_scale)
        except FixedPointError:
            return self.refuse(topic)
        if (read_levels(bids, price_scale, qty_scale, self.bid_levels) != FIXED_OK
                or read_levels(asks, price_scale, qty_scale, self.ask_levels) != FIXED_OK):
            return self.refuse(topic)
        update.bids = self.bid_levels
        update.n_bids = len(bids)
        update.asks = self.ask_levels
        update.n_asks = len(asks)
        update.recv_ns = recv_ns
        try:
            self.rescales += book.fit_scales(price_scale, qty_scale, &update)
        except FixedPointError:
            return self.refuse(topic)
        cdef bytes name = topic.encode()
        return self.commit(self.find_topic(name, len(name)), &update)

    cdef int refuse(self, object topic) except -1:
        """Count a malformed frame; if it names a book that we hold, that book is UNSYNCED."""
        cdef Book book = self._books.get(topic)
        cdef bytes name
        if book is not None:
            if book.based or book.state_ == STATE_SYNCING:  # it may have been the snapshot
                self._desynced[topic] = None
            book.desync(STATE_UNSYNCED)
            name = topic.encode()
            self.touch(self.find_topic(name, len(name)))
            self.last_book_ptr = <void*> book
        return APPLY_MALFORMED

    # --- topics ---

    cdef Topic* find_words(self, const uint64_t* words, Py_ssize_t length) noexcept nogil:
        cdef uint64_t wanted = hash_words(words, length)
        cdef Py_ssize_t i = wanted & (self.table_size - 1)
        cdef Py_ssize_t left, at
        cdef Topic* row
        while True:
            row = &self.table[i]
            if row.length == 0:
                return NULL
            if row.hash == wanted and row.length == length:
                left = (length + 7) >> 3
                at = 0
                while at < left and load64(row.text + 8 * at) == words[at]:
                    at += 1
                if at == left:
                    return row
            i = (i + 1) & (self.table_size - 1)

    cdef Topic* find_topic(self, const char* text, Py_ssize_t length) noexcept nogil:
        cdef uint64_t[TOPIC_WORDS] words
        padded(text, length, words)
        return self.find_words(words, length)

    def add_book(self, str topic, *, index=None, price_scale=None, qty_scale=None,
                 str layout="auto"):
        """Make the book of `topic` before its first frame; return it, or the one that is there.

        Parameters
        ----------
        topic : str
            ``orderbook.{depth}.{symbol}``
        index : int, optional
            The caller's number for it, as `touched` reports it; the next free one by default.
        price_scale, qty_scale : int, optional
            Decimal digits; by default those of the instrument, else learned from the wire.
        layout : {"auto", "array", "ladder"}, optional
            As of `Book`; for measurements.
        """
        parts = BOOK_TOPIC.fullmatch(topic)
        if parts is None:
            raise ValueError(f"topic must be orderbook.DEPTH.SYMBOL, was {topic!r}")
        if topic in self._books:
            return self._books[topic]
        if len(self._books) >= TOPICS_MAX:
            raise WireError(f"more than {TOPICS_MAX} books", topic=topic)
        depth, symbol = int(parts[1]), parts[2]
        known = self._scales.get(symbol, (None, None))
        if index is None:
            index = 1 + max((book.index for book in self._books.values()), default=-1)
        book = Book(
            depth,
            price_scale=known[0] if price_scale is None else price_scale,
            qty_scale=known[1] if qty_scale is None else qty_scale,
            symbol=symbol,
            topic=topic,
            policy=SequencePolicy.SNAPSHOT_ONLY if depth == 1 else SequencePolicy.CONTIGUOUS,
            index=index,
            layout=layout,
        )
        self._books[topic] = book
        self.rebuild_table()
        return book

    cdef int rebuild_table(self) except -1:
        cdef Py_ssize_t size = 64
        while size < 2 * len(self._books):
            size *= 2
        cdef Topic* table = <Topic*> PyMem_Calloc(size, sizeof(Topic))
        cdef fastbook_head* heads = <fastbook_head*> PyMem_Calloc(size, sizeof(fastbook_head))
        if table is NULL or heads is NULL:
            PyMem_Free(table)
            PyMem_Free(heads)
            raise MemoryError()
        touched = self.touched_topics()
        cdef Topic* row
        cdef Book book
        cdef bytes name
        cdef Py_ssize_t i
        cdef uint64_t hashed
        cdef uint64_t[TOPIC_WORDS] words
        PyMem_Free(self.table)
        PyMem_Free(self.heads)
        self.table = table
        self.heads = heads
        self.table_size = size
        self.last_row = NULL
        for topic, book in self._books.items():
            name = topic.encode()
            padded(name, len(name), words)
            hashed = hash_words(words, len(name))
            i = hashed & (size - 1)
            while table[i].length:
                i = (i + 1) & (size - 1)
            row = &table[i]
            row.hash = hashed
            row.length = len(name)
            row.symbol_at = len(name) - len(book.symbol)
            memcpy(row.text, <const char*> name, len(name))
            row.book = <void*> book
            row.index = book.index
            row.head = &heads[i]
            row.next = row
            row.price_scale = &book.price_scale
            row.qty_scale = &book.qty_scale
        self.touched_len = 0
        for topic in touched:
            name = topic.encode()
            row = self.find_topic(name, len(name))
            row.touched = True
            self.touched_rows[self.touched_len] = <int> (row - table)
            self.touched_len += 1
        return 0

    cdef list touched_topics(self):
        cdef Py_ssize_t i
        return [(<Book> self.table[self.touched_rows[i]].book).topic for i in range(self.touched_len)]

    cdef void touch(self, Topic* row) noexcept:
        """The book of `row` changed, or is worth something else: bring its signals up to date."""
        if self.signals is not None:
            signals_update(self.signals, <Book> row.book)
        if not row.touched:
            row.touched = True
            self.touched_rows[self.touched_len] = <int> (row - self.table)
            self.touched_len += 1

    def touched(self):
        """Indexes of the books that changed, or lost their trust, since the last call."""
        cdef list indexes = []
        cdef Py_ssize_t i
        cdef Topic* row
        for i in range(self.touched_len):
            row = &self.table[self.touched_rows[i]]
            row.touched = False
            indexes.append((<Book> row.book).index)
        self.touched_len = 0
        return indexes

    def take_desynced(self):
        """Topics whose book lost its trust since the last call: ask for their snapshots.

        Each is named once, however often it happened.
        """
        if not self._desynced:
            return []
        cdef list topics = list(self._desynced)
        self._desynced.clear()
        return topics

    # --- what the connection knows ---

    def mark_syncing(self, str topic):
        """A snapshot of `topic` has been asked for."""
        self.mark(topic, BookState.SYNCING)

    def mark_stale(self, str topic):
        """`topic` has been silent for too long; its next update in order undoes this."""
        self.mark(topic, BookState.STALE)

    def unsync(self, topic=None):
        """The connection of `topic`, or of all topics, was cut: wait for snapshots."""
        for name in list(self._books) if topic is None else [topic]:
            self.mark(name, BookState.UNSYNCED)

    cdef int mark(self, str topic, object state) except -1:
        cdef bytes name = topic.encode()
        self._books[topic].mark(state)
        if self.on_mark is not None:
            self.on_mark(topic, state)
        self.touch(self.find_topic(name, len(name)))
        return 0

    @property
    def use_vectors(self):
        """Whether frames may be read with AVX2: True where the machine has it. Set it to False for
        tests and for doubts; what is read is the same."""
        return self.vectors

    @use_vectors.setter
    def use_vectors(self, bint wanted):
        self.vectors = wanted and VECTORS

    # --- readings ---

    def book(self, str symbol, depth=None):
        """The book of `symbol`: of that depth, or the deepest. KeyError if there is none."""
        found = [
            book for book in self._books.values()
            if book.symbol == symbol and (depth is None or book.depth == depth)
        ]
        if not found:
            raise KeyError(symbol)
        return max(found, key=lambda book: book.depth)

    @property
    def books(self):
        """Read-only mapping of topic to Book."""
        return MappingProxyType(self._books)

    @property
    def message(self):
        """The decoded object of the last frame when it was TRADE or OTHER, else None."""
        return self._message

    @property
    def last_book(self):
        """The book that the last frame named, or None."""
        return <Book> self.last_book_ptr if self.last_book_ptr is not NULL else None

    @property
    def counters(self):
        """Frames by status, and what went another way than the fast one; a new dict."""
        counts = {status.name.lower(): self.statuses[int(status)] for status in ApplyStatus}
        counts["frames"] = sum(counts.values())
        counts["slow_frames"] = self.slow_frames
        counts["vector_frames"] = self.vector_frames
        counts["rescales"] = self.rescales
        counts["topics_refused"] = self.topics_refused
        for name in ("gaps", "crossed_frames", "policy_breaches", "absent_deletes",
                     "dropped_levels", "over_depth"):
            counts[name] = sum(getattr(book, name) for book in self._books.values())
        return counts


# --- helpers of the slow reader ---------------------------------------------------------------


cdef int64_t whole_number(object value, str name) except -1:
    """An int in [0, 2**63); digits in quotes are accepted, as the documentation prints them."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT64_MAX:
        raise WireError(f"{name} is not a whole number: {value!r}")
    return value


cdef tuple read_message(dict message, str topic, Update* update):
    """Check the shape, fill the ids of `update`; return the two sides as texts. WireError if not."""
    kind = message.get("type")
    data = message.get("data")
    if kind != "delta" and kind != "snapshot":
        raise WireError(f"type is {kind!r}", topic=topic)
    if not isinstance(data, dict) or data.get("s") != topic.rpartition(".")[2]:
        raise WireError("data is missing, or of another symbol", topic=topic)
    update.snapshot = kind == "snapshot"
    update.u = whole_number(data.get("u"), "u")
    update.seq = whole_number(data.get("seq", 0), "seq")
    update.ts_ms = whole_number(message.get("ts", 0), "ts")
    update.cts_ms = whole_number(message.get("cts", 0), "cts")
    return side_texts(data.get("b"), topic), side_texts(data.get("a"), topic)


cdef list side_texts(object levels, str topic):
    if not isinstance(levels, list) or len(levels) > FRAME_LEVELS_MAX:
        raise WireError("a side is not a list of levels", topic=topic)
    cdef list texts = []
    for level in levels:
        if not (isinstance(level, list) and len(level) == 2
                and isinstance(level[0], str) and isinstance(level[1], str)):
            raise WireError(f"not a level: {level!r}", topic=topic)
        texts.append((level[0].encode(), level[1].encode()))
    return texts


cdef int needed_scale(bytes text, int scale) except -1:
    """`scale`, or the decimals that `text` shows when they are more and not all zeros."""
    cdef int64_t ignored
    cdef int status = fixed_parse(text, len(text), scale, &ignored)
    if status == FIXED_OK:
        return scale
    cdef int decimals = fixed_decimals(text, len(text))
    if status != FIXED_PRECISION or decimals > FIXED_SCALE_MAX:
        raise FixedPointError(f"{text!r} is not a number that fits")
    return decimals


cdef int widen_for(list levels, int* price_scale, int* qty_scale) except -1:
    cdef bytes px, qty
    for px, qty in levels:
        price_scale[0] = needed_scale(px, price_scale[0])
        qty_scale[0] = needed_scale(qty, qty_scale[0])
    return 0


cdef int read_levels(list texts, int price_scale, int qty_scale, Level* out) except -1:
    cdef Py_ssize_t i
    cdef int status
    cdef bytes px, qty
    for i in range(len(texts)):
        px, qty = texts[i]
        status = fixed_parse(px, len(px), price_scale, &out[i].px)
        if status == FIXED_OK:
            status = fixed_parse(qty, len(qty), qty_scale, &out[i].qty)
        if status != FIXED_OK:
            return status
    return FIXED_OK


cdef bint trades_are_sound(dict message) except -1:
    data = message.get("data")
    if not isinstance(data, list):
        return False
    for trade in data:
        if not isinstance(trade, dict) or trade.get("S") not in ("Buy", "Sell"):
            return False
        for key in ("s", "p", "v", "i"):
            if not isinstance(trade.get(key), str):
                return False
    return True
