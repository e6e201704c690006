"""A run in figures for Prometheus: what it counts, and whether it is well.

Read when somebody asks and at no other time: nothing is counted twice, and the trading path pays
nothing. docs/metrics.md lists every name; a test holds it to what is really there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from fastbook import BookState, __version__
from fastbook.core.histogram import Histogram
from fastbook.types import TradingState

if TYPE_CHECKING:
    from .app import App

EDGES_US = (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 1_000_000)
STAGES = ("book", "decision", "order", "loop_lag")
_FEED = {
    "bytes": "bytes received on the public feed",
    "connects": "public connections made",
    "reconnects": "public connections made again after one was lost",
    "resyncs": "books asked for anew",
    "stale_marks": "books that were not heard of for too long",
    "late_frames": "frames of a connection that had been given up",
    "pongs_missed": "pings that were not answered in time",
    "unknown_messages": "messages of the venue that nobody knows",
}
_ENGINE = {
    "book_updates": "books that changed, once a socket read",
    "books_unfit": "changes of books that were not SYNCED or too old: no strategy was asked",
    "books_late": "decisions dropped because their data came long after its time",
    "signals": "intents of strategies",
    "orders": "orders sent",
    "amends": "amends sent",
    "fills": "executions booked",
    "duplicate_fills": "executions heard of again",
    "external_fills": "executions of orders that are not ours",
    "rejected": "orders that the venue refused",
    "unsent": "orders refused on our side of the wire",
    "unknown": "orders whose outcome was unknown for a while",
    "never_accepted": "orders proven never to have been accepted",
    "ghosts": "orders given up that existed after all",
    "mismatches": "differences between ledger and venue",
    "reconciliations": "reconciliations that agreed",
    "strategy_errors": "strategies that raised",
    "stops_rejected": "stops that the venue refused",
    "unprotected": "positions left because the venue kept no stop for them",
}


class RunCollector(Collector):
    """Everything of one `App`. Call `collect` on its event loop: it reads what changes there."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("fastbook_build", "the program", value={"version": __version__})
        yield from self._market()
        yield from self._trading()
        yield from self._account()
        yield from self._venue()
        yield from self._stores()
        for stage in STAGES:
            yield histogram(
                f"fastbook_{stage}_latency_seconds" if stage != "loop_lag"
                else "fastbook_loop_lag_seconds",
                "docs/operating.md says what the stages are",
                getattr(self._app.latency, stage),
            )  # fmt: skip

    def _market(self) -> Iterator[Metric]:
        app = self._app
        feed = app.feed.stats()
        yield counter("feed_frames", "frames received on the public feed", feed["frames"])
        for name, what in _FEED.items():
            yield counter(f"feed_{name}", what, feed[name])
        yield labelled("feed_ends", "public connections that ended", "reason", feed["ends"])
        yield labelled(
            "feed_protocol_errors", "breaches of RFC 6455", "kind", feed["protocol_errors"]
        )
        yield labelled("decoder", "frames by what they did", "what", app.decoder.counters)
        states = GaugeMetricFamily("fastbook_books", "books by state", labels=["state"])
        for state in BookState:
            states.add_metric([state.name], sum(b.state is state for b in app.books))
        yield states
        gaps = CounterMetricFamily("fastbook_book_gaps", "updates lost", labels=["symbol"])
        ages = GaugeMetricFamily(
            "fastbook_book_age_seconds", "since the last frame of a book", labels=["symbol"]
        )
        now_ns = app.stamp_ns()
        for book in app.books:
            gaps.add_metric([book.symbol], book.gaps)
            if book.recv_ns:
                ages.add_metric([book.symbol], max(0, now_ns - book.recv_ns) / 1e9)
        yield gaps
        yield ages

    def _trading(self) -> Iterator[Metric]:
        engine = self._app.engine
        for name, what in _ENGINE.items():
            yield counter(f"engine_{name}", what, getattr(engine.stats, name))
        yield labelled(
            "engine_denied", "intents that the gate refused", "rule", engine.stats.denied
        )
        yield counter(
            "engine_unsynced_orders",
            "orders from a book that was not SYNCED: must stay 0",
            self._app.unsynced_orders,
        )
        state = GaugeMetricFamily(
            "fastbook_trading_state", "1 for the state that holds", labels=["state"]
        )
        for one in TradingState:
            state.add_metric([one.value], engine.state is one)
        yield state
        yield gauge("latched", "1 while a latch forbids entries", bool(engine.gate.latched))
        yield gauge("strategies_disabled", "strategies that raised", len(engine.disabled))
        yield counter(
            "journal_dropped", "records that nobody read in time",
            engine.journal.market_dropped + engine.journal.orders_dropped,
        )  # fmt: skip

    def _account(self) -> Iterator[Metric]:
        app = self._app
        held = app.portfolio
        figures = {
            "equity": ("balance and open P&L", held.equity),
            "balance": ("of the settle coin", held.balance),
            "realized_pnl": ("closed P&L, before fees", held.realized),
            "fees": ("paid", held.fees),
        }
        for name, (what, value) in figures.items():
            if value is not None:
                yield gauge(name, what, float(value))
        yield gauge("exposure_used_ratio", "of exposure_pct_max, at worst",
                    float(app.engine.exposure_used))  # fmt: skip
        yield gauge("orders_open", "orders whose story is not over", app.orders.working_count)
        positions = GaugeMetricFamily("fastbook_position", "signed quantity", labels=["symbol"])
        for index in sorted(held.open_instruments):
            instrument = app.instruments[index]
            positions.add_metric(
                [instrument.symbol], float(instrument.qty_decimal(held.qty(index)))
            )
        yield positions

    def _venue(self) -> Iterator[Metric]:
        rest = self._app.rest
        if rest is None:
            return
        for name, value in rest.counters().items():
            yield counter(f"rest_{name}", "of the REST client", value)
        yield gauge("rest_blocked_seconds", "REST stays silent for", rest.blocked_s)
        yield gauge(
            "venue_clock_uncertainty_seconds", "of the venue's clock as we know it",
            max(0, rest.venue_time.uncertainty_ns) / 1e9,
        )  # fmt: skip

    def _stores(self) -> Iterator[Metric]:
        memory = self._app.memory
        if memory is None:
            return
        said = memory.status()
        yield counter("spool_rows", "rows on their way to the history", said["rows"])
        yield labelled("spool_dropped", "rows dropped: spool full", "table", said["dropped"])
        yield counter("stores_restarts", "starts of the stores' process after the first",
                      said["restarts"])  # fmt: skip
        up = GaugeMetricFamily("fastbook_store_up", "1 while it takes rows", labels=["store"])
        for name in ("history", "cache"):
            if said[name] is not None:
                up.add_metric([name], said[name]["up"])
        yield up
        if said["history"] is not None:
            yield gauge("history_backlog_bytes", "spool not yet stored",
                        said["history"]["backlog_bytes"])  # fmt: skip


def readiness(app: App) -> tuple[bool, dict[str, Any]]:
    """Whether the run does its work now, and what keeps it from it. Any: JSON."""
    synced = sum(book.state is BookState.SYNCED for book in app.books)
    state = app.engine.state
    ready = state is TradingState.ACTIVE and synced == len(app.books)
    return ready, {"trading_state": state.value, "books": len(app.books), "books_synced": synced}


def registry_of(app: App) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RunCollector(app))
    return registry


def counter(name: str, what: str, value: float) -> Metric:
    family = CounterMetricFamily(f"fastbook_{name}", what)
    family.add_metric([], value)
    return family


def gauge(name: str, what: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"fastbook_{name}", what)
    family.add_metric([], value)
    return family


def labelled(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"fastbook_{name}", what, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def histogram(name: str, what: str, counted: Histogram) -> Metric:
    """Ours has thousands of fine buckets; these are their sums up to each edge."""
    buckets: list[tuple[str, float]] = []
    fine = iter([*counted.buckets(), (float("inf"), 0)])
    upper_ns, count = next(fine)
    total = 0.0
    for edge_us in EDGES_US:
        while upper_ns <= edge_us * 1_000:
            total += count
            upper_ns, count = next(fine)
        buckets.append((f"{edge_us / 1e6:g}", total))
    buckets.append(("+Inf", float(counted.count)))
    mean_s = counted.mean / 1e9 if counted.count else 0.0
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=mean_s * counted.count)
