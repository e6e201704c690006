"""Query parameters of the REST endpoints: limits, times, cursors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from fastbook.errors import VenueError
from fastbook.replay.accounts import Row
from fastbook.replay.intake import PARAMETER_ERROR

Query = Mapping[str, str]
CATEGORIES = ("linear", "spot", "inverse", "option")  # of the venue, played here or not
DAY_MS = 24 * 3600 * 1000
WEEK_MS = 7 * DAY_MS
HISTORY_MS_MAX = 2 * 365 * DAY_MS


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


def window_of(query: Query, now_ms: int) -> tuple[int, int]:
    """(start, end) of a history query: at most seven days, by default the last ones.

    One end alone takes seven days from there. VenueError 10001 for a longer window, one that ends
    before it begins, or one that begins more than two years ago.
    """
    given = [bool(query.get(name)) for name in ("startTime", "endTime")]
    start, end = millis_of(query, "startTime", 0), millis_of(query, "endTime", now_ms)
    if not given[0]:
        start = end - WEEK_MS
    elif not given[1]:
        end = start + WEEK_MS
    if not 0 <= end - start <= WEEK_MS:
        raise bad("the time window is at most 7 days, and ends after it begins")
    if given[0] and start < now_ms - HISTORY_MS_MAX:
        raise bad("startTime is more than 2 years ago")
    return start, end


def same_cursor(query: Query, limit: int) -> str:
    """A cursor that leads to the page that is asked for."""
    return quote(unquote(query.get("cursor", "")) or f":{limit}", safe="")


def paged(
    rows: Iterable[Row], keys: tuple[str, ...], query: Query, limit: int
) -> tuple[list[Row], str]:
    """One page, and the cursor of the next one, percent-encoded as the venue's are.

    `keys`: the fields that together name a row.
    """
    after = unquote(query.get("cursor", "")).partition(":")[0]  # some clients encode it twice
    page: list[Row] = []
    waiting = bool(after)
    name = ""
    for row in rows:
        if len(page) == limit:
            return page, quote(f"{name}:{limit}", safe="")
        name = ",".join(str(row[key]) for key in keys)
        if waiting:
            waiting = name != after
            continue
        page.append(row)
    return page, ""
