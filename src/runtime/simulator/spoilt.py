"""REST answers that something breaks on their way, by the name of the fault's field `how`."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from aiohttp import web

HUGE_BYTES = 100 << 20
DEPTH = 200_000


def _body(response: web.Response) -> bytes:
    body = response.body
    return body if isinstance(body, bytes) else b""


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _truncated(response: web.Response) -> web.Response:
    """The head announces more than comes; the connection ends there."""
    body = _body(response)
    short = web.Response(body=body[: len(body) // 2], content_type="application/json")
    short.headers["Content-Length"] = str(len(body))
    short.force_close()
    return short


def _bomb(response: web.Response) -> web.Response:
    """A few kilobytes that unpack into a hundred megabytes."""
    packed = gzip.compress(b" " * HUGE_BYTES)
    answer = web.Response(body=packed, content_type="application/json")
    answer.headers["Content-Encoding"] = "gzip"
    return answer


SPOILT: dict[str, Callable[[web.Response], web.Response]] = {
    "truncated": _truncated,
    "half_json": lambda response: _json(_body(response)[: len(_body(response)) // 2]),
    "html": lambda response: web.Response(
        text="<html><body>release</body></html>", content_type="text/html"
    ),
    "wrong_type": lambda response: web.Response(body=_body(response), content_type="text/plain"),
    "no_object": lambda response: _json(b"[1,2]"),
    "empty": lambda response: _json(b""),
    "deep": lambda response: _json(b"[" * DEPTH + b"]" * DEPTH),
    "huge": lambda response: _json(b" " * HUGE_BYTES),
    "bomb": _bomb,
}
