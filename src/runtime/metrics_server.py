"""/metrics, /healthz and /readyz of a run: read-only, on loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from fastbook.errors import ConfigError

from .config import Config
from .telemetry import readiness, registry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from .app import App

log = logging.getLogger("fastbook.metrics")
PORTS_TRIED_MAX = 20
KEY = "metrics.bind"


class _Taken(Collector):
    """Families that were collected on the event loop, to be written out in a thread."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


class MetricsServer:
    """One run's page."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._registry = registry_of(app)
        self.requests = 0
        server = web.Application(client_max_size=1024)
        server.router.add_get("/metrics", self._metrics)
        server.router.add_get("/healthz", self._healthz)
        server.router.add_get("/readyz", self._readyz)
        self.runner = web.AppRunner(server, access_log=None, handle_signals=False)

    async def _metrics(self, request: web.Request) -> web.Response:
        self.requests += 1
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        taken = CollectorRegistry(auto_describe=False)
        taken.register(_Taken(list(self._registry.collect())))
        # Writing the text takes longer than reading the figures, and need not be done here.
        text = await asyncio.to_thread(encode, taken)
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _healthz(self, request: web.Request) -> web.Response:
        """The event loop answers: that is all it says."""
        return web.json_response({"ok": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        ready, said = readiness(self._app)
        return web.json_response({"ready": ready, **said}, status=200 if ready else 503)


@asynccontextmanager
async def metrics_of(app: App) -> AsyncIterator[str]:
    """Serve while the block runs; the URL of the page, "" when it is switched off.

    A default address that is taken gives way to the next free port; one that was asked for is a
    `ConfigError`.
    """
    config = app.config
    if not config.metrics.bind:
        yield ""
        return
    server = MetricsServer(app)
    await server.runner.setup()
    try:
        host, port = await _bind(server.runner, config)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{port}/metrics"
        log.info("metrics at %s", url)
        yield url
    finally:
        await server.runner.cleanup()


async def _bind(runner: web.AppRunner, config: Config) -> tuple[str, int]:
    host, _, text = config.metrics.bind.rpartition(":")
    host, first = host.strip("[]"), int(text)
    tries = 1 if KEY in config.origins else PORTS_TRIED_MAX
    for port in range(first, first + tries):
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as e:
            if e.errno != errno.EADDRINUSE or port == first + tries - 1:
                raise ConfigError(f"{KEY} is {config.metrics.bind!r}: {e.strerror or e}") from e
            with contextlib.suppress(RuntimeError):
                await site.stop()
            continue
        assert site._server is not None
        return host, site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # asyncio's Server has them
    raise AssertionError("unreachable")
