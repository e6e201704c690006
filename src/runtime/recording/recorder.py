"""The recorder of a run: takes in on the event loop, compresses and writes in a thread.

Frames go from the socket callback to a `Tape`, one copy each. Everything else that the engine is
given is noted as the object it is and turned into text at the next timer tick, off the hot path.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from fastbook.core.tape import Tape

from .blocks import Segments
from .codec import to_plain

log = logging.getLogger("fastbook.recorder")

FRAMES = ("public", ".frames.zst")
EVENTS = ("engine", ".events.zst")
FRAME_BYTES_MAX = 32 << 20
"""Of frames that wait for the writer; what comes beyond is lost, and counted."""
EVENT_BYTES_MAX = 32 << 20
READ_BYTES_MAX = 8 << 20
NOTES_MAX = 10_000
WRITE_EVERY_S = 0.2
CLOSE_S_MAX = 10.0


class EventLog:
    """The order of everything that is no frame, and which frames came before it.

    A socket read is a line at once, in a tape of its own. Any other note is kept as the object it
    is, with its place among the reads, and becomes a line when `flush` is called.
    """

    def __init__(self, frames: Tape) -> None:
        self._frames = frames
        self._reads = Tape(READ_BYTES_MAX)
        self._notes: list[tuple[int, int, str, int, object]] = []
        self._ready: deque[tuple[bytes, int, int]] = deque()
        self._ready_bytes = 0
        self._next = 0
        self._lost_reads = 0
        self.lost = 0

    def read(self, touched: list[int], recv_ns: int) -> None:
        """A socket read has been applied; it touched these books. About 0.1 us."""
        self._reads.read(touched, recv_ns, self._frames.total)

    def note(self, kind: str, recv_ns: int, value: object = None) -> None:
        """Anything else; `value` must not change any more. About 0.2 us."""
        notes = self._notes
        notes.append((self._reads.used, self._frames.total, kind, recv_ns, value))
        if len(notes) >= NOTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Make lines of the notes, each at its place among the reads."""
        lost_before = self._reads.lost
        taken, _, _ = self._reads.take()
        parts: list[bytes] = []
        at = 0
        for place, frames, kind, recv_ns, value in self._notes:
            if place > at:
                parts.append(bytes(taken[at:place]))
                at = place
            parts.append(_line(kind, recv_ns, frames, value))
        parts.append(bytes(taken[at:]))
        taken.release()
        self._reads.give_back()
        self._notes = []
        self._hand_over(b"".join(parts))
        lost = lost_before - self._lost_reads
        self._lost_reads = lost_before
        self._next += lost  # a hole in the numbers
        self.lost += lost

    def _hand_over(self, lines: bytes) -> None:
        count = lines.count(b"\n")
        if self._ready_bytes + len(lines) > EVENT_BYTES_MAX:
            self.lost += count
        elif count:
            self._ready.append((lines, self._next, count))
            self._ready_bytes += len(lines)
        self._next += count

    def take(self) -> list[tuple[bytes, int, int]]:
        """What `flush` has made: (lines, number of the first, how many). For the writer."""
        taken = []
        while self._ready:
            one = self._ready.popleft()
            self._ready_bytes -= len(one[0])
            taken.append(one)
        return taken


def _line(kind: str, recv_ns: int, frames: int, value: object) -> bytes:
    plain: dict[str, Any] = {"k": kind, "n": recv_ns, "f": frames}  # Any: JSON
    if value is not None:
        plain["v"] = to_plain(value)
    return orjson.dumps(plain) + b"\n"


class Recorder:
    """Everything of one run into one folder, until closed. Trading never waits for it.

    A full disk or a writer that does not keep up loses records; they are counted, and the holes
    show in the numbers of the blocks.
    """

    def __init__(self, folder: Path, *, events: bool = True, level: int = 1) -> None:
        self.folder = folder
        self.tape = Tape(FRAME_BYTES_MAX)
        self.log = EventLog(self.tape)
        self.failure = ""
        self.unwritten = 0
        """Frames that the disk did not take."""
        self._frames = Segments(folder, *FRAMES)
        self._events = Segments(folder, *EVENTS) if events else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="recorder", daemon=True)
        self._frames.open()
        if self._events is not None:
            self._events.open()
        self._thread.start()

    @property
    def frames(self) -> int:
        return self.tape.lines - self.unwritten

    @property
    def lost(self) -> int:
        """Records that are not on disk and will not be."""
        return self.tape.lost + self.log.lost + self.unwritten

    @property
    def bytes(self) -> int:
        """On disk, compressed."""
        return self._frames.bytes + (self._events.bytes if self._events is not None else 0)

    def close(self) -> None:
        """Write what is left. Blocks for as long as that takes, at most `CLOSE_S_MAX`."""
        self.log.flush()
        self._stop.set()
        self._thread.join(CLOSE_S_MAX)
        if self._thread.is_alive():
            self.failure = self.failure or f"the disk did not take all within {CLOSE_S_MAX:g} s"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # The writer's thread.

    def _keep_writing(self) -> None:
        ended = False
        while not ended:
            ended = self._stop.wait(WRITE_EVERY_S)  # True once, after which all is written
            self._write()
        self._frames.close()
        if self._events is not None:
            self._events.close()

    def _write(self) -> None:
        # Events first out of memory and last onto disk: what they refer to is there then.
        events = self.log.take()
        taken, first, count = self.tape.take()
        try:
            if count:
                self._frames.append(taken, first, count)
        except OSError as e:
            self._fail(e)
            self.unwritten += count
        finally:
            taken.release()
            self.tape.give_back()
        for lines, first, count in events:
            try:
                if self._events is not None:
                    self._events.append(lines, first, count)
            except OSError as e:
                self._fail(e)
                self.log.lost += count

    def _fail(self, error: OSError) -> None:
        if not self.failure:
            log.warning("cannot record: %s", error)
        self.failure = str(error)
