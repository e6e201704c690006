"""Lock, marks, heartbeat, folder: what other processes see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastbook.errors import StateError
from fastbook.runtime.config import parse
from fastbook.runtime.state import (
    KILL,
    Heart,
    Holder,
    InstanceLock,
    Mark,
    holder_of,
    place_of,
    prepare,
    read_beat,
)

ME = Holder(os.getpid(), "2026-01-01T00:00:00Z", "abc")

HOLD = """
import sys, time
from pathlib import Path
from fastbook.runtime.state import Holder, InstanceLock
import os
with InstanceLock(Path(sys.argv[1]), Holder(os.getpid(), "then", "b")):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_engine_an_account(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with InstanceLock(tmp_path, ME):
        assert holder_of(tmp_path) == ME
        with pytest.raises(StateError, match=rf"process {os.getpid()} \(since 2026"):
            InstanceLock(tmp_path, ME).__enter__()
        assert holder_of(tmp_path) == ME
    assert holder_of(tmp_path) is None
    with InstanceLock(tmp_path, ME):
        pass


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        found = holder_of(tmp_path)
        assert found is not None
        assert found.pid == other.pid
        with pytest.raises(StateError, match=f"process {other.pid} "):
            InstanceLock(tmp_path, ME).__enter__()
        other.send_signal(signal.SIGKILL)
        other.wait(10)
        with InstanceLock(tmp_path, ME):
            pass


def test_marks(tmp_path: Path) -> None:
    mark = Mark(tmp_path, KILL)
    assert not mark.there
    assert mark.reason() == ""
    assert mark.make("by hand", "12:00")
    assert not mark.make("again", "12:01")  # idempotent; the first reason stays
    assert mark.there
    assert Mark(tmp_path, KILL).reason() == "by hand (12:00)"
    (tmp_path / KILL).write_bytes(b"\xff\x00")  # the name is the mark
    assert mark.there
    assert mark.reason() == ""
    assert mark.clear()
    assert not mark.clear()
    assert not mark.there


def test_mark_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be made"):
        Mark(tmp_path / "nowhere", KILL).make("x", "y")


def test_heartbeat(tmp_path: Path) -> None:
    assert read_beat(tmp_path) is None
    heart = Heart(tmp_path, "build123")
    assert read_beat(tmp_path) is None  # not begun
    now_ns = time.monotonic_ns()
    heart.beat(now_ns, 1.5)
    beat = read_beat(tmp_path)
    assert beat is not None
    assert (beat.pid, beat.lag_ms, beat.build_id, beat.stopped) == (
        os.getpid(),
        1.5,
        "build123",
        False,
    )
    assert beat.age_s(now_ns + 2_000_000_000) == 2.0
    heart.close(time.monotonic_ns(), clean=True)
    beat = read_beat(tmp_path)
    assert beat is not None
    assert beat.stopped


def test_heartbeat_of_an_earlier_boot(tmp_path: Path) -> None:
    heart = Heart(tmp_path, "b")
    heart.beat(time.monotonic_ns() + 3_600_000_000_000)
    assert read_beat(tmp_path) is None
    (tmp_path / "heartbeat").write_bytes(b"short")
    assert read_beat(tmp_path) is None


URLS = """
[venue]
rest_url = "http://127.0.0.1:1"
ws_public_url = "ws://127.0.0.1:1"
ws_private_url = "ws://127.0.0.1:1"
"""


def config(text: str) -> Path:
    symbols = '[market_data]\nsymbols = ["BTCUSDT"]\n'
    return place_of(parse(symbols + text, name="c", environ={}))


def test_paper_and_live_and_accounts_share_nothing() -> None:
    folders = [
        config(text)
        for text in (
            "",
            '[execution]\nmode = "live"',
            '[venue]\nenvironment = "testnet"',
            '[venue]\nenvironment = "mainnet"',
            '[venue]\nenvironment = "mainnet"\naccount_uid = "12"',
            '[venue]\ncategory = "spot"',
            URLS,
            '[state]\ndir = "/var/lib/x"',
        )
    ]
    assert len(set(folders)) == len(folders)
    assert str(folders[0]) == "state/simulator-linear-paper"
    assert str(folders[4]) == "state/mainnet-linear-paper-12"


def test_the_folder_is_ours_alone(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(StateError, match="mode 0777 lets others write; chmod 700 it"):
        prepare(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        prepare(tmp_path / "file")
