"""`fastbook run`: the engine as a configuration says, until stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping

from fastbook.errors import ConfigError, CredentialsError

from .app import App, Json, RunOptions
from .children import Child, exchange_process, screen_process
from .config import SIMULATOR, Config, Credentials, Endpoints, load, load_credentials
from .logs import logs_to, set_up_logging
from .loop import run_until_stopped
from .output import print_json, to_json
from .secret import Secret
from .summary import print_summary

SIMULATOR_SYMBOLS = 50
SIMULATOR_SEED = 7


def run(args: argparse.Namespace) -> int:
    """Load, check, run. Raises ConfigError and CredentialsError before anything is opened."""
    set_up_logging(args.log_level)
    config = load(args.config)
    check_switches(config, live=args.live)
    return run_until_stopped(
        lambda stop: run_config(
            config, stop, seconds=args.seconds, as_json=args.json, environ=os.environ
        )
    )


def check_switches(config: Config, *, live: bool) -> None:
    """Live needs the configuration and the command line to agree; paper needs neither."""
    mode = config.execution.mode
    if config.risk is None:
        raise ConfigError("no [risk] section: without limits there is no trading")
    if mode == "live" and not live:
        raise ConfigError('execution.mode is "live": give --live as well, or set it to "paper"')
    if live and mode != "live":
        raise ConfigError(f'--live, but execution.mode is "{mode}": both have to say it')
    if mode == "live":
        raise ConfigError("live trading is not part of this version; paper is")


async def run_config(
    config: Config,
    stop: asyncio.Event,
    *,
    seconds: float | None,
    as_json: bool,
    environ: Mapping[str, str],
) -> int:
    async with contextlib.AsyncExitStack() as stack:
        endpoints, credentials = await find_exchange(config, environ, stack)
        screen = None
        if not as_json and sys.stdout.isatty():
            screen = await stack.enter_async_context(screen_process())
        options = RunOptions(
            title=f"{config.venue.environment}, {len(config.market_data.symbols)} symbols, paper",
            seconds=seconds,
            flatten=False,
            on_status=None if screen is None else lambda status: offer(screen, status),
        )
        app = App(config, endpoints, credentials, options)
        with logs_to(app.note if screen is not None else None):
            summary = await app.run(stop)
        if screen is not None:
            await screen.end_of_input()
    if as_json:
        print_json(summary, indent=True)
    else:
        print_summary(summary)
    return 0


async def find_exchange(
    config: Config, environ: Mapping[str, str], stack: contextlib.AsyncExitStack
) -> tuple[Endpoints, Credentials | None]:
    """The exchange of the configuration, or a bundled one of our own, and an account on it.

    Paper on a real venue means its market data and no account at all: its keys are not even
    looked at.
    """
    endpoints = config.venue.endpoints
    if endpoints is not None and config.venue.environment != SIMULATOR:
        return endpoints, None
    if endpoints is not None:
        credentials = load_credentials(config, environ)
        if credentials is None:
            raise CredentialsError(
                "no key: set FASTBOOK_API_KEY and FASTBOOK_API_SECRET, or venue.api_key_file and"
                " venue.api_secret_file; the first line of `fastbook simulate` has both"
            )
        return endpoints, credentials
    exchange = await stack.enter_async_context(
        exchange_process(SIMULATOR_SYMBOLS, SIMULATOR_SEED, None)
    )
    where = await exchange.first_line()
    account = where["accounts"][0]
    return endpoints_of(where), Credentials(
        Secret(account["api_key"]), Secret(account["api_secret"])
    )


def endpoints_of(where: Json) -> Endpoints:
    """From the first line of `fastbook simulate`."""
    return Endpoints(
        rest=where["rest"],
        ws_public=where["ws_public"],
        ws_private=where["ws_private"],
        ws_trade=where["ws_trade"],
    )


def offer(screen: Child, status: Json) -> None:
    screen.feed(to_json(status))
