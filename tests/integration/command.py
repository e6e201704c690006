"""The `fastbook` command as a user has it: a process, its output, its exit code."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Self

import orjson
import pytest

from fastbook.runtime.cli import main

COMMAND = (sys.executable, "-m", "fastbook.runtime")
DEADLINE_S = 120.0  # an idle machine needs a second or two; a busy one gets its time
STATE_DIR = tempfile.TemporaryDirectory(prefix="fastbook-state-")
"""Of every command of this session: exchanges there have ports of their own, so states too."""

RISK = """
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
"""
CONFIG = '[market_data]\nsymbols = ["BTCUSDT", "ETHUSDT"]\n' + RISK


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without any setting of fastbook, no history but where a test wants one, and `extra`."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("FASTBOOK")}
    plain |= {"FASTBOOK__HISTORY__URL": "", "FASTBOOK__STATE__DIR": STATE_DIR.name}
    return plain | dict(extra or {})


def fastbook(
    *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        env=environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def in_process(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """The same without a process, for what is refused before anything is opened."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(a) for a in args])
        except SystemExit as e:  # argparse
            code = e.code if isinstance(e.code, int) else 1
    return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())


def one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What it said on stderr: one line, no traceback, nothing on stdout; and its exit code."""
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("fastbook: ")
    return line.removeprefix("fastbook: ")


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:  # Any: JSON
    """Stdout as the one JSON object that it must be."""
    value = orjson.loads(done.stdout)
    assert isinstance(value, dict)
    return value


class Running:
    """A command that runs until it is told to end; killed when the block is left."""

    def __init__(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        cwd: Path | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            env=environment(env),
            cwd=cwd,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out = Lines(self.process.stdout)
        self.err = Lines(self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.out.rest()
        self.err.rest()

    def end(self, signum: int) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(DEADLINE_S)


class Lines:
    """Lines of a pipe, read in a thread so that waiting for one has a deadline."""

    def __init__(self, pipe: Any) -> None:  # Any: what Popen has
        self._pipe = pipe
        self._queue: Queue[str | None] = Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.seen: list[str] = []

    def _read(self) -> None:
        for line in self._pipe:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def next(self) -> str:
        try:
            line = self._queue.get(timeout=DEADLINE_S)
        except Empty:
            pytest.fail(f"no line within {DEADLINE_S} s, after {self.seen}")
        if line is None:
            self._queue.put(None)  # for `rest`, or it would hide what failed here
            pytest.fail(f"the output ended, after {self.seen}")
        self.seen.append(line)
        return line

    def until(self, pattern: str) -> str:
        """The next line that `pattern` finds."""
        while not re.search(pattern, line := self.next()):
            pass
        return line

    def rest(self) -> list[str]:
        """Everything, once the process has ended."""
        self._thread.join(DEADLINE_S)
        while (line := self._queue.get(timeout=DEADLINE_S)) is not None:
            self.seen.append(line)
        self._queue.put(None)
        self._pipe.close()
        return self.seen


def children_of(pid: int) -> set[int]:
    """Processes whose parent is `pid`."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=10, check=True
    )
    pairs = (line.split() for line in listing.stdout.splitlines())
    return {int(child) for child, parent in pairs if int(parent) == pid}


def wait_gone(pid: int, deadline_s: float = 60.0) -> bool:
    """Whether the process ends in time; it need not be our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], deadline_s)
    finally:
        os.close(descriptor)
    return bool(ready)


def stop_signals() -> list[Any]:  # Any: pytest's parameter sets
    return [pytest.param(s, id=s.name) for s in (signal.SIGINT, signal.SIGTERM)]
