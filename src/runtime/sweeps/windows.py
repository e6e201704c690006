"""Recorded data cut into windows of equal market time, each a file that stands by itself.

A window begins with snapshots of the books as they stood, so a run of it needs nothing from
before and can see nothing from behind: that is what keeps walk-forward from looking ahead.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from fastbook import ApplyStatus, Book, BookState
from fastbook.errors import ConfigError, DataFileError
from fastbook.replay.source import RecordedFrame
from fastbook.types import Instrument

from ..assembly import Market, build_market
from ..config import Config
from ..data_files import frames, time_of
from ..recording.blocks import pack

PAUSE_NS = 60_000_000_000
"""A silence beyond this is no market time."""
BLOCK_BYTES = 1 << 20
WINDOWS_MAX = 65
TICKER_KEYS = ("fundingRate", "nextFundingTime", "markPrice")

_TOPIC = re.compile(rb'"topic"\s*:\s*"([^"]{1,100})"')

OnDamage = Callable[[DataFileError], None]
OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Window:
    """One file; times in ns since 1970."""

    file: str
    first_ns: int
    last_ns: int
    frames: int


def digest_of(path: Path) -> str:
    """Of the whole content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cut(
    config: Config,
    instruments: Sequence[Instrument],
    files: list[Path],
    folder: Path,
    count: int,
    *,
    on_damage: OnDamage | None = None,
    on_progress: OnProgress = lambda text: None,
) -> list[Window]:
    """Write `count` windows of the configured symbols into `folder`.

    Reads the data twice. Raises `DataFileError` for what cannot be read, or hands it to
    `on_damage` and leaves it out; `ConfigError` when there is too little for that many windows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    on_progress("measuring the data")
    total_ns = _market_ns(files, on_damage)
    on_progress("cutting the data")
    cutter = _Cutter(config, instruments, folder, total_ns, count)
    complaints = on_damage or _raise
    for path, frame in frames(files, on_damage):
        if not cutter.take(frame):
            complaints(DataFileError(str(path), "is a malformed frame", line=frame.line))
    windows = cutter.end()
    if len(windows) < count or not all(window.frames for window in windows):
        raise ConfigError(
            f"--folds: the data has {total_ns / 1e9:,.1f} s of market, too little for {count} windows"
        )
    return windows


def _raise(error: DataFileError) -> None:
    raise error


def _market_ns(files: list[Path], on_damage: OnDamage | None) -> int:
    total_ns = last_ns = 0
    for _, frame in frames(files, on_damage and (lambda error: None)):
        at_ns = time_of(frame, last_ns)
        if 0 < at_ns - last_ns <= PAUSE_NS:
            total_ns += at_ns - last_ns
        last_ns = at_ns
    return total_ns


@dataclass(slots=True)
class _Output:
    """The file of one window; in its place when it is whole."""

    path: Path
    first_ns: int
    last_ns: int = 0
    frames: int = 0
    _lines: bytearray = field(default_factory=bytearray)
    _count: int = 0
    _packed: int = 0

    def add(self, recv_ns: int, data: bytes) -> None:
        self._lines += b"%d %b\n" % (recv_ns, data) if recv_ns else data + b"\n"
        self._count += 1
        if len(self._lines) >= BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        with self._draft.open("ab") as file:
            file.write(pack(bytes(self._lines), self._packed, self._count))
        self._packed += self._count
        self._lines.clear()
        self._count = 0

    @property
    def _draft(self) -> Path:
        return self.path.with_suffix(".part")

    def begin(self) -> None:
        self._draft.unlink(missing_ok=True)

    def end(self) -> Window:
        if self._count or not self._packed:
            self._flush()
        with self._draft.open("rb") as file:
            os.fsync(file.fileno())
        self._draft.rename(self.path)
        return Window(self.path.name, self.first_ns, self.last_ns, self.frames)


class _Cutter:
    def __init__(
        self,
        config: Config,
        instruments: Sequence[Instrument],
        folder: Path,
        total_ns: int,
        count: int,
    ) -> None:
        self._market: Market = build_market(config, instruments)
        symbols = [i.symbol for i in instruments]
        self._books = {topic.encode() for topic in self._market.topics}
        self._others = {
            f"{kind}.{s}".encode() for kind in ("publicTrade", "tickers") for s in symbols
        }
        self._folder = folder
        self._ends_ns = [total_ns * n // count for n in range(1, count)]
        self._spent_ns = 0
        self._last_ns = 0
        self._ts_ms = 0
        self._tickers: dict[bytes, dict[str, Any]] = {}  # Any: JSON; one entry a symbol
        self._output: _Output | None = None
        self._windows: list[Window] = []

    def take(self, frame: RecordedFrame) -> bool:
        """False when it cannot be read; then it is left out."""
        at_ns = time_of(frame, self._last_ns)
        if 0 < at_ns - self._last_ns <= PAUSE_NS:
            self._spent_ns += at_ns - self._last_ns
        found = _TOPIC.search(frame.data)
        topic = found[1] if found else b""
        is_book = topic in self._books
        output = self._output_at(at_ns, frame.recv_ns)
        self._last_ns = output.last_ns = at_ns
        if not is_book and topic not in self._others:
            return found is not None or _is_json(frame.data)
        if is_book:
            if self._market.decoder.apply(frame.data) is ApplyStatus.MALFORMED:
                return False
            output.frames += 1
        elif not self._note(topic, frame.data):
            return False
        output.add(frame.recv_ns, frame.data)
        return True

    def _output_at(self, at_ns: int, recv_ns: int) -> _Output:
        """Of this moment; frames of one read stay in one window."""
        output = self._output
        if output is None:
            return self._open(at_ns)
        at = len(self._windows)
        if at == len(self._ends_ns) or self._spent_ns < self._ends_ns[at] or at_ns == self._last_ns:
            return output
        self._windows.append(output.end())
        output = self._open(at_ns)
        ts_ms = max((book.ts_ms for book in self._market.books), default=0)
        for topic, book in zip(self._market.topics, self._market.books, strict=True):
            if book.state is BookState.SYNCED:
                output.add(recv_ns, snapshot(topic, book, ts_ms))
        for name, data in self._tickers.items():
            message = {"topic": name.decode(), "type": "snapshot", "ts": ts_ms, "data": data}
            output.add(recv_ns, orjson.dumps(message))
        return output

    def _open(self, at_ns: int) -> _Output:
        path = self._folder / f"window-{len(self._windows):02d}.frames.zst"
        self._output = _Output(path, at_ns)
        self._output.begin()
        return self._output

    def _note(self, topic: bytes, data: bytes) -> bool:
        """Keep what a ticker has said last, for the next window."""
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        values = message.get("data")
        if topic.startswith(b"tickers.") and isinstance(values, dict):
            known = self._tickers.setdefault(topic, {"symbol": topic.decode().partition(".")[2]})
            known.update({k: values[k] for k in TICKER_KEYS if values.get(k)})
        return True

    def end(self) -> list[Window]:
        if self._output is not None:
            self._windows.append(self._output.end())
        return self._windows


def snapshot(topic: str, book: Book, ts_ms: int) -> bytes:
    """A frame that brings a new decoder's book to where this one is."""
    bids, asks = (
        [
            [_text(px, book.price_scale), _text(qty, book.qty_scale)]
            for px, qty in side
        ]
        for side in book.levels()
    )  # fmt: skip
    return orjson.dumps(
        {
            "topic": topic,
            "type": "snapshot",
            "ts": ts_ms,
            "data": {"s": book.symbol, "b": bids, "a": asks, "u": book.u, "seq": book.seq},
            "cts": book.cts_ms,
        }
    )


def _text(value: int, scale: int) -> str:
    return format(Decimal(value).scaleb(-scale), "f")


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
