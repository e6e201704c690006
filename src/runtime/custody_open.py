"""Lock, store, marks and heartbeat of an account: opened in this order, or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from .build_id import build_id
from .config import Config, effective
from .custody import Custody
from .guard import Guard
from .keeper import Keeper, session_nonce
from .state import KILL, RESUME, Holder, InstanceLock, Mark, Store, place_of, prepare
from .world import World

log = logging.getLogger("fastbook.state")


def open_custody(
    config: Config,
    stack: contextlib.ExitStack,
    *,
    account: str = "",
    at_venue: bool,
    transient: bool = False,
    world: World | None = None,
) -> Custody:
    """Raises `StateError` when another engine runs there, or the state cannot be used.

    `account` is the venue's number of it, once known. With `transient` everything is in a folder
    that goes with `stack`: for an exchange that ends with the run.
    """
    world = world or World()
    if transient:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastbook-")))
    else:
        folder = prepare(place_of(config))
    clock, build = world.clock, build_id()
    started = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).isoformat(timespec="seconds")
    stack.enter_context(InstanceLock(folder, Holder(os.getpid(), started, build)))
    store = stack.enter_context(Store.open(folder, account=account))
    epoch = store.begin_epoch({"started": started, "build": build, "pid": os.getpid()})
    nonce = session_nonce(epoch, world.token(), live=config.execution.mode == "live")
    keeper = Keeper(store, nonce, kill=Mark(folder, KILL), resume=Mark(folder, RESUME))
    watchdog = config.watchdog
    tell_changes(store, config)
    guard = Guard(folder, build, required=watchdog.required, heartbeat_s=watchdog.heartbeat_s)
    guard.check_start(clock.monotonic_ns())
    return Custody(keeper, guard, clock, at_venue=at_venue)


def tell_changes(store: Store, config: Config) -> None:
    """Log how the limits differ from the last run's, and remember these."""
    now = limits_now(config)
    last = store.load("limits")
    if last is not None:
        for line in differences(last, now):
            log.warning("%s", line)
    if last != now:
        store.save("limits", now)


def limits_now(config: Config) -> dict[str, str]:
    """Every limit as text, by its key."""
    return {key: str(value) for key, value, _ in effective(config) if key.startswith("risk.")}


def differences(last: Mapping[str, object], now: Mapping[str, str]) -> list[str]:
    """What has changed, in words; what has more than doubled is said so."""
    lines = []
    for key in sorted({*last, *now}):
        before, after = str(last.get(key, "None")), now.get(key, "None")
        if before == after:
            continue
        try:
            factor = float(after) / float(before)
        except (ValueError, ZeroDivisionError):
            factor = float("inf") if after == "None" else 0.0
        note = " (no limit any more)" if after == "None" else ""
        note = note or (f" ({factor:g} TIMES THE LAST RUN'S)" if factor > 2 else "")
        lines.append(f"{key} was {before} in the last run, is {after}{note}")
    return lines
