"""Random streams of orders through the gate, and a ledger of its own that checks every approval.

The ledger shares no line with the gate: plain integers and fractions, every rule written again
from its description. `make gate-million` runs a million orders; a test runs some thousands.

Usage: python -m tests.reference.gate_world [--orders N] [--seed S]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from tests.support_decide import FakeBook, instrument, limits

from fastbook.risk import AccountView, Budget, RiskGate, SymbolLimits, TrackRecord
from fastbook.types import (
    AmendIntent,
    Approved,
    Category,
    Instrument,
    OrderIntent,
    OrderType,
    Side,
    TradingState,
)

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
STRATEGIES = ("one", "two")
STEPS_A_STREAM = 60


class Breach(AssertionError):
    """The gate approved what it must not."""


@dataclass(slots=True, eq=False)
class Resting:
    """One approved order, as the ledger has it."""

    index: int
    strategy: str
    side: Side
    px: int
    left: int
    filled: int
    exits: bool
    amend: tuple[int, int] | None = None  # price and what would be left

    @property
    def worst(self) -> int:
        return max(self.left, self.amend[1] if self.amend else 0)

    @property
    def px_max(self) -> int:
        return max(self.px, self.amend[0] if self.amend else 0)

    @property
    def px_min(self) -> int:
        return min(self.px, self.amend[0]) if self.amend else self.px


@dataclass(slots=True)
class Market:
    unit: Instrument
    owner: str
    mid: int
    position: int = 0
    orders: list[Resting] = field(default_factory=list)
    leverage: Decimal | None = None
    symbol: SymbolLimits = field(default_factory=SymbolLimits)

    def side(self, side: Side) -> list[Resting]:
        return [o for o in self.orders if o.side is side]

    @property
    def worst(self) -> int:
        longest = self.position + sum(o.worst for o in self.side(Side.BUY))
        shortest = sum(o.worst for o in self.side(Side.SELL)) - self.position
        return max(longest, shortest)

    def money(self, px: int, qty: int) -> Fraction:
        return Fraction(px * qty, 10 ** (self.unit.price_scale + self.unit.qty_scale))

    def worst_money(self) -> Fraction:
        px = max([self.mid + self.unit.tick, *(o.px_max for o in self.orders)])
        return self.money(px, self.worst)


class GateWorld:
    """One gate with random limits, three symbols of two strategies, and time."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.limit = some_limits(rng)
        self.markets = [some_market(rng, i) for i in range(3)]
        self.budgets = {s: some_budget(rng) for s in STRATEGIES}
        self.gate = RiskGate(
            self.limit,
            symbols={m.unit.symbol: m.symbol for m in self.markets},
            budgets=self.budgets,
        )
        self.equity = Decimal(rng.randrange(1_000, 200_000))
        self.peak = self.start = self.equity
        self.now = rng.randrange(10**6) * SECOND
        self.day = self.now // DAY
        self.gate.on_equity(self.equity, self.now)
        self.latched = False
        self.stopped: set[int] = set()
        self.times: list[int] = []
        self.entries: list[tuple[int, int]] = []
        self.day_orders = 0
        self.sent: dict[tuple[int, Side, int, int], int] = {}
        self.seen: Counter[str] = Counter()

    # --- what happens ------------------------------------------------------------------------

    def step(self) -> None:
        rng = self.rng
        self.now += rng.choice((0, 1, 20, 99, 150, 900, 15_000)) * 1_000_000
        if rng.random() < 0.01:
            self.now += DAY
        market = rng.choice(self.markets)
        market.mid = max(1_000, market.mid + rng.randrange(-30, 31) * market.unit.tick)
        if rng.random() < 0.1:
            self.equity *= Decimal(rng.choice(("0.98", "0.999", "0.9995", "1.0005", "1.002")))
        if rng.random() < 0.05:
            self._rearm()
        self._note_equity()
        if market.orders and rng.random() < 0.35:
            self._something_of(market, rng.choice(market.orders))
        elif market.orders and rng.random() < 0.25:
            self._amend(market, rng.choice(market.orders))
        else:
            self._order(market)

    def _rearm(self) -> None:
        self.gate.rearm(self.equity)
        self.latched = False
        self.stopped.clear()
        self.entries.clear()
        self.peak = self.start = self.equity

    def _note_equity(self) -> None:
        self.gate.on_equity(self.equity, self.now)  # as the engine's timer does
        day = self.now // DAY
        if day > self.day:
            self.day, self.start, self.day_orders = day, self.equity, 0
        self.peak = max(self.peak, self.equity)
        loss = Fraction(self.start - self.equity) * 100
        fall = Fraction(self.peak - self.equity) * 100
        exact = Fraction(str(self.limit.daily_loss_pct_max))
        self.latched |= loss >= exact * Fraction(self.start)
        if self.limit.drawdown_pct_max is not None:
            most = Fraction(str(self.limit.drawdown_pct_max))
            self.latched |= fall >= most * Fraction(self.peak)

    def _something_of(self, market: Market, order: Resting) -> None:
        """A fill, a cancel, or the end of an amend."""
        kind = self.rng.randrange(3)
        if kind == 0:
            traded = self.rng.randint(1, max(order.left, 1))
            market.position += order.side * min(traded, order.left)
            order.filled += min(traded, order.left)
            order.left -= min(traded, order.left)
            if order.amend:
                order.amend = (order.amend[0], max(0, order.amend[1] - traded))
            if order.worst == 0:
                market.orders.remove(order)
        elif kind == 1 or order.amend is None:
            market.orders.remove(order)
        else:
            if self.rng.random() < 0.7:
                order.px, order.left = order.amend
            order.amend = None

    # --- orders ------------------------------------------------------------------------------

    def _order(self, market: Market) -> None:
        rng, unit = self.rng, market.unit
        exits = rng.random() < (0.3 if market.position else 0.02)
        side = rng.choice(list(Side))
        if exits and market.position and rng.random() < 0.8:
            side = Side.SELL if market.position > 0 else Side.BUY
        intent = OrderIntent(
            instrument=unit.index,
            side=side,
            px=market.mid + some_offset(rng) * unit.tick // 3,
            qty=rng.choice((0, rng.randrange(-2, 60), rng.randrange(400), rng.randrange(20_000))),
            order_type=rng.choice((OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET)),
            reduce_only=exits,
            strategy=market.owner,
            reason="random",
            confidence=rng.random(),
        )
        state = rng.choice([TradingState.ACTIVE] * 40 + list(TradingState))
        decision = self.gate.check(
            intent,
            instrument=unit,
            book=self._book(market),
            account=self._view(market, None),
            state=state,
            now_ns=self.now,
            wall_ns=self.now,
        )
        if not isinstance(decision, Approved):
            self._refused(decision.rule, unit.index)
            return
        item = decision.item
        self.seen["approved exit" if exits else "approved entry"] += 1
        self._check_order(market, intent, item, state)
        self.times.append(self.now)
        self.day_orders += 1
        if not exits:
            self.entries.append((self.now, unit.index))
        self.sent[unit.index, item.side, item.px, item.qty] = self.now
        order = Resting(unit.index, market.owner, item.side, item.px, item.qty, 0, exits)
        market.orders.append(order)
        if not exits:
            self._check_exposure(market)

    def _amend(self, market: Market, order: Resting) -> None:
        rng, unit = self.rng, market.unit
        if order.exits or order.amend is not None or not order.left:
            return
        intent = AmendIntent(
            client_id="x",
            instrument=unit.index,
            side=order.side,
            px=market.mid + some_offset(rng) * unit.tick // 3,
            qty=order.filled + rng.choice((order.left, rng.randrange(1, 20_000))),
            strategy=order.strategy,
            reason="random",
        )
        state = rng.choice([TradingState.ACTIVE] * 40 + list(TradingState))
        decision = self.gate.check_amend(
            intent,
            held_qty=order.left,
            held_px=order.px,
            instrument=unit,
            book=self._book(market),
            account=self._view(market, order),
            state=state,
            now_ns=self.now,
            wall_ns=self.now,
        )
        if not isinstance(decision, Approved):
            self._refused(decision.rule, unit.index)
            return
        item = decision.item
        self.seen["approved amend"] += 1
        self._require(state is TradingState.ACTIVE, "amended while not ACTIVE")
        self._check_stops(unit.index)
        self._check_price(market, item.side, item.px, intent.px, order)
        self._require(0 < item.qty <= intent.qty, "amended to more than was asked")
        self.times.append(self.now)
        order.amend = (item.px, item.qty - order.filled)
        self._check_rates()
        self._check_exposure(market)

    def _refused(self, rule: str, index: int) -> None:
        self.seen[rule] += 1
        if rule == "entries_per_minute_max":
            self.stopped.add(index)

    # --- what the gate is shown --------------------------------------------------------------

    def _book(self, market: Market) -> FakeBook:
        return FakeBook(
            symbol=market.unit.symbol,
            recv_ns=self.now,
            best_bid_px=market.mid,
            best_ask_px=market.mid + market.unit.tick,
            price_scale=market.unit.price_scale,
        )

    def _view(self, market: Market, without: Resting | None) -> AccountView:
        others = [m for m in self.markets if m is not market]
        mine = [m for m in others if m.owner == market.owner]
        working = [o for o in market.orders if o is not without]
        buys = [o for o in working if o.side is Side.BUY]
        sells = [o for o in working if o.side is Side.SELL]
        return AccountView(
            equity=self.equity,
            position=market.position,
            working_buy=sum(o.worst for o in buys),
            working_sell=sum(o.worst for o in sells),
            own_bid_max=max((o.px_max for o in buys), default=0),
            own_ask_min=min((o.px_min for o in sells), default=0),
            working_px_max=max((o.px_max for o in working), default=0),
            others_notional=sum((decimal(m.worst_money()) for m in others), Decimal(0)),
            others_margin=sum((decimal(margin(m)) for m in others), Decimal(0)),
            strategy_notional=sum((decimal(m.worst_money()) for m in mine), Decimal(0)),
            leverage=market.leverage,
            orders_open=sum(len(m.orders) for m in self.markets),
            record=TrackRecord(self.rng.randrange(60), self.rng.random(), self.rng.random() * 4),
            volatility_bps=self.rng.choice((float("nan"), 5.0, 80.0)),
        )

    # --- the rules, again --------------------------------------------------------------------

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise Breach(f"{what}: {self.limit}, {self.budgets}, {self.markets}")

    def _check_order(
        self, market: Market, intent: OrderIntent, item: OrderIntent, state: TradingState
    ) -> None:
        unit, require = market.unit, self._require
        self._check_price(market, item.side, item.px, intent.px, None)
        most = unit.qty_max_market if item.order_type is OrderType.MARKET else unit.qty_max
        require(unit.qty_min <= item.qty <= most, "size")
        require(item.qty % unit.lot == 0, "lot")
        require(intent.qty == 0 or item.qty <= intent.qty, "more than was asked")
        worth = market.money(item.px, item.qty)
        for limit in (self.limit.order_notional_max, market.symbol.order_notional_max):
            require(limit is None or worth <= Fraction(str(limit)), "order notional")
        units = market.symbol.order_qty_max
        require(
            units is None or item.qty <= Fraction(str(units)) * 10**unit.qty_scale, "order quantity"
        )
        again_ns = self.sent.get((unit.index, item.side, item.px, item.qty))
        window_ns = self.limit.duplicate_window_ms * 1_000_000
        require(again_ns is None or self.now - again_ns >= window_ns, "duplicate")
        require(state is not TradingState.HALTED, "halted")
        self._check_rates()
        if item.reduce_only:
            way = [o for o in market.orders if o.side is item.side]
            closing = item.qty + sum(o.worst for o in way)
            require(closing <= -market.position * item.side, "an exit turned the position")
            return
        require(state is TradingState.ACTIVE, "an entry while not ACTIVE")
        require(worth >= Fraction(unit.notional_min), "notional of the venue")
        self._check_stops(unit.index)
        require(not market.symbol.reduce_only, "symbol is reduce-only")
        day_max = self.limit.orders_per_day_max
        require(day_max is None or self.day_orders < day_max, "orders of the day")
        open_orders = sum(len(m.orders) for m in self.markets)
        require(open_orders < self.limit.orders_open_max, "orders open")
        limit = self.limit.entries_per_minute_max
        lately = sum(i == unit.index and self.now - t < 60 * SECOND for t, i in self.entries)
        require(limit is None or lately < limit, "entries of a minute")

    def _check_price(
        self, market: Market, side: Side, px: int, asked_px: int, own: Resting | None
    ) -> None:
        unit = market.unit
        mid = Fraction(2 * market.mid + unit.tick, 2)
        self._require(px % unit.tick == 0 and px > 0, "grid")
        self._require((asked_px - px) * side >= 0, "a more eager price")
        off = abs(px - mid)
        bps = Fraction(str(self.limit.price_collar_bps))
        self._require(off <= mid * bps / 10_000, "collar in bps")
        ticks = self.limit.price_collar_ticks
        self._require(ticks is None or off <= ticks * unit.tick, "collar in ticks")
        for other in market.orders:
            if other is not own and other.side is not side:
                meets = px >= other.px_min if side is Side.BUY else px <= other.px_max
                self._require(not meets, "self-trade")

    def _check_stops(self, index: int) -> None:
        self._require(not self.latched, "after the latch fell")
        self._require(index not in self.stopped, "after a runaway")

    def _check_rates(self) -> None:
        self.times = [t for t in self.times if self.now - t < 60 * SECOND]
        burst = max(1, int(self.limit.orders_per_second_max))
        second = sum(self.now - t < SECOND for t in self.times)
        # A bucket: its burst, and what flows in within the second.
        self._require(second < burst + float(self.limit.orders_per_second_max) + 1, "of a second")
        most = self.limit.orders_per_minute_max
        self._require(most is None or len(self.times) < most, "of a minute")

    def _check_exposure(self, market: Market) -> None:
        """After the approval, with it counted: nothing that may happen is beyond a limit."""
        limit, require, unit = self.limit, self._require, market.unit
        equity = Fraction(self.equity)
        alone = market.worst_money()
        require(alone <= equity * Fraction(str(limit.position_pct_max)) / 100, "position")
        require(alone <= equity * Fraction(unit.leverage_max), "leverage of the instrument")
        total = sum((m.worst_money() for m in self.markets), Fraction(0))
        require(total <= equity * Fraction(str(limit.exposure_pct_max)) / 100, "exposure")
        require(total <= equity * Fraction(str(limit.leverage_max)), "leverage")
        most = market.symbol.position_notional_max
        require(most is None or alone <= Fraction(str(most)), "position of the symbol")
        share = self.budgets[market.owner].exposure_pct_max
        mine = sum((m.worst_money() for m in self.markets if m.owner == market.owner), Fraction(0))
        require(share is None or mine <= equity * Fraction(str(share)) / 100, "budget")
        if market.leverage is not None:
            bound = sum((margin(m) for m in self.markets), Fraction(0))
            require(bound <= equity * Fraction(str(limit.margin_use_pct_max)) / 100, "margin")
        if unit.category is Category.SPOT:
            sells = sum(o.worst for o in market.side(Side.SELL) if not o.exits)
            bought = max(market.position, 0)
            require(not sells or sells <= bought, "sold what is not held")


def margin(market: Market) -> Fraction:
    if market.leverage is None:
        return Fraction(0)
    return market.worst_money() / Fraction(market.leverage)


def decimal(value: Fraction) -> Decimal:
    """Exact where it can be (notionals); a quotient is rounded up at 30 digits."""
    text = Decimal(value.numerator) / Decimal(value.denominator)
    return text if Fraction(text) >= value else text + Decimal("1e-15")


def some_offset(rng: Random) -> int:
    """Thirds of a tick from the best bid."""
    return rng.choice((0, 3, rng.randrange(-12, 13), rng.randrange(-200, 201)))


def some_limits(rng: Random) -> Any:  # Any: as `limits` of the tests
    pick = rng.choice
    return limits(
        position_pct_max=pick((0.5, 1.0, 10.0, 33.3, 100.0, 900.0)),
        exposure_pct_max=pick((0.5, 1.0, 10.0, 33.3, 100.0, 900.0)),
        leverage_max=pick((0.1, 1.0, 3.5, 10.0)),
        daily_loss_pct_max=pick((1, 5, 50, 100, 100)),
        drawdown_pct_max=pick((None, None, 2, 20.5)),
        margin_use_pct_max=pick((1, 33.3, 90, 100)),
        order_notional_max=pick((None, None, 50, 999.99, 100_000)),
        price_collar_bps=pick((1, 20, 100, 300)),
        price_collar_ticks=pick((None, None, 20)),
        orders_per_second_max=pick((1, 3.5, 10, 100)),
        orders_per_minute_max=pick((None, None, 5, 30)),
        orders_per_day_max=pick((None, None, 3, 40)),
        orders_open_max=pick((2, 10, 100)),
        entries_per_minute_max=pick((None, 2, 10)),
        duplicate_window_ms=pick((1, 100, 60_000)),
    )


def some_budget(rng: Random) -> Budget:
    return Budget(
        equity_pct=rng.choice((100, 33.3)), exposure_pct_max=rng.choice((None, 0.7, 20, 300))
    )


def some_market(rng: Random, index: int) -> Market:
    pick = rng.choice
    lot = pick((1, 1, 1, 7, 100))
    unit = instrument(
        index=index,
        symbol=f"S{index}",
        category=pick((Category.LINEAR, Category.LINEAR, Category.SPOT)),
        price_scale=pick((0, 2, 5)),
        qty_scale=pick((0, 3)),
        tick=pick((1, 5, 10)),
        lot=lot,
        qty_min=lot,
        qty_max=30_000 // lot * lot,
        qty_max_market=9_000 // lot * lot,
        notional_min=Decimal(pick((0, 0, 5))),
        leverage_max=Decimal(pick((1, 50))),
    )
    symbol = SymbolLimits(
        order_qty_max=pick((None, None, None, 0.05, 40)),
        order_notional_max=pick((None, None, 77.7)),
        position_notional_max=pick((None, None, 500)),
        reduce_only=rng.random() < 0.02,
    )
    leverage = pick((None, Decimal(1), Decimal("12.5")))
    mid = rng.randrange(2_000, 60_000) * unit.tick
    return Market(unit, pick(STRATEGIES), mid, leverage=leverage, symbol=symbol)


def run(orders: int, seed: int) -> Counter[str]:
    """Streams until so many orders and amends were asked for; what became of them, by rule."""
    seen: Counter[str] = Counter()
    stream = 0
    while seen.total() < orders:
        world = GateWorld(Random(f"{seed}/{stream}"))
        for _ in range(STEPS_A_STREAM):
            try:
                world.step()
            except Breach as e:
                raise Breach(f"seed {seed}, stream {stream}: {e}") from None
        seen += world.seen
        stream += 1
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    start = time.perf_counter()
    try:
        seen = run(args.orders, args.seed)
    except Breach as e:
        print(e, file=sys.stderr)
        return 1
    for rule, count in seen.most_common():
        print(f"{count:>9,} {rule}")
    print(f"{seen.total():>9,} orders and amends, none beyond; {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
