# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=python
"""What a benchmark cannot do in Python without measuring Python.

`apply_all` is the decoder as its compiled caller sees it: no Python call between frames.
`CountingListener` is the least that a compiled picows client can do.
"""

cimport cython
from libc.stdint cimport int64_t

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from fastbook.bybit.frames cimport BookDecoder


def apply_all(BookDecoder decoder not None, list frames not None, int64_t recv_ns=0):
    """Apply each of `frames` (bytes) to `decoder`. Raises TypeError for anything but bytes."""
    cdef bytes frame
    for frame in frames:
        decoder.apply_bytes(<const char*> frame, len(frame), recv_ns)


@cython.final
cdef class CountingListener(WSListener):
    """Counts text frames and their bytes, and tells `link` of the goodbye.

    Reads fields of WSFrame and none of WSTransport (whose layout may change).
    """

    cdef readonly int64_t frames
    cdef readonly int64_t bytes
    cdef object _link

    def __init__(self, link):
        self._link = link

    cpdef on_ws_connected(self, WSTransport transport):
        self._link.on_connected(transport)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._link.on_disconnected()

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.TEXT:
            self.frames += 1
            self.bytes += frame.payload_size
        else:
            self._link.on_odd_frame(<int> frame.msg_type, True, 0, b"")
