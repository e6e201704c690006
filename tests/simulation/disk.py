"""The disk of one machine: what a killed process had written stays, what power takes is gone."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from random import Random

from fastbook.runtime.config import Config

IN_MEMORY = Path("/dev/shm")


class Disk:
    """A folder in memory. `image` makes the next process see what the last one left."""

    def __init__(self, dice: Random) -> None:
        base = IN_MEMORY if IN_MEMORY.is_dir() else None
        self._root = Path(tempfile.mkdtemp(prefix="fastbook-simulation-", dir=base))
        self._dice = dice
        self._number = 0
        self.torn = 0
        """Times that the end of the write-ahead log was lost."""
        self._now.mkdir(mode=0o700)

    @property
    def _now(self) -> Path:
        return self._root / str(self._number)

    def mounted(self, config: Config) -> Config:
        """`config` with its state on this disk."""
        return dataclasses.replace(
            config, state=dataclasses.replace(config.state, dir=str(self._now))
        )

    def image(self, *, power_lost: bool = False) -> None:
        """Take what is on it at this instant for what the next process finds."""
        before = self._now
        self._number += 1
        shutil.copytree(before, self._now)
        if power_lost:
            for log in self._now.rglob("*.db-wal"):
                self._tear(log)

    def _tear(self, log: Path) -> None:
        """The last moments of the log are gone, or half there."""
        data = log.read_bytes()
        kept = len(data) - int(self._dice.random() * min(len(data), 20_000))
        tail = bytes(self._dice.randrange(256) for _ in range(int(self._dice.random() * 64)))
        if self._dice.random() < 0.5:
            tail = b""
        log.write_bytes(data[:kept] + tail)
        self.torn += 1

    def remove(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
