"""A run in figures: the screen's picture of now, and the summary at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .latency import quantiles_us
from .rates import Rate
from .status import count_states, describe_focus, describe_positions

if TYPE_CHECKING:
    from .app import App

Json = dict[str, Any]
"""A JSON document. Any: texts, numbers, lists and objects."""


class Report:
    """Reads one `App`; changes nothing in it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._rate = Rate()
        self._cpu_before_s = time.process_time()
        self._ended_ns = 0
        self._messages = 0
        self._states: dict[str, int] = {}

    def take_figures(self) -> None:
        """What the summary says of the market: taken before positions are closed."""
        self._ended_ns = self._app.clock.monotonic_ns()
        self._messages = self._app.messages
        self._states = count_states(self._app.books)

    def status(self) -> Json:
        """The picture of now."""
        app = self._app
        feed = app.feed.stats()
        engine, stats, portfolio = app.engine, app.engine.stats, app.portfolio
        now_ns = app.clock.monotonic_ns()
        elapsed_s = (now_ns - app.started_ns) / 1e9
        focus = min(portfolio.open_instruments, default=0)  # a book we hold, else the first
        return {
            "title": app.options.title,
            "trading_state": engine.state.value,
            "elapsed_s": elapsed_s,
            "seconds": app.options.seconds,
            "messages": feed["frames"],
            "messages_per_s": self._rate.update(now_ns, feed["frames"]),
            "latency_us": quantiles_us(app.latency.decision),
            "cpu_share": self._cpu_share(elapsed_s),
            "books": count_states(app.books),
            "gaps": app.decoder.counters["gaps"],
            "reconnects": feed["reconnects"],
            "signals": stats.signals,
            "orders": stats.orders,
            "fills": stats.fills,
            "denied": sum(stats.denied.values()),
            "equity": float(portfolio.equity or 0),
            "currency": portfolio.coin,
            "realized_pnl": float(portfolio.realized),
            "fees": float(portfolio.fees),
            "positions": describe_positions(engine, app.instruments),
            "metrics": app.metrics_url,
            "stores": None if app.memory is None else app.memory.status(),
            "events": list(app.events.lines),
            "focus": describe_focus(
                app.books[focus], app.signals.row(focus), app.instruments[focus]
            ),
        }

    def summary(self, audit: Json | None) -> Json:
        """The end: figures of the run, money as exact decimals."""
        app = self._app
        feed = app.feed.stats()
        stats, portfolio = app.engine.stats, app.portfolio
        seconds = (self._ended_ns - app.started_ns) / 1e9
        return {
            "seconds": round(seconds, 3),
            "symbols": len(app.instruments),
            "messages": self._messages,
            "messages_per_s": round(self._messages / seconds) if seconds else 0,
            "books_synced": self._states["SYNCED"],
            "books": self._states,
            "gaps": app.decoder.counters["gaps"],
            "resyncs": feed["resyncs"],
            "reconnects": feed["reconnects"],
            "stale_marks": feed["stale_marks"],
            "signals": stats.signals,
            "denied": dict(stats.denied),
            "orders": stats.orders,
            "fills": stats.fills,
            "rejected": stats.rejected,
            "unknown": stats.unknown,
            "reconciliations": stats.reconciliations,
            "orders_from_unsynced_books": app.unsynced_orders,
            "realized_pnl": portfolio.realized,
            "fees": portfolio.fees,
            "equity": portfolio.equity,
            "balance": portfolio.balance,
            "currency": portfolio.coin,
            "open_positions": len(portfolio.open_instruments),
            "latency_us": quantiles_us(app.latency.decision),
            "latency_stages_us": app.latency.summary_us(),
            "cpu_share": self._cpu_share((app.clock.monotonic_ns() - app.started_ns) / 1e9),
            "recorded": self._recorded(),
            "stores": None if app.memory is None else app.memory.status(),
            "metrics": app.metrics_url,
            "audit": audit,
        }

    def _cpu_share(self, elapsed_s: float) -> float:
        used_s = time.process_time() - self._cpu_before_s
        return round(used_s / elapsed_s, 4) if elapsed_s > 0 else 0.0

    def _recorded(self) -> Json | None:
        recorder = self._app.options.recorder
        if recorder is None:
            return None
        return {
            "folder": str(recorder.folder),
            "frames": recorder.frames,
            "bytes": recorder.bytes,
            "lost": recorder.lost,
            "failure": recorder.failure,
        }
