"""Where the time goes: one histogram a stage, all from the stamp of the socket read."""

from __future__ import annotations

from math import isnan

from fastbook.core.histogram import Histogram

QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


class LatencyStages:
    """The stages of one run.

    - ``book``: of each message, until its book and signals are up to date;
    - ``decision``: of each socket read, until strategies, risk and execution have decided;
    - ``order``: of each order, until it is handed to the gateway;
    - ``loop_lag``: how late the event loop runs a timer.

    A read holds many messages when they come fast; its stamp is taken before the first.
    """

    def __init__(self) -> None:
        self.book = Histogram()
        self.decision = Histogram()
        self.order = Histogram()
        self.loop_lag = Histogram()

    def summary_us(self) -> dict[str, dict[str, float | None]]:
        return {
            "book": quantiles_us(self.book),
            "decision": quantiles_us(self.decision),
            "order": quantiles_us(self.order),
            "loop_lag": quantiles_us(self.loop_lag),
        }


def quantiles_us(histogram: Histogram) -> dict[str, float | None]:
    """p50, p99 and p999 in microseconds; None while nothing was counted."""
    out: dict[str, float | None] = {}
    for name, q in QUANTILES:
        ns = histogram.quantile(q)
        out[name] = None if isnan(ns) else round(ns / 1000, 1)
    return out
