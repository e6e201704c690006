from typing import final

from picows import WSListener

from fastbook.bybit.frames import BookDecoder

from ..bybit.listener_py import Link

def apply_all(decoder: BookDecoder, frames: list[bytes], recv_ns: int = 0) -> None: ...

@final
class CountingListener(WSListener):
    @property
    def frames(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def __init__(self, link: Link) -> None: ...
