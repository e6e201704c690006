"""The live terminal screen: a process of its own, so that drawing never delays a book.

It reads one JSON status a line on stdin and draws it; at the end of input it gives the terminal
back as it was and exits.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import orjson
from rich.align import Align
from rich.console import Console, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .output import counted

Status = dict[str, Any]  # Any: a JSON document; status.py says what is in it

STATE_STYLE = {
    "SYNCED": "green",
    "STALE": "yellow",
    "SYNCING": "cyan",
    "UNSYNCED": "bold red",
    "NO_BOOK": "dim",
}
LADDER_LEVELS = 10
BAR_WIDTH_MAX = 14
HEADER_HEIGHT = 3
BOTTOM_HEIGHT_MIN = 5
SIDE_WIDTH_MIN = 44
"""Of signals and engine; the ladder has the rest, or is left out."""
LADDER_WIDTH_MIN = 34
LESS_WANTED = frozenset({"spread", "order flow", "cpu", "signals"})
SIDE_HEIGHT = 18
"""With this many lines, signals and engine have a panel each."""


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine ends; we end with it
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for line in sys.stdin.buffer:
            live.update(draw(orjson.loads(line), *console.size), refresh=True)
    return 0


def draw(status: Status, width: int = 120, height: int = 40) -> RenderableType:
    """One picture of the engine that fills `width` by `height` characters."""
    room = height - HEADER_HEIGHT - BOTTOM_HEIGHT_MIN
    levels = max(2, min(LADDER_LEVELS, (room - 3) // 2))
    middle_height = 2 * levels + 3
    layout = Layout()
    layout.split_column(
        Layout(header(status), size=HEADER_HEIGHT),
        Layout(name="middle", size=middle_height),
        Layout(name="bottom"),
    )
    ladder_width = max(LADDER_WIDTH_MIN, min(round(width * 0.55), width - SIDE_WIDTH_MIN))
    if width - ladder_width >= SIDE_WIDTH_MIN:
        book = ladder(status["focus"], levels, ladder_width)
        layout["middle"].split_row(Layout(book, size=ladder_width), Layout(name="side"))
        side = layout["side"]
    else:
        side = layout["middle"]
    if middle_height >= SIDE_HEIGHT:
        side.split_column(
            Layout(panel("signals", signal_rows(status["focus"])), size=8),
            Layout(panel("engine", engine_rows(status))),
        )
    else:
        rows = signal_rows(status["focus"])[2:] + engine_rows(status)
        if len(rows) > middle_height - 2:
            rows = [row for row in rows if row[0] not in LESS_WANTED]
        side.update(panel("signals and engine", rows))
    bottom_height = height - HEADER_HEIGHT - middle_height
    layout["bottom"].split_row(
        Layout(positions(status["positions"], bottom_height - 3, whole=width >= 90)),
        Layout(events(status["events"], bottom_height - 2)),
    )
    return layout


def header(status: Status) -> RenderableType:
    text = Text()
    text.append(" fastbook ", style="bold reverse")
    text.append(f"  {status['title']}   ")
    state = status["trading_state"]
    text.append(state.upper(), style="bold green" if state == "active" else "bold yellow")
    text.append(f"   {status['elapsed_s']:.0f} s")
    if status["seconds"]:
        text.append(f" of {status['seconds']:.0f} s")
    if status.get("metrics"):
        text.append(f"   {status['metrics']}", style="dim")
    text.append("   Ctrl-C ends", style="dim")
    return Panel(text, padding=(0, 1))


def ladder(focus: Status, levels: int, width: int) -> RenderableType:
    """The book around its touch; bars as long as the room lets them be."""
    asks, bids = focus["asks"][:levels], focus["bids"][:levels]
    digits, size_digits = focus["price_digits"], focus["size_digits"]
    largest = max((qty for _, qty in [*asks, *bids]), default=1.0) or 1.0
    prices = [f"{px:,.{digits}f}" for px, _ in [*reversed(asks), *bids]]
    sizes = [f"{qty:,.{size_digits}f}" for _, qty in [*reversed(asks), *bids]]
    px_width = max([5, *map(len, prices)])
    size_width = max([4, *map(len, sizes)])
    room = (width - 4 - px_width - 2 * size_width - 4) // 2
    bar_width = min(BAR_WIDTH_MAX, room) if room >= 3 else 0
    blank = " " * (size_width + 1 + bar_width)
    text = Text(f"{'bids':>{size_width}} {'':{bar_width}} {'price':^{px_width}} ", style="dim")
    text.append(f"{'':{bar_width}} {'asks':<{size_width}}")
    for row, (px, size) in enumerate(zip(prices, sizes, strict=True)):
        is_ask = row < len(asks)
        qty = asks[len(asks) - 1 - row][1] if is_ask else bids[row - len(asks)][1]
        bar = "█" * bar_cells(qty, largest, bar_width)
        style = "red" if is_ask else "green"
        left = ("", "") if is_ask else (f"{size:>{size_width}} {bar:>{bar_width}}", style)
        right = (f"{bar:<{bar_width}} {size:<{size_width}}", style) if is_ask else ("", "")
        line = Text.assemble(
            left if left[0] else blank,
            " ",
            (f"{px:>{px_width}}", style),
            " ",
            right if right[0] else blank,
        )
        text.append("\n").append(line)
    state = focus["state"]
    title = Text.assemble(
        (f" {focus['symbol']} ", "bold"), (state, STATE_STYLE.get(state, "")), f"  u {focus['u']} "
    )
    return Panel(Align.center(text), title=title, title_align="left")


def bar_cells(qty: float, largest: float, width: int) -> int:
    return max(1, round(qty / largest * width)) if width else 0


Line = tuple[str, RenderableType]
"""A label and what stands beside it."""


def panel(title: str, rows: list[Line]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", width=10, no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for label, text in rows:
        table.add_row(label, text)
    return Panel(table, title=title, title_align="left")


def signal_rows(focus: Status) -> list[Line]:
    """Mid and micro-price first: they go when there is little room."""
    digits = focus["price_digits"]
    z, imbalance = focus["zscore"], focus["imbalance"]
    return [
        ("mid", f"{number(focus['mid'], digits + 1):>12}"),
        ("microprice", f"{number(focus['microprice'], digits + 2):>12}"),
        ("spread", f"{number(focus['spread_bps'], 2):>12} bps"),
        ("z-score", Text.assemble(f"{number(z, 2):>12}  ", gauge(z, 4.0))),
        ("imbalance", Text.assemble(f"{number(imbalance, 2):>12}  ", gauge(imbalance, 1.0))),
        ("order flow", f"{number(focus['ofi'], 3):>12}"),
    ]


def gauge(value: float | None, limit: float, half: int = 7) -> Text:
    """A bar that grows left (red) or right (green) of the middle."""
    if value is None:
        return Text("·" * (2 * half + 1), style="dim")
    cells = min(half, round(abs(value) / limit * half))
    left = ("█" * cells).rjust(half) if value < 0 else " " * half
    right = ("█" * cells).ljust(half) if value > 0 else " " * half
    return Text.assemble((left, "red"), ("│", "dim"), (right, "green"))


def engine_rows(status: Status) -> list[Line]:
    latency = status["latency_us"]
    books = Text()
    for state, count in status["books"].items():
        if count:
            books.append(f"{count} {state}  ", style=STATE_STYLE.get(state, ""))
    pnl = status["realized_pnl"]
    colour = "green" if pnl >= 0 else "red"
    return [
        ("messages", f"{status['messages_per_s']:,.0f}/s, {status['messages']:,} in all"),
        ("latency", f"p50 {micros(latency['p50'])}, p99 {micros(latency['p99'])}"),
        ("cpu", f"{status['cpu_share']:.0%} of one core"),
        ("books", books),
        ("feed", f"{counted(status['gaps'], 'gap')}, {counted(status['reconnects'], 'reconnect')}"),
        ("signals", f"{status['signals']}, {status['denied']} orders denied"),
        ("orders", f"{status['orders']}, {counted(status['fills'], 'fill')}"),
        ("P&L", Text.assemble((f"{pnl:+,.2f}", colour), f", fees {status['fees']:,.2f}")),
        ("equity", f"{status['equity']:,.2f} {status['currency']}"),
    ]


def positions(rows: list[Status], most: int, *, whole: bool) -> RenderableType:
    """Open positions, as many as fit; with the entry price where there is room."""
    names = ("symbol", "position", "entry", "P&L") if whole else ("symbol", "position", "P&L")
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    for name in names:
        left = name == "symbol"
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows[:most]:
        style = "green" if row["open_pnl"] >= 0 else "red"
        entry = [row["entry"]] if whole else []
        pnl = Text(f"{row['open_pnl']:+,.4f}", style=style)
        table.add_row(row["symbol"], row["qty"], *entry, pnl)
    body = table if rows else Align.center(Text("no open position", style="dim"), vertical="middle")
    return Panel(body, title=f"positions ({len(rows)})", title_align="left")


def events(lines: list[str], most: int) -> RenderableType:
    text = Text("\n".join(lines[-most:]), no_wrap=True, overflow="ellipsis")
    return Panel(text, title="events", title_align="left")


def number(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def micros(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:,.1f} ms" if value >= 1000 else f"{value:,.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
