# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""Decimal text to and from fixed-point int64.

The grammar is the one that Bybit uses for every price and size: ``digits`` or
``digits.digits``, at most 32 characters. No sign, no exponent, no space, no empty side.
"""

from libc.stdint cimport int64_t, uint64_t

from fastbook.errors import FixedPointError


cdef int64_t[19] POW10
POW10[0] = 1
cdef int _i
for _i in range(1, 19):
    POW10[_i] = POW10[_i - 1] * 10

cdef uint64_t INT64_LIMIT = 9223372036854775807


cdef int64_t fixed_pow10(int scale) noexcept nogil:
    return POW10[scale]


cdef int fixed_decimals(const char* text, Py_ssize_t length) noexcept nogil:
    """Characters after the point, trailing zeros included; 0 without a point."""
    cdef Py_ssize_t i
    for i in range(length):
        if text[i] == c".":
            return <int> (length - i - 1)
    return 0


cdef inline int accumulate(uint64_t* value, unsigned int digit) noexcept nogil:
    # value * 10 + digit <= INT64_LIMIT, asked without overflowing
    if value[0] > (INT64_LIMIT - digit) // 10:
        return FIXED_OVERFLOW
    value[0] = value[0] * 10 + digit
    return FIXED_OK


cdef int fixed_parse(const char* text, Py_ssize_t length, int scale, int64_t* out) noexcept nogil:
    cdef uint64_t value = 0
    cdef Py_ssize_t i = 0
    cdef unsigned int digit
    cdef int decimals = 0
    cdef bint point = False
    cdef bint too_fine = False
    cdef bint too_large = False

    if length == 0:
        return FIXED_EMPTY
    if length > FIXED_TEXT_MAX:
        return FIXED_OVERFLOW

    # The whole text is read before a verdict, so that "not a number" wins over "too large".
    for i in range(length):
        digit = <unsigned char> text[i] - 48u
        if digit > 9:
            if text[i] != c".":
                return FIXED_NOT_DIGIT
            if point:
                return FIXED_NOT_DIGIT
            if i == 0 or i == length - 1:
                return FIXED_EMPTY
            point = True
            continue
        if point:
            decimals += 1
            if decimals > scale:
                too_fine = too_fine or digit != 0
                continue
        if not too_large:
            too_large = accumulate(&value, digit) != FIXED_OK

    if too_large:
        return FIXED_OVERFLOW
    if too_fine:
        return FIXED_PRECISION
    while decimals < scale:
        if accumulate(&value, 0) != FIXED_OK:
            return FIXED_OVERFLOW
        decimals += 1
    out[0] = <int64_t> value
    return FIXED_OK


cdef dict REASONS = {
    FIXED_EMPTY: "digits are missing",
    FIXED_NOT_DIGIT: "not a plain decimal",
    FIXED_OVERFLOW: "does not fit in 64 bits",
    FIXED_PRECISION: "has more decimals than the scale",
}


cdef int checked_scale(object scale) except -1:
    if not 0 <= scale <= FIXED_SCALE_MAX:
        raise ValueError(f"scale must be 0..{FIXED_SCALE_MAX}, was {scale!r}")
    return scale


def parse_fixed(text, int scale):
    """Return the integer that stands for `text` at `scale` decimal digits.

    Parameters
    ----------
    text : str or bytes
        ``digits`` or ``digits.digits``, at most 32 characters. Decimals beyond `scale`
        must be zeros.
    scale : int
        0 to 18.

    Raises
    ------
    FixedPointError
        Not a plain decimal, more precise than `scale`, or outside int64.

    Examples
    --------
    >>> parse_fixed("65114.20", 2), parse_fixed("65114.20", 1), parse_fixed("7", 3)
    (6511420, 651142, 7000)
    """
    cdef bytes raw
    cdef int64_t value = 0
    checked_scale(scale)
    if isinstance(text, str):
        raw = (<str> text).encode("utf-8", "surrogatepass")
    elif isinstance(text, bytes):
        raw = text
    else:
        raise TypeError(f"text must be str or bytes, was {type(text).__name__}")
    cdef int status = fixed_parse(raw, len(raw), scale, &value)
    if status != FIXED_OK:
        raise FixedPointError(f"{text!r} at scale {scale}: {REASONS[status]}")
    return value


def format_fixed(value, int scale, *, bint strip=False):
    """Return the decimal text of `value` at `scale` digits; exact, never an exponent.

    `value` is any Python integer. With `strip`, trailing zeros after the point go,
    and the point with them.

    Examples
    --------
    >>> format_fixed(6511420, 2), format_fixed(6511420, 2, strip=True), format_fixed(-5, 3)
    ('65114.20', '65114.2', '-0.005')
    """
    checked_scale(scale)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"value must be int, was {type(value).__name__}")
    cdef str sign = "-" if value < 0 else ""
    cdef str digits = str(abs(value))
    if scale == 0:
        return sign + digits
    digits = digits.zfill(scale + 1)
    cdef str whole = digits[:-scale]
    cdef str fraction = digits[-scale:]
    if strip:
        fraction = fraction.rstrip("0")
        if not fraction:
            return sign + whole if digits.strip("0") else "0"
    return f"{sign}{whole}.{fraction}"
