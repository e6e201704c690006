"""`fastbook watchdog`: cancels everything when the engine's heartbeat stops, and halts it.

A process of its own with connections and, if wanted, a key of its own: what kills or blocks the
engine leaves it alone. An engine that comes back finds itself halted until a person resumes it.
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

from fastbook.errors import ConfigError, CredentialsError, FastbookError, StateError

from .build_id import build_id
from .config import SIMULATOR, Config, Credentials, load, load_credentials
from .config.credentials import load_watchdog_credentials
from .logs import set_up_logging
from .loop import run_until_stopped
from .output import print_json
from .state import (
    KILL,
    Beat,
    Heart,
    Holder,
    InstanceLock,
    Mark,
    place_of,
    prepare,
    read_beat,
)
from .state.heartbeat import WATCHDOG
from .sweep import Sweeper, Swept
from .system_clock import SystemClock

LOOK_S = 0.1
SWEEP_S_MAX = 20.0
AGAIN_S = 0.5
CLOCK_S = 120.0
LOCK = "watchdog.lock"


def watchdog(args: argparse.Namespace) -> int:
    """Until stopped. Raises what a wrong configuration, key or second watchdog is."""
    config = load(args.config)
    set_up_logging(args.log_level)
    if config.venue.endpoints is None:
        raise ConfigError("venue.rest_url names no exchange: there is nothing to watch")
    if config.venue.environment != SIMULATOR and config.execution.mode != "live":
        raise ConfigError("on paper nothing rests at the venue: there is nothing to watch")
    credentials = find_credentials(config, os.environ)
    return run_until_stopped(lambda stop: watch(config, credentials, stop, as_json=args.json))


def find_credentials(config: Config, environ: Mapping[str, str]) -> Credentials:
    """Its own key where one is given, else the engine's."""
    found = load_watchdog_credentials(config, environ) or load_credentials(config, environ)
    if found is None:
        raise CredentialsError(
            "no key: give watchdog.api_key_file and watchdog.api_secret_file, or what the engine has"
        )
    return found


async def watch(
    config: Config, credentials: Credentials, stop: asyncio.Event, *, as_json: bool
) -> int:
    endpoints = config.venue.endpoints
    assert endpoints is not None  # checked before
    folder = prepare(place_of(config))
    build = build_id()
    with InstanceLock(folder, Holder(os.getpid(), _utc(), build), name=LOCK):
        async with Sweeper(config, endpoints, credentials, folder, SystemClock()) as sweeper:
            await sweeper.rest.query_api()  # a key that is refused: now, not when it is needed
            heart = Heart(folder, build, name=WATCHDOG)
            dog = Watchdog(folder, config.watchdog.heartbeat_s, sweeper, heart, build)
            print(f"fastbook: watching {folder}", file=sys.stderr)
            try:
                await dog.run(stop)
            finally:
                heart.close(time.monotonic_ns(), clean=True)
    if as_json:
        print_json({"fired": dog.fired, "last": dog.last_said}, indent=True)
    return 0


class Watchdog:
    """Looks ten times a second. Fires once for each engine that fell silent."""

    def __init__(
        self, folder: Path, heartbeat_s: float, sweeper: Sweeper, heart: Heart, build: str
    ) -> None:
        self._folder = folder
        self._silent_s = heartbeat_s
        self._sweeper = sweeper
        self._heart = heart
        self._build = build
        self._clock_due_s = time.monotonic() + CLOCK_S
        self._stale_looks = 0
        self._done_with: Beat | None = None
        self._known_pid = 0
        self.fired = 0
        self.last_said = ""

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            now_ns = time.monotonic_ns()
            self._heart.beat(now_ns)
            beat = read_beat(self._folder)
            if self._fallen_silent(beat, now_ns):
                assert beat is not None
                await self._fire(beat)
            elif time.monotonic() > self._clock_due_s:
                self._clock_due_s = time.monotonic() + CLOCK_S
                await self._measure_clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()

    def _fallen_silent(self, beat: Beat | None, now_ns: int) -> bool:
        if beat is None or beat.stopped or beat == self._done_with:
            self._stale_looks = 0
            return False
        if beat.pid != self._known_pid:
            self._known_pid = beat.pid
            other = "" if beat.build_id == self._build else f", of another build ({beat.build_id})"
            self._say(f"the engine is process {beat.pid}{other}")
        self._stale_looks = self._stale_looks + 1 if beat.age_s(now_ns) > self._silent_s else 0
        # Twice: if we were suspended as well, the engine gets a moment to show that it lives.
        return self._stale_looks >= 2

    async def _fire(self, beat: Beat) -> None:
        silent_s = beat.age_s(time.monotonic_ns())
        why = f"the watchdog: no heartbeat of process {beat.pid} for {silent_s:.1f} s"
        try:
            if Mark(self._folder, KILL).make(why, _utc()):
                self._say(why)
        except StateError as e:
            self._say(str(e))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(beat.pid, signal.SIGUSR1)
        swept = await self._sweep()
        if swept.done:
            self.fired += 1
            self._done_with = beat  # until it beats again
            took_s = time.monotonic_ns() / 1e9 - beat.at_ns / 1e9
            self._say(f"no order is open any more, {took_s:.1f} s after the last heartbeat")
        else:
            self._say(f"NOT done: {swept.problem}")
            await asyncio.sleep(AGAIN_S)

    async def _sweep(self) -> Swept:
        """Beats meanwhile: a sweep may take longer than the engine's patience with us."""
        task = asyncio.create_task(self._sweeper.sweep(SWEEP_S_MAX))
        while not task.done():
            self._heart.beat(time.monotonic_ns())
            await asyncio.wait([task], timeout=LOOK_S)
        return task.result()

    async def _measure_clock(self) -> None:
        with contextlib.suppress(FastbookError):  # the last measurement drifts by milliseconds
            await self._sweeper.rest.sync_time(1)

    def _say(self, text: str) -> None:
        self.last_said = text
        print(f"fastbook: {_utc()} {text}", file=sys.stderr, flush=True)


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
