"""What must not leave this process: its memory holds the key."""

from __future__ import annotations

import ctypes
import logging
import sys

log = logging.getLogger("fastbook.process")

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """No core dumps, and no debugger of another process of this user. Where it cannot, it warns."""
    if sys.platform == "win32":
        return
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as e:
        log.warning("core dumps stay as they are: %s", e)
    if sys.platform != "linux":
        return
    try:
        refused = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError) as e:
        log.warning("debuggers stay allowed: %s", e)
        return
    if refused:
        log.warning("debuggers stay allowed: prctl says %d", ctypes.get_errno())
