"""The strategies of one engine: whose symbols are whose, what each is told, and what if it raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fastbook.core.signals import Signal
from fastbook.engine.desk import OPERATOR, Desk, StateNow, checked
from fastbook.engine.lanes import Lane, OnBook
from fastbook.errors import ConfigError
from fastbook.strategy.bars import Bar, BarBuilder, BarSource
from fastbook.strategy.base import BookView, PositionView, Row, Strategy
from fastbook.types import Command, Execution, Instrument, Intent, Trade

_MID = int(Signal.MID)


class Roster:
    """Holds the strategies. Foreign code runs here and in `Engine.on_books` only."""

    def __init__(self, desk: Desk, strategies: Sequence[Strategy], state: StateNow) -> None:
        self.strategies: dict[str, Strategy] = {}
        self.disabled: dict[str, str] = {}
        """Strategies that raised, and what."""
        self._desk = desk
        self._state = state
        for strategy in strategies:
            self._admit(strategy)

    def _admit(self, strategy: Strategy) -> None:
        if not isinstance(strategy, Strategy):
            raise ConfigError(f"{strategy!r} is not a fastbook Strategy")
        if strategy.name in self.strategies or strategy.name == OPERATOR:
            raise ConfigError(f"the strategy name {strategy.name!r} is taken")
        mine: list[Instrument] = []
        for lane in self._desk.lanes.values():
            if strategy.symbols is not None and lane.instrument.symbol not in strategy.symbols:
                continue
            if lane.strategy is not None:
                raise ConfigError(
                    f"{lane.instrument.symbol} is wanted by {lane.strategy.name!r} and by "
                    f"{strategy.name!r}: a symbol has one strategy"
                )
            lane.strategy = strategy
            self._connect(lane, strategy)
            mine.append(lane.instrument)
        self.strategies[strategy.name] = strategy
        strategy.on_start(mine)

    def _connect(self, lane: Lane, strategy: Strategy) -> None:
        kind = type(strategy)
        if kind.on_book is not Strategy.on_book:
            lane.on_book = strategy.on_book
        if strategy.bar_ms <= 0 or kind.on_bar is Strategy.on_bar:
            return
        builder = BarBuilder(lane.instrument.index, strategy.bar_ms)
        if strategy.bar_source is BarSource.TRADES:
            lane.trade_bars = builder
        else:
            lane.on_book = self._with_bars(strategy, builder, lane.on_book)

    def _with_bars(self, strategy: Strategy, builder: BarBuilder, then: OnBook | None) -> OnBook:
        """`on_book` with a bar builder before it; strategies without bars pay nothing for it."""
        stats = self._desk.stats

        def on_book(book: BookView, row: Row, position: PositionView) -> Iterable[Intent]:
            bar = builder.push(book.ts_ms, row[_MID])
            wanted: Iterable[Intent] = ()
            if bar is not None:
                stats.bars += 1
                wanted = strategy.on_bar(bar, book, position)
            if then is None:
                return wanted
            return (*wanted, *then(book, row, position)) if bar else then(book, row, position)

        return on_book

    # --- what they are told ------------------------------------------------------------------

    @property
    def listens_to_trades(self) -> bool:
        """Whether anybody wants trades at all: they come as often as books."""
        return any(
            type(lane.strategy).on_trade is not Strategy.on_trade or lane.trade_bars is not None
            for lane in self._desk.lanes.values()
            if lane.strategy is not None
        )

    def wanted_history(self) -> list[tuple[Instrument, int, int]]:
        """(instrument, length of a bar in ms, how many) of the bars to `warm_up` with."""
        return [
            (lane.instrument, lane.strategy.bar_ms, lane.strategy.warm_up_bars)
            for lane in self._desk.lanes.values()
            if lane.strategy is not None
            and lane.strategy.warm_up_bars > 0
            and lane.strategy.bar_ms > 0
        ]

    def warm_up(self, index: int, bars: Sequence[Bar], recv_ns: int) -> list[Command]:
        lane = self._desk.lanes[index]
        strategy = lane.strategy
        if strategy is None or strategy.name in self.disabled:
            return []
        try:
            strategy.warm_up(lane.instrument, bars)
        except Exception as error:  # noqa: BLE001 - foreign code: the strategy alone stops
            return self.failed(strategy, error, recv_ns)
        return []

    def on_trade(self, lane: Lane, trade: Trade, recv_ns: int) -> list[Command]:
        """A public trade of a lane whose book is fit, perhaps with the bar that it closed."""
        strategy = lane.strategy
        if strategy is None or strategy.name in self.disabled:
            return []
        commands: list[Command] = []
        if lane.trade_bars is not None:
            bar = lane.trade_bars.push(trade.ts_ms, *_of_trade(lane.instrument, trade))
            if bar is not None:
                self._desk.stats.bars += 1
                commands += self._ask(
                    strategy, partial(strategy.on_bar, bar, lane.book, lane.view), recv_ns
                )
        if type(strategy).on_trade is not Strategy.on_trade and strategy.name not in self.disabled:
            commands += self._ask(strategy, partial(strategy.on_trade, trade, lane.view), recv_ns)
        return commands

    def on_fill(self, name: str, execution: Execution, recv_ns: int) -> list[Command]:
        strategy = self.strategies.get(name)
        if strategy is None or name in self.disabled:
            return []
        if type(strategy).on_fill is Strategy.on_fill:
            return []
        view = self._desk.lanes[execution.instrument].view
        return self._ask(strategy, partial(strategy.on_fill, execution, view), recv_ns)

    def on_timer(self, recv_ns: int) -> list[Command]:
        commands: list[Command] = []
        for strategy in self.strategies.values():
            if strategy.name in self.disabled or type(strategy).on_timer is Strategy.on_timer:
                continue
            commands += self._ask(strategy, partial(strategy.on_timer, recv_ns), recv_ns)
        return commands

    def _ask(
        self, strategy: Strategy, ask: Callable[[], Iterable[Intent]], recv_ns: int
    ) -> list[Command]:
        try:
            wanted = checked(ask())
        except Exception as error:  # noqa: BLE001 - foreign code: the strategy alone stops
            return self.failed(strategy, error, recv_ns)
        return self._desk.decide(strategy, wanted, self._state, recv_ns)

    def failed(self, strategy: Strategy, error: Exception, recv_ns: int) -> list[Command]:
        """Disable it for good, withdraw its orders; everything else goes on."""
        desk = self._desk
        said = f"{type(error).__name__}: {error}"
        desk.stats.strategy_errors += 1
        self.disabled[strategy.name] = said
        desk.journal.append("strategy_error", (strategy.name, said), recv_ns)
        for lane in desk.lanes.values():
            if lane.strategy is strategy:
                lane.on_book = None
        return desk.noted(desk.executor.cancel_working(recv_ns, strategy.name), recv_ns)

    # --- over a restart ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:  # Any: JSON
        """What each strategy wants to find again; one that raises here is disabled later."""
        found = {}
        for name, strategy in self.strategies.items():
            if name in self.disabled:
                continue
            try:
                kept = strategy.state()
            except Exception as error:  # noqa: BLE001 - foreign code: the strategy alone stops
                self._desk.journal.append("strategy_error", (name, f"state: {error}"), 0)
                continue
            if kept is not None:
                found[name] = kept
        return found

    def restore(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        """ConfigError when a strategy cannot take up what it left."""
        for name, kept in state.items():
            strategy = self.strategies.get(name)
            if strategy is None:
                continue
            try:
                strategy.restore(kept)
            except Exception as error:
                raise ConfigError(f"strategy {name!r} cannot restore its state: {error}") from error


def _of_trade(instrument: Instrument, trade: Trade) -> tuple[float, float]:
    return trade.px / 10**instrument.price_scale, trade.qty / 10**instrument.qty_scale
