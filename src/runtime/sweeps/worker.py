"""A process that makes runs: `python -m fastbook.runtime.sweeps.worker`, lines of JSON both ways.

The first line is the job, each later one a task; one line comes back for each. It ends when its
input does, at once, also in the middle of a run: then whoever wanted the result is gone.
"""

from __future__ import annotations

import os
import sys
import threading
from queue import SimpleQueue

import orjson

from ..output import to_json
from .work import perform

READY = b"ready\n"


def main() -> None:
    results = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a strategy prints is no result
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    job = orjson.loads(lines.get())
    results.write(READY)
    while True:
        record = to_json(perform(job, orjson.loads(lines.get()))) + b"\n"
        while record:
            record = record[results.write(record) :]


def _listen(lines: SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
