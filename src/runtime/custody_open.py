"""Lock, store, marks and heartbeat of an account: opened in this order, or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from .build_id import build_id
from .config import Config
from .custody import Custody
from .guard import Guard
from .keeper import Keeper, session_nonce
from .state import KILL, RESUME, Holder, InstanceLock, Mark, Store, place_of, prepare
from .world import World


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
    guard = Guard(folder, build, required=watchdog.required, heartbeat_s=watchdog.heartbeat_s)
    guard.check_start(clock.monotonic_ns())
    return Custody(keeper, guard, clock, at_venue=at_venue)
