# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=python
"""What a benchmark cannot do in Python without measuring Python.

`apply_all` is the decoder as its compiled caller sees it: no Python call between frames.
`CountingListener` is the least that a compiled picows client can do.
"""

cimport cython
from libc.stdint cimport int64_t

from picows.picows cimport WSFrame, WSListener, WSTransport

from fastbook.bybit.frames cimport BookDecoder


def apply_all(BookDecoder decoder not None, list frames not None, int64_t recv_ns=0):
    """Apply each of `frames` (bytes) to `decoder`. Raises TypeError for anything but bytes."""
    cdef bytes frame
    for frame in frames:
        decoder.apply_bytes(<const char*> frame, len(frame), recv_ns)


@cython.final
cdef class CountingListener(WSListener):
    """Counts frames and bytes; calls `on_read(frames)` after each socket read, if given.

    Reads fields of WSFrame and none of WSTransport (whose layout may change).
    """

    cdef readonly int64_t frames
    cdef readonly int64_t bytes
    cdef object _on_connected
    cdef object _on_disconnected
    cdef object _on_read

    def __init__(self, on_connected, on_disconnected, on_read=None):
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_read = on_read

    cpdef on_ws_connected(self, WSTransport transport):
        self._on_connected(transport)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._on_disconnected()

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        self.frames += 1
        self.bytes += frame.payload_size
        if frame.last_in_buffer and self._on_read is not None:
            self._on_read(self.frames)
