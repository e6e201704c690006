from collections.abc import Sequence
from enum import IntEnum
from typing import Self, final

from fastbook.bybit.frames import BookDecoder

class Step(IntEnum):
    STEP_MORE = 0
    STEP_DUE = 1
    STEP_READ = 2
    STEP_MESSAGE = 3
    STEP_DAMAGED = 4
    STEP_UNSTAMPED = 5

@final
class FrameCursor:
    trades: bool
    others: bool
    @property
    def recv_ns(self) -> int: ...
    @property
    def next_ns(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def delay_ns(self) -> int: ...
    def __new__(
        cls,
        decoder: BookDecoder,
        latencies_ns: Sequence[int] = (),
        *,
        seed: int = 1,
        trades: bool = False,
        others: bool = False,
    ) -> Self: ...
    def feed(self, lines: bytes) -> None: ...
    def step(self, due_ns: int) -> int: ...
    def skip_quiet(self, below: float, watched: bytearray, lean: float = -2.0) -> None: ...
    def finish(self) -> bool: ...
