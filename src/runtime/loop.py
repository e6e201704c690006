"""The event loop of a command: uvloop where there is one, signals that end it cleanly."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_stopped(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], *, hard: bool = False
) -> int:
    """Run `main(stop)` and return its exit code. SIGINT and SIGTERM set `stop`.

    A second signal does not wait any longer: it interrupts at once. With `hard` it ends the
    process where it stands, even a loop that is stuck: for what recovers from a kill -9 anyway.
    Any: a coroutine's send and yield types, which nobody uses.
    """

    async def guarded() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def on_signal() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()
            if hard:
                for signum in SIGNALS:
                    loop.remove_signal_handler(signum)
                    signal.signal(signum, signal.SIG_DFL)

        for signum in SIGNALS:
            loop.add_signal_handler(signum, on_signal)
        try:
            return await main(stop)
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            print("fastbook: interrupted", file=sys.stderr)
            return 1

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(guarded())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
