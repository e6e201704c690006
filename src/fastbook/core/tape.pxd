"""A bounded buffer of text lines, filled inside the socket callback. For Cython users: `tape_frame`."""

from libc.stdint cimport int64_t


cdef class Tape:
    cdef char* data                 # of the buffer that is being filled
    cdef Py_ssize_t used_
    cdef readonly Py_ssize_t capacity
    cdef readonly int64_t lines     # taken in, ever
    cdef readonly int64_t lost      # there was no room
    cdef int64_t first_line         # number of the first line in the buffer
    cdef int64_t lines_before       # taken in before it
    cdef int side                   # which of the two buffers is being filled
    cdef bint full                  # a line was lost since the last taking
    cdef bint lent                  # the other one is with whoever writes it away
    cdef list buffers
    cdef char* left
    cdef char* right

    cdef char* room(self, Py_ssize_t size) noexcept nogil


# One received frame: "recv_ns SPACE frame NEWLINE", a newline inside it as a space.
cdef void tape_frame(Tape tape, const char* frame, Py_ssize_t size, int64_t recv_ns) noexcept nogil
