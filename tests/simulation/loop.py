"""Virtual time: event loops that share one clock, which jumps to the next timer.

One `Universe` has the time, the queue of what is ready and the heap of what is due; each process
of a simulation has a `VirtualLoop` of its own on them, so that one can be killed or stopped while
the others go on. Nothing depends on the machine: what is ready runs in the order in which it
became so, and timers of one instant in the order in which they were set.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Handle:
    """What `call_soon` and `call_at` answer with: asyncio's own, without what debugging needs."""

    __slots__ = ("_when", "args", "callback", "context", "loop")

    def __init__(
        self,
        loop: VirtualLoop,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context | None,
        when: float = 0.0,
    ) -> None:
        self.loop = loop
        self.callback: Callable[..., Any] | None = callback
        self.args = args
        self.context = context
        self._when = when

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self._when


class Universe:
    """Time, and everything that is to happen in it."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self.now_s = now_s
        self.steps = 0
        self._ready: deque[Handle] = deque()
        self._due: list[tuple[float, int, Handle]] = []
        self._timers = 0
        self.loops: list[VirtualLoop] = []
        self.errors: list[str] = []
        """What loops were told of exceptions that nobody caught, by any process."""
        self.after_step: Callable[[], None] | None = None

    def new_loop(self, name: str) -> VirtualLoop:
        loop = VirtualLoop(self, name)  # type: ignore[abstract]  # the rest raises
        self.loops.append(loop)
        return loop

    def run_until(self, until_s: float, stop: Callable[[], bool] | None = None) -> None:
        """Let things happen until that time, or until `stop()` after a step."""
        ready, due, pop = self._ready, self._due, heapq.heappop
        current: VirtualLoop | None = None
        try:
            while True:
                while due and due[0][0] <= self.now_s:
                    handle = pop(due)[2]
                    if handle.callback is not None:
                        ready.append(handle)
                if not ready:
                    while due and due[0][2].callback is None:
                        pop(due)
                    if not due or due[0][0] > until_s:
                        self.now_s = max(self.now_s, until_s)
                        return
                    self.now_s = due[0][0]
                    continue
                while ready:
                    handle = ready.popleft()
                    callback, loop = handle.callback, handle.loop
                    if callback is None or loop.dead:
                        continue
                    if loop.stopped_until_s > self.now_s:
                        loop.put_off(handle)
                        continue
                    if loop is not current:
                        events._set_running_loop(loop)
                        current = loop
                    self.steps += 1
                    try:
                        if handle.context is None:
                            callback(*handle.args)
                        else:
                            handle.context.run(callback, *handle.args)
                    except Exception as error:  # noqa: BLE001 - as a loop does, and reported
                        loop.call_exception_handler(
                            {"message": f"in {callback!r}", "exception": error}
                        )
                    except BaseException:
                        if not loop.dead:  # else it died inside this call
                            raise
                if stop is not None and stop():
                    return
        finally:
            events._set_running_loop(None)

    def close(self) -> None:
        """Forget everything that was still to happen."""
        self._ready.clear()
        self._due.clear()


class VirtualLoop(asyncio.AbstractEventLoop):
    """What asyncio's own parts and the production code need of a loop; anything else raises."""

    def __init__(self, universe: Universe, name: str) -> None:
        self._universe = universe
        self._ready = universe._ready
        self._due = universe._due
        self.name = name
        self.dead = False
        self.stopped_until_s = 0.0
        self._put_off: list[Handle] = []

    # Life and death.

    def kill(self) -> None:
        """As by signal 9: nothing of it runs any more, not even a `finally`."""
        self.dead = True

    def tidy(self) -> None:
        """Cancel whatever is left, of a killed process too, so that nothing is left hanging.

        That runs its `finally` blocks, which a killed process never does: so this comes at the
        end of a simulation, when nothing can notice any more.
        """
        self.dead = False
        self.stopped_until_s = 0.0
        self._put_off.clear()
        for task in asyncio.all_tasks(self):
            task.cancel()

    def stop_for(self, seconds: float) -> None:
        """Run nothing for so long, as when a callback spins or the process is stopped."""
        self.stopped_until_s = max(self.stopped_until_s, self._universe.now_s + seconds)

    def put_off(self, handle: Handle) -> None:
        if not self._put_off or handle.callback == self._go_on:  # or stopped once more
            self.call_at(self.stopped_until_s, self._go_on)
        if handle.callback != self._go_on:
            self._put_off.append(handle)

    def _go_on(self) -> None:
        waiting, self._put_off = self._put_off, []
        self._ready.extend(waiting)

    # What asyncio asks for.

    def time(self) -> float:
        return self._universe.now_s

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        raise NotImplementedError

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(self, callback, args, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(self, callback, args, context, when)
        universe = self._universe
        universe._timers += 1
        heapq.heappush(self._due, (when, universe._timers, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_at(self._universe.now_s + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        if context is None:
            return asyncio.Task(coro, loop=self, name=name)
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.dead:
            return
        error = context.get("exception")
        self._universe.errors.append(
            f"{self.name}: {context.get('message')}: {error!r} {context.get('task') or ''}"
        )

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)
