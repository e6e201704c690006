# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=python
"""A bounded buffer of text lines, filled inside the socket callback and emptied elsewhere.

Two buffers take turns: one is filled while the other is compressed and written in another thread.
Taking in a line is one copy and the printing of its stamp; it never waits and allocates nothing.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr, memcpy

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from mmap import mmap

cdef enum:
    NUMBER_CHARS_MAX = 20


cdef inline char* number(char* out, int64_t value) noexcept nogil:
    """Print `value`; return where the text ends."""
    cdef char[NUMBER_CHARS_MAX + 1] digits
    cdef int at = NUMBER_CHARS_MAX
    cdef int left
    if value < 0:
        out[0] = c'-'
        out += 1
        value = -value
    while True:
        digits[at] = <char> (c'0' + value % 10)
        at -= 1
        value //= 10
        if value == 0:
            break
    left = NUMBER_CHARS_MAX - at
    memcpy(out, &digits[at + 1], left)
    return out + left


cdef void tape_frame(Tape tape, const char* frame, Py_ssize_t size, int64_t recv_ns) noexcept nogil:
    cdef char* out = tape.room(NUMBER_CHARS_MAX + 2 + size)
    cdef char* text
    cdef char* found
    cdef char* end
    if out is NULL:
        return
    text = number(out, recv_ns)
    text[0] = c' '
    text += 1
    memcpy(text, frame, size)
    end = text + size
    # A line break can only be white space in JSON, and the file has one frame a line.
    found = <char*> memchr(text, c'\n', size)
    while found is not NULL:
        found[0] = c' '
        found = <char*> memchr(found, c'\n', end - found)
    end[0] = c'\n'
    tape.used_ += end + 1 - out
    tape.lines += 1


cdef class Tape:
    """Lines in order; at most `capacity` bytes between two takings, then they are lost, counted.

    Memory is taken as it is first used: twice the capacity at the very most.
    """

    def __cinit__(self, Py_ssize_t capacity=32 << 20):
        cdef Py_buffer view
        if capacity < 4096:
            raise ValueError(f"a tape needs 4096 bytes or more, not {capacity}")
        self.capacity = capacity
        self.buffers = [mmap(-1, capacity), mmap(-1, capacity)]
        # An mmap moves only when it is resized, and nobody does.
        PyObject_GetBuffer(self.buffers[0], &view, PyBUF_WRITABLE)
        self.left = <char*> view.buf
        PyBuffer_Release(&view)
        PyObject_GetBuffer(self.buffers[1], &view, PyBUF_WRITABLE)
        self.right = <char*> view.buf
        PyBuffer_Release(&view)
        self.data = self.left

    cdef char* room(self, Py_ssize_t size) noexcept nogil:
        """Where the next line goes; NULL, and counted, when it does not fit."""
        if self.full or self.capacity - self.used_ < size:
            self.full = True  # until it is taken: what is lost is lost in one piece, at its end
            self.lost += 1
            return NULL
        return self.data + self.used_

    @property
    def total(self):
        """Lines taken in and lost, ever: the number of the last one."""
        return self.lines + self.lost

    @property
    def used(self):
        """Bytes since the last taking."""
        return self.used_

    def frame(self, frame, int64_t recv_ns):
        """Take in one frame (bytes-like) as ``recv_ns frame``."""
        cdef bytes copied
        if isinstance(frame, bytes):
            copied = frame
        else:
            copied = bytes(frame)
        tape_frame(self, PyBytes_AS_STRING(copied), PyBytes_GET_SIZE(copied), recv_ns)

    def read(self, touched, int64_t recv_ns, int64_t frames):
        """Take in ``B recv_ns frames i,j,k``: the books touched by one socket read."""
        cdef Py_ssize_t count = len(touched)
        cdef char* out = self.room((count + 3) * (NUMBER_CHARS_MAX + 2))
        cdef char* text
        cdef Py_ssize_t i
        if out is NULL:
            return
        out[0] = c'B'
        out[1] = c' '
        text = number(out + 2, recv_ns)
        text[0] = c' '
        text = number(text + 1, frames)
        text[0] = c' '
        text += 1
        for i in range(count):
            text = number(text, <int64_t> touched[i])
            text[0] = c','
            text += 1
        text[0 if count == 0 else -1] = c'\n'
        self.used_ += (text + (count == 0)) - out
        self.lines += 1

    def take(self):
        """Everything since the last taking: (memoryview, number of its first line, lines).

        The view is good until `give_back`; RuntimeError if the last one has not been given back.
        Numbers count lost lines too, from 0.
        """
        if self.lent:
            raise RuntimeError("what was taken last has not been given back")
        first, count = self.first_line, self.lines - self.lines_before
        self.lines_before = self.lines
        self.first_line = self.lines + self.lost
        view = memoryview(self.buffers[self.side])[:self.used_]
        self.lent = True
        self.side = 1 - self.side
        self.data = self.right if self.side else self.left
        self.used_ = 0
        self.full = False
        return view, first, count

    def give_back(self):
        """What was taken has been read."""
        self.lent = False
