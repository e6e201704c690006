from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Self, final

from fastbook.core.book import Book
from fastbook.core.signals import SignalSet
from fastbook.core.states import ApplyStatus, BookState
from fastbook.types import Instrument

@final
class BookDecoder:
    use_scanner: bool
    use_vectors: bool
    on_mark: Callable[[str, BookState], None] | None
    @property
    def signals(self) -> SignalSet | None: ...
    @property
    def books(self) -> Mapping[str, Book]: ...
    @property
    def message(self) -> dict[str, Any] | None: ...  # Any: JSON from the venue
    @property
    def last_book(self) -> Book | None: ...
    @property
    def counters(self) -> dict[str, int]: ...
    def __new__(
        cls,
        instruments: Iterable[Instrument] | Mapping[str, Instrument] | None = None,
        *,
        signals: SignalSet | None = None,
        use_scanner: bool = True,
    ) -> Self: ...
    def apply(self, frame: bytes | bytearray | memoryview, recv_ns: int = 0) -> ApplyStatus: ...
    def apply_many(self, frames: list[bytes], recv_ns: int = 0) -> int: ...
    def add_book(
        self,
        topic: str,
        *,
        index: int | None = None,
        price_scale: int | None = None,
        qty_scale: int | None = None,
        layout: Literal["auto", "array", "ladder"] = "auto",
    ) -> Book: ...
    def book(self, symbol: str, depth: int | None = None) -> Book: ...
    def touched(self) -> list[int]: ...
    def take_desynced(self) -> list[str]: ...
    def mark_syncing(self, topic: str) -> None: ...
    def mark_stale(self, topic: str) -> None: ...
    def unsync(self, topic: str | None = None) -> None: ...
