"""What this machine and this installation bring: Python, extensions, libraries, disk, clock."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import sys
import time
from pathlib import Path

from .checks import Check, bad, good, warn

FLOORS = {
    # The lowest versions without a known hole that matters here.
    "aiohttp": (3, 14, 3),
    "uvloop": (0, 23, 0),
    "orjson": (3, 11, 6),
    "numpy": (2, 0, 0),
    "picows": (2, 1, 3),
}
PYTHON_MIN = (3, 11)
DISK_FREE_MIN = 256 << 20
FILES_OPEN_MIN = 256
EXTENSIONS = ("fastbook.core.book", "fastbook.bybit.frames", "fastbook.core.signals")


def python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_MIN:
        return bad("python", f"{version}: fastbook needs 3.11 or newer")
    if not __debug__:
        return bad(
            "python", f"{version} with -O: the checks of invariants are left out; without it"
        )
    return good("python", version)


def extensions() -> Check:
    """The compiled parts, and that they are compiled for this Python."""
    for name in EXTENSIONS:
        try:
            module = importlib.import_module(name)
        except ImportError as e:
            return bad("extensions", f"{name}: {e}; install anew")
        if not str(module.__file__).endswith((".so", ".pyd")):
            return bad("extensions", f"{name} is not compiled: {module.__file__}; install anew")
    return good("extensions", f"{len(EXTENSIONS)} looked at, for {sys.implementation.cache_tag}")


def listener() -> Check:
    """Whether frames are read by the compiled listener, which fits some versions of picows."""
    from ..bybit import listener as choice
    from ..bybit.listener_py import PythonListener

    if choice.Listener is PythonListener:
        return warn(
            "listener", "the slower Python listener is in use; picows 2.3.1 has the fast one"
        )
    return good("listener", "compiled")


def libraries() -> list[Check]:
    found = []
    for name, floor in FLOORS.items():
        least = ".".join(map(str, floor))
        try:
            text = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(bad(name, f"is not installed; pip install '{name}>={least}'"))
            continue
        if _numbers(text) < floor:
            found.append(bad(name, f"{text}: has known faults; {least} or newer"))
        else:
            found.append(good(name, text))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def disk(folder: Path) -> Check:
    """Room where the state lies, or will."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.absolute().parent
    free = shutil.disk_usage(folder).free
    text = f"{free >> 20} MiB free at {folder}"
    if free < DISK_FREE_MIN:
        return bad(
            "disk", f"{text}; {DISK_FREE_MIN >> 20} MiB are wanted: a full disk halts trading"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return bad("disk", f"{folder} cannot be written")
    return good("disk", text)


def limits_of_process() -> Check:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_OPEN_MIN:
        return bad("open files", f"limit {soft}; ulimit -n {FILES_OPEN_MIN} or more")
    return good("open files", f"limit {soft}")


def user() -> Check:
    if os.getuid() == 0:
        return warn("user", "runs as root; a user of its own is enough")
    return good("user", f"uid {os.getuid()}")


def clock_kept() -> Check:
    """Whether the clock is one that does not jump while we look."""
    if time.get_clock_info("monotonic").adjustable:
        return bad("clock", "the monotonic clock is adjustable here")
    return good("clock", "monotonic")
