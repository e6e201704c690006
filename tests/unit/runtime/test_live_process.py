"""What a live run does beyond a paper one: no core dumps, and the key looked at again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any, cast

import pytest

from fastbook.errors import CredentialsError, TransportError
from fastbook.runtime.bybit.rest import RestClient
from fastbook.runtime.config import parse
from fastbook.runtime.run import look_again

CONFIG = '[market_data]\nsymbols = ["BTCUSDT"]\n[execution]\nmode = "live"\n'
GOOD: dict[str, Any] = {  # Any: JSON
    "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": []},
    "ips": [],
    "userID": 1001,
    "readOnly": 0,
    "isMaster": False,
    "deadlineDay": 80,
}
DUMPS = """
import ctypes, resource
from fastbook.runtime.hardening import forbid_dumps
forbid_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_no_core_dumps_and_no_debugger() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DUMPS], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "(0, 0) 0"


def test_a_key_that_was_given_other_rights_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    bad = GOOD | {"permissions": {"ContractTrade": ["Order"], "Wallet": ["Withdraw"]}}

    class Rest:
        answers = (GOOD, TransportError("no answer"), GOOD, bad)
        asked = 0

        async def query_api(self) -> dict[str, Any]:  # Any: JSON
            answer = self.answers[self.asked]
            self.asked += 1
            if isinstance(answer, Exception):
                raise answer
            return answer

    rest, failures = Rest(), list[BaseException]()
    found = iter([None])  # the account is not open yet at the first look

    def client() -> RestClient | None:
        return next(found, cast("RestClient", rest))

    async def look() -> None:
        async with asyncio.timeout(10.0):
            await look_again(
                parse(CONFIG, name="c", environ={}), client, failures.append, every_s=0.001
            )

    asyncio.run(look())
    assert rest.asked == 4
    (failure,) = failures
    assert isinstance(failure, CredentialsError)
    assert "it may Withdraw" in str(failure)
    assert "could not be checked again: no answer" in caplog.text
