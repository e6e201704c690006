"""From a configuration to an engine: everything of a run that is no live I/O.

The live run, backtests, verification and simulations all build here, so that the same
configuration gives the same engine everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from fastbook import Book, BookDecoder, SignalSet
from fastbook.bybit.codes import REDUCE_ONLY_SYMBOL
from fastbook.clock import Clock
from fastbook.engine import Engine
from fastbook.errors import ConfigError
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import Budget, RiskGate, Sizer, SizingParams
from fastbook.strategy.base import Strategy
from fastbook.types import Instrument

from .config import Config
from .strategies import build_strategies, build_with_budgets

__all__ = ["Market", "build_engine", "build_market", "build_strategies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Frames in, books and signals out; everything by instrument index."""

    topics: tuple[str, ...]
    decoder: BookDecoder
    books: tuple[Book, ...]
    signals: SignalSet


def build_market(config: Config, instruments: Sequence[Instrument]) -> Market:
    """Decoder, books and signals of the configured depth and kernels."""
    market = config.market_data
    signals = SignalSet(
        len(instruments),
        lookback=config.strategy.mean_reversion.lookback,
        imbalance_levels=market.imbalance_levels,
        sample_ms=market.sample_ms,
    )
    decoder = BookDecoder(instruments, signals=signals)
    topics = tuple(f"orderbook.{market.depth}.{i.symbol}" for i in instruments)
    books = tuple(
        decoder.add_book(topic, index=i.index) for topic, i in zip(topics, instruments, strict=True)
    )
    return Market(topics=topics, decoder=decoder, books=books, signals=signals)


def build_engine(
    config: Config,
    instruments: Sequence[Instrument],
    books: Sequence[Book],
    signals: SignalSet,
    clock: Clock,
    *,
    orders_epoch: str,
    sizing: SizingParams | None = None,
    balance: Decimal | None = None,
    strategies: Sequence[Strategy] | None = None,
) -> Engine:
    """The engine with its orders, portfolio, journal and gate (its attributes).

    `orders_epoch` goes into every client id and must never be used twice on one account. Without
    `balance` the first wallet row tells it. Raises ConfigError without risk limits.
    """
    if config.risk is None:
        raise ConfigError("no [risk] section: without limits there is no trading")
    if sizing is None or sizing == SizingParams():
        sizing = config.sizing
    budgets: dict[str, Budget] = {}
    if strategies is None:
        strategies, budgets = build_with_budgets(config)
    gate = RiskGate(config.risk, Sizer(sizing), symbols=config.symbol_limits, budgets=budgets)
    orders = Orders(orders_epoch, recv_window_ms=config.venue.recv_window_ms)
    return Engine(
        instruments,
        books,
        signals,
        strategies,
        gate,
        Executor(orders),
        orders,
        Portfolio(instruments, balance=balance),
        Journal(),
        clock,
        protection=config.protection,
        reduce_only_codes=REDUCE_ONLY_SYMBOL,
    )
