"""`fastbook demo`: the bundled exchange, the real runtime against it, and a check of its books."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastbook.errors import ConfigError
from fastbook.risk import SizingParams

from .app import App
from .audit import audit_against
from .chaos import Chaos
from .children import Child, exchange_process
from .config import Config, Credentials, parse
from .exchange_control import ExchangeControl
from .logs import logs_to, set_up_logging
from .loop import run_until_stopped
from .output import counted, print_json, to_json
from .recording.recorder import Recorder
from .report import Json
from .run import endpoints_of, on_status, open_screen
from .run_options import RunOptions
from .secret import Secret
from .summary import print_summary

PROBE_WITHOUT_EDGE = 0.0025
"""Stake, of equity, once thirty trades have shown that fees eat the bundled strategy's edge.

`fastbook run` stops entering then, as it should; a demo that stopped would show nothing.
"""

DEMO_CONFIG = """
[venue]
environment = "simulator"
rest_url = "{rest}"
ws_public_url = "{ws_public}"
ws_private_url = "{ws_private}"

[market_data]
symbols = {symbols}
depth = 50
stale_after_s = {stale_after_s}
sample_ms = 50

{strategy}
[risk]
position_pct_max = 10.0
exposure_pct_max = 50.0
daily_loss_pct_max = 5.0
leverage_max = 10.0
stale_after_ms = {stale_after_ms}
"""

STRATEGIES = {
    "mean_reversion": """[strategy.mean_reversion]
lookback = 20
entry_z = 2.0
imbalance_min = 0.1
stop_loss_pct = 0.5
take_profit_pct = 1.5
""",
    "market_maker": """[strategy.market_maker]
enabled = true
size_notional = 500.0
inventory_notional_max = 2000.0
""",
}

STALE_AFTER_S = 1.0
QUIET_MESSAGES = 10
"""Messages that a book may be late by before it counts as stale."""
CHAOS_SECONDS_MIN = 8.0
CHAOS_SYMBOLS_MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """As the command line gives them."""

    seconds: float
    symbols: int
    rate: int
    seed: int
    chaos: bool
    strategy: str
    record: Path | None
    as_json: bool
    log_level: str


def demo(options: DemoOptions) -> int:
    """Run the demo; 0 when everything held, 1 when a check failed."""
    check_options(options)
    set_up_logging(options.log_level)
    return run_until_stopped(lambda stop: run_demo(options, stop))


def check_options(options: DemoOptions) -> None:
    if not options.chaos:
        return
    if options.seconds < CHAOS_SECONDS_MIN:
        raise ConfigError(f"--chaos needs --seconds {CHAOS_SECONDS_MIN:g} or more")
    if options.symbols < CHAOS_SYMBOLS_MIN:
        raise ConfigError(f"--chaos needs --symbols {CHAOS_SYMBOLS_MIN} or more")
    if options.rate < QUIET_MESSAGES * options.symbols:
        raise ConfigError(f"--chaos needs --rate {QUIET_MESSAGES} or more for each symbol")


async def run_demo(options: DemoOptions, stop: asyncio.Event) -> int:
    async with contextlib.AsyncExitStack() as stack:
        recorder = None
        if options.record is not None:
            recorder = stack.enter_context(Recorder(options.record))
        print("fastbook: starting the bundled exchange", file=sys.stderr)
        exchange = await stack.enter_async_context(
            exchange_process(options.symbols, options.seed, options.rate)
        )
        where = await exchange.first_line()
        control = await stack.enter_async_context(ExchangeControl(where["rest"]))
        screen = await open_screen(stack, as_json=options.as_json)
        app = await make_app(options, where, control, screen, recorder)
        chaos = Chaos(control, options.seconds, app.note) if options.chaos else None
        notes = app.note if screen is not None else None
        with exchange.needed(app.fail), running(chaos), logs_to(notes):
            summary = await app.run(stop)
        if screen is not None:
            await screen.end_of_input()
    if chaos is not None:
        summary["chaos"] = chaos.report(summary)
    problems = find_problems(summary)
    summary["problems"] = problems
    if options.as_json:
        print_json(summary, indent=True)
    else:
        print_summary(summary)
    for problem in problems:
        print(f"fastbook: {problem}", file=sys.stderr)
    return 1 if problems else 0


async def make_app(
    options: DemoOptions,
    where: Json,
    control: ExchangeControl,
    screen: Child | None,
    recorder: Recorder | None,
) -> App:
    """The app, pointed at the exchange that `where` describes."""
    symbols = (await control.state())["symbols"]
    config = make_config(where, symbols, options.rate, options.strategy)
    account = where["accounts"][0]
    run = RunOptions(
        title=f"{counted(options.symbols, 'symbol')}, paper" + (", chaos" if options.chaos else ""),
        seconds=options.seconds,
        sizing=SizingParams(probe_without_edge=PROBE_WITHOUT_EDGE),
        audit=lambda app: audit_against(app, control),
        on_status=on_status(screen),
        recorder=recorder,
        serve=True,
    )
    return App(
        config,
        endpoints_of(where),
        Credentials(Secret(account["api_key"]), Secret(account["api_secret"])),
        run,
    )


def make_config(
    where: Json, symbols: list[str], rate: int = 20_000, strategy: str = "mean_reversion"
) -> Config:
    # At a low rate a quiet book is no stale book.
    stale_after_s = max(STALE_AFTER_S, QUIET_MESSAGES * len(symbols) / rate)
    text = DEMO_CONFIG.format(
        **{k: v for k, v in where.items() if k != "accounts"},
        symbols=to_json(symbols).decode(),
        strategy=STRATEGIES[strategy],
        stale_after_s=min(stale_after_s, 600.0),
        stale_after_ms=round(min(2 * stale_after_s, 600.0) * 1000),
    )
    return parse(text, name="demo", environ={})


@contextlib.contextmanager
def running(chaos: Chaos | None) -> Iterator[None]:
    """Make trouble in the background until the block ends."""
    if chaos is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(chaos.run(), name="chaos")
    try:
        yield
    finally:
        task.cancel()


def find_problems(summary: Json) -> list[str]:
    """What did not hold. Few orders are no problem; a wrong book or account is."""
    problems = []
    if summary["books_synced"] != summary["symbols"]:
        problems.append(f"{summary['books_synced']} of {summary['symbols']} books are SYNCED")
    if summary["orders_from_unsynced_books"]:
        problems.append(f"{summary['orders_from_unsynced_books']} orders from unsynced books")
    audit = summary.get("audit")
    if audit is not None and not audit["agrees"]:
        problems += [f"the exchange's account differs: {text}" for text in audit["differences"]]
    recorded = summary.get("recorded")
    if recorded and recorded["lost"]:
        problems.append(f"{recorded['lost']} records could not be kept: {recorded['failure']}")
    problems += summary.get("chaos", {}).get("missed", [])
    return problems
