"""Decimal text to and from fixed-point int64. Exact, or refused; never rounded or wrapped."""

from libc.stdint cimport int64_t

cdef enum:
    FIXED_OK = 0
    FIXED_EMPTY = 1         # no digits, or none on one side of the point
    FIXED_NOT_DIGIT = 2     # sign, exponent, space, letter, second point
    FIXED_OVERFLOW = 3      # does not fit in int64 at this scale, or over 32 characters
    FIXED_PRECISION = 4     # more non-zero decimals than the scale holds

    FIXED_SCALE_MAX = 18    # 10**18 is the largest power of ten in int64
    FIXED_TEXT_MAX = 32


cdef int fixed_parse(const char* text, Py_ssize_t length, int scale, int64_t* out) noexcept nogil
cdef int fixed_decimals(const char* text, Py_ssize_t length) noexcept nogil
cdef int64_t fixed_pow10(int scale) noexcept nogil
