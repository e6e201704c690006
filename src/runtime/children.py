"""Child processes of the demo and of `run`: the bundled exchange, and the live screen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import orjson

from fastbook.errors import TransportError

START_S_MAX = 30.0
STOP_S_MAX = 5.0
_SECRETS = (
    *("FASTBOOK_API_KEY", "FASTBOOK_API_SECRET", "FASTBOOK_ADVISOR_KEY"),
    *("FASTBOOK_WATCHDOG_API_KEY", "FASTBOOK_WATCHDOG_API_SECRET"),
)

BASE_BALANCE = 10
"""Of every base coin: what inverse contracts are paid in."""


def without_secrets() -> dict[str, str]:
    """Our environment, for a process that has no use for keys."""
    return {k: v for k, v in os.environ.items() if k not in _SECRETS}


class Child:
    """One `python -m fastbook.runtime...` process; killed, if need be, when the block is left."""

    def __init__(self, name: str, module: str, *args: str, stdin: bool, stdout: bool) -> None:
        self.name = name
        self._command = (sys.executable, "-m", module, *args)
        self._stdin = asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL
        self._stdout = asyncio.subprocess.PIPE if stdout else None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=self._stdin,
            stdout=self._stdout,
            # Ctrl-C is for us: we end our children, in our order.
            start_new_session=True,
            env=without_secrets(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self.process
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the child has not been started"
        return self._process

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def first_line(self) -> dict[str, Any]:  # Any: a JSON object
        """The JSON object of the first line it prints. TransportError when none comes."""
        stdout = self.process.stdout
        assert stdout is not None
        try:
            async with asyncio.timeout(START_S_MAX):
                line = await stdout.readline()
        except TimeoutError:
            raise TransportError(f"{self.name} said nothing for {START_S_MAX:g} s") from None
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise TransportError(f"{self.name} did not start") from None  # it has said why
        assert isinstance(value, dict)
        return value

    @contextlib.contextmanager
    def needed(self, fail: Callable[[BaseException], None]) -> Iterator[None]:
        """While the block runs, `fail` is told if the child ends by itself."""

        async def watch() -> None:
            await self.process.wait()
            fail(TransportError(f"{self.name} ended by itself"))

        task = asyncio.get_running_loop().create_task(watch(), name=f"watching {self.name}")
        try:
            yield
        finally:
            task.cancel()

    async def end_of_input(self, wait_s: float = STOP_S_MAX) -> None:
        """Close its standard input and wait until it has ended by itself."""
        stdin = self.process.stdin
        assert stdin is not None
        stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self.process.wait()

    async def lines(self) -> AsyncIterator[bytes]:
        """What it prints, line by line, until it ends."""
        stdout = self.process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            yield line

    def feed(self, line: bytes) -> bool:
        """Write one line if it keeps up; a slow reader misses a line, nobody waits for it."""
        stdin = self.process.stdin
        assert stdin is not None
        if stdin.is_closing() or stdin.transport.get_write_buffer_size() > FEED_BYTES_MAX:
            return False
        stdin.write(line + b"\n")
        return True


FEED_BYTES_MAX = 64 << 10


def exchange_process(
    symbols: int, seed: int, rate: int | None = None, *, category: str = "linear"
) -> Child:
    """The bundled exchange on free loopback ports."""
    # --until-eof: it ends with us, even when we are killed.
    args = ["simulate", "--until-eof", "--symbols", str(symbols), "--seed", str(seed)]
    if category != "linear":
        args += ["--categories", category]
    if category == "inverse":
        args += ["--base-balance", str(BASE_BALANCE)]
    if rate is not None:
        args += ["--rate", str(rate)]
    return Child("the bundled exchange", "fastbook.runtime", *args, stdin=True, stdout=True)


def screen_process() -> Child:
    """The live screen; it draws on our terminal what we feed it."""
    return Child("the screen", "fastbook.runtime.screen", stdin=True, stdout=False)
