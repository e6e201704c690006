"""The two C programs of the suite, compiled when they are needed with the machine's `cc`."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import ssl
import subprocess
import sys
import time
from array import array
from pathlib import Path
from urllib.parse import urlsplit

from fastbook.runtime.benchmark.clients import Client, Received

HERE = Path(__file__).parent
TIMEOUT_S = 120.0


class NativeError(RuntimeError):
    """No compiler, or it refused."""


def compile_native(name: str, into: Path, *flags: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NativeError("no C compiler")
    out = into / name
    command = [compiler, "-O2", *flags, str(HERE / f"{name}.c"), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NativeError(done.stderr[-300:])
    return out


def c_client(folder: Path, frames: int) -> Client:
    """A `Client` that is a process of its own. `frames` is how many it is to be sent."""
    program = compile_native("c_client", folder)

    async def client(url: str, context: ssl.SSLContext | None) -> Received:
        assert context is None
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            str(program),
            str(urlsplit(url).port),
            str(frames),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(TIMEOUT_S):
            out, said = await process.communicate()
        if process.returncode:
            raise NativeError(said.decode(errors="replace"))
        done = resource.getrusage(resource.RUSAGE_CHILDREN)
        arrivals = array("q")
        arrivals.frombytes(out)
        return Received(
            frames=arrivals[-1],
            wall_s=time.perf_counter() - started,
            cpu_s=done.ru_utime + done.ru_stime - used.ru_utime - used.ru_stime,
            arrivals=arrivals,
        )

    return client


_COUNT = """
import ctypes
from fastbook.runtime.benchmark import frames
from fastbook.runtime.benchmark._loop import apply_all
from fastbook.runtime.benchmark.core import new_decoder
count = ctypes.CDLL(None).malloc_count
count.restype = ctypes.c_int64
def calls(work):
    before = count()
    apply_all(decoder, work)
    return count() - before
made = frames.stream(1000)
decoder = new_decoder()
calls(made)
work = made * 10
nothing = calls([])
print((calls(work) - nothing) / len(work))
"""


def mallocs_per_frame(folder: Path) -> float:
    """Requests for memory a frame, Python's own included (PYTHONMALLOC=malloc). Linux, glibc."""
    if sys.platform != "linux":
        raise NativeError("counting malloc needs Linux and glibc")
    library = compile_native("malloc_count", folder, "-shared", "-fPIC")
    done = subprocess.run(
        (sys.executable, "-c", _COUNT),
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise NativeError(done.stderr[-300:])
    return float(done.stdout)
