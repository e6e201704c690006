"""Runs on processes of this machine. A process that dies takes one run with it, which is repeated."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from fastbook.errors import StateError

from ..children import without_secrets
from ..output import to_json
from .worker import READY

DEATHS_MAX = 3
"""Workers that one run may cost; then it has failed."""
STARTS_MAX = 3
"""Workers in a row that may die before they are ready."""
STOP_S_MAX = 5.0
READ_BYTES = 1 << 16

Json = dict[str, Any]
"""Any: a JSON document."""


def cores() -> int:
    """Those that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    task: Json | None = None
    ready: bool = False
    rest: bytearray = field(default_factory=bytearray)

    def tell(self, message: Json) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(to_json(message) + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: its output ends, and that is where it is noticed


class Processes:
    """Implements a place to run: `results(tasks)` yields each task's record as it comes.

    Parameters
    ----------
    job : JSON object
        Given to each process once.
    workers : int
        Processes, 1 or more.
    """

    def __init__(self, job: Json, workers: int) -> None:
        self._job = job
        self._wanted = workers
        self._workers: set[_Worker] = set()
        self._selector = selectors.DefaultSelector()
        self._deaths: dict[tuple[int, int], int] = {}
        self._bad_starts = 0
        self.died = 0

    @property
    def where(self) -> str:
        return f"{self._wanted} process{'es' if self._wanted > 1 else ''}"

    def results(self, tasks: Iterable[Json]) -> Iterator[Json]:
        """Raises `StateError` when no worker starts."""
        waiting = deque(tasks)
        try:
            for _ in range(min(self._wanted, len(waiting))):
                self._start()
            while waiting or any(w.task is not None for w in self._workers):
                for key, _ in self._selector.select():
                    worker: _Worker = key.data
                    data = os.read(key.fd, READ_BYTES)
                    if data:
                        yield from self._on_output(worker, data)
                    else:
                        yield from self._on_death(worker, waiting)
                    if worker.ready and worker.task is None and waiting:
                        worker.task = waiting.popleft()
                        worker.tell(worker.task)
        finally:
            self._stop()

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastbook.runtime.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us
            env=without_secrets(),
        )
        assert process.stdout is not None
        worker = _Worker(process)
        self._workers.add(worker)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        worker.tell(self._job)

    def _on_output(self, worker: _Worker, data: bytes) -> Iterator[Json]:
        worker.rest += data
        while (end := worker.rest.find(b"\n")) >= 0:
            line = bytes(worker.rest[: end + 1])
            del worker.rest[: end + 1]
            if line == READY:
                worker.ready = True
                self._bad_starts = 0
                continue
            worker.task = None
            yield orjson.loads(line)

    def _on_death(self, worker: _Worker, waiting: deque[Json]) -> Iterator[Json]:
        """Its run goes to another one, unless it has cost too many."""
        self._forget(worker)
        code = worker.process.wait()
        self.died += 1
        if not worker.ready:
            self._bad_starts += 1
            if self._bad_starts == STARTS_MAX:
                raise StateError("the workers do not start; what they say stands above")
        task, worker.task, worker.ready = worker.task, None, False
        if task is not None:
            key = task["point"], task["window"]
            deaths = self._deaths[key] = self._deaths.get(key, 0) + 1
            if deaths < DEATHS_MAX:
                waiting.appendleft(task)
            else:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                yield {
                    "point": task["point"],
                    "window": task["window"],
                    "failed": f"{deaths} workers died of it, the last by {how}",
                }
        if waiting:
            self._start()

    def _forget(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        process = worker.process
        assert process.stdin is not None
        assert process.stdout is not None
        self._selector.unregister(process.stdout)
        process.stdout.close()
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # it was not told everything, and is gone

    def _stop(self) -> None:
        """They end when their input does; who does not is killed."""
        workers = list(self._workers)
        for worker in workers:
            self._forget(worker)
        for worker in workers:
            try:
                worker.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._selector.close()
