"""`fastbook backtest`: the configured engine on recorded data, between two bounds."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import orjson

from fastbook.bybit.instruments import parse_instruments
from fastbook.errors import ConfigError, DataFileError, FixedPointError
from fastbook.replay._cursor import FrameCursor
from fastbook.replay.backtest.latency import Latency
from fastbook.replay.backtest.queues import Queue
from fastbook.replay.backtest.run import Account, Backtest, FundingRule, Now
from fastbook.replay.backtest.venue import Assumptions, SimVenue
from fastbook.replay.backtest.wire import Wire
from fastbook.replay.paper import PaperFees
from fastbook.replay.recording import market_frames, recorded_markets
from fastbook.replay.source import RecordedFrame, read_frames
from fastbook.risk import SizingParams
from fastbook.types import Category, Instrument

from .assembly import build_engine, build_market
from .config import Config
from .data_files import chunks, expand
from .files import read_lines
from .recording.codec import from_plain
from .recording.reader import Recording, event_files
from .system_clock import SystemClock

HEAD_LINES = 5_000
DAMAGED_SHOWN_MAX = 10
PROGRESS_S = 0.2
PROGRESS_LINE_S = 5.0

T = TypeVar("T")
Json = dict[str, Any]
"""Any: a JSON document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestOptions:
    """What a backtest assumes beside the configuration. Latencies are tables in ns."""

    feed_latency_ns: Sequence[int] | None = None
    """Empty: as recorded. None: the same; where nothing is recorded, `FEED_MS_ASSUMED`."""
    entry_latency_ns: Sequence[int] = (5_000_000,)
    answer_latency_ns: Sequence[int] = (5_000_000,)
    queue: Queue = Queue.PROPORTIONAL
    fees: PaperFees = field(default_factory=PaperFees)
    funding: FundingRule | None = field(default_factory=FundingRule)
    reject_share: float = 0.0
    seed: int = 1
    balance: Decimal | None = None
    instruments: Path | None = None
    skip_damaged: bool = False
    sizing: SizingParams = field(default_factory=SizingParams)
    ask_all: bool = False
    """Ask strategies also where they have said that they want nothing (`Strategy.quiet_below`)."""


FEED_MS_ASSUMED = 5

PESSIMISTIC_TAKE_SHARE = 0.5


def scenarios(options: BacktestOptions) -> list[Assumptions]:
    """What is expected, first; then the two bounds."""
    expected = Assumptions(
        name="expected",
        queue=options.queue,
        reject_share=options.reject_share,
        fees=options.fees,
        seed=options.seed,
    )
    return [
        expected,
        dataclasses.replace(
            expected,
            name="pessimistic",
            queue=Queue.PESSIMISTIC,
            take_share=PESSIMISTIC_TAKE_SHARE,
            latency_factor=2.0,
        ),
        dataclasses.replace(
            expected, name="optimistic", queue=Queue.FRONT, latency_factor=0.5, reject_share=0.0
        ),
    ]


def _now_s() -> float:
    return SystemClock().monotonic_ns() / 1e9


# --- the data ---


@dataclass(frozen=True, slots=True)
class Head:
    """What the first lines of the data show."""

    depths: dict[str, set[int]]
    stamped: bool
    frames: list[bytes]


def look_at(files: list[Path]) -> Head:
    """Symbols, depths and whether receive times were recorded."""
    depths: dict[str, set[int]] = {}
    stamped, some = True, []
    for path in files:
        for frame in islice(_frames(path), HEAD_LINES):
            stamped = stamped and frame.recv_ns > 0
            some.append(frame.data)
            topic = frame.data[:80].partition(b'"topic":"orderbook.')[2].partition(b'"')[0]
            depth, dot, symbol = topic.partition(b".")
            if dot and depth.isdigit():
                depths.setdefault(symbol.decode(), set()).add(int(depth))
    if not depths:
        raise DataFileError(str(files[0]), "the data begins without order books")
    return Head(depths, stamped, some)


def _frames(path: Path) -> Iterator[RecordedFrame]:
    """Without a word on what cannot be read."""
    return read_frames(read_lines(path, lambda e: None), str(path), lambda e: None)


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def fit_config(config: Config, head: Head) -> Config:
    """The configuration with the symbols and the depth that the data has."""
    wanted = config.market_data.symbols
    symbols = tuple(s for s in wanted if s in head.depths)
    if not symbols:
        there = ", ".join(sorted(head.depths)[:8])
        raise ConfigError(
            f"market_data.symbols: the data has none of {', '.join(wanted[:8])}; it has {there}"
        )
    if missing := [s for s in wanted if s not in head.depths]:
        print(f"fastbook: not in the data: {', '.join(missing[:8])}", file=sys.stderr)
    depths = set.intersection(*(head.depths[s] for s in symbols))
    if not depths:
        raise ConfigError("market_data.depth: the symbols of the data have no depth in common")
    depth = config.market_data.depth if config.market_data.depth in depths else max(depths)
    if depth != config.market_data.depth:
        print(f"fastbook: the data has depth {depth}: that is used", file=sys.stderr)
    market = dataclasses.replace(config.market_data, symbols=symbols, depth=depth)
    return dataclasses.replace(config, market_data=market)


def find_instruments(config: Config, files: list[Path], rules: Path | None) -> list[Instrument]:
    """Of `--instruments`, of the recording itself, or learned from the numbers in the data."""
    category, symbols = Category(config.venue.category), config.market_data.symbols
    if rules is not None:
        document = orjson.loads(b"".join(read_lines(rules)))
        rows = document.get("result", document).get("list", [])
        return parse_instruments(rows, category, symbols)
    if event_files(files[0].parent) and files[0].name.startswith("public-"):
        start = next(Recording(files[0].parent).entries(), None)
        if start is not None and start.kind == "start":
            known = {i.symbol: i for i in from_plain(start.value)["instruments"]}
            if all(s in known for s in symbols):
                return [dataclasses.replace(known[s], index=n) for n, s in enumerate(symbols)]
    return learn_instruments(category, symbols, files)


def learn_instruments(
    category: Category, symbols: Sequence[str], files: list[Path]
) -> list[Instrument]:
    """By the smallest steps that the first frames show."""
    found: dict[str, Instrument] = {}
    for path in files:
        frames = (
            frame
            for frame in islice(_frames(path), HEAD_LINES)
            if _is_json(frame.data)  # what is damaged is told of when its turn comes
        )
        try:
            markets = recorded_markets(market_frames(frames), (category,))
        except ConfigError:
            continue  # trades only, or another category
        except FixedPointError as e:
            raise DataFileError(str(path), f"a number near its start is none: {e}") from None
        for recorded in markets:
            instrument = recorded.market.instrument
            found.setdefault(instrument.symbol, instrument)
    if missing := [s for s in symbols if s not in found]:
        raise ConfigError(
            f"the data has no snapshot of a {category.value} {missing[0]} near its start"
        )
    return [dataclasses.replace(found[s], index=n) for n, s in enumerate(symbols)]


# --- the run ---


@dataclass(slots=True)
class Damage:
    """What was skipped: how often, and the first places."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def note(self, error: DataFileError) -> None:
        self.count += 1
        if len(self.places) < DAMAGED_SHOWN_MAX:
            self.places.append(str(error))


@dataclass(slots=True)
class Outcome:
    """A finished pass."""

    run: Backtest
    config: Config
    instruments: list[Instrument]
    options: BacktestOptions
    head: Head
    seconds: float
    damage: Damage


def run_backtest(
    config: Config, paths: list[Path], options: BacktestOptions, *, progress: bool = False
) -> Outcome:
    """One pass over the data with every scenario."""
    files = expand(paths)
    head = look_at(files)
    config = fit_config(config, head)
    instruments = find_instruments(config, files, options.instruments)
    return run_pass(config, files, instruments, options, head, progress=progress)


def run_pass(
    config: Config,
    files: list[Path],
    instruments: list[Instrument],
    options: BacktestOptions,
    head: Head,
    *,
    progress: bool = False,
) -> Outcome:
    """The same where configuration, files and instruments fit each other already."""
    market = build_market(config, instruments)
    feed = options.feed_latency_ns
    if feed is None:
        feed = () if head.stamped else (FEED_MS_ASSUMED * 1_000_000,)
    cursor = FrameCursor(market.decoder, feed, seed=options.seed)
    now = Now()
    balance = options.balance or Decimal(config.execution.paper_balance)
    accounts = []
    for number, assumed in enumerate(scenarios(options)):
        venue = SimVenue(instruments, market.books, assumed, balance=balance)
        factor, seed = assumed.latency_factor, options.seed + number
        wire = Wire(
            venue,
            Latency(options.entry_latency_ns, factor=factor, seed=seed),
            Latency(options.answer_latency_ns, factor=factor, seed=seed + 100),
            lambda: cursor.delay_ns,
        )
        engine = build_engine(
            config,
            instruments,
            market.books,
            market.signals,
            now,
            orders_epoch=f"bt{number}",
            sizing=options.sizing,
        )
        accounts.append(Account(assumed.name, engine, wire))
    damage = Damage()
    on_damage = damage.note

    run = Backtest(
        market.decoder,
        market.books,
        market.signals,
        instruments,
        accounts,
        cursor,
        now,
        funding=options.funding,
        on_damage=on_damage if options.skip_damaged else None,
        ask_all=options.ask_all,
    )
    bar = Progress(run) if progress else None
    run.on_progress = bar
    started_s = _now_s()
    run.run(chunks(files, on_damage if options.skip_damaged else None))
    seconds = _now_s() - started_s
    if bar is not None:
        bar.clear()
    return Outcome(run, config, instruments, options, head, seconds, damage)


class Progress:
    """A line on stderr, now and then."""

    def __init__(self, run: Backtest) -> None:
        self._run = run
        self._on_terminal = sys.stderr.isatty()
        self._every_s = PROGRESS_S if self._on_terminal else PROGRESS_LINE_S
        self._due_s = _now_s() + self._every_s
        self._started_s = _now_s()

    def __call__(self) -> None:
        now_s = _now_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._every_s
        cursor, run = self._run.cursor, self._run
        market_s = (cursor.recv_ns - run.first_ns) / 1e9
        rate = cursor.frames / (now_s - self._started_s)
        start = "\r" if self._on_terminal else ""
        print(
            f"{start}fastbook: {cursor.frames:,} frames, {market_s:,.0f} s of market,"
            f" {rate:,.0f} frames/s ",
            end="" if self._on_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def clear(self) -> None:
        if self._on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# --- what is said ---


def account_json(account: Account) -> Json:
    """One scenario in figures."""
    engine, trail = account.engine, account.trail
    ledger = engine.portfolio
    records = [r for r in ledger.records.values() if r.trades]
    return {
        "orders": trail.orders,
        "fills": trail.fills,
        "realized_pnl": ledger.realized,
        "unrealized_pnl": ledger.unrealized,
        "fees": ledger.fees,
        "funding": ledger.funding,
        "net_pnl": None if ledger.equity is None else ledger.equity - (ledger.start or 0),
        "equity": ledger.equity,
        "sharpe": account.equity.sharpe,
        "sortino": account.equity.sortino,
        "max_drawdown": account.equity.max_drawdown,
        "fill_ratio": trail.fill_ratio,
        "orders_with_fills": trail.orders_touched,
        "orders_filled": trail.orders_filled,
        "maker_fills": trail.maker_fills,
        "slippage_bps": trail.slippage_bps,
        "traded": round(trail.traded, 2),
        "round_trips": sum(r.total for r in records),
        "win_rate": records[0].win_rate if len(records) == 1 else math.nan,
        "refused_by_venue": engine.stats.rejected,
        "denied": dict(engine.stats.denied),
        "open_positions": len(ledger.open_instruments),
        "strategy_errors": dict(engine.disabled),
    }


def summary_of(outcome: Outcome, report: Path | None) -> Json:
    run = outcome.run
    expected, *bounds = (account_json(a) for a in run.accounts)
    counters = run.decoder.counters
    market_s = (run.last_ns - run.first_ns) / 1e9
    return expected | {
        "report": None if report is None else str(report),
        "bounds": {a.name: b for a, b in zip(run.accounts[1:], bounds, strict=True)},
        "currency": run.accounts[0].engine.portfolio.coin,
        "symbols": len(outcome.instruments),
        "frames": run.cursor.frames,
        "reads": run.reads,
        "frames_per_s": round(run.cursor.frames / outcome.seconds) if outcome.seconds else 0,
        "seconds": round(outcome.seconds, 3),
        "market_seconds": round(market_s, 3),
        "gaps": counters["gaps"],
        "pauses": len(run.pauses),
        "fundings": run.fundings,
        "damaged": outcome.damage.count,
        "damaged_at": outcome.damage.places,
    }


def assumptions_of(outcome: Outcome) -> list[tuple[str, str]]:
    """In words, for the report."""
    o, run = outcome.options, outcome.run
    feed = o.feed_latency_ns
    if feed is None:
        feed = () if outcome.head.stamped else (FEED_MS_ASSUMED * 1_000_000,)
    p, opt = run.accounts[1].wire.venue.assumptions, run.accounts[2].wire.venue.assumptions
    funding = "none" if o.funding is None else "by the recorded tickers"
    if o.funding is not None and o.funding.rate is not None:
        funding = f"{o.funding.rate} for every eight hours"
    return [
        ("feed latency", "as recorded" if not feed else _latency_text(Latency(feed))),
        ("order latency", _latency_text(Latency(o.entry_latency_ns))),
        ("answer latency", _latency_text(Latency(o.answer_latency_ns))),
        ("queue", f"{o.queue.value}; pessimistic: {p.queue.value}; optimistic: {opt.queue.value}"),
        ("share of what is displayed", f"1; pessimistic: {p.take_share:g}; optimistic: 1"),
        ("factor on latencies", f"1; pessimistic: {p.latency_factor:g}; optimistic: {opt.latency_factor:g}"),
        ("fees", f"maker {o.fees.maker:.4%}, taker {o.fees.taker:.4%}"),
        ("funding", f"{funding}; exchanged {run.fundings} times"),
        ("refusals by the venue", f"{o.reject_share:.2%} of creates; optimistic: none"),
        ("seed", str(o.seed)),
    ]  # fmt: skip


def _latency_text(latency: Latency) -> str:
    if len(latency.table) == 1:
        return f"{latency.table[0] / 1e6:g} ms"
    marks = ((q, latency.quantile(q) / 1e6) for q in (0.5, 0.9, 0.99))
    return ", ".join(f"p{q * 100:g} {ms:.3g} ms" for q, ms in marks)


def print_summary(s: Json) -> None:
    rows = [("expected", s), *s["bounds"].items()]
    print(
        f"{s['frames']:,} frames of {s['symbols']} symbols, {s['market_seconds']:,.0f} s of market"
        f" in {s['seconds']:.2f} s: {s['frames_per_s']:,} frames/s, {len(rows)} accounts at once"
    )
    if s["gaps"] or s["pauses"]:
        print(f"{s['gaps']} gaps in the books, {s['pauses']} pauses of more than a minute")
    names = ("orders", "fills", "fill ratio", "net P&L", "fees", "sharpe", "drawdown")
    print(f"{'':<12}" + "".join(f"{name:>12}" for name in names))
    for name, one in rows:
        cells = (
            *(f"{one['orders']:,}", f"{one['fills']:,}", _share(one["fill_ratio"])),
            *(_money(one["net_pnl"]), _money(one["fees"])),
            *(f"{one['sharpe']:.2f}", _share(one["max_drawdown"])),
        )
        print(f"{name:<12}" + "".join(f"{cell:>12}" for cell in cells))
    if s["report"]:
        print(f"report: {s['report']}")


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2%}"


def _money(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
