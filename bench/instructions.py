"""Instructions a frame, counted by valgrind: a gate that does not depend on the clock.

    python bench/instructions.py            compare with bench/instructions.json; exit 1 above +3 %
    python bench/instructions.py --update   write bench/instructions.json anew

The workload is made here, from a seed: one market of `fastbook.replay`, published at depths 50,
200 and 1000, decoded into books with all signals, without Python between two frames. Two runs
start alike and differ in how often they decode them, so their difference is the frames alone. A neighbour on the
machine changes nothing. The compiler does, so the file says which one; numbers of another one
are shown and not judged.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastbook import BookDecoder, SignalSet
from fastbook.replay.matching import DepthPublisher, MarketFlow, MatchingBook, universe

STORED = Path(__file__).with_name("instructions.json")
DEPTHS = (50, 200, 1000)
EVENTS_A_FRAME = {50: 6, 200: 12, 1000: 18}
FRAMES = 1000
LAPS = 61  # of them, in the longer run; the shorter one makes one lap
SEED = 20_240_101
TOLERANCE = 0.03
DEADLINE_S = 600


def generated_frames(depth: int, count: int, market_index: int = 0) -> list[bytes]:
    """A snapshot and `count - 1` deltas of one seeded market."""
    market = universe(market_index + 1)[market_index]
    book = MatchingBook()
    flow = MarketFlow([book], [market], seed=SEED)
    instrument = market.instrument
    publisher = DepthPublisher(
        book,
        depth,
        f"orderbook.{depth}.{instrument.symbol}",
        "linear",
        instrument.price_scale,
        instrument.qty_scale,
    )
    frames: list[bytes] = []
    events = EVENTS_A_FRAME[depth]
    while len(frames) < count:
        ms = 1_700_000_000_000 + 20 * len(frames)
        flow.step(0, events)
        frame = publisher.delta(ms + 1, ms, flow.events)
        if frame is not None:
            frames.append(frame)
    return frames


def decode(depth: int, frames: list[bytes], laps: int = 1) -> BookDecoder:
    decoder = BookDecoder(signals=SignalSet(1, sample_ms=0))
    topic = re.search(rb'"topic":"([^"]+)"', frames[0])
    assert topic is not None
    # Scales as the wire shows them, so that no frame takes the slow way to learn them.
    texts = re.search(rb'"b":\[\["([0-9.]+)","([0-9.]+)"', frames[0])
    assert texts is not None
    px_scale, qty_scale = (len(text.partition(b".")[2]) for text in texts.groups())
    decoder.add_book(topic[1].decode(), index=0, price_scale=px_scale, qty_scale=qty_scale)
    for _ in range(laps):
        assert decoder.apply_many(frames) == len(frames)
    return decoder


def counted(laps: dict[int, int], directory: Path) -> int:
    """Instructions of a process that decodes the frames of each depth so many times."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [sys.executable, "-I", __file__, "--run", str(directory)]
    command += [f"{depth}:{times}" for depth, times in laps.items()]
    # The hash seed moves dictionaries; numpy's threads wait in loops that count.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"valgrind failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return int(found[1])


def measure() -> dict[str, float]:
    """One run with one lap at every depth; for each depth, one with more of that one."""
    base = dict.fromkeys(DEPTHS, 1)
    runs = [base, *({**base, depth: LAPS} for depth in DEPTHS)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for depth in DEPTHS:
            path = directory / f"{depth}.frames"
            path.write_bytes(b"\n".join(generated_frames(depth, FRAMES)))
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            least, *counts = pool.map(lambda laps: counted(laps, directory), runs)
    extra = (LAPS - 1) * FRAMES
    return {str(d): round((n - least) / extra, 1) for d, n in zip(DEPTHS, counts, strict=True)}


def built_with() -> str:
    """What else decides the number: the machine's instruction sets and the compiler."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    try:
        shown = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
        version = shown.stdout.partition("\n")[0]
    except OSError:
        version = compiler
    vectors = ", AVX2" if BookDecoder().use_vectors else ""  # which of the readers is counted
    return f"{platform.machine()}{vectors}, {version}"


def compare(found: dict[str, float], stored: dict[str, float], judged: bool) -> bool:
    """Print a line a depth; True when none is above what is stored by more than `TOLERANCE`."""
    sound = True
    for depth, count in found.items():
        before = stored[depth]
        change = count / before - 1
        verdict = "ok" if change <= TOLERANCE else "MORE" if judged else "not judged"
        sound = sound and change <= TOLERANCE
        print(
            f"depth {depth:>4}: {count:8.1f} a frame, was {before:8.1f} ({change:+.1%}) {verdict}"
        )
        if change < -TOLERANCE:
            print("            fewer than stored: keep it with `make instructions-update`")
    return sound or not judged


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write bench/instructions.json anew")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        directory, *pairs = options.run
        gc.disable()
        for depth, _, times in (pair.partition(":") for pair in pairs):
            frames = (Path(directory) / f"{depth}.frames").read_bytes().split(b"\n")
            decode(int(depth), frames, int(times))
        return 0
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed (Debian: apt-get install valgrind)")
        return 0
    found = measure()
    builder = built_with()
    if options.update:
        document = {"built_with": builder, "instructions_a_frame": found}
        STORED.write_text(json.dumps(document, indent=2) + "\n")
        print(STORED.read_text(), end="")
        return 0
    stored = json.loads(STORED.read_text())
    judged = stored["built_with"] == builder
    if not judged:
        print(f"stored numbers are from: {stored['built_with']}; this is: {builder}")
    return 0 if compare(found, stored["instructions_a_frame"], judged) else 1


if __name__ == "__main__":
    raise SystemExit(main())
