"""Small multiples as one SVG: a column a symbol, a row a measure; simulated beside recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log10
from typing import Any

Json = dict[str, Any]
"""Any: statistics as JSON."""

WIDTH, HEIGHT = 190, 120  # of the inside of a panel
GAP_X, GAP_Y, LEFT, TOP = 42, 58, 46, 64
OURS, THEIRS, FAINT, INK = "#c2410c", "#1d4ed8", "#d4d4d8", "#27272a"
QUANTILES = ("p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99")


def draw(ours: Mapping[str, Json], theirs: Mapping[str, Json], symbols: Sequence[str]) -> str:
    """The whole picture."""
    width = LEFT + len(symbols) * (WIDTH + GAP_X)
    height = TOP + len(PANELS) * (HEIGHT + GAP_Y)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="10" fill="{INK}">'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _legend(LEFT, 18),
    ]
    for column, symbol in enumerate(symbols):
        x = LEFT + column * (WIDTH + GAP_X)
        parts.append(_text(x + WIDTH / 2, TOP - 24, symbol, anchor="middle", size=13))
        for row, (title, panel) in enumerate(PANELS):
            y = TOP + row * (HEIGHT + GAP_Y)
            parts.append(f'<g transform="translate({x} {y})">')
            parts.append(_text(0, -6, title))
            parts.append(panel(ours[symbol], theirs[symbol]))
            parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _legend(x: float, y: float) -> str:
    return (
        f'<rect x="{x}" y="{y - 8}" width="12" height="8" fill="{OURS}"/>'
        + _text(x + 17, y, "simulated", size=12)
        + f'<rect x="{x + 90}" y="{y - 8}" width="12" height="8" fill="{THEIRS}"/>'
        + _text(
            x + 107, y, "recorded: 45 quiet seconds of August 2026, linear, 200 levels", size=12
        )
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 10) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{FAINT}"/>'


def _quantiles(*path: str, marks: Sequence[float], log: bool) -> Callable[[Json, Json], str]:
    """Quantile (across) against value (up): two curves."""
    scale: Callable[[float], float] = (lambda v: log10(max(v, marks[0]))) if log else float
    low, high = scale(marks[0]), scale(marks[-1])

    def up(value: float) -> float:
        share = (min(max(scale(value), low), high) - low) / (high - low)
        return HEIGHT * (1.0 - share)

    def panel(ours: Json, theirs: Json) -> str:
        parts = []
        for mark in marks:
            parts.append(_line(0, up(mark), WIDTH, up(mark)))
            parts.append(_text(-4, up(mark) + 3, f"{mark:g}", anchor="end"))
        for number, name in enumerate(QUANTILES):
            x = WIDTH * number / (len(QUANTILES) - 1)
            parts.append(_text(x, HEIGHT + 13, f"{name[1:]}%", anchor="middle", size=8))
        for statistics, colour in ((theirs, THEIRS), (ours, OURS)):
            values: Any = statistics  # Any: JSON
            for key in path:
                values = values[key]
            points = " ".join(
                f"{WIDTH * n / (len(QUANTILES) - 1):.1f},{up(values[q]):.1f}"
                for n, q in enumerate(QUANTILES)
            )
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
        return "".join(parts)

    return panel


def _bars(ours: Json, theirs: Json) -> str:
    """Share of the changed levels by their rank before the frame."""
    histograms = [
        statistics["rank_before_frame"]["modify"]["histogram"] for statistics in (ours, theirs)
    ]
    names = list(histograms[0])
    parts = []
    for mark in (0.0, 0.2, 0.4, 0.6):
        y = HEIGHT * (1.0 - mark / 0.6)
        parts.append(_line(0, y, WIDTH, y))
        parts.append(_text(-4, y + 3, f"{mark:.0%}", anchor="end"))
    slot = WIDTH / len(names)
    for number, name in enumerate(names):
        for which, (histogram, colour) in enumerate(zip(histograms, (OURS, THEIRS), strict=True)):
            tall = HEIGHT * min(histogram.get(name, 0.0), 0.6) / 0.6
            parts.append(
                f'<rect x="{number * slot + 2 + which * (slot / 2 - 2):.1f}" '
                f'y="{HEIGHT - tall:.1f}" width="{slot / 2 - 2:.1f}" height="{tall:.1f}" '
                f'fill="{colour}"/>'
            )
        parts.append(_text((number + 0.5) * slot, HEIGHT + 13, name, anchor="middle", size=7))
    return "".join(parts)


PANELS: tuple[tuple[str, Callable[[Json, Json], str]], ...] = (
    (
        "bytes of a delta",
        _quantiles("frame_bytes", "delta", marks=(100, 300, 1000, 3000), log=True),
    ),
    (
        "levels in a delta",
        _quantiles("levels_per_delta", "total", marks=(1, 3, 10, 30, 100), log=True),
    ),
    ("rank of a changed level, 0 = best", _bars),
    (
        "new size / old size, natural log",
        _quantiles("log_size_ratio_of_modify", marks=(-6, -3, 0, 3, 6), log=False),
    ),
    (
        "milliseconds between deltas",
        _quantiles("inter_frame_ms", "ts", marks=(0, 100, 200, 300), log=False),
    ),
    ("spread, ticks", _quantiles("spread_ticks", marks=(0, 2, 4, 6), log=False)),
)
"""Title and drawing of each row."""
