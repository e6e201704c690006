"""The control side of the bundled exchange: faults, and its own view of the account."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from fastbook.errors import TransportError

Json = dict[str, Any]  # Any: JSON of the exchange's control routes


class ExchangeControl:
    """Talks to `/_control` of one bundled exchange on this machine."""

    def __init__(self, rest_url: str) -> None:
        self._rest_url = rest_url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=5), trust_env=False
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def state(self) -> Json:
        """Counters, topics and every account, to the last digit."""
        return await self._call("GET", "/_control/state", None)

    async def fault(self, fault: Json) -> int:
        """Inject one fault; how many things it hit."""
        return int((await self._call("POST", "/_control/fault", fault))["hit"])

    async def _call(self, method: str, path: str, body: Json | None) -> Json:
        assert self._session is not None
        data = orjson.dumps(body) if body is not None else None
        try:
            async with self._session.request(
                method, self._rest_url + path, data=data, allow_redirects=False
            ) as response:
                answer = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as e:
            raise TransportError(f"the exchange's control: {type(e).__name__} {e}") from None
        if response.status != 200:
            raise TransportError(f"the exchange's control: {answer}")
        assert isinstance(answer, dict)
        return answer
