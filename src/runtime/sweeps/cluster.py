"""Runs on a Dask cluster. What comes back is what processes of this machine would say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from fastbook._version import __version__
from fastbook.errors import ConfigError, StateError, TransportError

from ..output import to_json
from .pool import DEATHS_MAX
from .work import perform

CONNECT_S_MAX = 10.0
IN_FLIGHT_PER_THREAD = 3

Json = dict[str, Any]
"""Any: a JSON document."""


def run_remote(job: bytes, task: bytes) -> bytes:
    """One run, on a worker of the cluster; bytes, so that nothing of ours is pickled."""
    return to_json(perform(orjson.loads(job), orjson.loads(task)))


def look_around(folder: str) -> tuple[str, bool]:
    """What a worker has: the version, and whether it sees the folder of the sweep."""
    return __version__, Path(folder).is_dir()


class Cluster:
    """Implements a place to run: `results(tasks)` yields each task's record as it comes.

    Parameters
    ----------
    job : JSON object
    address : str
        Of the scheduler: ``tcp://host:8786`` or ``host:8786``.
    folder : Path
        With the windows; every worker must see it under this name.

    Raises `ConfigError` when `distributed` is missing or the workers do not fit; `TransportError`
    when nobody answers.
    """

    def __init__(self, job: Json, address: str, folder: Path) -> None:
        try:
            from distributed import Client
        except ModuleNotFoundError as e:
            raise ConfigError(
                f"--cluster needs Dask ({e.name} is missing): pip install 'fastbook-engine[cluster]'"
            ) from None
        self._job = to_json(job)
        self._address = address
        try:
            self._client = Client(address, timeout=CONNECT_S_MAX, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as e:
            raise TransportError(f"--cluster {address}: no Dask scheduler answers: {e}") from None
        try:
            self._threads = self._check(folder)
        except BaseException:
            self._client.close()
            raise
        self.died = 0

    def _check(self, folder: Path) -> int:
        """The threads of all workers; they must have our version and see the data."""
        there = self._ask(look_around, str(folder))
        if not there:
            raise StateError(f"--cluster {self._address}: the cluster has no workers")
        for worker, (version, sees) in there.items():
            if version != __version__:
                raise ConfigError(
                    f"--cluster: {worker} has fastbook {version}, here is {__version__}"
                )
            if not sees:
                raise ConfigError(
                    f"--cluster: {worker} does not see {folder}: --out must be on a disk that the"
                    " whole cluster shares"
                )
        return sum(self._client.nthreads().values())

    def _ask(self, function: Callable[..., tuple[str, bool]], *args: str) -> Json:
        try:
            answers: Json = self._client.run(function, *args)
        except (ImportError, AttributeError) as e:
            raise ConfigError(f"--cluster: a worker cannot import fastbook: {e}") from None
        return answers

    @property
    def where(self) -> str:
        return f"{self._threads} threads of {self._address}"

    def results(self, tasks: Iterable[Json]) -> Iterator[Json]:
        """A few tasks at a time for each thread; a cluster that goes away raises StateError."""
        from distributed import as_completed

        waiting = iter(tasks)
        named: Json = {}
        running = as_completed(loop=self._client.loop)

        def submit(count: int) -> None:
            for task in islice(waiting, count):
                future = self._client.submit(
                    run_remote, self._job, to_json(task), pure=False, retries=0
                )
                named[future.key] = task
                running.add(future)

        try:
            submit(self._threads * IN_FLIGHT_PER_THREAD)
            for future in running:
                yield self._record(future, named.pop(future.key))
                submit(1)
        finally:
            running.clear()
            with contextlib.suppress(OSError, TimeoutError):
                self._client.close()

    def _record(self, future: Any, task: Json) -> Json:  # Any: distributed has no types
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            record: Json = orjson.loads(future.result())
        except KilledWorker:
            self.died += DEATHS_MAX
            return {
                "point": task["point"],
                "window": task["window"],
                "failed": f"{DEATHS_MAX} workers died of it",
            }
        except (FutureCancelledError, OSError, TimeoutError) as e:
            raise StateError(f"--cluster {self._address}: it has gone away: {e}") from None
        return record
