"""Picks the compiled listener, or its Python twin where the compiled one cannot be trusted."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TypeAlias

from picows import WSListener

from fastbook.bybit.frames import BookDecoder

from .listener_py import Link, OnBooks, PythonListener

log = logging.getLogger("fastbook.feed")

MakeListener: TypeAlias = Callable[[BookDecoder, OnBooks, Link], WSListener]


def load_listener() -> tuple[MakeListener, str]:
    """The listener class, and why it is not the compiled one (empty when it is)."""
    with warnings.catch_warnings():
        # Cython only warns when picows' structs have grown; reading them would be wrong.
        warnings.filterwarnings("error", message="picows.*size changed", category=RuntimeWarning)
        try:
            from ._listener import CompiledListener
        except (ImportError, AttributeError, ValueError, RuntimeWarning) as error:
            return PythonListener, f"{type(error).__name__}: {error}"
    return CompiledListener, ""


Listener, NOT_COMPILED = load_listener()
"""What the feed uses by default; why it is not the compiled one, else empty."""

if NOT_COMPILED:
    log.warning("compiled listener not used: %s", NOT_COMPILED)
