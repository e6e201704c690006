"""A run in words: a line now and then while it lasts, and the end of it."""

from __future__ import annotations

import sys
from decimal import Decimal

from .output import counted
from .report import Json

PROGRESS_S = 5.0
DENIALS_SHOWN_MAX = 3
MARGIN = 11


def print_summary(summary: Json) -> None:
    """One subject a line; what chaos did and what was seen of it at the end."""
    for name, text in summary_lines(summary):
        print(f"  {name:<{MARGIN}}{text}")


def summary_lines(summary: Json) -> list[tuple[str, str]]:
    s = summary
    coin = s["currency"]
    lines = [
        (
            "messages",
            f"{s['messages']:,} in {s['seconds']:.1f} s: {s['messages_per_s']:,}/s over WebSocket",
        ),
        ("books", f"{s['books_synced']} of {s['symbols']} SYNCED"),
        (
            "feed",
            (
                f"{counted(s['gaps'], 'gap')}, {counted(s['resyncs'], 'resync')},"
                f" {s['stale_marks']} stale, {counted(s['reconnects'], 'reconnect')}"
            ),
        ),
        ("latency", latency_text(s["latency_us"])),
        ("cpu", f"{s['cpu_share']:.0%} of one core"),
        ("trading", trading_text(s)),
        ("risk", denied_text(s["denied"])),
        (
            "P&L",
            f"{money(s['realized_pnl'])} {coin} realised, {money(s['fees'])} {coin} fees",
        ),
        ("equity", f"{money(s['equity'])} {coin}"),
    ]
    audit = s.get("audit")
    if audit is not None:
        agrees = "balance, P&L, fees and fills equal the exchange's own, to the last digit"
        lines.append(("account", agrees if audit["agrees"] else "DIFFERS from the exchange's own"))
    recorded = s.get("recorded")
    if recorded:
        lines.append(("recorded", f"{recorded['frames']:,} frames in {recorded['folder']}"))
    chaos = s.get("chaos", {})
    for fault in chaos.get("injected", []):
        lines.append(("chaos", f"{fault['at_s']:4.1f} s  {fault['what']}"))
    for text, held in chaos.get("checks", {}).items():
        lines.append(("seen" if held else "MISSED", text))
    return lines


def latency_text(latency: Json) -> str:
    p50, p99, p999 = (micros(latency[name]) for name in ("p50", "p99", "p999"))
    return f"p50 {p50}, p99 {p99}, p999 {p999}, from socket read to decision"


def trading_text(summary: Json) -> str:
    nouns = (("signals", "signal"), ("orders", "order"), ("fills", "fill"))
    text = ", ".join(counted(summary[name], noun) for name, noun in nouns)
    left = summary["open_positions"]
    return f"{text}; {counted(left, 'position')} left open" if left else text


def denied_text(denied: Json) -> str:
    """How many intents were refused, and the commonest reasons."""
    if not denied:
        return "nothing denied"
    commonest = sorted(denied.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{n} {reason}" for reason, n in commonest[:DENIALS_SHOWN_MAX])
    more = ", ..." if len(denied) > DENIALS_SHOWN_MAX else ""
    return f"{sum(denied.values())} denied: {shown}{more}"


def micros(value: float | None) -> str:
    """Microseconds for people; "-" where there is no answer."""
    if value is None:
        return "-"
    return f"{value / 1000:,.1f} ms" if value >= 1000 else f"{value:,.0f} µs"


def money(value: Decimal | None) -> str:
    """Every digit that says something."""
    return "unknown" if value is None else f"{value.normalize():,f}"


class ProgressLines:
    """A line on stderr now and then, where no screen is shown."""

    def __init__(self) -> None:
        self._due_s = 0.0

    def __call__(self, status: Json) -> None:
        elapsed_s = status["elapsed_s"]
        if elapsed_s < self._due_s:
            return
        started = self._due_s > 0
        self._due_s = elapsed_s - elapsed_s % PROGRESS_S + PROGRESS_S
        text = progress_line(status) if started else start_line(status)
        print(f"fastbook: {text}", file=sys.stderr, flush=True)


def start_line(status: Json) -> str:
    length = f"for {status['seconds']:g} s" if status["seconds"] else "until stopped"
    where = f"; metrics at {status['metrics']}" if status.get("metrics") else ""
    return f"running {length}: {status['title']}{where}; Ctrl-C ends it"


def progress_line(status: Json) -> str:
    return (
        f"{status['elapsed_s']:.0f} s: {status['books']['SYNCED']} books SYNCED,"
        f" {status['messages_per_s']:,.0f} messages/s, {counted(status['orders'], 'order')},"
        f" {counted(status['fills'], 'fill')}, equity {status['equity']:,.2f} {status['currency']}"
    )
