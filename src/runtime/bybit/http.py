"""One HTTP exchange with the venue: bounded in time and bytes, never redirected, never repeated."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from yarl import URL

from fastbook.errors import ConfigError, TransportError

from .transport import HttpAnswer

BODY_BYTES_MAX = 4 << 20
"""Of an answer. The largest real one, every linear instrument, has about 0.8 MiB."""

CONNECTIONS_MAX = 24
TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """Verifies certificate and host name; `ca_file` is trusted besides the system's."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as e:
            raise ConfigError(f"venue.ca_file: {ca_file}: cannot be used: {e}") from e
    return context


class HttpTransport:
    """A session of aiohttp with its dangerous habits turned off.

    Redirects would carry the key to another host, proxy variables of the environment would
    route around us, cookies would be kept, and a compressed body could grow without bound.
    """

    def __init__(self, base_url: str, *, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._base_url = base_url.rstrip("/")
        self._tls = tls_context(ca_file)
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s,
            sock_connect=min(CONNECT_TIMEOUT_S, timeout_s),
            sock_read=min(READ_TIMEOUT_S, timeout_s),
        )
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> HttpAnswer:
        """Send `method` to `target` (path and query, encoded already) and read the answer.

        Raises `TransportError`; its `sent` is False only when no connection came about.
        """
        name = f"{method} {target.partition('?')[0]}"
        try:
            async with self._open().request(
                method,
                URL(self._base_url + target, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise TransportError(f"{name}: compressed answer", status=response.status)
                return HttpAnswer(
                    response.status,
                    {key.lower(): value for key, value in response.headers.items()},
                    await _read(response, name),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as e:
            raise TransportError(f"{name}: no connection: {_said(e)}", sent=False) from e
        except (aiohttp.ClientError, OSError, TimeoutError) as e:
            raise TransportError(f"{name}: {_said(e)}") from e

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "fastbook", "Accept-Encoding": "identity"},
                timeout=self._timeout,
                trust_env=False,
                auto_decompress=False,
                raise_for_status=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, name: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            response.close()  # the rest is not read
            raise TransportError(
                f"{name}: answer of more than {BODY_BYTES_MAX} bytes", status=response.status
            )
    return bytes(body)


def _said(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, asyncio.TimeoutError):
        text = "timed out"
    return text[:200]
