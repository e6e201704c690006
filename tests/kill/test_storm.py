"""Three in ten creates lose their answer: every order ends, none is at the exchange twice."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.kill.storm import LOST, storm

ORDERS = int(os.environ.get("FASTBOOK_STORM", "2000"))


def test_unknown_outcomes(tmp_path: Path) -> None:
    found = asyncio.run(storm(tmp_path, ORDERS))
    print(found)
    assert found["ids"] >= ORDERS
    assert found["unknown"] > ORDERS * LOST / 3, "too few outcomes were unknown to try anything"
    assert found["working"] == 0
