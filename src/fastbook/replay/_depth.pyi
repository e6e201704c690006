from typing import Self, final

from fastbook.replay._matching import MatchingBook

@final
class DepthPublisher:
    """The order book topic of one book at one depth, as Bybit v5 puts it on the wire.

    Remembers the best `depth` levels as last published and says what changed since. Frames
    are whole WebSocket texts: compact JSON, key order by category and depth, linear and
    inverse with a fixed number of decimals, spot with trailing zeros stripped.
    Each publisher counts its own `u`, one more for every frame that reports a new book.
    """

    def __new__(
        cls,
        book: MatchingBook,
        depth: int,
        topic: str,
        category: str,
        price_scale: int,
        qty_scale: int,
        *,
        first_u: int = 1000,
    ) -> Self:
        """`depth` is 1, 50, 200 or 1000; `topic` is "orderbook.{depth}.{symbol}";
        `category` "spot", "linear" or "inverse"; scales are 0 to 18. `first_u` is the `u` of
        the first frame (1 tells clients that the service restarted).
        """

    @property
    def topic(self) -> str: ...
    @property
    def depth(self) -> int: ...
    @property
    def u(self) -> int:
        """`u` of the last published frame, 0 before the first."""

    @property
    def seq(self) -> int: ...
    @property
    def cts_ms(self) -> int: ...
    def snapshot(self, ts_ms: int, cts_ms: int, seq: int) -> bytes:
        """Publish the book as it is now, whole, with the next `u`. For every subscriber."""

    def delta(self, ts_ms: int, cts_ms: int, seq: int) -> bytes | None:
        """Publish what changed since the last frame; None, and `u` stays, when nothing did.

        The first call, and the first after `restart`, publishes a snapshot. At depth 1 the
        frame is always a snapshot. To simulate a lost frame, call and drop the bytes.
        """

    def repeat(self, ts_ms: int) -> bytes:
        """The book as last published, as a snapshot with the same `u`, `seq` and `cts`.

        Two uses: the level-1 repeat after 3 s of quiet, and the first frame of a new
        subscriber at any depth (the next `delta` continues from it). Changes nothing.
        ValueError when nothing was published yet.
        """

    def restart(self) -> None:
        """As if the venue's service restarted: the next frame is a snapshot with ``u`` 1."""
