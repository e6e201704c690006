"""An engine with two symbols and a clock that stands still, for stories about it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.support_decide import FakeBook, FakeSignals, fill, instrument, limits

from fastbook.clock import ManualClock
from fastbook.core.states import BookState
from fastbook.engine import Engine
from fastbook.execution import Executor, Orders, Portfolio
from fastbook.journal import Journal
from fastbook.risk import Budget, ProtectionParams, RiskGate, SymbolLimits
from fastbook.risk.protection import OFF
from fastbook.strategy import BookView, MeanReversion, PositionView, Row, Strategy
from fastbook.types import Execution, Intent, OrderIntent, PlaceOrder, Side, Trade, TradingState

SYMBOLS = ("BTCUSDT", "ETHUSDT")


class World:
    """An engine with two symbols, its books and signals, and a clock that stands still."""

    def __init__(
        self,
        strategies: Iterable[Strategy] | None = None,
        *,
        journal: Journal | None = None,
        reconciled: bool = True,
        balance: str | None = "100000",
        protection: ProtectionParams = OFF,
        symbols: dict[str, SymbolLimits] | None = None,
        budgets: dict[str, Budget] | None = None,
        reduce_only_codes: Iterable[int] = (),
        **limit: Any,  # Any: fields of different types
    ) -> None:
        units = [instrument(index=i, symbol=s) for i, s in enumerate(SYMBOLS)]
        self.books = [FakeBook(symbol=s) for s in SYMBOLS]
        self.signals = FakeSignals(2)
        self.clock = ManualClock()
        self.orders = Orders("n1")
        self.portfolio = Portfolio(units, balance=None if balance is None else Decimal(balance))
        self.journal = Journal() if journal is None else journal
        self.now = 0
        self.engine = Engine(
            units,
            self.books,
            self.signals,
            [MeanReversion()] if strategies is None else list(strategies),
            RiskGate(limits(**limit), symbols=symbols, budgets=budgets),
            Executor(self.orders),
            self.orders,
            self.portfolio,
            self.journal,
            self.clock,
            protection=protection,
            reduce_only_codes=tuple(reduce_only_codes),
        )
        if reconciled:
            self.engine.reconciled(0)

    def wait(self, ms: int) -> None:
        self.now += ms * 1_000_000
        self.clock.advance(ms * 1_000_000)
        for book in self.books:
            if book.state is BookState.SYNCED:
                book.recv_ns = self.now
                book.ts_ms += ms

    def tick(self, z: float = -2.5, imbalance: float = 0.5, index: int = 0) -> list[Any]:
        self.signals.set(z, imbalance, index=index)
        return list(self.engine.on_books([index], self.now))

    def enter(self) -> PlaceOrder:
        (command,) = self.tick()
        assert isinstance(command, PlaceOrder)
        return command

    def tell(self, *events: Any) -> list[Any]:  # Any: every kind of order event
        return [c for event in events for c in self.engine.on_event(event, self.now)]

    def filled(self, command: PlaceOrder, exec_id: str = "e1", **changes: Any) -> list[Any]:
        values: dict[str, Any] = {
            "instrument": command.instrument,
            "side": command.side,
            "px": command.px,
            "qty": command.qty,
        }
        values |= changes
        return self.tell(fill(exec_id, command.client_id, **values))

    def state(self) -> TradingState:
        return self.engine.state

    def kinds(self) -> list[str]:
        return [r.kind for r in self.journal.drain()]


class Scripted(Strategy):
    """Answers what it was told to; raises when that is an error."""

    def __init__(self, name: str = "scripted", symbols: Iterable[str] | None = None) -> None:
        self.name = name
        self.symbols = None if symbols is None else frozenset(symbols)
        self.answers: dict[str, list[Any]] = {}
        self.fills: list[tuple[str, int]] = []
        self.started: list[str] = []

    def _next(self, door: str) -> Any:  # Any: also what no strategy should answer
        waiting = self.answers.get(door)
        answer = waiting.pop(0) if waiting else ()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_start(self, instruments: Any) -> None:
        self.started = [i.symbol for i in instruments]

    def on_book(self, book: BookView, row: Row, position: PositionView) -> Iterable[Intent]:
        return self._next("book")  # type: ignore[no-any-return]  # wrong on purpose, at times

    def on_trade(self, trade: Trade, position: PositionView) -> Iterable[Intent]:
        return self._next("trade")  # type: ignore[no-any-return]  # as above

    def on_fill(self, execution: Execution, position: PositionView) -> Iterable[Intent]:
        self.fills.append((execution.exec_id, position.qty))
        return self._next("fill")  # type: ignore[no-any-return]  # as above

    def on_timer(self, recv_ns: int) -> Iterable[Intent]:
        return self._next("timer")  # type: ignore[no-any-return]  # as above


def want(strategy: str = "scripted", **changes: Any) -> OrderIntent:
    values: dict[str, Any] = {
        "instrument": 0,
        "side": Side.BUY,
        "px": 50_010,
        "qty": 100,
        "strategy": strategy,
        "reason": "told to",
    }
    return OrderIntent(**(values | changes))


def scripted(**answers: list[Any]) -> tuple[World, Scripted]:
    strategy = Scripted()
    strategy.answers = answers
    return World([strategy]), strategy
