"""A Cython program of somebody else's, compiled against the installed package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import skip_or_fail
from tests.reference.wire import delta, snapshot

PROGRAM = Path(__file__).with_name("program.pyx")
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(name="program", ext_modules=cythonize([Extension("program", ["program.pyx"])]))
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
    shutil.copy(PROGRAM, folder)
    (folder / "setup.py").write_text(SETUP)
    run(folder, "setup.py", "-q", "build_ext", "--inplace")
    return folder


def call(folder: Path, expression: str) -> Any:  # Any: JSON
    return json.loads(run(folder, "-c", f"import json, program; print(json.dumps({expression}))"))


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
