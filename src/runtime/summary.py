"""The end of a run in words."""

from __future__ import annotations

from .app import Json


def print_summary(summary: Json) -> None:
    """One line a subject; faults and problems, if there were any, at the end."""
    for name, text in summary_lines(summary):
        print(f"  {name:<10}{text}")


def summary_lines(summary: Json) -> list[tuple[str, str]]:
    s = summary
    latency = s["latency_us"]
    lines = [
        (
            "messages",
            (
                f"{s['messages']:,} in {s['seconds']:.1f} s, {s['messages_per_s']:,}/s"
                " through real sockets"
            ),
        ),
        (
            "books",
            (
                f"{s['books_synced']} of {s['symbols']} SYNCED, {s['gaps']} gaps,"
                f" {s['reconnects']} reconnects"
            ),
        ),
        (
            "latency",
            (
                f"p50 {latency['p50']} us, p99 {latency['p99']} us, p999 {latency['p999']} us,"
                " socket read to decision"
            ),
        ),
        ("cpu", f"{s['cpu_share']:.0%} of one core"),
        (
            "trading",
            (
                f"{s['signals']} signals, {s['orders']} orders, {s['fills']} fills,"
                f" {sum(s['denied'].values())} denied by risk"
            ),
        ),
        ("P&L", f"{s['realized_pnl']} realised, {s['fees']} fees, equity {s['equity']}"),
    ]
    if s.get("recorded"):
        lines.append(("recorded", f"{s['recorded']['frames']:,} frames in {s['recorded']['file']}"))
    audit = s.get("audit")
    if audit is not None:
        agrees = "equal to the exchange's, to the last digit"
        lines.append(("account", agrees if audit["agrees"] else "differs from the exchange's"))
    for fault in s.get("chaos", {}).get("injected", []):
        lines.append(("chaos", f"{fault['at_s']:.1f} s: {fault['what']}"))
    for text, held in s.get("chaos", {}).get("checks", {}).items():
        lines.append(("seen" if held else "MISSED", text))
    return lines + [("PROBLEM", text) for text in s.get("problems", [])]
