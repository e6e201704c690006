"""The machine's clocks, for the runtime; everything below it takes a `Clock`."""

from __future__ import annotations

import time


class SystemClock:
    """Implements `fastbook.clock.Clock`."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)
