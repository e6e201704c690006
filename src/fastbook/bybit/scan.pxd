"""The shapes in which Bybit sends ``orderbook.*`` frames, read without a Python object.

Each function takes the cursor and the end, and returns where it stopped, or NULL when the bytes
are not what it knows. It never reads at or past `end`. Whole words are read where a word is left
of the buffer; numbers are taken eight digits at a time, and those that do not fit that way are
read one digit at a time.
"""

from libc.stdint cimport int64_t, uint64_t

from fastbook.core.bits cimport ctz64, likely, load32, load64, same
from fastbook.core.book cimport Level, Update
from fastbook.core.fixed cimport FIXED_SCALE_MAX, FIXED_TEXT_MAX

cdef enum:
    FRAME_LEVELS_MAX = 10_000   # levels a side of one frame; more is MALFORMED
    LEVEL_ROOM = 48             # the fast reader of a level looks at no more bytes than these
    DIGITS_SAFE = 18            # as many digits always fit in int64

cdef extern from *:
    """
    static const int64_t fastbook_pow10[] = {
      1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL,
      1000000000LL, 10000000000LL, 100000000000LL, 1000000000000LL, 10000000000000LL,
      100000000000000LL, 1000000000000000LL, 10000000000000000LL, 100000000000000000LL,
      1000000000000000000LL};
    """
    const int64_t[19] pow10 "fastbook_pow10"


cdef inline const char* literal(const char* p, const char* end, const char* text, Py_ssize_t n) noexcept nogil:
    if end - p < n or not same(p, text, n):
        return NULL
    return p + n


# --- eight characters at a time ---------------------------------------------------------------


cdef inline uint64_t not_digits(uint64_t x) noexcept nogil:
    """Of characters less "0": the high bit of each byte up to and at the first that is no digit.

    What stands above the first one may be wrong: a carry goes upward only.
    """
    return ((x + <uint64_t> 0x7676767676767676) | x) & <uint64_t> 0x8080808080808080


cdef inline uint64_t eight_digits(uint64_t x) noexcept nogil:
    """The number that eight bytes 0..9 stand for, the first byte the most significant digit."""
    x = x * 10 + (x >> 8)   # pairs, in every other byte
    return (((x & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x000F424000000064)
            + (((x >> 16) & <uint64_t> 0x000000FF000000FF) * <uint64_t> 0x0000271000000001)) >> 32


cdef inline uint64_t word_at(const char* p, const char* end) noexcept nogil:
    """The eight bytes at `p`, zeros for those at and past `end`. At least 8 bytes stand before `end`."""
    if likely(end - p >= 8):
        return load64(p)
    if p >= end:
        return 0
    return load64(end - 8) >> (8 * (8 - (end - p)))


cdef inline const char* integer(const char* p, const char* end, int64_t* out) noexcept nogil:
    """Up to 18 digits without a leading zero. At least 8 bytes stand before `end`."""
    cdef uint64_t x = word_at(p, end) ^ <uint64_t> 0x3030303030303030
    cdef uint64_t stop = not_digits(x)
    cdef uint64_t value = 0
    cdef int taken = 0
    cdef int n
    if stop == 0:   # ids and times have more than eight digits
        value = eight_digits(x)
        taken = 8
        x = word_at(p + 8, end) ^ <uint64_t> 0x3030303030303030
        stop = not_digits(x)
        if stop == 0:
            value = value * 100000000 + eight_digits(x)
            taken = 16
            x = word_at(p + 16, end) ^ <uint64_t> 0x3030303030303030
            stop = not_digits(x)
            if stop == 0:
                return NULL
    n = ctz64(stop) >> 3
    if n != 0:
        value = value * <uint64_t> pow10[n] + eight_digits(x << (64 - 8 * n))
    taken += n
    if taken == 0 or taken > DIGITS_SAFE or (p[0] == c"0" and taken > 1):
        return NULL
    out[0] = <int64_t> value
    return p + taken


cdef struct Shape:
    # Where the digits of a number stand: nearly every price of a topic looks like the one before.
    int scale           # of the integers that come out
    Py_ssize_t length   # characters, the point included; 0: not known, or more than eight
    int drop            # bits: 64 less eight a character
    uint64_t point_at   # the eight bits of the point, 0 when there is none ...
    uint64_t point      # ... and the point there
    uint64_t digits     # high bit of each character ...
    uint64_t stops      # ... and of the point
    uint64_t whole      # of the eight bytes that end with the number: those before the point ...
    uint64_t fraction   # ... and those behind it
    int64_t factor      # from the decimals of the text to those of the scale


cdef inline void learn_shape(Shape* shape, Py_ssize_t whole, Py_ssize_t decimals, int scale) noexcept nogil:
    cdef Py_ssize_t length = whole + decimals + (decimals != 0)
    if length > 8:
        shape.length = 0
        return
    shape.scale = scale
    shape.length = length
    shape.drop = <int> (64 - 8 * length)
    shape.digits = <uint64_t> 0x8080808080808080 >> shape.drop
    shape.point_at = shape.point = shape.stops = shape.whole = 0
    shape.fraction = <uint64_t> -1
    if decimals != 0:
        shape.point_at = <uint64_t> 0xFF << (8 * whole)
        shape.point = <uint64_t> c"." << (8 * whole)
        shape.stops = <uint64_t> 0x80 << (8 * whole)
        shape.fraction <<= 64 - 8 * decimals
        shape.whole = (<uint64_t> -1 << shape.drop) & ~(shape.fraction | shape.fraction >> 8)
    shape.factor = pow10[scale - decimals]


cdef inline const char* shaped_number(const char* p, const Shape* shape, int64_t* out) noexcept nogil:
    """The number at `p`, if it has this shape; stops at its closing quote. Reads 9 bytes."""
    cdef uint64_t x = load64(p)
    if x & shape.point_at != shape.point:
        return NULL
    x ^= <uint64_t> 0x3030303030303030
    # As `not_digits`. What a character that is not ASCII carries into the next one cannot make a
    # digit of it, and the point is known to be one.
    if ((x + <uint64_t> 0x7676767676767676) | x) & shape.digits != shape.stops:
        return NULL
    x <<= shape.drop
    out[0] = <int64_t> eight_digits((x & shape.whole) << 8 | x & shape.fraction) * shape.factor
    return p + shape.length


cdef inline const char* short_number(const char* p, int scale, int64_t* out, Shape* shape) noexcept nogil:
    """A decimal of up to 7 digits and 8 decimals at `p`; stops at its closing quote.

    NULL for every other one, odd or not: `quoted_number` decides. Reads 17 bytes, and no
    scale above `DIGITS_SAFE` - 7 may be asked for. `shape`, unless NULL, learns from it.
    """
    cdef uint64_t x = load64(p) ^ <uint64_t> 0x3030303030303030
    cdef uint64_t stop = not_digits(x)
    cdef uint64_t fraction
    cdef uint64_t whole_bits, bits, decimals     # eight bits a character
    if not likely(stop != 0 and stop & 0x80 == 0):
        return NULL
    whole_bits = <uint64_t> ctz64(stop) - 7
    x <<= -whole_bits & 63
    p += whole_bits >> 3
    if p[0] == c'"':
        out[0] = <int64_t> eight_digits(x) * pow10[scale]
        if shape is not NULL:
            learn_shape(shape, <Py_ssize_t> (whole_bits >> 3), 0, scale)
        return p
    if not likely(p[0] == c"."):
        return NULL
    fraction = load64(p + 1) ^ <uint64_t> 0x3030303030303030
    stop = not_digits(fraction)
    bits = 64 if not likely(stop != 0) else <uint64_t> ctz64(stop) - 7
    decimals = bits >> 3
    p += 1 + decimals
    if not likely(decimals - 1 < <uint64_t> scale and p[0] == c'"'):    # 1..scale
        return NULL
    fraction <<= -bits & 63
    if likely(whole_bits + bits <= 64):     # both in one word; bits are below 64, whole_bits are not 0
        out[0] = <int64_t> eight_digits(x >> bits | fraction) * pow10[<uint64_t> scale - decimals]
    else:
        out[0] = (<int64_t> eight_digits(x) * pow10[decimals] + <int64_t> eight_digits(fraction)
                  ) * pow10[<uint64_t> scale - decimals]
    if shape is not NULL:
        learn_shape(shape, <Py_ssize_t> (whole_bits >> 3), <Py_ssize_t> decimals, scale)
    return p


cdef inline Py_ssize_t topic_words(const char* p, const char* end, uint64_t* words, int room) noexcept nogil:
    """The text up to the next quote as words, zeros behind it; its length, 0 when it has no end.

    At least 8 bytes stand before `end`.
    """
    cdef int n = 0
    cdef uint64_t word, quotes
    while n < room:
        word = word_at(p + 8 * n, end)
        quotes = word ^ <uint64_t> 0x2222222222222222
        quotes = (quotes - <uint64_t> 0x0101010101010101) & ~quotes & <uint64_t> 0x8080808080808080
        if quotes != 0:     # the lowest bit is right: a borrow goes upward only
            words[n] = word & ((quotes & (0 - quotes)) >> 7) - 1
            return 8 * n + (ctz64(quotes) >> 3)
        words[n] = word
        n += 1
    return 0


cdef inline const char* same_text(const char* p, const char* end, const char* text, Py_ssize_t n) noexcept nogil:
    """As `literal`, for a length that is not known beforehand: no call, no byte by byte.

    Reads up to 7 bytes behind `text` as well: they must be there.
    """
    if end - p < n:
        return NULL
    while n >= 8:
        if load64(p) != load64(text):
            return NULL
        p += 8
        text += 8
        n -= 8
    if n != 0 and (word_at(p, end) ^ load64(text)) << (64 - 8 * n) != 0:
        return NULL
    return p + n


# --- levels -----------------------------------------------------------------------------------


cdef inline const char* quoted_number(const char* p, const char* end, int scale, int64_t* out) noexcept nogil:
    """A decimal in quotes, at `scale`; NULL when it is finer, longer than 18 digits, or odd."""
    cdef int64_t value = 0
    cdef int digits = 0
    cdef int decimals = 0
    cdef unsigned int digit
    cdef const char* start = p + 1
    if p >= end or p[0] != c'"':
        return NULL
    p += 1
    while p < end:
        digit = <unsigned char> p[0] - 48u
        if digit > 9:
            break
        digits += 1
        if digits > 18:
            return NULL
        value = value * 10 + digit
        p += 1
    if digits == 0 or p >= end:
        return NULL
    if p[0] == c".":
        p += 1
        while p < end:
            digit = <unsigned char> p[0] - 48u
            if digit > 9:
                break
            p += 1
            decimals += 1
            if decimals > scale:
                if digit != 0 or decimals > 18:
                    return NULL
                continue
            digits += 1
            if digits > 18:
                return NULL
            value = value * 10 + digit
        if decimals == 0 or p - start > FIXED_TEXT_MAX:
            return NULL
        if decimals > scale:
            decimals = scale
    if p >= end or p[0] != c'"' or digits + scale - decimals > 18:
        return NULL
    out[0] = value * pow10[scale - decimals]
    return p + 1


cdef inline const char* long_level(const char* p, const char* end, int price_scale, int qty_scale,
                                   Level* level) noexcept nogil:
    """`["px","qty"]` digit by digit, from behind its opening bracket to behind its closing one."""
    p = quoted_number(p, end, price_scale, &level.px)
    if p is NULL or p >= end or p[0] != c",":
        return NULL
    p = quoted_number(p + 1, end, qty_scale, &level.qty)
    if p is NULL or p >= end or p[0] != c"]":
        return NULL
    return p + 1


cdef inline const char* short_level(const char* p, int price_scale, int qty_scale, Level* level,
                                    Shape* shape) noexcept nogil:
    """`px","qty"` of numbers that `short_number` reads; stops at the last quote.

    Reads at most LEVEL_ROOM bytes.
    """
    cdef const char* after = shaped_number(p, shape, &level.px) if likely(shape.length != 0) else NULL
    if after is NULL:
        after = short_number(p, price_scale, &level.px, shape)
        if after is NULL:
            return NULL
    if load32(after) & 0xFFFFFFu != 0x222C22u:      # ","
        return NULL
    if after[3] == c"0" and after[4] == c'"':       # every delete
        level.qty = 0
        return after + 4
    return short_number(after + 3, qty_scale, &level.qty, NULL)


cdef inline const char* level_array(const char* p, const char* end, int price_scale, int qty_scale,
                                    Level* levels, Py_ssize_t* count, Shape* shape) noexcept nogil:
    """`[["px","qty"],...]`, or `[]`. `shape` is that of the last price of the topic."""
    cdef Level* level = levels
    cdef const Level* last = levels + FRAME_LEVELS_MAX
    cdef const char* after
    cdef const char* room = end - LEVEL_ROOM    # a level that starts before it may be read in words
    if end - p < 3 or p[0] != c"[":
        return NULL
    if p[1] == c"]":
        count[0] = 0
        return p + 2
    if p[1] != c"[":
        return NULL
    p += 2
    if shape.scale != price_scale:
        shape.length = 0
    if price_scale > DIGITS_SAFE - 7 or qty_scale > DIGITS_SAFE - 7 or end - p <= LEVEL_ROOM:
        room = p
    while level < last:     # p is behind the bracket of a level
        if likely(p < room and p[0] == c'"'):
            after = short_level(p + 1, price_scale, qty_scale, level, shape)
            if likely(after is not NULL):
                if likely(load32(after) == 0x5B2C5D22u):    # "],[
                    p = after + 4
                    level += 1
                    continue
                if load32(after) & 0xFFFFFFu == 0x5D5D22u:  # "]]
                    count[0] = level + 1 - levels
                    return after + 3
                return NULL
        p = long_level(p, end, price_scale, qty_scale, level)
        if p is NULL or end - p < 2:
            return NULL
        level += 1
        if p[0] == c"]":
            count[0] = level - levels
            return p + 1
        if p[0] != c"," or p[1] != c"[":
            return NULL
        p += 2
    return NULL


# --- what stands around them ------------------------------------------------------------------


cdef inline const char* type_value(const char* p, const char* end, bint* snapshot) noexcept nogil:
    cdef const char* after = literal(p, end, b'delta"', 6)
    if after is not NULL:
        snapshot[0] = False
        return after
    snapshot[0] = True
    return literal(p, end, b'snapshot"', 9)


cdef inline const char* type_and_ts(const char* p, const char* end, Update* update) noexcept nogil:
    """`"type":"...","ts":N` as linear sends it, or `"ts":N,"type":"..."` as spot does."""
    cdef const char* q = literal(p, end, b'"type":"delta","ts":', 20)
    if likely(q is not NULL):
        update.snapshot = False
        return integer(q, end, &update.ts_ms)
    q = literal(p, end, b'"type":"', 8)
    if q is not NULL:
        q = type_value(q, end, &update.snapshot)
        if q is NULL:
            return NULL
        q = literal(q, end, b',"ts":', 6)
        if q is NULL:
            return NULL
        return integer(q, end, &update.ts_ms)
    q = literal(p, end, b'"ts":', 5)
    if q is NULL:
        return NULL
    q = integer(q, end, &update.ts_ms)
    if q is NULL:
        return NULL
    q = literal(q, end, b',"type":"', 9)
    if q is NULL:
        return NULL
    return type_value(q, end, &update.snapshot)


cdef inline const char* ids_and_end(const char* p, const char* end, Update* update) noexcept nogil:
    """`,"u":N,"seq":N}` and, since 2024, `,"cts":N`, then the last brace."""
    p = literal(p, end, b',"u":', 5)
    if p is NULL:
        return NULL
    p = integer(p, end, &update.u)
    if p is NULL:
        return NULL
    p = literal(p, end, b',"seq":', 7)
    if p is NULL:
        return NULL
    p = integer(p, end, &update.seq)
    if p is NULL or p >= end or p[0] != c"}":
        return NULL
    p += 1
    update.cts_ms = 0
    if p < end and p[0] == c",":
        p = literal(p, end, b',"cts":', 7)
        if p is NULL:
            return NULL
        p = integer(p, end, &update.cts_ms)
        if p is NULL:
            return NULL
    if p >= end or p[0] != c"}":
        return NULL
    return p + 1
