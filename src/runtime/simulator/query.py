"""Query parameters of the REST endpoints: limits, times, cursors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from fastbook.errors import VenueError
from fastbook.replay.accounts import Row
from fastbook.replay.intake import PARAMETER_ERROR

Query = Mapping[str, str]
CATEGORIES = ("linear", "spot", "inverse", "option")  # of the venue, played here or not
HISTORY_MS = 7 * 24 * 3600 * 1000


def known_category(query: Query, default: str = "") -> str:
    """The category asked for; VenueError 10001 when the venue has no such thing."""
    category = query.get("category", "") or default
    if category not in CATEGORIES:
        raise bad("category invalid")
    return category


def bad(message: str) -> VenueError:
    return VenueError(PARAMETER_ERROR, f"params error: {message}")


def limit_of(query: Query, default: int, most: int) -> int:
    text = query.get("limit", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise bad(f"limit must be 1 to {most}")
    return int(text)


def millis_of(query: Query, name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise bad(f"{name} invalid")
    return int(text)


def paged(rows: Iterable[Row], key: str, query: Query, limit: int) -> tuple[list[Row], str]:
    """One page, and the cursor of the next one, percent-encoded as the venue's are."""
    after = unquote(query.get("cursor", "")).partition(":")[0]  # some clients encode it twice
    page: list[Row] = []
    waiting = bool(after)
    for row in rows:
        if waiting:
            waiting = row[key] != after
            continue
        if len(page) == limit:
            return page, quote(f"{page[-1][key]}:{limit}", safe="")
        page.append(row)
    return page, ""
