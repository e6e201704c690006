"""Which part may import which. The table is the architecture; ARCHITECTURE.md draws it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"

LIBRARY = {
    "errors": set[str](),
    "clock": set[str](),
    "types": set[str](),
    "core": {"errors"},
    "bybit": {"core", "types", "errors"},
    "strategy": {"types", "core", "clock", "errors"},
    "risk": {"types", "core", "clock", "errors"},
    "execution": {"types", "core", "clock", "errors"},
    "journal": {"types", "errors"},
    "engine": {
        *("strategy", "risk", "execution", "journal"),
        *("core", "types", "clock", "errors"),
    },
    "replay": {
        *("engine", "strategy", "risk", "execution", "journal"),
        *("bybit", "core", "types", "clock", "errors"),
    },
    "_version": set[str](),
}
FACADE = {"fastbook": set(LIBRARY)}
"""`from fastbook import Book`: for users and for the composition, not for the library itself."""

LEAVES = {
    "runtime.secret": set[str](),
    "runtime.latency": {"core"},
    "runtime.garbage": set[str](),
    "runtime.rates": set[str](),
    "runtime.output": set[str](),
    "runtime.loop": set[str](),
    "runtime.hardening": set[str](),
    "runtime.system_clock": {"clock"},
    "runtime.files": {"errors", "runtime.recording.blocks"},
    "runtime.recording.blocks": {"errors"},
    "runtime.recording": {
        *("strategy", "execution"),
        *("fastbook", "engine", "risk", "core", "types", "clock", "errors", "_version"),
        *("runtime.config", "runtime.recording.blocks"),
    },
    "runtime.children": {"errors"},
    "runtime.paper": {"replay", "types", "clock"},
    "runtime.exchange_control": {"errors"},
    "runtime.logs": {"errors", "runtime.secret"},
    "runtime.faultproxy": {"errors"},
    "runtime.expected": {"fastbook", "core", "errors"},
    "runtime.status": {"fastbook", "engine", "journal", "core", "types", "errors"},
    # The sections of the file are the parameters of the library's own parts.
    "runtime.config": {"bybit", "strategy", "risk", "types", "errors", "runtime.secret"},
    "runtime.state": {"types", "errors", "runtime.config"},
    "runtime.build_id": set[str](),
}
COMMON = {
    *("types", "core", "clock", "errors"),
    *("runtime.config", "runtime.secret", "runtime.logs"),
    *("runtime.latency", "runtime.rates", "runtime.files", "runtime.system_clock"),
}
PARTS = {
    "runtime.bybit": COMMON | {"bybit"},
    "runtime.simulator": COMMON | {"replay", "bybit"},
    "runtime.stores": COMMON | {"fastbook", "journal"},
    "runtime.dashboard": COMMON | {"journal"},
}
"""Each knows one kind of outside world, and none of the others."""

COMPOSITION = (
    *("runtime", "runtime.__main__", "runtime.cli", "runtime.app", "runtime.run"),
    *("runtime.world",),
    *("runtime.demo", "runtime.audit", "runtime.chaos", "runtime.simulate", "runtime.replay"),
    *("runtime.verify", "runtime.record", "runtime.backtest", "runtime.data_files"),
    *("runtime.backtest_page", "runtime.plots", "runtime.convert"),
    "runtime.backtest_command",
    "runtime.sweeps",
    *("runtime.screen", "runtime.summary", "runtime.report", "runtime.benchmark"),
    "runtime.assembly",
    "runtime.strategies",
    "runtime.history_bars",
    "runtime.memory",
    *("runtime.sharding", "runtime.venue_links"),
    *("runtime.telemetry", "runtime.metrics_server"),
    *("runtime.keeper", "runtime.guard", "runtime.custody", "runtime.custody_open"),
    *("runtime.run_options", "runtime.sweep", "runtime.kill", "runtime.watchdog"),
    *("runtime.preflight", "runtime.doctor"),
)
BELOW = LIBRARY | FACADE | LEAVES | PARTS
MAY_IMPORT: dict[str, set[str]] = BELOW | {name: {*BELOW, *COMPOSITION} for name in COMPOSITION}
"""Layer -> the layers of ours that its files may import, besides itself."""

CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<source>[\w.]+)[ \t]+c?import\b|c?import[ \t]+(?P<module>[\w.]+))",
    re.MULTILINE,
)


def files() -> list[Path]:
    # src/fastbook/runtime is a local link that editors follow; the files are seen once.
    return [
        path
        for folder in (SRC / "fastbook", SRC / "runtime")
        for path in sorted(folder.rglob("*.p*"))
        if path.suffix in {".py", ".pyx", ".pxd"}
        and not path.is_relative_to(SRC / "fastbook" / "runtime")
    ]


def module_of(path: Path) -> str:
    """`core.book` for src/fastbook/core/book.pyx; `fastbook` for the package itself."""
    parts = path.relative_to(SRC).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts[1:] if parts[0] == "fastbook" and len(parts) > 1 else parts)


MODULES = {module_of(path) for path in files()}
MODULES |= {".".join(m.split(".")[:n]) for m in MODULES for n in range(1, m.count(".") + 1)}


def layer_of(module: str) -> str:
    """The longest name in the table that holds `module`; "" when there is none."""
    # "runtime" is the guard in runtime/__init__.py and no roof for whatever lies beside it.
    layers = [k for k in MAY_IMPORT if module == k or module.startswith(k + ".")]
    best = max(layers, key=len, default="")
    return "" if best == "runtime" and module != "runtime" else best


def ours(name: str) -> str | None:
    """A dotted name as it is called here; None when it is not ours."""
    if name == "fastbook" or not name.startswith("fastbook."):
        return name if name == "fastbook" else None
    return name.removeprefix("fastbook.")


def from_import(base: str, names: list[str]) -> Iterator[str]:
    """`from base import a, b`: modules where a and b are modules, else the base."""
    for name in names:
        inner = name if base == "fastbook" else f"{base}.{name}"
        yield inner if inner in MODULES else base


def python_imports(text: str, module: str, *, is_package: bool) -> Iterator[str]:
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from filter(None, (ours(alias.name) for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if node.level:
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - node.level + 1])
                yield from from_import(f"{base}.{node.module}" if node.module else base, names)
            elif (source := ours(node.module or "")) is not None:
                yield from from_import(source, names)


def cython_imports(text: str) -> Iterator[str]:
    for found in CYTHON_IMPORT.finditer(text):
        name = ours(found["source"] or found["module"])
        if name is not None:
            yield name


def breaches(text: str, module: str, *, suffix: str = ".py", is_package: bool = False) -> set[str]:
    """The modules of ours that this source imports and may not."""
    here = layer_of(module)
    if suffix == ".py":
        names = python_imports(text, module, is_package=is_package)
    else:
        names = cython_imports(text)
    return {name for name in names if layer_of(name) not in MAY_IMPORT[here] | {here}}


def identify(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


@pytest.mark.parametrize("path", files(), ids=identify)
def test_imports_point_inward(path: Path) -> None:
    module = module_of(path)
    assert layer_of(module), "in no layer: add it to the table, and to ARCHITECTURE.md"
    is_package = path.stem == "__init__"
    found = breaches(path.read_text(), module, suffix=path.suffix, is_package=is_package)
    assert found == set()


@pytest.mark.parametrize(
    ("module", "source", "suffix"),
    [
        ("core.book", "from fastbook.bybit.frames import BookDecoder", ".py"),
        ("core.book", "import fastbook.types", ".py"),
        ("core.book", "from fastbook import Book", ".py"),
        ("core.book", "from fastbook.bybit.frames cimport BookDecoder", ".pyx"),
        ("core.book", "    cimport fastbook.bybit.frames", ".pxd"),
        ("core.book", "def f():\n    from fastbook.engine import Engine", ".py"),
        ("strategy.base", "from fastbook.risk import RiskGate", ".py"),
        ("strategy.base", "from fastbook import risk", ".py"),
        ("execution.orders", "from fastbook.runtime.config import Config", ".py"),
        ("engine.engine", "from fastbook.bybit import frames", ".py"),
        ("runtime.bybit.public", "from ..simulator import server", ".py"),
        ("runtime.bybit.public", "from .. import simulator", ".py"),
        ("runtime.bybit.public", "from ..cli import main", ".py"),
        ("runtime.simulator.server", "from fastbook.runtime.bybit import public", ".py"),
        ("runtime.simulator.server", "from fastbook.engine import Engine", ".py"),
        ("runtime.config.reader", "from ..bybit.public import PublicFeed", ".py"),
        ("runtime.config.reader", "from ..nowhere import x", ".py"),
    ],
)
def test_table_bites(module: str, source: str, suffix: str) -> None:
    assert breaches(source, module, suffix=suffix)


@pytest.mark.parametrize(
    ("module", "source", "suffix"),
    [
        ("bybit.frames", "from fastbook.core.book cimport Book", ".pyx"),
        ("bybit.requests", "from fastbook.bybit.signing import sign", ".py"),
        ("engine.engine", "from fastbook import types, errors, risk", ".py"),
        ("runtime.bybit.public", "from . import assembler\nfrom ..config import Config", ".py"),
        ("runtime.cli", "from fastbook import Book\nfrom .simulator import server", ".py"),
        ("core.book", "import numpy\nfrom os import path", ".py"),
    ],
)
def test_table_lets_pass(module: str, source: str, suffix: str) -> None:
    assert breaches(source, module, suffix=suffix) == set()


def test_a_file_beside_the_layers_is_in_none() -> None:
    assert layer_of("newcomer") == ""
    assert layer_of("runtime.newcomer") == ""
    assert layer_of("corer.book") == ""


def test_layers_have_an_order() -> None:
    placed: set[str] = set()
    while ready := {k for k, below in BELOW.items() if k not in placed and below <= placed}:
        placed |= ready
    assert placed == set(BELOW), f"a circle among {sorted(set(BELOW) - placed)}"


# --- the library does nothing by itself ---

OUTSIDE_WORLD = {
    *("aiohttp", "asyncio", "concurrent", "http", "io", "logging", "multiprocessing", "os"),
    *("pathlib", "picows", "rich", "secrets", "select", "selectors", "shutil", "signal"),
    *("socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading"),
    *("time", "urllib", "uvloop"),
}
"""Modules that the library has no business with: what they give is handed in by the runtime."""

PURE_USES = {
    "random": {"Random"},  # with a seed, see below
    "uuid": {"UUID"},
}
"""Modules of which only these names may be used."""

IMPURE_CALLS = {"now", "utcnow", "today", "getnode", "uuid1", "uuid4", "urandom", "SystemRandom"}
BUILTINS_TO_THE_OUTSIDE = {"open", "input", "print", "breakpoint", "exec", "eval"}
LIBRARY_FILES = [path for path in files() if path.is_relative_to(SRC / "fastbook")]


def impurities(text: str) -> list[str]:
    """What in this Python source reaches for a clock, chance, a file or a socket."""
    found = []
    for node in ast.walk(ast.parse(text)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            root = node.module.partition(".")[0]
            modules = [root]
            if root in PURE_USES:
                taken = {alias.name for alias in node.names}
                found += [f"{root}.{name}" for name in sorted(taken - PURE_USES[root])]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            allowed = PURE_USES.get(node.value.id)
            if allowed is not None and node.attr not in allowed and node.attr.islower():
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call):
            found += impure_call(node)
        found += [f"import {name}" for name in modules if name in OUTSIDE_WORLD]
    return found


def impure_call(node: ast.Call) -> list[str]:
    if isinstance(node.func, ast.Name) and node.func.id in BUILTINS_TO_THE_OUTSIDE:
        return [f"{node.func.id}()"]
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    name = node.func.id if isinstance(node.func, ast.Name) else name
    if name in IMPURE_CALLS:
        return [f"{name}()"]
    if name == "Random" and not (node.args or node.keywords):
        return ["Random() without a seed"]
    return []


CYTHON_IMPURE = re.compile(
    r"^[ \t]*(?:from|c?import)[ \t]+(?:libc\.time|libc\.stdlib|libc\.stdio|posix\b|"
    + "|".join(sorted(OUTSIDE_WORLD | {"random"}))
    + r")\b|(?<![\w.])(?<!def )(?:open|print)\(",
    re.MULTILINE,
)


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=identify)
def test_library_takes_nothing_from_outside(path: Path) -> None:
    if path.suffix == ".py":
        assert impurities(path.read_text()) == []
    else:
        found = CYTHON_IMPURE.search(path.read_text())
        assert found is None, found


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import sleep",
        "import os.path",
        "def f():\n    import asyncio",
        "import random\nrandom.random()",
        "import random\nrandom.Random()",
        "from random import choice",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now()",
        "import uuid\nuuid.uuid4()",
        "open('x')",
        "print('x')",
    ],
)
def test_impurity_is_seen(source: str) -> None:
    assert impurities(source)


@pytest.mark.parametrize(
    "source", ["import random\nrandom.Random(7)", "import uuid\nuuid.UUID(int=5)", "x.time"]
)
def test_purity_is_let_pass(source: str) -> None:
    assert impurities(source) == []


# --- what importing costs ---


def run_python(source: str) -> subprocess.CompletedProcess[str]:
    # Away from the checkout: the installed package is meant.
    return subprocess.run(
        [sys.executable, "-I", "-c", source],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_import_pulls_in_no_runtime_and_no_numpy() -> None:
    unwanted = sorted(
        (OUTSIDE_WORLD - {"io", "os", "signal", "sys", "time", "pathlib"})
        | {"numpy", "fastbook.runtime"}
    )
    before = run_python("import sys; print(*sys.modules)")
    after = run_python("import fastbook, fastbook.bybit.frames, sys; print(*sys.modules)")
    assert after.returncode == 0, after.stderr
    pulled_in = set(after.stdout.split()) - set(before.stdout.split())
    assert "fastbook" in pulled_in
    assert sorted(pulled_in & set(unwanted)) == []


def test_import_starts_no_thread() -> None:
    done = run_python("import fastbook, threading; print(threading.active_count())")
    assert done.stdout.split() == ["1"], done.stderr


def test_runtime_refuses_another_name() -> None:
    done = run_python(f"import sys; sys.path.insert(0, {str(SRC)!r}); import runtime")
    assert done.returncode == 1
    assert "import fastbook.runtime, not runtime" in done.stderr
