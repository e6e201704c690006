"""The Python listener that also hands every whole frame to a recorder, before it is applied."""

from __future__ import annotations

from collections.abc import Callable

from fastbook.bybit.frames import BookDecoder

from .listener import MakeListener
from .listener_py import Link, OnBooks, PythonListener

Write = Callable[[memoryview | bytes, int], None]
"""One frame and its receive time in ns; must not keep the memoryview."""


class RecordingListener(PythonListener):
    """Slower than the compiled listener; what it records is what the books were made of."""

    def __init__(self, decoder: BookDecoder, on_books: OnBooks, link: Link, write: Write) -> None:
        super().__init__(decoder, on_books, link)
        self._write = write

    def _apply(self, message: memoryview | bytes) -> None:
        self._write(message, self._recv_ns)
        super()._apply(message)


def recording(write: Write) -> MakeListener:
    """A listener maker for `PublicFeed`."""
    return lambda decoder, on_books, link: RecordingListener(decoder, on_books, link, write)
