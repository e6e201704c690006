"""`fastbook kill` and `fastbook resume`: a person's word, from a process of its own.

The kill mark comes first: from then on the engine sends no create, whatever it is doing. Then the
signal, for an engine that is awake; then everything is cancelled from here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fastbook.errors import ConfigError, StateError

from .config import SIMULATOR, Config, load, load_credentials
from .logs import set_up_logging
from .output import print_json
from .report import Json
from .state import KILL, RESUME, Holder, InstanceLock, Mark, Store, holder_of, place_of, prepare
from .sweep import Sweeper, Swept
from .system_clock import SystemClock

SECONDS_MAX = 30.0


def kill(args: argparse.Namespace) -> int:
    """0 when the venue reported no open order, or nothing of ours can rest there; else 1."""
    set_up_logging(args.log_level)
    report = asyncio.run(kill_now(load(args.config), os.environ))
    if args.json:
        print_json(report, indent=True)
    else:
        print("\n".join(in_words(report)))
    return 0 if report["done"] else 1


async def kill_now(config: Config, environ: Mapping[str, str]) -> Json:
    """Mark, signal, cancel. Any number of times, whatever the engine is doing, or is not."""
    started = time.monotonic()
    _check_reachable(config)
    folder, problem = _folder_of(config)
    marked = False
    try:
        with contextlib.suppress(StateError):
            Mark(folder, RESUME).clear()  # an older word must not undo this one
        Mark(folder, KILL).make("fastbook kill", _utc())
        marked = True
    except StateError as e:
        problem = problem or str(e)
    holder = holder_of(folder)
    if holder is not None and holder.pid > 0:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(holder.pid, signal.SIGUSR1)
    swept = await _sweep(config, environ, folder)
    if swept is not None and swept.done and holder is None and not problem:
        _tidy(folder, config.venue.recv_window_ms)
    done = marked and (swept is None or swept.done)
    return {
        "done": done,
        "marked": marked,
        "state": str(folder),
        "engine_pid": holder.pid if holder is not None else None,
        "open_orders": None if swept is None else swept.open_orders,
        "by_socket": 0 if swept is None else swept.by_socket,
        "left": [] if swept is None else swept.left,
        "problem": problem or ("" if swept is None else swept.problem),
        "seconds": round(time.monotonic() - started, 3),
    }


def in_words(report: Json) -> list[str]:
    engine = report["engine_pid"]
    lines = [
        f"halted: {report['state']}/{KILL}" if report["marked"] else "NOT marked as halted",
        f"engine: process {engine} told" if engine is not None else "engine: none runs there",
    ]
    if report["open_orders"] is None:
        lines.append("orders: on paper only; nothing of ours rests at the venue")
    elif report["done"]:
        lines.append("orders: the venue reports none open")
    elif report["by_socket"] or report["left"]:
        lines.append(
            f"orders: {report['by_socket']} of ours cancelled by the trade stream,"
            f" {len(report['left'])} not confirmed; the venue could not be asked for others"
        )
    else:
        lines.append("orders: NOT proven cancelled; look at the venue, and run this again")
    if report["problem"]:
        lines.append(f"problem: {report['problem']}")
    lines.append(f"took {report['seconds']:.2f} s; `fastbook resume` lets the engine trade again")
    return lines


def _check_reachable(config: Config) -> None:
    if config.venue.endpoints is None:
        raise ConfigError(
            "venue.rest_url names no exchange: a run with an exchange of its own leaves no order"
            " behind; end it with Ctrl-C"
        )


def _folder_of(config: Config) -> tuple[Path, str]:
    folder = place_of(config)
    try:
        return prepare(folder), ""
    except StateError as e:
        return folder, str(e)


async def _sweep(config: Config, environ: Mapping[str, str], folder: Path) -> Swept | None:
    """None where nothing of ours can rest: paper on a real venue sends nothing."""
    venue = config.venue
    if venue.environment != SIMULATOR and config.execution.mode != "live":
        return None
    endpoints = venue.endpoints
    assert endpoints is not None  # checked before
    credentials = load_credentials(config, environ)
    if credentials is None:
        return Swept(problem="no key: the venue was not told; the engine was, if it runs")
    async with Sweeper(config, endpoints, credentials, folder, SystemClock()) as sweeper:
        return await sweeper.sweep(SECONDS_MAX)


def _tidy(folder: Path, recv_window_ms: int) -> None:
    """No engine runs and the venue has no open order: notes of old orders have had their time."""
    if not (folder / "state.db").exists():
        return
    me = Holder(os.getpid(), _utc(), "kill")
    oldest_ms = int(time.time() * 1000) - recv_window_ms - 2_000
    try:
        with InstanceLock(folder, me), Store.open(folder) as store:
            over = [o.client_id for o in store.open_orders() if o.sent_ms < oldest_ms]
            store.facts([], over)
    except StateError as e:
        print(f"fastbook: the notes stay as they are: {e}", file=sys.stderr)


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


# --- resume ---


def resume(args: argparse.Namespace) -> int:
    """Lift the halt and every latch: at once where an engine runs, else at the next start."""
    config = load(args.config)
    _check_reachable(config)
    folder = place_of(config)
    if not folder.is_dir():
        raise StateError(f"{folder}: there is no state, so nothing to resume")
    prepare(folder)
    why = Mark(folder, KILL).reason()
    # In this order: killed in between, the engine stays halted.
    Mark(folder, RESUME).make("fastbook resume", _utc())
    lifted = Mark(folder, KILL).clear()
    holder = holder_of(folder)
    report: Json = {
        "lifted": why if lifted else "",
        "was_halted": lifted,
        "state": str(folder),
        "engine_pid": holder.pid if holder is not None else None,
    }
    if args.json:
        print_json(report, indent=True)
        return 0
    print(f"lifted: {why or 'the kill mark'}" if lifted else "there was no kill mark")
    when = "now" if holder is not None else "at the next start"
    print(f"latches of the limits are lifted {when}, and the account is reconciled first")
    return 0
