"""What can befall a connection on its way through the proxy, one direction at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class ByteToxics:
    """Harm to the byte stream. May be changed at any time; holds from the next read on."""

    latency_s: float = 0.0  # each read is passed on this much later
    jitter_s: float = 0.0  # plus 0 to this much; the order of bytes stays
    slice_bytes: int = 0  # at most so many bytes a write; 0 = as read
    slice_gap_s: float = 0.0  # between the slices of one read
    limit_bytes: int = 0  # after so many bytes of a connection it is closed in order; 0 = never
    truncate: float = 0.0  # probability that the tail of a read is lost, and nothing else


def any_message(payload: bytes) -> bool:
    """The default of `FrameToxics.only`."""
    return True


@dataclass(slots=True, kw_only=True)
class FrameToxics:
    """Harm to WebSocket messages: probabilities, tried in this order, one harm a message.

    Fragments of a message share its fate. Control frames always pass.
    """

    only: Callable[[bytes], bool] = any_message  # which messages may be harmed, by payload
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # the message trades places with the next one
    delay: float = 0.0  # later ones overtake it
    delay_s: float = 0.05
    truncate: float = 0.0  # the payload is cut short; the frame is well formed

    def harms(self) -> tuple[tuple[str, float], ...]:
        return (
            ("drop", self.drop),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("delay", self.delay),
            ("truncate", self.truncate),
        )
