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

Status = dict[str, Any]  # Any: a JSON document; status.py says what is in it

STATE_STYLE = {
    "SYNCED": "green",
    "STALE": "yellow",
    "SYNCING": "cyan",
    "UNSYNCED": "bold red",
    "NO_BOOK": "dim",
}
LADDER_LEVELS = 10
BAR_WIDTH = 12


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine ends; we end with it
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for line in sys.stdin.buffer:
            live.update(draw(orjson.loads(line), *console.size), refresh=True)
    return 0


def draw(status: Status, width: int = 120, height: int = 40) -> RenderableType:
    """One picture of the engine that fills `width` by `height` characters."""
    bottom = 11 if height >= 34 else max(4, height // 4)
    levels = max(2, min(LADDER_LEVELS, (height - 3 - bottom - 3) // 2))
    layout = Layout()
    layout.split_column(
        Layout(header(status), size=3),
        Layout(name="middle"),
        Layout(name="bottom", size=bottom),
    )
    book = ladder(status["focus"], levels)
    if width >= 90:
        layout["middle"].split_row(Layout(book, ratio=5), Layout(name="right", ratio=4))
        layout["right"].split_column(
            Layout(signals(status["focus"]), size=8), Layout(engine(status))
        )
    else:
        layout["middle"].update(book)
    layout["bottom"].split_row(
        Layout(positions(status["positions"], bottom - 3), ratio=5),
        Layout(events(status["events"], bottom - 2), ratio=4),
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
    text.append("   Ctrl-C ends", style="dim")
    return Panel(text, padding=(0, 1))


def ladder(focus: Status, levels: int) -> RenderableType:
    table = Table(expand=True, box=None, padding=(0, 1), show_header=True, header_style="dim")
    table.add_column("bids", justify="right", no_wrap=True)
    table.add_column("", justify="right", width=BAR_WIDTH)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("", justify="left", width=BAR_WIDTH)
    table.add_column("asks", justify="left", no_wrap=True)
    asks, bids = focus["asks"][:levels], focus["bids"][:levels]
    largest = max((qty for _, qty in [*asks, *bids]), default=1.0) or 1.0
    digits, size_digits = focus["price_digits"], focus["size_digits"]
    for px, qty in reversed(asks):
        bar = Text("█" * bar_cells(qty, largest), style="red")
        table.add_row("", "", f"[red]{px:,.{digits}f}[/]", bar, f"{qty:,.{size_digits}f}")
    for px, qty in bids:
        bar = Text("█" * bar_cells(qty, largest), style="green")
        table.add_row(f"{qty:,.{size_digits}f}", bar, f"[green]{px:,.{digits}f}[/]", "", "")
    state = focus["state"]
    title = Text.assemble(
        (f" {focus['symbol']} ", "bold"), (state, STATE_STYLE.get(state, "")), f"  u {focus['u']} "
    )
    return Panel(table, title=title, title_align="left")


def bar_cells(qty: float, largest: float) -> int:
    return max(1, round(qty / largest * BAR_WIDTH))


def signals(focus: Status) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", width=11)
    table.add_column(justify="right", width=14)
    table.add_column()
    table.add_row("mid", number(focus["mid"], focus["price_digits"] + 1))
    table.add_row("microprice", number(focus["microprice"], focus["price_digits"] + 2))
    table.add_row("spread", number(focus["spread_bps"], 2, " bps"))
    table.add_row("z-score", number(focus["zscore"], 2), gauge(focus["zscore"], 4.0))
    table.add_row("imbalance", number(focus["imbalance"], 2), gauge(focus["imbalance"], 1.0))
    table.add_row("order flow", number(focus["ofi"], 3))
    return Panel(table, title="signals", title_align="left")


def gauge(value: float | None, limit: float, half: int = 9) -> Text:
    """A bar that grows left (red) or right (green) of the middle."""
    if value is None:
        return Text("·" * (2 * half + 1), style="dim")
    cells = min(half, round(abs(value) / limit * half))
    left = ("█" * cells).rjust(half) if value < 0 else " " * half
    right = ("█" * cells).ljust(half) if value > 0 else " " * half
    return Text.assemble((left, "red"), ("│", "dim"), (right, "green"))


def engine(status: Status) -> RenderableType:
    latency = status["latency_us"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", width=11)
    table.add_column()
    table.add_row("messages", f"{status['messages_per_s']:,.0f} /s   {status['messages']:,} in all")
    table.add_row(
        "latency",
        f"p50 {micros(latency['p50'])}   p99 {micros(latency['p99'])}   cpu {status['cpu_share']:.0%}",
    )
    books = Text()
    for state, count in status["books"].items():
        if count:
            books.append(f"{count} {state}  ", style=STATE_STYLE.get(state, ""))
    table.add_row("books", books)
    table.add_row("feed", f"gaps {status['gaps']}   reconnects {status['reconnects']}")
    table.add_row(
        "orders",
        f"signals {status['signals']}  sent {status['orders']}  fills {status['fills']}"
        f"  denied {status['denied']}",
    )
    table.add_row("equity", f"{status['equity']:,.2f} {status['currency']}")
    pnl = status["realized_pnl"]
    table.add_row(
        "P&L",
        Text.assemble(
            (f"{pnl:+,.4f}", "green" if pnl >= 0 else "red"), f"   fees {status['fees']:,.4f}"
        ),
    )
    return Panel(table, title="engine", title_align="left")


def positions(rows: list[Status], most: int) -> RenderableType:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    for name in ("symbol", "position", "entry", "open P&L"):
        table.add_column(name, justify="left" if name == "symbol" else "right")
    for row in rows[:most]:
        style = "green" if row["open_pnl"] >= 0 else "red"
        table.add_row(
            row["symbol"], row["qty"], row["entry"], Text(f"{row['open_pnl']:+,.4f}", style=style)
        )
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
