"""Time, chance and sockets enter a run through `runtime/world.py` and nowhere else.

What is found here would make a simulated run differ from itself: the same seed, another trace.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"
RUNTIME = SRC / "runtime"

SEAM = {"world.py", "system_clock.py", "bybit/http.py"}
"""Where the real clocks, dice and sockets are."""

COMPOSED_OUTSIDE = {
    *("__main__.py", "cli.py", "run.py", "demo.py", "chaos.py", "simulate.py", "replay.py"),
    *("screen.py", "summary.py", "children.py", "loop.py", "output.py", "logs.py"),
    *("recorder.py", "rates.py", "exchange_control.py", "kill.py", "watchdog.py"),
    "metrics_server.py",
}
"""Commands, screens and pipes around a run; they see it only from outside."""

MODULES = {"time", "secrets", "uuid", "socket"}
CALLS = {
    *("random.random", "random.randrange", "random.randint", "random.choice", "random.uniform"),
    *("random.shuffle", "random.sample", "random.seed", "random.getrandbits", "random.gauss"),
    *("random.SystemRandom", "os.urandom", "datetime.now", "datetime.utcnow"),
    *("datetime.today", "date.today", "datetime.datetime.now", "datetime.date.today"),
    *("asyncio.open_connection", "asyncio.start_server", "aiohttp.ClientSession"),
    *("asyncio.to_thread", "loop.run_in_executor", "threading.Thread"),
}
SHOWN_ONLY = {"time.process_time"}
"""Goes to the summary of a run and decides nothing."""


def checked_files() -> list[Path]:
    library = [
        p
        for p in (SRC / "fastbook").rglob("*.py")
        if not p.is_relative_to(SRC / "fastbook" / "runtime")
        and not p.is_relative_to(SRC / "fastbook" / "replay")  # has tests of its own
    ]
    runtime = [
        p
        for p in [*RUNTIME.glob("*.py"), *(RUNTIME / "bybit").rglob("*.py")]
        if p.relative_to(RUNTIME).as_posix() not in SEAM | COMPOSED_OUTSIDE
    ]
    return sorted(library + runtime)


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def looks_past_the_seam(source: str) -> list[str]:
    """What in `source` reads a clock, rolls dice or opens a socket by itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.append(f"{node.lineno}: from {node.module} import")
        elif isinstance(node, ast.ImportFrom) and node.module in {"random", "os", "system_clock"}:
            names = {alias.name for alias in node.names}
            bad = names & {"random", "urandom", "SystemRandom", "randrange", "choice"}
            found += [f"{node.lineno}: from {node.module} import {name}" for name in sorted(bad)]
        elif isinstance(node, ast.Attribute):
            name = dotted(node)
            if name in SHOWN_ONLY:
                continue
            if name.partition(".")[0] in MODULES or name in CALLS:
                found.append(f"{node.lineno}: {name}")
        elif isinstance(node, ast.Call) and dotted(node.func) == "ws_connect":
            found.append(f"{node.lineno}: ws_connect called")
    return found


@pytest.mark.parametrize("path", checked_files(), ids=lambda p: p.relative_to(SRC).as_posix())
def test_no_file_reads_clocks_or_rolls_dice_past_the_seam(path: Path) -> None:
    assert looks_past_the_seam(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "import time\nnow = time.time()",
        "import time\nnow = time.monotonic_ns()",
        "from time import monotonic",
        "import random\nx = random.random()",
        "import uuid\nx = uuid.uuid4()",
        "import os\nx = os.urandom(4)",
        "import secrets\nx = secrets.token_hex(5)",
        "from datetime import datetime\nx = datetime.now()",
        "async def f():\n    await ws_connect(g, url)",
        "import aiohttp\nx = aiohttp.ClientSession()",
    ],
)
def test_the_check_finds_what_it_is_for(line: str) -> None:
    assert looks_past_the_seam(line)
