"""Log set-up: one line an event on stderr, never on the hot path."""

from __future__ import annotations

import logging
import sys
import time


class LineFormatter(logging.Formatter):
    """UTC stamps; control characters escaped, for venues' words are not ours."""

    converter = staticmethod(time.gmtime)  # type: ignore[assignment]  # as logging's own cookbook does
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def set_up_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
