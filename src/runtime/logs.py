"""Log set-up: one line an event on stderr, never on the hot path."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator


class LineFormatter(logging.Formatter):
    """UTC stamps; control characters escaped, for venues' words are not ours."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class NoteHandler(logging.Handler):
    """Log lines to a callable: while the screen is up, stderr would tear it."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note
        self.setFormatter(LineFormatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._note(self.format(record))


def set_up_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


@contextlib.contextmanager
def logs_to(note: Callable[[str], None] | None) -> Iterator[None]:
    """Within the block, log lines go to `note`; None leaves them where they go."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    if note is not None:
        root.handlers[:] = [NoteHandler(note)]
    try:
        yield
    finally:
        root.handlers[:] = handlers
