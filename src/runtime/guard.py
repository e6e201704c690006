"""Two processes that watch each other: the engine's heartbeat, and the watchdog's seen from it."""

from __future__ import annotations

from pathlib import Path

from fastbook.errors import StateError

from .state import Heart, read_beat
from .state.heartbeat import WATCHDOG

LOOK_S = 0.25


class Guard:
    """The engine's side: beats from its loop, and looks for the watchdog where one is required."""

    def __init__(
        self, folder: Path, build_id: str, *, required: bool = False, heartbeat_s: float = 3.0
    ) -> None:
        self._folder = folder
        self._build = build_id
        self._required = required
        self._silent_ns = int(heartbeat_s * 1e9)
        self._look_due_ns = 0
        self._heart = Heart(folder, build_id)

    def check_start(self, now_ns: int) -> None:
        """StateError unless the required watchdog is there, alive and of this build."""
        if problem := self._problem(now_ns):
            raise StateError(f"{problem}: start `fastbook watchdog` with the same configuration")

    def on_timer(self, now_ns: int, lag_ms: float) -> str:
        """Beat, and look now and then; why trading must stop, or ""."""
        self._heart.beat(now_ns, lag_ms)
        if not self._required or now_ns < self._look_due_ns:
            return ""
        self._look_due_ns = now_ns + int(LOOK_S * 1e9)
        return self._problem(now_ns)

    def close(self, now_ns: int, *, clean: bool) -> None:
        self._heart.close(now_ns, clean=clean)

    def _problem(self, now_ns: int) -> str:
        if not self._required:
            return ""
        beat = read_beat(self._folder, name=WATCHDOG)
        if beat is None or beat.stopped:
            return "the watchdog does not run"
        if beat.build_id != self._build:
            return f"the watchdog is build {beat.build_id}, this is {self._build}"
        if now_ns - beat.at_ns > self._silent_ns:
            return f"the watchdog has been silent for {beat.age_s(now_ns):.1f} s"
        return ""
