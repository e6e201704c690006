"""The composition root of a run: builds everything, owns the tasks and the order of the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from fastbook import Book, BookDecoder, BookState
from fastbook.bybit.instruments import parse_instruments
from fastbook.bybit.trades import parse_trades
from fastbook.core.signals import SignalSet
from fastbook.engine import Engine
from fastbook.errors import ConfigError
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import RiskGate, Sizer
from fastbook.strategy.mean_reversion import MeanReversion
from fastbook.types import (
    Category,
    Command,
    Control,
    ControlKind,
    Instrument,
    OrderEvent,
    PlaceOrder,
    TradingState,
)

from .bybit.gateway import RestGateway
from .bybit.private import PrivateStream
from .bybit.public import PublicFeed, PublicFeedConfig
from .bybit.rest import RestClient
from .config import Config, Credentials, Endpoints
from .latency import LatencyHistogram
from .rates import Rate
from .status import EventLines, count_states, describe_focus, describe_positions
from .system_clock import SystemClock

log = logging.getLogger("fastbook.app")
