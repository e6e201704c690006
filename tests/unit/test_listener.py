"""Which listener is loaded, and what makes it the Python one."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from fastbook.runtime.bybit.listener import Listener, load_listener
from fastbook.runtime.bybit.listener_py import PythonListener


def test_the_compiled_one_loads_here() -> None:
    make, why_not = load_listener()

    assert why_not == ""
    assert make is Listener
    assert make is not PythonListener


def warn_of_grown_structs() -> None:
    text = "picows.picows.WSTransport size changed, may indicate binary incompatibility."
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def refuse_small_structs() -> None:
    raise ValueError("picows.picows.WSFrame size changed. Expected 72 from C header, got 64")


def miss_a_type() -> None:
    raise AttributeError("module 'picows.picows' has no attribute 'WSCloseInfo'")


def miss_the_extension() -> None:
    raise ImportError("no module named _listener")


@pytest.mark.parametrize(
    "fail", [warn_of_grown_structs, refuse_small_structs, miss_a_type, miss_the_extension]
)
def test_another_picows_than_it_was_built_with_gives_the_python_one(
    monkeypatch: pytest.MonkeyPatch, fail: object
) -> None:
    original = builtins.__import__

    def importing(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if name == "_listener" and level == 1:
            assert callable(fail)
            fail()
        return original(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", importing)

    make, why_not = load_listener()

    assert make is PythonListener
    assert why_not
