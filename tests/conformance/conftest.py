"""One exchange for all the clients; each test takes an account of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.local_exchange import LocalExchange, local_exchange


@pytest.fixture(scope="session")
def venue() -> Iterator[LocalExchange]:
    with local_exchange(categories=["linear", "spot", "inverse"]) as exchange:
        yield exchange
