"""Order books you can trust and a trading engine for Bybit v5.

Importing this opens no socket, reads no file and starts no thread.
"""

from fastbook._version import __version__
from fastbook.bybit.frames import BookDecoder
from fastbook.core.book import Book
from fastbook.core.fixed import format_fixed, parse_fixed
from fastbook.core.states import ApplyStatus, BookState, SequencePolicy

__all__ = [
    "ApplyStatus",
    "Book",
    "BookDecoder",
    "BookState",
    "SequencePolicy",
    "__version__",
    "format_fixed",
    "parse_fixed",
]
