"""kill -9 at named points and random moments: no order lost, doubled or orphaned."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.kill.harness import POINTS, kill_many

COUNT = int(os.environ.get("FASTBOOK_KILLS", "60"))
SECONDS_MAX = 80.0 if COUNT <= 60 else 1e9


def test_kill_9(tmp_path: Path) -> None:
    found = asyncio.run(kill_many(tmp_path, COUNT, seconds=SECONDS_MAX))
    print(found)
    assert found["kills"] >= len(POINTS)
    assert found["restored"] > 0, "no engine found an open order: the test tried nothing"
    assert found["at_exchange"] > COUNT // 3
    assert found["strays"] == 0
