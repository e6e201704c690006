# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Order book topics as Bybit v5 sends them: what changed in the best N levels, as wire text.

A delta is the difference between the best N as last published and as they are now, so the
deletes of levels that left the window and the inserts of those that came into it need no
bookkeeping of their own, and each side comes out best first.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastbook.replay._matching cimport Level, LevelSide, MatchingBook

cdef enum:
    SCALE_MAX = 18
    # '["' price '","' size '"],' with 20 characters a number, and the text around the levels
    # without topic and symbol: five numbers of up to 20 digits and about 90 characters.
    LEVEL_TEXT_MAX = 48
    FRAME_TEXT_MAX = 256


cdef struct PublishedSide:
    int64_t* px         # as last published, best first
    int64_t* qty
    Py_ssize_t len


cdef struct NumberFormat:
    int scale           # decimal digits of the integer
    int64_t unit        # 10 ** scale
    bint strip          # drop trailing zeros, and the point with them


cdef int64_t pow10(int scale) noexcept nogil:
    cdef int64_t unit = 1
    for _ in range(scale):
        unit *= 10
    return unit


cdef inline char* put_text(char* out, const char* text, Py_ssize_t length) noexcept nogil:
    memcpy(out, text, length)
    return out + length


cdef char* put_int(char* out, int64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char> (48 + value % 10)
        value //= 10
        if value == 0:
            break
    return put_text(out, &digits[at], 20 - at)


cdef char* put_number(char* out, int64_t value, const NumberFormat* fmt) noexcept nogil:
    """The decimal text of value / 10**scale; zero is "0" in every format, as on the wire."""
    cdef int64_t fraction
    cdef int digits = fmt.scale
    cdef int i
    if value == 0:
        out[0] = 48
        return out + 1
    out = put_int(out, value // fmt.unit)
    fraction = value % fmt.unit
    if fmt.strip:
        if fraction == 0:
            return out
        while fraction % 10 == 0:
            fraction //= 10
            digits -= 1
    if digits == 0:
        return out
    out[0] = 46
    for i in range(digits, 0, -1):
        out[i] = <char> (48 + fraction % 10)
        fraction //= 10
    return out + 1 + digits


cdef class DepthPublisher:
    """The order book topic of one book at one depth, as Bybit v5 puts it on the wire."""

    cdef MatchingBook book
    cdef PublishedSide bids
    cdef PublishedSide asks
    cdef int64_t* memory        # the arrays of both sides, in one block
    cdef char* text             # room for the largest frame
    cdef NumberFormat px_format
    cdef NumberFormat qty_format
    cdef bint type_first        # key order: "type" before "ts"
    cdef bint started           # False until a snapshot stands
    cdef int64_t next_u
    cdef bytes topic_text
    cdef bytes symbol_text
    cdef readonly str topic
    cdef readonly Py_ssize_t depth
    cdef readonly int64_t u
    cdef readonly int64_t seq
    cdef readonly int64_t cts_ms

    def __cinit__(self, MatchingBook book not None, Py_ssize_t depth, str topic not None,
                  category, int price_scale, int qty_scale, *,
                  int64_t first_u=1000):
        if depth not in (1, 50, 200, 1000):
            raise ValueError(f"depth must be 1, 50, 200 or 1000, was {depth}")
        prefix = f"orderbook.{depth}."
        symbol = topic.removeprefix(prefix)
        if not topic.startswith(prefix) or not symbol.replace("-", "").isalnum():
            raise ValueError(f"topic must be {prefix}SYMBOL, was {topic!r}")
        if category not in ("spot", "linear", "inverse"):
            raise ValueError(f"category must be spot, linear or inverse, was {category!r}")
        for name, scale in (("price_scale", price_scale), ("qty_scale", qty_scale)):
            if not 0 <= scale <= SCALE_MAX:
                raise ValueError(f"{name} must be 0..{SCALE_MAX}, was {scale}")
        if first_u < 1:
            raise ValueError(f"first_u must be at least 1, was {first_u}")
        spot = category == "spot"
        self.book = book
        self.depth = depth
        self.topic = topic
        self.topic_text = topic.encode("ascii")
        self.symbol_text = symbol.encode("ascii")
        self.type_first = not spot and depth != 1
        self.px_format = NumberFormat(price_scale, pow10(price_scale), spot)
        self.qty_format = NumberFormat(qty_scale, pow10(qty_scale), spot)
        self.next_u = first_u
        # A delta can delete every published level and insert every new one, on both sides.
        cdef Py_ssize_t text_max = FRAME_TEXT_MAX + 2 * len(topic) + 4 * depth * LEVEL_TEXT_MAX
        self.memory = <int64_t*> PyMem_Malloc(4 * depth * sizeof(int64_t))
        self.text = <char*> PyMem_Malloc(text_max)
        if self.memory is NULL or self.text is NULL:
            raise MemoryError()
        self.bids.px = self.memory
        self.bids.qty = self.memory + depth
        self.asks.px = self.memory + 2 * depth
        self.asks.qty = self.memory + 3 * depth

    def __dealloc__(self):
        PyMem_Free(self.memory)
        PyMem_Free(self.text)

    def snapshot(self, ts_ms: int, cts_ms: int, seq: int) -> bytes:
        cdef int64_t ts = natural("ts_ms", ts_ms)
        self.advance(natural("cts_ms", cts_ms), natural("seq", seq))
        publish(&self.bids, &self.book.bids, self.depth)
        publish(&self.asks, &self.book.asks, self.depth)
        self.started = True
        return self.whole_frame(ts)

    def delta(self, ts_ms: int, cts_ms: int, seq: int) -> bytes | None:
        cdef int64_t ts = natural("ts_ms", ts_ms)
        cdef int64_t cts = natural("cts_ms", cts_ms)
        cdef int64_t new_seq = natural("seq", seq)
        if not self.started:
            return self.snapshot(ts, cts, new_seq)
        if (same(&self.bids, &self.book.bids, self.depth)
                and same(&self.asks, &self.book.asks, self.depth)):
            return None
        if self.depth == 1:
            return self.snapshot(ts, cts, new_seq)

        self.advance(cts, new_seq)
        cdef char* out = self.put_head(self.text, ts, b"delta", 5)
        out = self.put_changes(out, &self.bids, &self.book.bids)
        out = put_text(out, b'],"a":[', 7)
        out = self.put_changes(out, &self.asks, &self.book.asks)
        out = self.put_tail(out)
        publish(&self.bids, &self.book.bids, self.depth)
        publish(&self.asks, &self.book.asks, self.depth)
        return PyBytes_FromStringAndSize(self.text, out - self.text)

    def repeat(self, ts_ms: int) -> bytes:
        if not self.started:
            raise ValueError(f"{self.topic}: nothing was published yet")
        return self.whole_frame(natural("ts_ms", ts_ms))

    def restart(self) -> None:
        self.started = False
        self.next_u = 1

    cdef void advance(self, int64_t cts_ms, int64_t seq) noexcept nogil:
        self.u = self.next_u
        self.next_u += 1
        self.cts_ms = cts_ms
        self.seq = seq

    cdef bytes whole_frame(self, int64_t ts_ms):
        cdef char* out = self.put_head(self.text, ts_ms, b"snapshot", 8)
        out = self.put_published(out, &self.bids)
        out = put_text(out, b'],"a":[', 7)
        out = self.put_published(out, &self.asks)
        out = self.put_tail(out)
        return PyBytes_FromStringAndSize(self.text, out - self.text)

    cdef char* put_head(self, char* out, int64_t ts_ms, const char* kind, Py_ssize_t length):
        out = put_text(out, b'{"topic":"', 10)
        out = put_text(out, <const char*> self.topic_text, len(self.topic_text))
        if self.type_first:
            out = put_text(out, b'","type":"', 10)
            out = put_text(out, kind, length)
            out = put_text(out, b'","ts":', 7)
            out = put_int(out, ts_ms)
        else:
            out = put_text(out, b'","ts":', 7)
            out = put_int(out, ts_ms)
            out = put_text(out, b',"type":"', 9)
            out = put_text(out, kind, length)
            out = put_text(out, b'"', 1)
        out = put_text(out, b',"data":{"s":"', 14)
        out = put_text(out, <const char*> self.symbol_text, len(self.symbol_text))
        return put_text(out, b'","b":[', 7)

    cdef char* put_tail(self, char* out) noexcept nogil:
        out = put_text(out, b'],"u":', 6)
        out = put_int(out, self.u)
        out = put_text(out, b',"seq":', 7)
        out = put_int(out, self.seq)
        out = put_text(out, b'},"cts":', 8)
        out = put_int(out, self.cts_ms)
        return put_text(out, b"}", 1)

    cdef char* put_level(self, char* out, int64_t px, int64_t qty) noexcept nogil:
        """One level and a comma; the caller takes back the last comma of a side."""
        out = put_text(out, b'["', 2)
        out = put_number(out, px, &self.px_format)
        out = put_text(out, b'","', 3)
        out = put_number(out, qty, &self.qty_format)
        return put_text(out, b'"],', 3)

    cdef char* put_published(self, char* out, const PublishedSide* side) noexcept nogil:
        cdef char* start = out
        cdef Py_ssize_t i
        for i in range(side.len):
            out = self.put_level(out, side.px[i], side.qty[i])
        return out - (out != start)

    cdef char* put_changes(self, char* out, const PublishedSide* old,
                           const LevelSide* now) noexcept nogil:
        """Merge old and new, both best first: what is only in one was deleted or inserted."""
        cdef char* start = out
        cdef Py_ssize_t i = 0
        cdef Py_ssize_t left = now.len if now.len < self.depth else self.depth
        cdef const Level* level = &now.levels[now.len - 1]
        while i < old.len or left > 0:
            if left > 0 and i < old.len and level.px == old.px[i]:
                if level.qty != old.qty[i]:
                    out = self.put_level(out, level.px, level.qty)
                i += 1
                left -= 1
                level -= 1
            elif left == 0 or (i < old.len and (old.px[i] - level.px) * now.sign > 0):
                out = self.put_level(out, old.px[i], 0)
                i += 1
            else:
                out = self.put_level(out, level.px, level.qty)
                left -= 1
                level -= 1
        return out - (out != start)


cdef bint same(const PublishedSide* old, const LevelSide* now, Py_ssize_t depth) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t count = now.len if now.len < depth else depth
    cdef const Level* level = &now.levels[now.len - 1]
    if count != old.len:
        return False
    for i in range(count):
        if level.px != old.px[i] or level.qty != old.qty[i]:
            return False
        level -= 1
    return True


cdef void publish(PublishedSide* side, const LevelSide* now, Py_ssize_t depth) noexcept nogil:
    cdef Py_ssize_t i
    cdef const Level* level = &now.levels[now.len - 1]
    side.len = now.len if now.len < depth else depth
    for i in range(side.len):
        side.px[i] = level.px
        side.qty[i] = level.qty
        level -= 1


cdef int64_t natural(str name, value) except -1:
    cdef int64_t number = value
    if number < 0:
        raise ValueError(f"{name} must not be negative, was {value}")
    return number
