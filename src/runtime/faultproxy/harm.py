"""What becomes of each message of one direction of one connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from .frames import Message, MessageSplitter, cut_short
from .toxics import FrameToxics


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to pass on in one go."""

    data: bytes
    messages: int  # whole data messages among them
    delay_s: float = 0.0  # on top of every other wait; later pieces overtake


class MessageHarm:
    """Splits the stream into messages and decides the fate of each; counts what it does."""

    def __init__(self, toxics: FrameToxics, counters: Counter[str], rng: Random) -> None:
        self._toxics = toxics
        self._counters = counters
        self._random = rng
        self._splitter = MessageSplitter()
        self._held: Message | None = None  # trades places with the next message

    def take(self, data: bytes) -> list[Piece]:
        """What to pass on now of this read and of what was held back."""
        out: list[Piece] = []
        plain: list[bytes] = []
        messages = 0
        for message in self._splitter.feed(data):
            for piece in self._fate(message):
                if piece.delay_s:
                    out.append(piece)
                else:
                    plain.append(piece.data)
                    messages += piece.messages
        if plain:
            out.append(Piece(b"".join(plain), messages))
        return out

    def rest(self) -> list[Piece]:
        """What is still held when the stream ends."""
        raw = self._splitter.take_pending()
        out = [] if self._held is None else [Piece(self._held.raw, 1)]
        self._held = None
        return [*out, Piece(raw, 0)] if raw else out

    def _fate(self, message: Message) -> Iterator[Piece]:
        if not message.is_data:
            yield Piece(message.raw, 0)
            return
        self._counters["messages_in"] += 1
        held, self._held = self._held, None
        yield from self._harmed(message, may_hold=held is None)
        if held is not None:
            yield Piece(held.raw, 1)

    def _harmed(self, message: Message, *, may_hold: bool) -> Iterator[Piece]:
        toxics, count = self._toxics, self._counters
        # Two draws a message, whatever comes of them: the next one's fate does not hang on it.
        dice, size = self._random.random(), self._random.random()
        harm = self._choose(dice) if toxics.only(message.payload) else ""
        if harm == "drop":
            count["dropped"] += 1
            count["bytes_lost"] += len(message.raw)
        elif harm == "duplicate":
            count["duplicated"] += 1
            yield Piece(message.raw * 2, 2)
        elif harm == "reorder" and may_hold:
            count["reordered"] += 1
            self._held = message
        elif harm == "delay":
            count["delayed"] += 1
            yield Piece(message.raw, 1, toxics.delay_s)
        elif harm == "truncate" and message.payload:
            count["truncated"] += 1
            short = cut_short(message, int(size * len(message.payload)))
            count["bytes_lost"] += len(message.raw) - len(short)
            yield Piece(short, 1)
        else:
            yield Piece(message.raw, 1)

    def _choose(self, dice: float) -> str:
        for name, probability in self._toxics.harms():
            dice -= probability
            if dice < 0:
                return name
        return ""
