"""Messages a second, over the last seconds."""

from __future__ import annotations

from collections import deque


class Rate:
    """A growing counter's speed over a short window. Bounded: one sample an update, 32 kept."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=32)

    def update(self, now_ns: int, total: int) -> float:
        self._samples.append((now_ns, total))
        then_ns, before = self._samples[0]
        return (total - before) * 1e9 / (now_ns - then_ns) if now_ns > then_ns else 0.0
