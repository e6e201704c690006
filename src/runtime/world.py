"""The one seam to the outside: time, chance and the ways to the venue, all of a run's.

Whatever a run does that is not arithmetic goes through here, so that a simulation can hand in a
world of its own and drive the very same code. A test greps for who looks past it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from picows import ws_connect

from fastbook.clock import Clock

from .bybit.http import HttpTransport
from .bybit.listener import Listener, MakeListener
from .bybit.transport import ConnectWs, MakeHttp
from .system_clock import StampClock, SystemClock


def fresh_token() -> str:
    """Ten hexadecimal digits that no other run has: what our order ids begin with."""
    return secrets.token_hex(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """By default the real one. `rng` is for jitter only, never for anything secret."""

    clock: Clock = field(default_factory=SystemClock)
    stamps: Clock = field(default_factory=StampClock)
    """Its `now_ns` are stamps (see `system_clock`): times of day that never jump."""
    rng: Random = field(default_factory=Random)
    token: Callable[[], str] = fresh_token
    connect_ws: ConnectWs = ws_connect
    make_http: MakeHttp = HttpTransport
    make_listener: MakeListener = Listener
