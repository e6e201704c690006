"""How late data comes: what the age of a book since its receipt cannot show.

After a stall, ours or the network's, everything that had queued arrives within moments and looks
fresh, although it tells of a market that is gone.
"""

from __future__ import annotations

WINDOW_NS = 60_000_000_000


class DelayWatch:
    """Compares the delay of a message (received - sent) with the smallest of late.

    The two stamps are of different clocks, so a delay alone says nothing; what it is above the
    smallest of the last one to two windows is real lateness. When the venue's clock steps back,
    everything counts as late until the windows have passed: then nothing is known for sure.
    """

    __slots__ = ("_before_ns", "_limit_ns", "_until_ns", "_window_ns")

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._window_ns: int | None = None  # the smallest of this window, and of the one before
        self._before_ns: int | None = None
        self._until_ns = 0

    def note(self, recv_ns: int, ts_ms: int) -> None:
        """Learn from one message; 0.2 us. `ts_ms` 0 = it had no stamp."""
        if not ts_ms:
            return
        delay_ns = recv_ns - ts_ms * 1_000_000
        if self._window_ns is None or recv_ns >= self._until_ns:
            self._before_ns, self._window_ns = self._window_ns, delay_ns
            self._until_ns = recv_ns + WINDOW_NS
        elif delay_ns < self._window_ns:
            self._window_ns = delay_ns

    def late(self, recv_ns: int, ts_ms: int) -> bool:
        """Whether a message with these stamps came later than the limit after its time."""
        if not ts_ms or self._window_ns is None:
            return False
        smallest = self._window_ns
        if self._before_ns is not None:
            smallest = min(smallest, self._before_ns)
        return recv_ns - ts_ms * 1_000_000 - smallest > self._limit_ns
