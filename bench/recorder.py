"""What recording costs: a message on the event loop, and the writer's thread.

Run: python -m bench.recorder
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from fastbook import BookDecoder
from fastbook.core.tape import Tape
from fastbook.runtime.benchmark.frames import interleaved, mixed
from fastbook.runtime.output import print_json
from fastbook.runtime.recording.blocks import Segments, read_blocks

ROUNDS = 7
STAMP = 1_700_000_000_000_000_000


def least(rounds: list[float]) -> float:
    return min(rounds)


def main() -> int:
    frames = interleaved(mixed(10, 1_000))
    size = sum(map(len, frames))
    tape = Tape(64 << 20)
    taken, called, applied = [], [], []
    for _ in range(ROUNDS):
        started = time.process_time()
        for frame in frames:
            tape.frame(frame, STAMP)
        taken.append(time.process_time() - started)
        view, _, _ = tape.take()
        lines = bytes(view)
        view.release()
        tape.give_back()
        started = time.process_time()
        for frame in frames:
            len(frame)
        called.append(time.process_time() - started)
        decoder = BookDecoder()
        started = time.process_time()
        decoder.apply_many(frames)
        applied.append(time.process_time() - started)
    with tempfile.TemporaryDirectory() as folder:
        segments = Segments(Path(folder), "x", ".zst")
        segments.open()
        started = time.process_time()
        for n in range(10):
            segments.append(lines, n * len(frames), len(frames))
        writing_s = time.process_time() - started
        segments.close()
        started = time.process_time()
        back = sum(len(block.data) for block in read_blocks(segments.files[0]))
        reading_s = time.process_time() - started
        assert back == 10 * len(lines)
    count = len(frames)
    print_json(
        {
            "messages": count,
            "bytes_each": round(size / count),
            "tape_ns_each": round((least(taken) - least(called)) / count * 1e9),
            "book_ns_each": round(least(applied) / count * 1e9),
            "writer_mb_per_s": round(10 * len(lines) / 1e6 / writing_s),
            "reader_mb_per_s": round(10 * len(lines) / 1e6 / reading_s),
            "compressed_to": round(segments.bytes / (10 * len(lines)), 3),
        },
        indent=True,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
