from collections.abc import Callable
from typing import Any, final

from picows import WSListener

from fastbook.bybit.frames import BookDecoder

def apply_all(decoder: BookDecoder, frames: list[bytes], recv_ns: int = 0) -> None: ...

@final
class CountingListener(WSListener):
    @property
    def frames(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def __init__(
        self,
        on_connected: Callable[[Any], None],  # Any: a WSTransport
        on_disconnected: Callable[[], None],
        on_read: Callable[[int], None] | None = None,
    ) -> None: ...
