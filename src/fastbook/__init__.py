"""Order books you can trust and a trading engine for Bybit v5.

Importing this opens no socket, reads no file and starts no thread.
"""

from fastbook._version import __version__
from fastbook.bybit.frames import BookDecoder
from fastbook.core.book import Book
from fastbook.core.fixed import format_fixed, parse_fixed
from fastbook.core.kernels import (
    AverageTrueRange,
    BarSampler,
    Ewma,
    OrderFlowImbalance,
    RealizedVolatility,
    RollingVwap,
    RollingZScore,
)
from fastbook.core.signals import Signal, SignalSet
from fastbook.core.states import ApplyStatus, BookState, SequencePolicy
from fastbook.engine import Engine
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.risk import RiskGate, RiskLimits
from fastbook.strategy.base import Strategy

__all__ = [
    "ApplyStatus",
    "AverageTrueRange",
    "BarSampler",
    "Book",
    "BookDecoder",
    "BookState",
    "Engine",
    "Ewma",
    "Executor",
    "OrderFlowImbalance",
    "Orders",
    "Portfolio",
    "RealizedVolatility",
    "RiskGate",
    "RiskLimits",
    "RollingVwap",
    "RollingZScore",
    "SequencePolicy",
    "Signal",
    "SignalSet",
    "Strategy",
    "__version__",
    "format_fixed",
    "parse_fixed",
]
