"""What is installed: metadata, files, and that the library needs numpy and orjson alone."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

import fastbook

ROOT = Path(__file__).resolve().parent.parent
LIBRARY_NEEDS = {"numpy", "orjson"}
RUNTIME_NEEDS = {"picows", "uvloop", "aiohttp", "prometheus-client", "rich", "zstandard"}


@pytest.fixture(scope="module")
def installed() -> Distribution:
    return distribution("fastbook-engine")


@pytest.fixture(scope="module")
def files(installed: Distribution) -> set[str]:
    found = {str(path) for path in installed.files or ()}
    if "fastbook/__init__.py" not in found:
        pytest.skip("an editable install: its files are those of the checkout")
    return found


def needs(installed: Distribution, extra: str | None) -> set[str]:
    """Names required with that extra, or without any."""
    names = set()
    for requirement in installed.requires or ():
        wanted = re.search(r"extra\s*==\s*['\"](\w+)['\"]", requirement)
        if (wanted[1] if wanted else None) == extra:
            names.add(re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0].lower())
    return names


def test_name_and_version(installed: Distribution) -> None:
    assert installed.metadata["Name"] == "fastbook-engine"
    assert installed.version == fastbook.__version__
    assert installed.metadata["Requires-Python"] == ">=3.11"
    assert installed.metadata["License-Expression"] == "Apache-2.0"


def test_dependencies(installed: Distribution) -> None:
    assert needs(installed, None) == LIBRARY_NEEDS
    assert needs(installed, "runtime") == RUNTIME_NEEDS


def test_picows_is_held_to_the_tested_range(installed: Distribution) -> None:
    (picows,) = [r for r in installed.requires or () if r.startswith("picows")]
    assert "<=2.3.1" in picows
    assert ">=2.1.3" in picows


def test_console_script(installed: Distribution) -> None:
    scripts = installed.entry_points.select(group="console_scripts")
    assert {s.name: s.value for s in scripts} == {"fastbook": "fastbook.runtime.cli:main"}


def test_what_travels(files: set[str]) -> None:
    ours = {name for name in files if name.startswith("fastbook/")}
    source = ROOT / "src" / "fastbook"
    for suffix in (".pxd", ".pyi"):
        paths = {p for p in source.rglob(f"*{suffix}") if "runtime" not in p.parts}
        assert paths
        assert {f"fastbook/{p.relative_to(source).as_posix()}" for p in paths} <= ours
    assert "fastbook/py.typed" in ours
    assert "fastbook/runtime/__init__.py" in ours
    assert [name for name in ours if name.endswith((".pyx", ".c"))] == []


def test_every_extension_has_a_stub(files: set[str]) -> None:
    extensions = [name.partition(".")[0] for name in files if name.endswith(".so")]
    assert "fastbook/core/book" in extensions
    assert [name for name in extensions if f"{name}.pyi" not in files] == []


def test_nothing_beside_the_package(files: set[str]) -> None:
    tops = {name.split("/")[0] for name in files if not name.startswith("..")}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fastbook"}


def test_licence_travels(files: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in files)


BLOCK = """
import sys

ALLOWED = {"fastbook", "numpy", "orjson"}

class Nothing_else:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if name.startswith("fastbook.runtime") or (
            top not in ALLOWED and top not in sys.stdlib_module_names
        ):
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
        return None

sys.meta_path.insert(0, Nothing_else())

for name in ("aiohttp", "picows", "uvloop", "rich", "fastbook.runtime"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} was not blocked")

import importlib
import pkgutil
import fastbook

for module in pkgutil.walk_packages(fastbook.__path__, "fastbook."):
    if not module.name.startswith("fastbook.runtime"):
        importlib.import_module(module.name)

decoder = fastbook.BookDecoder()
decoder.apply(b'{"topic":"orderbook.50.X","type":"snapshot","ts":1,'
              b'"data":{"s":"X","b":[["1","2"]],"a":[],"u":5,"seq":6}}')
assert decoder.book("X").bids().tolist() == [[1.0, 2.0]]
print("done", *sorted(n for n in dir(fastbook) if n in fastbook.__all__))
"""


def test_library_works_with_numpy_and_orjson_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", BLOCK], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done", *sorted(fastbook.__all__)]
