"""`fastbook backtest`: its arguments as assumptions, its output, its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from fastbook.errors import ConfigError
from fastbook.replay.backtest.latency import from_percentiles
from fastbook.replay.backtest.queues import Queue
from fastbook.replay.backtest.run import FundingRule
from fastbook.replay.paper import PaperFees

from .backtest import BacktestOptions, assumptions_of, print_summary, run_backtest, summary_of
from .backtest_page import page
from .config import load
from .logs import set_up_logging
from .output import print_json
from .recording.reader import Recording

T = TypeVar("T")


def backtest(args: argparse.Namespace) -> int:
    """Run, print, report; 0, or 1 when a strategy raised or data was damaged."""
    config = load(args.config)
    set_up_logging(args.log_level)
    if config.risk is None:
        raise ConfigError("no [risk] section: without limits there is no trading")
    options = options_of(args)
    outcome = run_backtest(config, args.data, options, progress=not args.json)
    summary = summary_of(outcome, args.report)
    if args.report is not None:
        title = f"Backtest of {', '.join(path.name for path in args.data)}"
        text = page(outcome.run, summary, assumptions_of(outcome), title)
        args.report.write_text(text, encoding="utf-8")
    if args.json:
        print_json(summary, indent=True)
    else:
        print_summary(summary)
    for text in outcome.damage.places:
        print(f"fastbook: {text}", file=sys.stderr)
    for name, error in summary["strategy_errors"].items():
        print(f"fastbook: strategy {name} raised and was switched off: {error}", file=sys.stderr)
    return 1 if summary["strategy_errors"] else 0


# --- arguments ---


def options_of(args: argparse.Namespace) -> BacktestOptions:
    """ConfigError that names the option."""
    entry = _read("--order-latency", order_latency, args.order_latency)
    answer = entry
    if args.answer_latency is not None:
        answer = _read("--answer-latency", order_latency, args.answer_latency)
    feed = args.feed_latency
    return BacktestOptions(
        feed_latency_ns=None if feed is None else _read("--feed-latency", feed_latency, feed),
        entry_latency_ns=entry,
        answer_latency_ns=answer,
        queue=Queue(args.queue),
        fees=PaperFees(
            maker=_read("--maker-fee", _fee, args.maker_fee),
            taker=_read("--taker-fee", _fee, args.taker_fee),
        ),
        funding=_read("--funding", funding_rule, args.funding),
        reject_share=args.reject_share,
        seed=args.seed,
        instruments=args.instruments,
        skip_damaged=args.skip_damaged,
    )


def _read(option: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except (ValueError, ArithmeticError) as e:
        raise ConfigError(f"{option} {text}: {e}") from None


def _fee(text: str) -> Decimal:
    rate = Decimal(text)
    if not abs(rate) < Decimal("0.1"):
        raise ValueError("a fee is a share of the value, below 0.1")
    return rate


def latency_table(text: str) -> list[int]:
    """``5`` is 5 ms; ``50:3,90:8,99:20`` are percentiles in ms."""
    if ":" not in text:
        return [int(float(text) * 1e6)]
    pairs = [part.split(":") for part in text.split(",")]
    return from_percentiles([(float(p), float(ms)) for p, ms in pairs])


def order_latency(text: str) -> list[int]:
    """As `latency_table`, or ``recorded:RUN``: half the way and back of the orders of a run."""
    if not text.startswith("recorded:"):
        return latency_table(text)
    return recorded_latencies(Path(text.removeprefix("recorded:")))


def recorded_latencies(folder: Path) -> list[int]:
    """Half of the time from each order to the first word about it, in a recorded run."""
    sent: dict[str, int] = {}
    found: list[int] = []
    heard: dict[str, int] = {}
    for entry in Recording(folder).entries():
        if entry.kind == "journal":
            for kind, at_ns, value in entry.value:
                if kind == "command" and value["type"] == "PlaceOrder":
                    sent[value["with"]["client_id"]] = at_ns
        elif entry.kind == "event" and "client_id" in entry.value.get("with", {}):
            heard.setdefault(entry.value["with"]["client_id"], entry.recv_ns)
    found = [(heard[c] - at) // 2 for c, at in sent.items() if c in heard and heard[c] > at]
    if not found:
        raise ConfigError(f"{folder} has no orders to learn a latency from")
    return sorted(found)[:: max(1, len(found) // 1000)]


def feed_latency(text: str) -> Sequence[int]:
    """``recorded``, or as `latency_table`."""
    return () if text == "recorded" else latency_table(text)


def funding_rule(text: str) -> FundingRule | None:
    """``recorded``, ``none``, or a rate such as 0.0001 for every eight hours."""
    if text == "none":
        return None
    if text == "recorded":
        return FundingRule()
    rate = Decimal(text)
    if not abs(rate) < 1:
        raise ValueError("a funding rate is below 1")
    return FundingRule(rate=rate)
