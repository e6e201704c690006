"""The stores' process when the runtime that started it is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson

DEADLINE_S = 60.0


def test_it_outlives_a_killed_runtime_by_a_moment_and_says_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    config = {"spool": str(spool), "history_url": f"sqlite:///{tmp_path}/history.db"}
    with subprocess.Popen(
        [sys.executable, "-m", "fastbook.runtime.stores.shipper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(orjson.dumps(config) + b"\n")
        process.stdin.flush()
        assert "history" in orjson.loads(process.stdout.readline())

        process.stdout.close()  # as when the runtime is killed: nobody reads, nobody writes
        process.stdin.close()

        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == b""
