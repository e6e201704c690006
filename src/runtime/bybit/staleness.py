"""Which books have gone silent. No clock inside; what a book received is told by its stamp."""

from __future__ import annotations

from collections.abc import Iterable


class StalenessWatch:
    """Compares stamps between looks, so that a jump of the wall clock makes nothing stale.

    A silence is found between `stale_after_s` and that plus the time between two looks.
    """

    def __init__(self, stale_after_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._seen: dict[str, tuple[int, float]] = {}

    @property
    def look_every_s(self) -> float:
        return self._stale_after_s / 4

    def look(self, now_s: float, readings: Iterable[tuple[str, int]]) -> list[str]:
        """Topics silent for too long, out of `readings`: (topic, stamp of its last frame)."""
        silent = []
        for topic, stamp in readings:
            seen = self._seen.get(topic)
            if seen is None or seen[0] != stamp:
                self._seen[topic] = (stamp, now_s)
            elif now_s - seen[1] >= self._stale_after_s:
                silent.append(topic)
        return silent
