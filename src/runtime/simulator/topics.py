"""Public topics: who reads them, and the frames that they send.

Each topic makes its frames once, whoever reads them. A new reader first gets what was last
published, so that everybody's sequence goes on from the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import orjson

from fastbook.replay.matching import DepthPublisher
from fastbook.types import Category, Instrument

from .garble import GARBLED, Json
from .market import SimulatedMarket, SymbolFeed, Trade

CADENCE_S = {1: 0.010, 50: 0.020, 200: 0.100, 1000: 0.200}
LEVEL1_REPEAT_S = 3.0
TRADES_PER_MESSAGE = 1024
_MATCH_LAG_MS = 1  # `cts` before `ts`


class Reader(Protocol):
    """Who gets the frames: `queue` must neither block nor raise."""

    def queue(self, frame: bytes) -> None: ...


def ws_text(payload: bytes) -> bytes:
    """An unmasked WebSocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def ws_json(value: object) -> bytes:
    return ws_text(orjson.dumps(value))


class Topic:
    """One topic of one symbol. Subclasses say what a frame is."""

    def __init__(self, name: str, instrument: Instrument, market: SimulatedMarket) -> None:
        self.name = name
        self.instrument = instrument
        self.index = instrument.index
        self.readers: dict[Reader, None] = {}  # insertion order: deterministic sending
        self.due_s = 0.0
        self.frames = 0
        self._market = market

    def join(self, reader: Reader, now_ms: int) -> None:
        """Add a reader and send it where the topic stands."""
        self.readers[reader] = None

    def leave(self, reader: Reader) -> None:
        self.readers.pop(reader, None)

    def send(self, payload: bytes, readers: Iterable[Reader] | None = None) -> None:
        frame = ws_text(payload)
        for reader in self.readers if readers is None else readers:
            reader.queue(frame)
        self.frames += 1


class BookTopic(Topic):
    """`orderbook.{depth}.{symbol}`; faults of `faults.py` act here."""

    def __init__(
        self, name: str, depth: int, instrument: Instrument, market: SimulatedMarket
    ) -> None:
        super().__init__(name, instrument, market)
        self.depth = depth
        self.interval_s = CADENCE_S[depth]
        self.publisher = DepthPublisher(
            market.books[instrument.index],
            depth,
            name,
            str(instrument.category),
            instrument.price_scale,
            instrument.qty_scale,
        )
        self.last_sent_s = 0.0
        # Faults: how many of the next deltas to lose, double or spoil, until when to say nothing.
        self.lose = 0
        self.double = 0
        self.garble = 0
        self.garble_how = ""
        self.stalled_until_s = 0.0
        self.odd = False  # the readers have another book than there is

    def join(self, reader: Reader, now_ms: int) -> None:
        if not self.readers or self.publisher.u == 0:
            # Nobody listened: whatever changed since is published to no one, and counted.
            self.publisher.delta(now_ms, now_ms - _MATCH_LAG_MS, self._market.venue.next_seq())
        self.stalled_until_s = 0.0  # a new subscription is served again
        self.odd = False
        self.readers[reader] = None
        self.send(self.publisher.repeat(now_ms), (reader,))

    def publish(self, now_ms: int, seq: int, now_s: float) -> bool:
        """Send what changed since the last frame; False when nothing did."""
        if self.stalled_until_s:
            if now_s < self.stalled_until_s:
                return False
            self._recover(now_ms, seq)
            return True
        payload = self.publisher.delta(now_ms, now_ms - _MATCH_LAG_MS, seq)
        if payload is None:
            if self.depth != 1 or now_s - self.last_sent_s < LEVEL1_REPEAT_S:
                return False
            payload = self.publisher.repeat(now_ms)
        self.last_sent_s = now_s
        if self.lose > 0:
            self.lose -= 1
            return True
        if self.garble > 0:
            self.garble -= 1
            self.send(GARBLED[self.garble_how](payload))
            return True
        self.send(payload)
        if self.double > 0:
            self.double -= 1
            self.send(payload)
        return True

    def _recover(self, now_ms: int, seq: int) -> None:
        """The stall is over: go on where it stopped, or show the whole book again."""
        self.stalled_until_s = 0.0
        if self.odd:
            self.odd = False
            self.send(self.publisher.snapshot(now_ms, now_ms - _MATCH_LAG_MS, seq))

    def stall(self, until_s: float) -> None:
        """Send nothing until then, or until somebody subscribes again."""
        self.stalled_until_s = until_s

    def restart(self, now_ms: int) -> None:
        """As after a restart of the service: a snapshot with ``u`` 1 to every reader."""
        self.publisher.restart()
        seq = self._market.venue.next_seq()
        payload = self.publisher.delta(now_ms, now_ms - _MATCH_LAG_MS, seq)
        if payload is not None:
            self.send(payload)

    def show_whole(self, now_ms: int) -> None:
        """The whole book again, with the next `u`, to everybody."""
        seq = self._market.venue.next_seq()
        self.send(self.publisher.snapshot(now_ms, now_ms - _MATCH_LAG_MS, seq))

    def show_nothing(self, now_ms: int) -> None:
        """As when a symbol is delisted; then silence until somebody subscribes again."""
        seq = self._market.venue.next_seq()
        frame = orjson.loads(self.publisher.snapshot(now_ms, now_ms - _MATCH_LAG_MS, seq))
        frame["data"] |= {"b": [], "a": [], "u": 1}
        self.stalled_until_s = float("inf")
        self.send(orjson.dumps(frame))

    def show_odd(self, edit: Callable[[Json], None], until_s: float, now_ms: int) -> None:
        """Show a book that is not the one there is, and nothing more until then."""
        seq = self._market.venue.next_seq()
        frame = orjson.loads(self.publisher.snapshot(now_ms, now_ms - _MATCH_LAG_MS, seq))
        edit(frame)
        self.odd = True
        self.stalled_until_s = until_s
        self.send(orjson.dumps(frame))


class TradeTopic(Topic):
    """`publicTrade.{symbol}`: no history for a new reader, as at the venue."""

    last = b""

    @property
    def feed(self) -> SymbolFeed:
        return self._market.feeds[self.index]

    def join(self, reader: Reader, now_ms: int) -> None:
        super().join(reader, now_ms)
        self._market.want_trades(self.index, True)

    def leave(self, reader: Reader) -> None:
        super().leave(reader)
        if not self.readers:
            self._market.want_trades(self.index, False)

    def publish(self, now_ms: int) -> None:
        self.tell(self._market.take_trades(self.index), now_ms)

    def tell(self, trades: list[Trade], now_ms: int) -> None:
        """Send trades, as many messages as they need."""
        for start in range(0, len(trades), TRADES_PER_MESSAGE):
            self.last = self._frame(trades[start : start + TRADES_PER_MESSAGE], now_ms)
            self.send(self.last)

    def repeat(self) -> None:
        """Fault: the last message again."""
        if self.last:
            self.send(self.last)

    def _frame(self, trades: list[Trade], now_ms: int) -> bytes:
        rows = [self._market.trade_row(self.instrument, trade) for trade in trades]
        if self.instrument.category is Category.SPOT:
            return orjson.dumps(
                {"topic": self.name, "ts": now_ms, "type": "snapshot", "data": rows}
            )
        return orjson.dumps({"topic": self.name, "type": "snapshot", "ts": now_ms, "data": rows})
