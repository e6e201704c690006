"""The page of a sweep: heat maps, walk-forward, and how far the best point can be believed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any

from .. import plots
from ..backtest_page import STYLE
from .params import number_of
from .results import Results, Tried

Json = dict[str, Any]
"""Any: a JSON document."""

PAIRS_MAX = 6
BINS_MAX = 12
"""Columns and rows of a heat map; more values than that share them."""
POINTS_SHOWN_MAX = 30
SHADES = 7

OWN_STYLE = """
.h{stroke:var(--card);stroke-width:1}.hx{fill:var(--rule)}.hp{fill:var(--s2)}.hn{fill:var(--s1)}
.h1{fill-opacity:.1}.h2{fill-opacity:.2}.h3{fill-opacity:.32}.h4{fill-opacity:.44}.h5{fill-opacity:.56}.h6{fill-opacity:.68}.h7{fill-opacity:.8}
.dot.s0{fill:var(--s0)}.plots text.v{fill:var(--ink)}th.text,td.text{text-align:left}
"""


def page(results: Results, summary: Json, rows: Sequence[Json], title: str) -> str:
    """The whole file; nothing is loaded from elsewhere."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{OWN_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p class='dim'>{escape(_span(summary))}</p>"
        f"{_cards(summary)}<div class='plots'>{''.join(_maps(results))}{_scatter(results)}</div>"
        f"{_folds(summary)}{_table(rows, summary)}{NOTES}</main></body></html>\n"
    )


def _span(s: Json) -> str:
    text = f"{s['points']:,} points on {len(s['windows'])} windows, by {_words(s['objective'])}"
    return text + (f"; {s['failed']:,} points failed" if s["failed"] else "")


def _cards(s: Json) -> str:
    best, walk = s["best"] or {}, s["walk_forward"] or {}
    cards = [
        ("walk-forward net P&amp;L", walk.get("net_pnl"), ",.2f", "chosen on one window, traded on the next"),
        ("walk-forward Sharpe", walk.get("sharpe"), ".2f",
         f"above 0 with probability {_form(walk.get('probabilistic_sharpe'), '.0%')}"),
        ("best Sharpe in sample", best.get("sharpe"), ".2f",
         f"{_form(s['expected_best_sharpe'], '.2f')} is expected of {s['trials']:,} worthless trials"),
        ("deflated Sharpe", best.get("deflated_sharpe"), ".1%",
         "probability that the best is better than that luck"),
        ("overfitting", s["overfitting"], ".0%", "of halves choose a point below the median of the other"),
    ]  # fmt: skip
    inside = "".join(
        f"<div class='card'>{name}<b>{_form(value, form)}</b><small>{escape(small)}</small></div>"
        for name, value, form, small in cards
    )
    return f"<div class='cards'>{inside}</div>"


def _form(value: Any, form: str) -> str:  # Any: a number, text or None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return format(value, form) if isinstance(value, (int, float, Decimal)) else escape(str(value))


def _words(name: str) -> str:
    return name.replace("_", " ").replace("pnl", "P&L").replace("sharpe", "Sharpe")


# --- heat maps ---


def _maps(results: Results) -> list[str]:
    scored = [(t, results.score(t, results.all_windows)) for t in results.done]
    keys = list(results.tried[0].params)
    name = _words(results.objective)
    if len(keys) == 1:
        return [_card(keys[0], f"{name}, all windows", _curve(keys[0], scored, name))]
    pairs = list(itertools.combinations(keys, 2))[:PAIRS_MAX]
    more = ", mean over the other parameters" if len(keys) > 2 else ""
    return [
        _card(f"{_last(y)} by {_last(x)}", f"{name}, all windows{more}", heat_map(x, y, scored))
        for x, y in pairs
    ]


def _curve(key: str, scored: Sequence[tuple[Tried, float]], name: str) -> str:
    points = sorted((number_of(t.params[key]), score) for t, score in scored)
    if not points or any(math.isnan(x) for x, _ in points):
        return heat_map(key, key, scored)
    return plots.lines({name: points}, x_name=key, y_name=name, zero=True)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values of a parameter to columns or rows."""

    labels: tuple[str, ...]
    index: dict[str, int]


def _scale(values: set[str]) -> _Scale:
    numeric = all(not math.isnan(number_of(v)) for v in values)
    ordered = sorted(values, key=number_of if numeric else str)
    if len(ordered) <= BINS_MAX:
        return _Scale(tuple(ordered), {v: n for n, v in enumerate(ordered)})
    if not numeric:
        shown = (*ordered[: BINS_MAX - 1], "others")
        return _Scale(shown, {v: min(n, BINS_MAX - 1) for n, v in enumerate(ordered)})
    low, high = number_of(ordered[0]), number_of(ordered[-1])
    width = (high - low) / BINS_MAX
    labels = tuple(plots.number(low + (n + 0.5) * width) for n in range(BINS_MAX))
    index = {v: min(int((number_of(v) - low) / width), BINS_MAX - 1) for v in ordered}
    return _Scale(labels, index)


def heat_map(x_key: str, y_key: str, scored: Sequence[tuple[Tried, float]]) -> str:
    """Mean score of each pair of values; green above 0, orange below, grey where there is none."""
    if not scored:
        return plots.empty()
    xs, ys = (_scale({t.params[key] for t, _ in scored}) for key in (x_key, y_key))
    cells: dict[tuple[int, int], list[float]] = {}
    for tried, score in scored:
        at = xs.index[tried.params[x_key]], ys.index[tried.params[y_key]]
        kept = cells.setdefault(at, [])
        if not math.isnan(score):
            kept.append(score)
    means = {at: math.fsum(v) / len(v) if v else math.nan for at, v in cells.items()}
    most = max((abs(v) for v in means.values() if not math.isnan(v)), default=0.0) or 1.0
    left, top, right = plots.LEFT, plots.TOP + 8, plots.WIDTH - plots.RIGHT
    bottom = plots.HEIGHT - plots.BOTTOM
    w, h = (right - left) / len(xs.labels), (bottom - top) / len(ys.labels)
    parts = []
    for (column, row), mean in sorted(means.items()):
        x, y = left + column * w, bottom - (row + 1) * h
        parts.append(
            f'<rect class="h {_shade(mean, most)}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}"'
            f' height="{h:.1f}"><title>{escape(_last(x_key))} {escape(xs.labels[column])},'
            f" {escape(_last(y_key))} {escape(ys.labels[row])}: {_form(mean, ',.4g')}</title></rect>"
        )
        if w > 34 and h > 11:
            parts.append(
                f'<text class="v" x="{x + w / 2:.1f}" y="{y + h / 2 + 4:.1f}" text-anchor="middle">'
                f"{'-' if math.isnan(mean) else plots.number(mean)}</text>"
            )
    for n, label in enumerate(xs.labels):
        parts.append(
            f'<text x="{left + (n + 0.5) * w:.1f}" y="{bottom + 14}" text-anchor="middle">{escape(label)}</text>'
        )
    for n, label in enumerate(ys.labels):
        parts.append(
            f'<text x="{left - 6}" y="{bottom - (n + 0.5) * h + 4:.1f}" text-anchor="end">{escape(label)}</text>'
        )
    parts.append(
        f'<text class="name" x="{right}" y="{plots.HEIGHT - 2}" text-anchor="end">{escape(_last(x_key))}</text>'
        f'<text class="name" x="{left}" y="{plots.TOP + 2}">{escape(_last(y_key))}</text>'
    )
    return plots.picture("".join(parts))


def _shade(value: float, most: float) -> str:
    if math.isnan(value):
        return "hx"
    shade = min(SHADES, 1 + int(abs(value) / most * SHADES))
    return f"{'hp' if value > 0 else 'hn'} h{shade}"


def _scatter(results: Results) -> str:
    """Whether what does well does well again: every point, first half against second half."""
    count = len(results.windows)
    if count < 2:
        return ""
    first, second = range(count // 2), range(count // 2, count)
    best = results.best(first)
    points = [
        (results.score(t, first), results.score(t, second), "buy" if t is best else "s0")
        for t in results.done
    ]
    name = _words(results.objective)
    plot = plots.dots(points, x_name=f"{name}, first half", y_name="second half")
    return _card("Does it last?", "one dot a point; green: the best of the first half", plot)


def _card(name: str, key: str, plot: str) -> str:
    return f"<div class='card'><h2>{escape(name)}</h2><div class='key dim'>{escape(key)}</div>{plot}</div>"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


# --- tables ---


def _folds(s: Json) -> str:
    if s["walk_forward"] is None:
        return "<div class='card wide'>No walk-forward: every figure here is in sample.</div>"
    head = "<tr><th>train</th><th>test</th><th>point</th><th class='text'>parameters</th><th>train score</th><th>test score</th><th>test P&amp;L</th><th>better in test</th></tr>"
    body = "".join(_fold(fold) for fold in s["walk_forward"]["folds"])
    return f"<div class='card wide'><h2>Walk-forward</h2><table>{head}{body}</table></div>"


def _fold(f: Json) -> str:
    if f["point"] is None:
        cells = ["-", "nothing to choose from", "-", "-", "-", "-"]
    else:
        cells = [
            str(f["point"]),
            escape(", ".join(f"{_last(k)} {v}" for k, v in f["params"].items())),
            *(_form(f["train_score"], ",.2f"), _form(f["test_score"], ",.2f")),
            *(_form(f["test_net_pnl"], ",.2f"), str(f["better_in_test"])),
        ]
    train = f"{f['train'][0]} to {f['train'][-1]}" if len(f["train"]) > 1 else str(f["train"][0])
    row = "".join(
        f"<td{' class=text' if n == 3 else ''}>{c}</td>"
        for n, c in enumerate([train, f["test"], *cells])
    )
    return f"<tr>{row}</tr>"


SHOWN = [
    *(("net_pnl", ",.2f"), ("pessimistic_pnl", ",.2f"), ("optimistic_pnl", ",.2f"), ("fees", ",.2f")),
    *(("fills", ","), ("max_drawdown", ".3%"), ("sharpe", ".2f"), ("deflated_sharpe", ".1%")),
]  # fmt: skip


def _table(rows: Sequence[Json], s: Json) -> str:
    def rank(row: Json) -> float:
        value = row[s["objective"]]
        return -math.inf if value is None or math.isnan(value) else float(value)

    best = sorted(rows, key=rank, reverse=True)[:POINTS_SHOWN_MAX]
    keys = [key for key in rows[0] if "." in key]
    head = "".join(f"<th>{escape(_last(k))}</th>" for k in keys)
    head += "".join(f"<th>{escape(_words(n))}</th>" for n, _ in SHOWN)
    body = "".join(
        f"<tr><td>{row['point']}</td>"
        + "".join(f"<td>{escape(row[k])}</td>" for k in keys)
        + (
            f"<td class='text' colspan='{len(SHOWN)}'>{escape(row['reason'])}</td>"
            if row["reason"]
            else "".join(f"<td>{_form(row[n], form)}</td>" for n, form in SHOWN)
        )
        + "</tr>"
        for row in best
    )
    name = f"The best {len(best)} of {len(rows)}" if len(rows) > len(best) else "All points"
    return f"<div class='card wide'><h2>{name}, in sample</h2><table><tr><th>point</th>{head}</tr>{body}</table></div>"


NOTES = (
    "<div class='card wide'><h2>How the figures are made</h2><table>"
    + "".join(
        f"<tr><td>{name}</td><td class='text'>{text}</td></tr>"
        for name, text in (
            ("windows", "equal market time; each run begins flat, with new books and cold signals"),
            ("walk-forward", "the best of the windows before is traded on the next; results of the tests only"),
            ("deflated Sharpe", "Z[(SR - SR0) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)], SR0 = sqrt(V) ((1 - g) Z^-1[1 - 1/N] + g Z^-1[1 - 1/(N e)]); Bailey and Lopez de Prado, 2014"),
            ("overfitting", "combinatorially symmetric cross-validation over the windows; Bailey, Borwein, Lopez de Prado and Zhu, 2017"),
        )
    )
    + "</table></div>"
)  # fmt: skip
