"""`fastbook replay`: recordings verified, and every way in which one can be damaged."""

from __future__ import annotations

import gzip
import os
import re
import signal
import time
from pathlib import Path

import orjson
import pytest
from tests.integration.command import Running, document, fastbook, in_process, one_sentence
from tests.reference.wire import delta, snapshot

FRAMES = [snapshot(100), delta(101), delta(102), delta(103)]
RECORDINGS = (
    "bybit/v5-linear-ob1-20250613.jsonl.gz",
    "bybit/v5-linear-ob200-20260809-btc-sol.jsonl.gz",
    "bybit/v5-linear-ob500-20241201-xrp.ndjson.gz",
    "bybit/v5-spot-ob200-20260809-eth.jsonl.gz",
    "bybit/v5-spot-ob50-20260824-btc.ndjson",
    "derived/ob200-from-binance-spot-ethusdt-20240808.ndjson.gz",
    "derived/ob50-from-binance-usdm-btcusdt-20240808.ndjson.gz",
    "derived/ob500-from-binance-usdm-btcusdt-20240808.ndjson.gz",
)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "session.ndjson"
    path.write_bytes(b"".join(b"%s\n" % frame for frame in FRAMES))
    return path


def test_json(recording: Path) -> None:
    done = fastbook("replay", recording, "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    summary = document(done)
    assert summary["frames"] == 4
    assert summary["frames_per_s"] > 0
    assert {k: n for k, n in summary["status"].items() if n} == {"SNAPSHOT": 1, "APPLIED": 3}
    (book,) = summary["books"].values()
    assert (book["u"], book["state"]) == (103, "SYNCED")
    assert set(book) >= {"u", "seq", "state", "best_bid", "best_ask", "levels"}


def test_text(recording: Path) -> None:
    done = fastbook("replay", recording)
    assert done.returncode == 0
    assert re.match(r"4 frames, [\d,]+ frames/s through the decoder\n", done.stdout)
    assert "orderbook.50.BTCUSDT" in done.stdout


# --- against expectations ---


def expectations(path: Path, data_dir: Path) -> Path:
    return data_dir / Path(path).parent / "expected"


@pytest.mark.parametrize("folder", ["bybit", "derived"])
def test_every_recording_is_verified(data_dir: Path, folder: str) -> None:
    files = [data_dir / name for name in RECORDINGS if name.startswith(folder)]
    done = fastbook("replay", *files, "--verify-against", data_dir / folder / "expected", "--json")
    assert done.returncode == 0, done.stderr
    verified = document(done)["verified"]
    assert verified["compared"] > 1_000
    assert verified["differing"] == 0


@pytest.fixture
def expected_copy(data_dir: Path, tmp_path: Path) -> Path:
    """A folder with the expectations of `SMALL`, to be changed."""
    folder = tmp_path / "expected"
    folder.mkdir()
    for suffix in (".frames.csv.gz", ".final.json.gz"):
        name = Path(SMALL).name.removesuffix(".ndjson") + suffix
        (folder / name).write_bytes((data_dir / "bybit" / "expected" / name).read_bytes())
    return folder


SMALL = "bybit/v5-spot-ob50-20260824-btc.ndjson"


def change(path: Path, old: bytes, new: bytes) -> None:
    content = gzip.decompress(path.read_bytes())
    assert content.count(old) >= 1
    path.write_bytes(gzip.compress(content.replace(old, new, 1)))


def first_difference(data_dir: Path, folder: Path) -> str:
    done = in_process("replay", data_dir / SMALL, "--verify-against", folder, "--json")
    assert done.returncode == 4, done.stderr
    verified = document(done)["verified"]
    assert verified["differing"] == 1
    return str(verified["first_difference"])


def test_one_digit_of_a_frame(data_dir: Path, expected_copy: Path) -> None:
    (rows,) = expected_copy.glob("*.csv.gz")
    lines = gzip.decompress(rows.read_bytes()).decode().splitlines()
    cells = lines[4].split(",")
    column = lines[0].split(",").index("size_sum_ask")
    digit = cells[column][-1]
    cells[column] = cells[column][:-1] + str(9 - int(digit))
    lines[4] = ",".join(cells)
    rows.write_bytes(gzip.compress("\n".join(lines).encode()))

    said = first_difference(data_dir, expected_copy)

    assert said.startswith(f"line {cells[0]}: {cells[1]} size_sum_ask is ")
    assert said.endswith(f", not {cells[column]}")


def test_one_digit_of_the_end(data_dir: Path, expected_copy: Path) -> None:
    (final,) = expected_copy.glob("*.json.gz")
    ((topic, sides),) = orjson.loads(gzip.decompress(final.read_bytes())).items()
    px, qty = sides["b"][7]
    digit = qty[-1]
    wrong = qty[:-1] + str(9 - int(digit))
    change(final, f'["{px}","{qty}"]'.encode(), f'["{px}","{wrong}"]'.encode())

    said = first_difference(data_dir, expected_copy)

    assert said == f"at the end: {topic}: bid 8 is {px} x {qty}, not {px} x {wrong}"


def test_a_frame_that_never_came(data_dir: Path, expected_copy: Path) -> None:
    (rows,) = expected_copy.glob("*.csv.gz")
    lines = gzip.decompress(rows.read_bytes()).decode().splitlines()
    beyond = "99" + lines[-1][lines[-1].index(",") :]
    rows.write_bytes(gzip.compress("\n".join([*lines, beyond]).encode()))
    assert first_difference(data_dir, expected_copy).startswith("line 99: no frame of orderbook.50")


def test_text_names_the_difference(data_dir: Path, expected_copy: Path) -> None:
    (final,) = expected_copy.glob("*.json.gz")
    change(final, b'"a":[[', b'"a":[["1","1"],[')
    done = fastbook("replay", data_dir / SMALL, "--verify-against", expected_copy)
    assert done.returncode == 4
    assert "differing 1\n" in done.stdout
    assert "first difference: at the end: orderbook.50.BTCUSDT: ask 1 is " in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.frames.csv.gz", b"not gzip", "not an expectation: Not a gzipped file"),
        ("x.frames.csv", b"line,topic,u\n1,t,2\n", "no column best_ask"),
        ("x.final.json", b"{", "not an expectation"),
        ("x.final.json", b"[]", "no books in it"),
        ("x.final.json", b'{"t":{"b":[]}}', "a book without b and a"),
    ],
)
def test_damaged_expectation(
    recording: Path, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    said = one_sentence(in_process("replay", recording, "--verify-against", path), 1)
    assert said.startswith(f"{path}: ")
    assert words in said


def test_expectations_that_are_not_there(recording: Path, tmp_path: Path) -> None:
    none = tmp_path / "none"
    said = one_sentence(in_process("replay", recording, "--verify-against", none), 2)
    assert said == f"no such file: {none}"
    none.mkdir()
    said = one_sentence(in_process("replay", recording, "--verify-against", none), 2)
    assert said == f"--verify-against: {none} holds nothing for session.ndjson"
    args = (recording, recording, "--verify-against", recording)
    assert "2 recordings need a folder" in one_sentence(in_process("replay", *args), 2)


# --- recordings that are not ---


def test_missing_file_and_directory(tmp_path: Path) -> None:
    missing = tmp_path / "none.gz"
    assert one_sentence(in_process("replay", missing), 2) == f"no such file: {missing}"
    said = one_sentence(in_process("replay", tmp_path), 2)
    assert said == f"{tmp_path} is a folder without public-*.frames.zst: name its files"
    (folder := tmp_path / "f.gz").mkdir()
    assert "is a folder without" in one_sentence(in_process("replay", folder), 2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.ndjson", b"", ": holds no frames"),
        ("a.gz", b"plain text", ": damaged after line 0: Not a gzipped file"),
        ("a.gz", gzip.compress(b"%s\n" % FRAMES[0] * 999)[:-40], ": damaged after line "),
        ("a.zst", b"plain text", ": damaged after line 0: "),
        ("a.ndjson", b"%s\nhello there\n" % FRAMES[0], ":2: not a recorded frame (it starts with"),
        ("a.ndjson", b"\xff\xfe{\n", ":1: not a recorded frame"),
        ("a.ndjson", b"17 {}\n123 nothing\n", ":2: not a recorded frame"),
        (
            "a.ndjson",
            b'{"t":"recv","conn":"a","ts":1.5}\n',
            ":1: not a recorded frame (an envelope",
        ),
        ("a.ndjson", b'{"t":"recv","ts":1.5,"da\n', ":1: not a recorded frame"),
        ("a.ndjson", b'{"t":"recv","ts":1e999,"data":"{}"}\n', ":1: not a recorded frame"),
    ],
)
def test_damaged_recording(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert f"{path}{words}" in one_sentence(in_process("replay", path), 1)


def test_truncated_archive_as_a_process(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b"%s\n" % FRAMES[0] * 500)[:-30])
    assert "damaged after line" in one_sentence(fastbook("replay", path, "--json"), 1)


def test_malformed_frames_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.ndjson"
    broken = FRAMES[1].replace(b'"u":', b'"v":')
    path.write_bytes(b"\n".join([FRAMES[0], broken, FRAMES[2], FRAMES[0], FRAMES[1]]))
    done = in_process("replay", path, "--json")
    summary = document(done)
    assert done.returncode == 1
    assert done.stderr == f"fastbook: {path}:2: malformed frame\n"
    assert summary["damaged"] == 1
    assert summary["damaged_at"] == [f"{path}:2: malformed frame"]
    assert summary["status"]["MALFORMED"] == 1
    (book,) = summary["books"].values()
    assert (book["u"], book["state"]) == (101, "SYNCED")  # the later snapshot mended it


def test_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    os.mkfifo(path)
    with Running("replay", path) as replay, path.open("wb") as recording:  # opens when it reads
        recording.write(FRAMES[0] + b"\n")
        recording.flush()
        assert replay.end(signal.SIGINT) == 1
        assert replay.err.rest() == ["fastbook: interrupted"]


def test_skip_damaged(tmp_path: Path) -> None:
    path = tmp_path / "d.gz"
    lines = [FRAMES[0], b"hello", *[b"?"] * 20, FRAMES[1], b'{"t":"recv"}', FRAMES[2]]
    path.write_bytes(gzip.compress(b"\n".join(lines * 40))[:-12])
    done = in_process("replay", path, "--skip-damaged", "--json")
    summary = document(done)
    assert done.returncode == 0
    assert summary["damaged"] > 40 * 22
    assert summary["frames"] >= 100
    assert len(summary["damaged_at"]) == 10
    *shown, more = done.stderr.splitlines()
    assert len(shown) == 10
    assert more == f"fastbook: and {summary['damaged'] - 10} more"


# --- several files, folders, pace ---


def stamped(frames: list[bytes], first_ms: int, step_ms: int) -> bytes:
    return b"".join(
        b"%d %s\n" % ((first_ms + n * step_ms) * 1_000_000, frame) for n, frame in enumerate(frames)
    )


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    early.write_bytes(stamped(FRAMES[::2], 1_000, 10))
    late.write_bytes(stamped(FRAMES[1::2], 1_005, 10))
    for files in ((early, late), (late, early)):
        summary = document(in_process("replay", *files, "--json"))
        assert summary["gaps"] == 0
        (book,) = summary["books"].values()
        assert (book["u"], book["state"]) == (103, "SYNCED")


def test_a_folder_of_our_own(tmp_path: Path) -> None:
    from fastbook.runtime.recording.blocks import pack

    for n, frames in enumerate((FRAMES[:2], FRAMES[2:]), 1):
        data = pack(stamped(frames, 1_000 * n, 1), 2 * (n - 1), 2)
        (tmp_path / f"public-{n:05}.frames.zst").write_bytes(data)
    summary = document(in_process("replay", tmp_path, "--json"))
    assert (summary["frames"], summary["gaps"]) == (4, 0)
    path = tmp_path / "public-00002.frames.zst"
    path.write_bytes(path.read_bytes()[:60] + b"x" + path.read_bytes()[61:])
    assert "public-00002.frames.zst: the block at byte 0" in one_sentence(
        in_process("replay", tmp_path), 1
    )


def test_paced(tmp_path: Path) -> None:
    path = tmp_path / "slow"
    path.write_bytes(stamped([FRAMES[0], *(b"{}" for _ in range(63))], 1_000, 10))
    started = time.monotonic()
    summary = document(in_process("replay", path, "--pace", "2", "--json"))
    assert summary["frames"] == 64
    assert 0.2 < time.monotonic() - started < 5.0
    assert "--pace" in one_sentence(in_process("replay", path, "--pace", "-1"), 2)
