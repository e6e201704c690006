"""One run of a sweep: a point on a window, wherever it is made. JSON in, JSON out.

What a run says depends on the job and the task alone, so it is the same in any process, on any
machine, in any order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from fastbook.errors import ConfigError, FastbookError
from fastbook.replay.backtest.queues import Queue
from fastbook.replay.backtest.run import Account, FundingRule
from fastbook.replay.paper import PaperFees
from fastbook.types import Instrument

from ..backtest import BacktestOptions, Head, Outcome, run_pass
from ..config import Config, parse
from ..output import to_json
from ..recording.codec import from_plain, to_plain
from .params import Point, variable, variables

Json = dict[str, Any]
"""Any: a JSON document."""
REASON_CHARACTERS_MAX = 500
NOTHING_TO_LOOK_UP = Head({}, stamped=True, frames=[])
"""The job says what there is to know of the data."""


def job_of(
    text: str,
    name: str,
    folder: Path,
    environ: dict[str, str],
    config: Config,
    instruments: Sequence[Instrument],
    options: BacktestOptions,
    windows: Sequence[Path],
) -> Json:
    """Everything that a worker needs to know, once."""
    return {
        "text": text,
        "name": name,
        "folder": str(folder),
        "environ": environ,
        "symbols": list(config.market_data.symbols),
        "depth": config.market_data.depth,
        "instruments": orjson.loads(to_json(to_plain(list(instruments)))),
        "options": options_to_plain(options),
        "windows": [str(path) for path in windows],
    }


def configure(job: Json, point: Point) -> Config:
    """The configuration of one point. Raises `ConfigError` in terms of `--param`."""
    try:
        config = parse(
            job["text"],
            name=job["name"],
            environ=job["environ"] | variables(point),
            folder=Path(job["folder"]),
        )
    except ConfigError as e:
        said = str(e)
        for key in point:
            said = said.replace(f"{variable(key)}: ", "--param: ")
        raise ConfigError(said) from None
    market = dataclasses.replace(
        config.market_data, symbols=tuple(job["symbols"]), depth=job["depth"]
    )
    return dataclasses.replace(config, market_data=market)


def perform(job: Json, task: Json) -> Json:
    """The record of one run; a point that raises is a record as well, with the reason."""
    record: Json = {"point": task["point"], "window": task["window"]}
    try:
        config = configure(job, task["params"])
        instruments, options = _fixed(to_json(job["instruments"]), to_json(job["options"]))
        window = Path(job["windows"][task["window"]])
        outcome = run_pass(config, [window], instruments, options, NOTHING_TO_LOOK_UP)
    except FastbookError as e:
        return record | {"failed": _short(str(e))}
    except Exception as e:  # noqa: BLE001 - a user's code, at a point nobody has tried: the others go on
        return record | {"failed": _short(f"{type(e).__name__}: {e}")}
    for name, error in outcome.run.accounts[0].engine.disabled.items():
        return record | {"failed": _short(f"strategy {name} raised: {error}")}
    return record | {"figures": figures_of(outcome)}


@lru_cache(maxsize=4)
def _fixed(instruments: bytes, options: bytes) -> tuple[list[Instrument], BacktestOptions]:
    return from_plain(orjson.loads(instruments)), options_from_plain(orjson.loads(options))


def _short(text: str) -> str:
    return " ".join(text.split())[:REASON_CHARACTERS_MAX]


def figures_of(outcome: Outcome) -> Json:
    """Of the expected account; of the bounds the profit. Money as text: every digit of it."""
    expected, *bounds = outcome.run.accounts
    trail, ledger = expected.trail, expected.engine.portfolio
    return {
        "orders": trail.orders,
        "fills": trail.fills,
        "traded": trail.traded,
        "fees": format(ledger.fees, "f"),
        "net_pnl": _net(expected),
        **{f"{bound.name}_pnl": _net(bound) for bound in bounds},
        "max_drawdown": expected.equity.max_drawdown,
        "returns": {str(r.step_s): r.welford.moments() for r in expected.equity.all_returns},
    }


def _net(account: Account) -> str:
    ledger = account.engine.portfolio
    if ledger.equity is None:
        return "0"
    return format(ledger.equity - (ledger.start or 0), "f")


def options_to_plain(options: BacktestOptions) -> Json:
    """Of files nothing is left: tables and instruments have been read."""
    funding = options.funding
    rate = None if funding is None or funding.rate is None else str(funding.rate)
    feed = options.feed_latency_ns
    return {
        "feed_latency_ns": None if feed is None else list(feed),
        "entry_latency_ns": list(options.entry_latency_ns),
        "answer_latency_ns": list(options.answer_latency_ns),
        "queue": options.queue.value,
        "fees": [str(options.fees.maker), str(options.fees.taker)],
        "funding": None if funding is None else {"rate": rate},
        "reject_share": options.reject_share,
        "seed": options.seed,
    }


def options_from_plain(plain: Json) -> BacktestOptions:
    funding = plain["funding"]
    if funding is not None:
        rate = funding["rate"]
        funding = FundingRule(rate=None if rate is None else Decimal(rate))
    maker, taker = (Decimal(text) for text in plain["fees"])
    return BacktestOptions(
        feed_latency_ns=plain["feed_latency_ns"],
        entry_latency_ns=plain["entry_latency_ns"],
        answer_latency_ns=plain["answer_latency_ns"],
        queue=Queue(plain["queue"]),
        fees=PaperFees(maker=maker, taker=taker),
        funding=funding,
        reject_share=plain["reject_share"],
        seed=plain["seed"],
    )
