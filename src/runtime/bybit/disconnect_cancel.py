"""The venue's own dead-man switch (DCP): it cancels when the connections of an account are gone."""

from __future__ import annotations

import logging

from fastbook.errors import FastbookError
from fastbook.types import Category

from .rest import RestClient

log = logging.getLogger("fastbook.account")

PRODUCTS = {
    Category.LINEAR: ("DERIVATIVES", "dcp.future"),
    Category.INVERSE: ("DERIVATIVES", "dcp.future"),
    Category.SPOT: ("SPOT", "dcp.spot"),
}
"""Product and private topic. Being subscribed to that is what keeps orders alive."""


async def disconnect_cancel(rest: RestClient, category: Category, window_s: int) -> str:
    """Have the venue cancel `window_s` after the last connection; return the topic to listen to.

    "" where the account does not have it: most do not, it is for institutions. Then nothing but
    our watchdog cancels for an engine that has died, and the log says so. Never raises.
    """
    product, topic = PRODUCTS[category]
    try:
        if await _window_s(rest, product) != window_s:
            await rest.set_disconnect_cancel(product, window_s)
    except FastbookError as e:
        log.warning(
            "the venue does not cancel for this account when its connections are gone (%s): only"
            " `fastbook watchdog` does",
            e,
        )
        return ""
    return topic


async def _window_s(rest: RestClient, product: str) -> int:
    """What is set for `product`; 0 = nothing."""
    for row in await rest.disconnect_cancel_rows():
        if row.get("product") == product and row.get("dcpStatus") == "ON":
            window = str(row.get("timeWindow"))
            return int(window) if window.isdecimal() and len(window) <= 9 else 0
    return 0
