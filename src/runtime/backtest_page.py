"""The report of a backtest: one HTML file with its plots inside, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from html import escape
from typing import Any

from fastbook.replay.backtest.run import Account, Backtest

from . import plots

Json = dict[str, Any]
"""Any: a JSON document."""

STYLE = """
:root{--bg:#fbfbfa;--card:#fff;--ink:#1d2126;--dim:#69727d;--rule:#e4e6e8;--s0:#2563c9;--s1:#c2410c;--s2:#15803d;--buy:#15803d;--sell:#c2410c}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--ink:#e6e8ea;--dim:#98a1ab;--rule:#30363c;--s0:#6ea3f5;--s1:#f0935a;--s2:#5cc98a;--buy:#5cc98a;--sell:#f0935a}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1360px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:0 0 2px}h2{font-size:16px;margin:0 0 8px}
.dim{color:var(--dim)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:20px 0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:16px}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px;min-width:0}
.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.card small{color:var(--dim)}
.wide{overflow-x:auto;margin:16px 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left}td.text{text-align:left;white-space:normal}
th{color:var(--dim);font-weight:500}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--dim);font-size:11px}svg .grid{stroke:var(--rule)}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.area{opacity:.15}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}
.area.s0,.bar,.bar.s0{fill:var(--s0)}.bar.s1{fill:var(--s1)}.bar.s2{fill:var(--s2)}
.dot{opacity:.75}.dot.buy{fill:var(--buy)}.dot.sell{fill:var(--sell)}
.key span{margin-right:14px}.key i{display:inline-block;width:10px;height:10px;border-radius:5px;margin-right:5px}
.k0{background:var(--s0)}.k1{background:var(--s1)}.k2{background:var(--s2)}.kb{background:var(--buy)}.ks{background:var(--sell)}
"""

FORMULAS = [
    ("net P&amp;L", "equity at the end less equity at the start: realised + open - fees + funding"),
    ("Sharpe", "mean / standard deviation (of a sample) of the returns of one step, times the square root of the steps in a year of 365.25 days; a step is a minute, or a second where there are fewer than 30 minutes; risk-free rate 0"),
    ("Sortino", "the same, over the root mean square of the returns below 0"),
    ("max draw-down", "largest fall of the equity from a peak before it, as a share of that peak; sampled once a second"),
    ("fill ratio", "value filled / value ordered, both at the limit prices"),
    ("slippage", "(price of the fill / mid when it was decided - 1) * 10,000 bps, times -1 for sells: above 0 it cost us; the mean is weighted by value"),
    ("latency to the fill", "from the decision to the news of the fill, as assumed by the latency models"),
]  # fmt: skip


def page(run: Backtest, summary: Json, assumptions: list[tuple[str, str]], title: str) -> str:
    """The whole file."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p class='dim'>{escape(_span(run, summary))}</p>"
        f"{_cards(summary)}{_table(run, summary)}"
        f"<div class='plots'>{''.join(_card(n, k, p) for n, k, p in _plots(run))}</div>"
        f"{_notes(assumptions)}</main></body></html>\n"
    )


def _span(run: Backtest, s: Json) -> str:
    first, last = (_stamp(ns) for ns in (run.first_ns, run.last_ns))
    text = f"{first} to {last} UTC, {s['symbols']} symbols, {s['frames']:,} book frames"
    if s["gaps"] or s["pauses"]:
        text += f"; {s['gaps']} gaps in the books, {s['pauses']} pauses of more than a minute"
    return text


def _stamp(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else "-"


def _cards(s: Json) -> str:
    bounds = s["bounds"]

    def between(key: str, form: str) -> str:
        low, high = bounds["pessimistic"][key], bounds["optimistic"][key]
        return f"{_form(low, form)} pessimistic, {_form(high, form)} optimistic"

    cards = [
        (f"net P&amp;L, {escape(s['currency'])}", _form(s["net_pnl"], ",.2f"), between("net_pnl", ",.2f")),
        ("fees", _form(s["fees"], ",.2f"), between("fees", ",.2f")),
        ("Sharpe", _form(s["sharpe"], ".2f"), between("sharpe", ".2f")),
        ("max draw-down", _form(s["max_drawdown"], ".3%"), between("max_drawdown", ".3%")),
        ("orders / fills", f"{s['orders']:,} / {s['fills']:,}", between("fills", ",") + " fills"),
        ("fill ratio", _form(s["fill_ratio"], ".1%"), between("fill_ratio", ".1%")),
    ]  # fmt: skip
    inside = "".join(
        f"<div class='card'>{n}<b>{v}</b><small>{b}</small></div>" for n, v, b in cards
    )
    return f"<div class='cards'>{inside}</div>"


def _form(value: Any, form: str) -> str:  # Any: a number or None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return format(value, form)


ROWS = [
    *(("orders", ","), ("fills", ","), ("fill_ratio", ".2%"), ("maker_fills", ",")),
    *(("traded", ",.0f"), ("realized_pnl", ",.4f"), ("unrealized_pnl", ",.4f"), ("fees", ",.4f")),
    *(("funding", ",.4f"), ("net_pnl", ",.4f"), ("sharpe", ".3f"), ("sortino", ".3f")),
    *(("max_drawdown", ".4%"), ("slippage_bps", ".3f"), ("round_trips", ","), ("win_rate", ".1%")),
    *(("refused_by_venue", ","), ("open_positions", ",")),
]


def _table(run: Backtest, s: Json) -> str:
    columns = [s, *s["bounds"].values()]
    head = "".join(f"<th>{escape(a.name)}</th>" for a in run.accounts)
    body = "".join(
        f"<tr><td>{key.replace('_', ' ').replace('pnl', 'P&amp;L')}</td>"
        + "".join(f"<td>{_form(column[key], form)}</td>" for column in columns)
        + "</tr>"
        for key, form in ROWS
    )
    return f"<div class='card wide'><table><tr><th></th>{head}</tr>{body}</table></div>"


SCENARIO_KEY = "".join(
    f"<span><i class='k{n}'></i>{name}</span>"
    for n, name in enumerate(("expected", "pessimistic", "optimistic"))
)
SIDE_KEY = "<span><i class='kb'></i>buy</span><span><i class='ks'></i>sell</span>"


def _card(name: str, key: str, plot: str) -> str:
    return f"<div class='card'><h2>{name}</h2><div class='key dim'>{key}</div>{plot}</div>"


def _plots(run: Backtest) -> list[tuple[str, str, str]]:
    columns, trail = run.series.columns, run.accounts[0].trail
    t0 = run.first_ns / 1e9
    t = [x - t0 for x in columns["t"]]
    equity = {a.name: list(zip(t, columns[a.name], strict=True)) for a in run.accounts}
    fall = {a.name: _drawdown(equity[a.name]) for a in run.accounts}
    exposure = {"exposure": list(zip(t, columns["exposure"], strict=True))}
    seconds, scatter = "seconds", {"x_name": "z-score", "y_name": "imbalance"}
    entries = [(e.z, e.lean, "buy" if e.side > 0 else "sell") for e in trail.entries[:4000]]
    ratios = {a.name: a.trail.fill_ratio * 100 for a in run.accounts}
    return [
        ("Equity", SCENARIO_KEY, plots.lines(equity, x_name=seconds, y_name="equity")),
        ("Draw-down", SCENARIO_KEY,
         plots.lines(fall, x_name=seconds, y_name="% below the peak", zero=True)),
        ("Position", "value of what is held, all symbols, signed",
         plots.lines(exposure, x_name=seconds, y_name="quote units", zero=True, area=True)),
        _price(run, t, t0),
        ("Signals at entries", SIDE_KEY, plots.dots(entries, **scatter)),
        ("Slippage", "against the mid at the decision; above 0 it cost us",
         plots.histogram([f.slippage_bps for f in trail.kept], x_name="bps")),
        ("Fill ratio", "value filled by value ordered",
         plots.bars(ratios, x_name="per cent", unit=" %")),
        ("Latency to the fill", SCENARIO_KEY,
         plots.lines({a.name: _latency(a) for a in run.accounts},
                     x_name="percentile", y_name="ms", zero=True)),
    ]  # fmt: skip


def _price(run: Backtest, t: list[float], t0: float) -> tuple[str, str, str]:
    """Of the symbol with the most fills."""
    trail = run.accounts[0].trail
    counts: dict[int, int] = {}
    for fill in trail.kept:
        counts[fill.instrument] = counts.get(fill.instrument, 0) + 1
    index = max(counts, key=lambda i: counts[i]) if counts else 0
    symbol = run.instruments[index].symbol
    mids = {symbol: list(zip(t, run.series.columns[symbol], strict=True))}
    marks = [
        (f.at_ns / 1e9 - t0, f.px, "buy" if f.side > 0 else "sell")
        for f in trail.kept
        if f.instrument == index
    ][:2000]
    plot = plots.lines(mids, x_name="seconds", y_name=symbol, marks=marks)
    return f"Price and fills: {escape(symbol)}", SIDE_KEY, plot


def _drawdown(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    peak, fall = -math.inf, []
    for x, equity in points:
        if not math.isnan(equity):
            peak = max(peak, equity)
            fall.append((x, (equity / peak - 1.0) * 100.0 if peak > 0 else 0.0))
    return fall


def _latency(account: Account) -> list[tuple[float, float]]:
    histogram = account.trail.fill_latency
    if not histogram.count:
        return []
    steps = [*range(0, 100, 5), 99, 99.9]
    return [(float(p), histogram.quantile(p / 100) / 1e6) for p in steps]


def _notes(assumptions: list[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(n)}</td><td class='text'>{escape(v)}</td></tr>" for n, v in assumptions
    )
    formulas = "".join(f"<tr><td>{n}</td><td class='text'>{v}</td></tr>" for n, v in FORMULAS)
    return (
        f"<div class='card wide'><h2>Assumptions</h2><table>{rows}</table></div>"
        f"<div class='card wide'><h2>How the figures are made</h2><table>{formulas}</table></div>"
    )
