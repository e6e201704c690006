"""The garbage collector's policy of a run: seldom, and never over what is there for good."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

YOUNG_OBJECTS = 50_000
"""Net new objects before a young collection; the default of 700 means one every few reads."""


@contextlib.contextmanager
def collector_tuned() -> Iterator[None]:
    """Within the block: what was made before is out of the collector's sight, and it runs seldom.

    Books, signals and the scanner's path make no Python objects, so collections are driven by
    orders, events and other JSON: hundreds of objects a second, not millions. A full collection
    over everything that was imported takes milliseconds; frozen, it costs nothing. Cycles made
    in the run are still found.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
