# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=python
"""The compiled listener: from picows' read buffer to the book without a Python call between.

Reads fields of WSFrame and nothing of WSTransport, whose C layout changed in a patch release
of picows. `listener_py.py` is its twin; `listener.py` picks one of the two.
"""

cimport cython
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from fastbook.bybit.frames cimport BookDecoder
from fastbook.core.histogram cimport Histogram, histogram_record
from fastbook.core.book cimport APPLY_GAP, APPLY_MALFORMED, APPLY_OTHER, APPLY_TRADE
from fastbook.runtime.system_clock import STAMP_OFFSET_NS
from fastbook.core.tape cimport Tape, tape_frame


@cython.final
cdef class CompiledListener(WSListener):
    """Hands each whole text message to `decoder`, and what it became to the others.

    Parameters
    ----------
    decoder : BookDecoder
    on_books : callable(list[int], int)
        Once per socket read: indexes of the touched books, receive time in ns.
    link : Link
        Told everything else; see `listener_py.Link`.

    Runs inside the socket callback: it must not block, await or raise.
    """

    cdef BookDecoder _decoder
    cdef object _on_books
    cdef object _link
    cdef int64_t _offset_ns         # from the monotonic clock to stamps
    cdef int64_t _recv_ns
    cdef bint _in_read              # the receive time of this socket read is known
    cdef bint _desynced             # a frame of this read cost a book its trust
    cdef public Histogram latency   # socket read to book and signals, of each message; or None
    cdef public Tape tape           # keeps every message, before it is applied; or None
    cdef public bint closed         # this connection is over: ignore what still comes
    cdef public bint joining        # a fragmented message is open: the link sees every data frame
    cdef public bint watched        # tell the link of each read: it waits for a first snapshot
    cdef readonly int64_t frames
    cdef readonly int64_t bytes
    cdef readonly int64_t late_frames
    cdef readonly int64_t malformed

    def __init__(self, BookDecoder decoder not None, on_books, link):
        self._decoder = decoder
        self._on_books = on_books
        self._link = link
        self._offset_ns = STAMP_OFFSET_NS

    cpdef on_ws_connected(self, WSTransport transport):
        self._link.on_connected(transport)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._link.on_disconnected()

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef timespec now
        if not self._in_read:
            clock_gettime(CLOCK_MONOTONIC, &now)  # first: all after it is our own latency
            self._recv_ns = self._offset_ns + <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec
            self._in_read = True
        if self.closed:
            self.late_frames += 1
            return
        self.frames += 1
        self.bytes += frame.payload_size
        try:
            self._on_frame(frame)
            if frame.last_in_buffer:
                self._in_read = False
                self._end_read()
        except Exception as error:
            # The one place: picows would log it and hang up; the feed must end with it.
            self.closed = True
            self._link.on_error(error)

    cdef int _on_frame(self, WSFrame frame) except -1:
        cdef int rsv = frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3
        if frame.msg_type == WSMsgType.TEXT and frame.fin and rsv == 0 and not self.joining:
            return self._apply(frame.payload_ptr, frame.payload_size)
        message = self._link.on_odd_frame(
            <int> frame.msg_type, bool(frame.fin), rsv, frame.payload_ptr[:frame.payload_size]
        )
        if message is not None:
            return self._apply(<bytes> message, len(<bytes> message))
        return 0

    cdef int _apply(self, const char* data, Py_ssize_t size) except -1:
        cdef int status
        cdef timespec now
        if self.tape is not None:
            tape_frame(self.tape, data, size, self._recv_ns)
        status = self._decoder.apply_bytes(data, size, self._recv_ns)
        if self.latency is not None:
            clock_gettime(CLOCK_MONOTONIC, &now)
            histogram_record(self.latency.counts, (
                self._offset_ns + <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec
                - self._recv_ns))
        if status == APPLY_TRADE or status == APPLY_OTHER:
            self._link.on_message(self._decoder.message, self._recv_ns)
        elif status == APPLY_MALFORMED:
            self.malformed += 1
            self._desynced = True
        elif status == APPLY_GAP:
            self._desynced = True
        return 0

    cdef int _end_read(self) except -1:
        cdef list touched
        if self.closed:
            return 0  # the link ended it within this read, and told of the books itself
        if self.watched:
            self._link.on_read()
        if self._desynced:
            self._desynced = False
            self._link.on_desynced()
        touched = self._decoder.touched()
        if touched:
            self._on_books(touched, self._recv_ns)
        return 0
