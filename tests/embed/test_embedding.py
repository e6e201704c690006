"""A Cython program of somebody else's, compiled against the installed package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import skip_or_fail
from tests.reference.wire import delta, snapshot

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(__file__).with_name("program.pyx")
EXAMPLE = ROOT / "examples" / "embed_cython" / "liquidity.pyx"
DOCUMENT = ROOT / "docs" / "embedding.md"
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

names = ("program", "liquidity", "document")
setup(name="program", ext_modules=cythonize([Extension(n, [n + ".pyx"]) for n in names]))
"""


def run(folder: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, "CFLAGS": "-O0"},  # it shall compile soon, not run fast
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if not (shutil.which(compiler) or shutil.which("cc")):
        skip_or_fail("compiler", f"no C compiler ({compiler})")
    folder = tmp_path_factory.mktemp("embedder")
    for source in (PROGRAM, EXAMPLE):
        shutil.copy(source, folder)
    (code,) = re.findall(r"^```cython\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "document.pyx").write_text("# cython: language_level=3\n" + code)
    (folder / "setup.py").write_text(SETUP)
    run(folder, "setup.py", "-q", "build_ext", "--inplace")
    return folder


def call(folder: Path, expression: str, module: str = "program") -> Any:  # Any: JSON
    code = f"import json, {module}; from fastbook import Book; print(json.dumps({expression}))"
    return json.loads(run(folder, "-c", code))


def test_fills_and_reads_books_without_the_interpreter(folder: Path) -> None:
    assert call(folder, "program.fill(50)") == {
        "spread": 2,
        "top": [[1002, 2], [1003, 3], [1004, 4]],
        "held": 2,
        "depth": 50,
        "mid": 100.1,
    }
    assert call(folder, "program.fill(1)")["top"] == []


def test_decodes_frames_from_pointers(folder: Path) -> None:
    frames = [snapshot(100), delta(101), delta(103), b"{"]
    answer = call(folder, f"program.decode({frames!r})")
    assert answer == {"statuses": [1, 0, 3, 6], "u": 101, "recv_ns": 7, "state": 1}


def test_parses_decimals(folder: Path) -> None:
    assert call(folder, "[program.parse(b'65114.20', 2), program.parse(b'1e5', 2)]") == [
        6511420,
        None,
    ]


BOOK = (
    "(lambda b: b.apply_snapshot([('100.0', '2'), ('99.9', '5')],"
    " [('100.1', '1'), ('100.4', '9')], 1) and None or b)(Book(50, price_scale=1))"
)


def test_the_example(folder: Path) -> None:
    expression = f"[liquidity.worst_prices({BOOK}, n) for n in (1, 3, 100)]"
    answer = call(folder, expression, "liquidity")
    assert answer == [[1000, 1001], [999, 1004], [0, 0]]


def test_the_block_of_the_document(folder: Path) -> None:
    assert call(folder, f"document.best_five({BOOK})", "document") == [[1000, 2], [999, 5]]
