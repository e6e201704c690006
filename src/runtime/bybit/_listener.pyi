from collections.abc import Callable
from typing import final

from picows import WSFrame, WSListener, WSTransport

from fastbook.bybit.frames import BookDecoder
from fastbook.core.histogram import Histogram
from fastbook.core.tape import Tape

from .listener_py import Link

@final
class CompiledListener(WSListener):
    latency: Histogram | None
    tape: Tape | None
    closed: bool
    joining: bool
    watched: bool
    @property
    def frames(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def late_frames(self) -> int: ...
    @property
    def malformed(self) -> int: ...
    def __init__(
        self, decoder: BookDecoder, on_books: Callable[[list[int], int], None], link: Link
    ) -> None: ...
    def on_ws_connected(self, transport: WSTransport) -> None: ...
    def on_ws_disconnected(self, transport: WSTransport) -> None: ...
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None: ...
