"""Jobs side by side, bounded: so many at once, so many waiting, and no more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine

Job = Callable[[], Coroutine[None, None, None]]


class Lane:
    """Runs jobs in the order offered, at most `in_flight_max` at once.

    At most `queue_max` wait. When the queue is full `offer` refuses and `refused` counts it:
    what the refusal means is for the caller to say. A job must deal with its own errors; one
    that does not is reported to `on_error`, and the lane goes on.
    """

    def __init__(
        self,
        name: str,
        *,
        in_flight_max: int,
        queue_max: int,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.name = name
        self._in_flight_max = in_flight_max
        self._queue_max = queue_max
        self._on_error = on_error
        self._waiting: deque[Job] = deque()  # at most queue_max: see offer
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False
        self.refused = 0
        self.done = 0

    @property
    def idle(self) -> bool:
        return not self._running and not self._waiting

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def offer(self, job: Job) -> bool:
        """Run `job` now or later; False = refused, it will not run."""
        if self._closed or (
            len(self._running) >= self._in_flight_max and len(self._waiting) >= self._queue_max
        ):
            self.refused += 1
            return False
        self._waiting.append(job)
        self._start()
        return True

    async def close(self, grace_s: float) -> None:
        """Take nothing more, give what was taken `grace_s` to finish, then cancel it.

        A job that waited is started even so, and cancelled if need be, so that it can say that
        its outcome is unknown.
        """
        self._closed = True
        try:
            async with asyncio.timeout(grace_s):
                while not self.idle:
                    await asyncio.wait(self._running)
        except TimeoutError:
            pass  # what is left is cancelled below
        self._in_flight_max = self._queue_max + self._in_flight_max
        self._start()
        await asyncio.sleep(0)  # a task cancelled before its first step would say nothing
        left = list(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._in_flight_max:
            task = asyncio.create_task(self._waiting.popleft()(), name=f"gateway-{self.name}")
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.done += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
        self._start()
