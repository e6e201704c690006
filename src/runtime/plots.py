"""Small plots as inline SVG. Colours are CSS classes, so that a page can be light or dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 24, 28

Point = tuple[float, float]


class Axes:
    """Data to picture, with ticks at round numbers."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float], *, zero: bool = False) -> None:
        self.x0, self.x1 = _span(xs, zero=False)
        self.y0, self.y1 = _span(ys, zero=zero)

    def x(self, value: float) -> float:
        return LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y0) / (self.y1 - self.y0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def svg(self, x_name: str, y_name: str) -> str:
        parts = []
        for tick in ticks(self.y0, self.y1):
            y = self.y(tick)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{number(tick)}</text>'
            )
        for tick in ticks(self.x0, self.x1):
            x = self.x(tick)
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{number(tick)}</text>'
            )
        parts.append(
            f'<text class="name" x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(x_name)}</text>'
            f'<text class="name" x="{LEFT}" y="12">{escape(y_name)}</text>'
        )
        return "".join(parts)


def lines(
    series: Mapping[str, Sequence[Point]],
    *,
    x_name: str,
    y_name: str,
    zero: bool = False,
    area: bool = False,
    marks: Sequence[tuple[float, float, str]] = (),
) -> str:
    """One line a name, classes s0, s1, ...; `marks` are (x, y, class) on top."""
    kept = {n: [p for p in ps if not math.isnan(p[1])] for n, ps in series.items()}
    points = [p for ps in kept.values() for p in ps] + [(x, y) for x, y, _ in marks]
    if not points:
        return empty()
    axes = Axes([x for x, _ in points], [y for _, y in points], zero=zero)
    parts = [axes.svg(x_name, y_name)]
    for at, (name, ps) in enumerate(kept.items()):
        if not ps:
            continue
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in ps)
        if area:
            base = axes.y(min(max(0.0, axes.y0), axes.y1))
            first, last = axes.x(ps[0][0]), axes.x(ps[-1][0])
            parts.append(
                f'<polygon class="area s{at}" points="{first:.1f},{base:.1f} {path} {last:.1f},{base:.1f}"/>'
            )
        parts.append(
            f'<polyline class="line s{at}" points="{path}"><title>{escape(name)}</title></polyline>'
        )
    parts += [dot(axes, x, y, cls) for x, y, cls in marks]
    return picture("".join(parts))


def dots(points: Sequence[tuple[float, float, str]], *, x_name: str, y_name: str) -> str:
    """A scatter of (x, y, class)."""
    points = [p for p in points if not math.isnan(p[0]) and not math.isnan(p[1])]
    if not points:
        return empty()
    axes = Axes([p[0] for p in points], [p[1] for p in points])
    return picture(axes.svg(x_name, y_name) + "".join(dot(axes, x, y, c) for x, y, c in points))


def histogram(values: Sequence[float], *, x_name: str, bins: int = 40) -> str:
    """How often what was seen; the outermost percent on either side is folded into the end bins."""
    known = sorted(v for v in values if not math.isnan(v))
    if not known:
        return empty()
    low, high = known[len(known) // 100], known[-1 - len(known) // 100]
    low, high = _span([low, high], zero=False)
    counts = [0] * bins
    for v in known:
        counts[max(0, min(bins - 1, int((v - low) / (high - low) * bins)))] += 1
    axes = Axes([low, high], [0.0, float(max(counts))], zero=True)
    width = (axes.x(high) - axes.x(low)) / bins
    parts = [axes.svg(x_name, "fills")]
    for at, count in enumerate(counts):
        if count:
            x, y = axes.x(low) + at * width, axes.y(count)
            parts.append(
                f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 1):.1f}"'
                f' height="{axes.y(0) - y:.1f}"><title>{count}</title></rect>'
            )
    return picture("".join(parts))


def bars(values: dict[str, float], *, x_name: str, unit: str = "") -> str:
    """One horizontal bar a name."""
    known = {n: v for n, v in values.items() if not math.isnan(v)}
    if not known:
        return empty()
    longest = max(*known.values(), 1e-12)
    step = (HEIGHT - TOP - BOTTOM) / len(known)
    parts = []
    for at, (name, value) in enumerate(known.items()):
        y = TOP + at * step
        width = max(value, 0.0) / longest * (WIDTH - LEFT - RIGHT - 130)
        parts.append(
            f'<text x="{LEFT + 26}" y="{y + step / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar s{at}" x="{LEFT + 34}" y="{y + step * 0.2:.1f}" width="{width:.1f}" height="{step * 0.6:.1f}"/>'
            f'<text x="{LEFT + 40 + width:.1f}" y="{y + step / 2 + 4:.1f}">{number(value)}{unit}</text>'
        )
    parts.append(
        f'<text class="name" x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(x_name)}</text>'
    )
    return picture("".join(parts))


def dot(axes: Axes, x: float, y: float, cls: str) -> str:
    return f'<circle class="dot {cls}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.6"/>'


def picture(inside: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{inside}</svg>'


def empty() -> str:
    x, y = WIDTH / 2, HEIGHT / 2
    return picture(
        f'<text class="name" x="{x}" y="{y}" text-anchor="middle">nothing to show</text>'
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    first = math.ceil(low / step) * step
    return [first + n * step for n in range(most + 2) if first + n * step <= high + step * 1e-9]


def number(value: float) -> str:
    """Short, as people write numbers."""
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:,.1f}"
    return f"{value:.4g}"


def _span(values: Sequence[float], *, zero: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= abs(high) * 1e-12:
        pad = abs(high) * 0.001 or 1.0
        return low - pad, high + pad
    return low, high
