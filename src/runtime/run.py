"""`fastbook run`: the engine as a configuration says, until stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path

from fastbook.errors import ConfigError, CredentialsError, FastbookError

from .app import App
from .bybit.rest import RestClient
from .children import Child, exchange_process, screen_process
from .config import SIMULATOR, Config, Credentials, Endpoints, load, load_credentials
from .custody_open import open_custody
from .hardening import forbid_dumps
from .logs import logs_to, set_up_logging
from .loop import run_until_stopped
from .memory import check_stores
from .output import counted, print_json, to_json
from .preflight import Preflight, check_key_fits, key_as_configured, preflight
from .recording.recorder import Recorder
from .report import Json
from .run_options import OnStatus, RunOptions
from .secret import Secret
from .sharding import of_this_shard
from .state import place_of
from .summary import ProgressLines, print_summary
from .system_clock import SystemClock

log = logging.getLogger("fastbook.run")

KEY_CHECK_S = 86_400.0
SIMULATOR_SYMBOLS = 50
SIMULATOR_SEED = 7


def run(args: argparse.Namespace) -> int:
    """Load, check, run. Raises ConfigError and CredentialsError before anything is opened."""
    config = of_this_shard(load(args.config))
    check_switches(config, live=args.live)
    # Until the engine listens, the mark alone speaks; the signal's default would end us.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    set_up_logging(args.log_level)
    if args.live:
        forbid_dumps()
    return run_until_stopped(
        lambda stop: run_config(
            config,
            stop,
            seconds=args.seconds,
            as_json=args.json,
            environ=os.environ,
            record=args.record,
        ),
        hard=True,
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
        check_live(config)


def check_live(config: Config) -> None:
    """What real money needs in the configuration, on top of what paper needs."""
    venue = config.venue
    if venue.endpoints is None:
        raise ConfigError(
            'execution.mode is "live" and venue.rest_url names no exchange: a run with an exchange'
            " of its own is paper"
        )
    if venue.environment == SIMULATOR:
        return
    if not venue.account_uid:
        raise ConfigError("venue.account_uid is missing: live trading names its account")
    if not config.limits_file:
        raise ConfigError(
            "risk.limits_file is missing: live trading has its limits in a file of their own"
        )


async def run_config(
    config: Config,
    stop: asyncio.Event,
    *,
    seconds: float | None,
    as_json: bool,
    environ: Mapping[str, str],
    record: Path | None = None,
) -> int:
    async with contextlib.AsyncExitStack() as stack:
        recorder = None if record is None else stack.enter_context(Recorder(record))
        exchange = await open_exchange(config, stack)
        endpoints, credentials = await find_exchange(config, environ, exchange)
        screen = await open_screen(stack, as_json=as_json)
        symbols = counted(len(config.market_data.symbols), "symbol")
        options = RunOptions(
            title=f"{config.venue.environment}, {symbols}, {config.execution.mode}",
            seconds=seconds,
            flatten=False,
            on_status=on_status(screen),
            recorder=recorder,
            serve=True,
            stores=place_of(config),
        )
        checked = await look_before(config, endpoints, credentials)
        custody = open_custody(
            config,
            stack.enter_context(contextlib.ExitStack()),
            account="" if checked is None else checked.key.account,
            at_venue=credentials is not None,
            transient=exchange is not None,
        )
        await check_stores(config)
        app = App(config, endpoints, credentials, options, custody=custody)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, app.halt, "signal SIGUSR1")
        watch = contextlib.nullcontext() if exchange is None else exchange.needed(app.fail)
        async with contextlib.AsyncExitStack() as around:
            around.enter_context(watch)
            around.enter_context(logs_to(app.note if screen is not None else None))
            if credentials is not None and config.execution.mode == "live":
                again = look_again(config, lambda: app.rest, app.fail)
                await around.enter_async_context(beside(again))
            summary = await app.run(stop)
        if screen is not None:
            await screen.end_of_input()
    if as_json:
        print_json(summary, indent=True)
    else:
        print_summary(summary)
    return 0


async def look_before(
    config: Config, endpoints: Endpoints, credentials: Credentials | None
) -> Preflight | None:
    """Key and account, asked of the venue before anything else; None on paper of our own."""
    if credentials is None:
        return None
    async with RestClient(
        endpoints.rest,
        credentials,
        SystemClock(),
        recv_window_ms=config.venue.recv_window_ms,
        ca_file=config.venue.ca_file,
    ) as rest:
        return await preflight(rest, config)


async def look_again(
    config: Config,
    rest: Callable[[], RestClient | None],
    fail: Callable[[BaseException], None],
    every_s: float = KEY_CHECK_S,
) -> None:
    """Ask about the key once a day: rights can be added, and keys run out. A bad one ends the run."""
    while True:
        await asyncio.sleep(every_s)
        client = rest()
        if client is None:
            continue
        try:
            await key_as_configured(client, config)
        except CredentialsError as e:
            fail(e)
            return
        except FastbookError as e:
            log.warning("the key could not be checked again: %s", e)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """`work` goes on until the block ends."""
    task = asyncio.create_task(work, name="key check")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def open_exchange(config: Config, stack: contextlib.AsyncExitStack) -> Child | None:
    """A bundled exchange of our own, where the configuration names none."""
    if config.venue.endpoints is not None:
        return None
    return await stack.enter_async_context(
        exchange_process(SIMULATOR_SYMBOLS, SIMULATOR_SEED, category=config.venue.category)
    )


async def find_exchange(
    config: Config, environ: Mapping[str, str], exchange: Child | None
) -> tuple[Endpoints, Credentials | None]:
    """Where to connect, and an account there: of the configuration, or of our own exchange.

    Paper on a real venue means its market data and no account at all: its keys are not even
    looked at.
    """
    endpoints = config.venue.endpoints
    real = config.venue.environment != SIMULATOR
    if endpoints is not None and real and config.execution.mode != "live":
        return endpoints, None
    if endpoints is not None:
        credentials = load_credentials(config, environ)
        if credentials is None and real:
            raise CredentialsError(
                "no key: set FASTBOOK_API_KEY and FASTBOOK_API_SECRET, or venue.api_key_file and"
                " venue.api_secret_file"
            )
        if credentials is None:
            raise CredentialsError(
                "no key: set FASTBOOK_API_KEY and FASTBOOK_API_SECRET, or venue.api_key_file and"
                " venue.api_secret_file; the first line of `fastbook simulate` has both"
            )
        check_key_fits(credentials.api_key.reveal(), config.venue.environment)
        return endpoints, credentials
    assert exchange is not None  # open_exchange saw the same configuration
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


async def open_screen(stack: contextlib.AsyncExitStack, *, as_json: bool) -> Child | None:
    """The live screen, where there is a terminal to draw it on."""
    if as_json or not sys.stdout.isatty():
        return None
    return await stack.enter_async_context(screen_process())


def on_status(screen: Child | None) -> OnStatus:
    """Where the status goes: to the screen, or a line of it now and then to stderr."""
    if screen is None:
        return ProgressLines()
    return lambda status: offer(screen, status)


def offer(screen: Child, status: Json) -> None:
    screen.feed(to_json(status))
