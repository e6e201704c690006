"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def skip_or_fail(requirement: str, reason: str) -> None:
    """Skip with a reason; where the requirement is named in FASTBOOK_REQUIRE, fail instead."""
    required = {name.strip() for name in os.environ.get("FASTBOOK_REQUIRE", "").split(",")}
    if requirement in required:
        pytest.fail(f"required by FASTBOOK_REQUIRE={requirement}: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded market data, which is not part of the project."""
    path = Path(os.environ.get("FASTBOOK_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        skip_or_fail("data", f"no recorded data at {path}; name it with FASTBOOK_DATA")
    return path
