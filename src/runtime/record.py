"""`fastbook record`: the market data of a configuration to disk, nothing else."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from typing import Any

from fastbook import BookDecoder, BookState
from fastbook.bybit.instruments import parse_instruments
from fastbook.types import Category

from .app import check_known
from .bybit.public import PublicFeed, PublicFeedConfig
from .bybit.rest import RestClient
from .children import Child
from .config import Config, Endpoints, load
from .logs import set_up_logging
from .loop import run_until_stopped
from .output import counted, print_json
from .recording.recorder import Recorder
from .run import endpoints_of, open_exchange
from .system_clock import StampClock, SystemClock

STATUS_S = 5.0

Json = dict[str, Any]
"""Any: a JSON document."""


def record(args: argparse.Namespace) -> int:
    """Record until stopped; 0, or 1 when something was lost."""
    config = load(args.config)
    set_up_logging(args.log_level)

    async def run(stop: asyncio.Event) -> int:
        async with contextlib.AsyncExitStack() as stack:
            exchange = await open_exchange(config, stack)
            endpoints = await _endpoints(config, exchange)
            recorder = Recorder(args.output, events=False)
            with recorder:
                summary = await record_market(config, endpoints, recorder, stop, args.seconds)
        summary |= {"bytes": recorder.bytes, "lost": recorder.lost, "failure": recorder.failure}
        say(summary, as_json=args.json)
        return 1 if recorder.lost or recorder.failure else 0

    return run_until_stopped(run)


async def _endpoints(config: Config, exchange: Child | None) -> Endpoints:
    """Market data needs no key: none is looked for."""
    if config.venue.endpoints is not None:
        return config.venue.endpoints
    assert exchange is not None  # open_exchange saw the same configuration
    return endpoints_of(await exchange.first_line())


async def record_market(
    config: Config,
    endpoints: Endpoints,
    recorder: Recorder,
    stop: asyncio.Event,
    seconds: float | None,
) -> Json:
    """Keep a public feed up and on tape; a summary."""
    category = Category(config.venue.category)
    market, symbols = config.market_data, config.market_data.symbols
    async with RestClient(
        endpoints.rest, None, SystemClock(), ca_file=config.venue.ca_file
    ) as rest:
        rows = await rest.instruments(category)
    check_known(symbols, {row.get("symbol") for row in rows})
    decoder = BookDecoder(parse_instruments(rows, category, symbols))
    topics = [f"orderbook.{market.depth}.{symbol}" for symbol in symbols]
    topics += [f"publicTrade.{symbol}" for symbol in symbols]
    if category is not Category.SPOT:
        topics += [f"tickers.{symbol}" for symbol in symbols]  # they tell of funding
    feed = PublicFeed(
        PublicFeedConfig(
            url=endpoints.public(category.value),
            topics=tuple(topics),
            topics_per_connection=market.topics_per_connection,
            connections_max=market.connections_max,
            ping_interval_s=market.ping_interval_s,
            pong_timeout_s=market.pong_timeout_s,
            stale_after_s=market.stale_after_s,
            backoff_cap_s=market.backoff_cap_s,
            attempts_per_5min=market.attempts_per_5min,
            ca_file=config.venue.ca_file,
        ),
        decoder,
        lambda touched, recv_ns: None,
        lambda message, recv_ns: None,
        StampClock(),
        tape=recorder.tape,
    )
    clock = SystemClock()
    started_ns = clock.monotonic_ns()
    task = asyncio.create_task(feed.run(), name="public feed")
    synced = 0
    try:
        async with asyncio.timeout(seconds):
            await _watch(task, stop, recorder)
    except TimeoutError:
        pass  # recorded for as long as asked
    finally:
        synced = sum(book.state is BookState.SYNCED for book in decoder.books.values())
        feed.stop()
        await task
    stats = feed.stats()
    return {
        "seconds": round((clock.monotonic_ns() - started_ns) / 1e9, 3),
        "symbols": len(symbols),
        "folder": str(recorder.folder),
        "frames": recorder.frames,
        "books_synced": synced,
        "gaps": stats["gaps"],
        "reconnects": stats["reconnects"],
    }


async def _watch(feed: asyncio.Task[None], stop: asyncio.Event, recorder: Recorder) -> None:
    """Until `stop`, or until the feed fails; now and then a line on stderr."""
    stopped = asyncio.create_task(stop.wait())
    try:
        while True:
            ended, _ = await asyncio.wait(
                {feed, stopped}, timeout=STATUS_S, return_when=asyncio.FIRST_COMPLETED
            )
            if ended:
                return
            print(
                f"fastbook: {counted(recorder.frames, 'frame')}, {recorder.bytes / 1e6:,.1f} MB",
                file=sys.stderr,
            )
    finally:
        stopped.cancel()


def say(summary: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(summary, indent=True)
        return
    print(
        f"{summary['frames']:,} frames in {summary['seconds']:.1f} s,"
        f" {summary['bytes'] / 1e6:,.1f} MB in {summary['folder']}"
    )
    print(f"{summary['books_synced']} of {counted(summary['symbols'], 'book')} SYNCED at the end")
    if summary["lost"] or summary["failure"]:
        print(f"fastbook: {summary['lost']} lost: {summary['failure']}", file=sys.stderr)
