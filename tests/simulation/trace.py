"""What happened, as one number: two runs of a seed must have the same."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

LINES_MAX = 400


class Trace:
    """A hash over time and content of everything that crossed the network, and of every command.

    The last lines are kept in full: what a failing seed shows.
    """

    def __init__(self, now_s: Callable[[], float], *, verbose: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._now_s = now_s
        self.notes = 0
        self.lines: deque[tuple[float, str, bytes]] = deque(maxlen=LINES_MAX)
        self.everything: list[tuple[float, str, bytes]] | None = [] if verbose else None

    def note(self, what: str, content: bytes = b"") -> None:
        now_s = self._now_s()
        self.notes += 1
        self._hash.update(b"%.6f %s %b\n" % (now_s, what.encode(), content))
        self.lines.append((now_s, what, content))
        if self.everything is not None:
            self.everything.append((now_s, what, content))

    def digest(self) -> str:
        return self._hash.hexdigest()
