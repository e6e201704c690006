"""Latencies, queues, venue, wire and metrics of a backtest, each alone."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook import Book, BookState
from fastbook.errors import ConfigError
from fastbook.replay.backtest.latency import Latency, from_percentiles
from fastbook.replay.backtest.metrics import YEAR_S, EquityCurve, Series, Welford
from fastbook.replay.backtest.queues import Place, Queue
from fastbook.replay.backtest.venue import Assumptions, SimVenue
from fastbook.replay.backtest.wire import NEVER_NS, Wire
from fastbook.types import (
    CancelOrder,
    Category,
    Execution,
    Instrument,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    Side,
    TimeInForce,
    Trade,
)

ONE = Instrument(
    index=0,
    category=Category.LINEAR,
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    settle="USDT",
    price_scale=1,
    qty_scale=3,
    tick=1,
    lot=1,
    qty_min=1,
    qty_max=10**9,
    qty_max_market=10**9,
    notional_min=Decimal(0),
)
MS = 1_000_000


def book(bids: list[tuple[str, str]], asks: list[tuple[str, str]], u: int = 1) -> Book:
    made = Book(50, price_scale=1, qty_scale=3, symbol="BTCUSDT")
    made.apply_snapshot(bids, asks, u)
    assert made.state is BookState.SYNCED
    return made


def venue(made: Book, **kwargs: object) -> SimVenue:
    return SimVenue([ONE], [made], Assumptions(name="t", **kwargs), balance=Decimal(10_000))  # type: ignore[arg-type]


def order(side: Side, px: int, qty: int, tif: TimeInForce = TimeInForce.GTC, n: int = 1) -> PlaceOrder:  # fmt: skip
    return PlaceOrder(
        client_id=f"o{n}",
        instrument=0,
        side=side,
        px=px,
        qty=qty,
        order_type=OrderType.LIMIT,
        tif=tif,
        reduce_only=False,
    )


def trade(side: Side, px: int, qty: int) -> Trade:
    return Trade(0, side, px, qty, 1, "t", 1)


def filled(events: list[OrderEvent]) -> int:
    return sum(e.qty for e in events if isinstance(e, Execution))


# --- latency ---


def test_a_table_of_one_is_a_constant() -> None:
    assert {Latency([5], factor=2.0).draw() for _ in range(9)} == {10}


def test_percentiles_are_a_distribution() -> None:
    table = from_percentiles([(0, 1.0), (50, 2.0), (99, 10.0)])
    latency = Latency(table, seed=3)
    drawn = sorted(latency.draw() for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(2.0 * MS, rel=0.05)
    assert drawn[-1] == 10 * MS
    assert latency.quantile(0.5) == pytest.approx(2.0 * MS, rel=0.01)
    once, again = Latency(table, seed=3), Latency(table, seed=3)
    assert [once.draw() for _ in range(9)] == [again.draw() for _ in range(9)]


@pytest.mark.parametrize(
    "points", [[], [(50, 2), (50, 3)], [(1, 5), (2, 4)], [(-1, 1)], [(101, 1)]]
)
def test_percentiles_must_rise(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ConfigError):
        from_percentiles(points)


@pytest.mark.parametrize("table", [[], [-1], [61_000_000_000]])
def test_a_latency_has_bounds(table: list[int]) -> None:
    with pytest.raises(ConfigError):
        Latency(table)


# --- queues ---


def test_only_trades_bring_the_pessimist_forward() -> None:
    place = Place(Queue.PESSIMISTIC, 100)
    place.on_shown(
        Queue.PESSIMISTIC, 60
    )  # 40 went: he believes they were behind him, but 60 bound him
    assert place.ahead == 60
    assert place.on_trade(50) == 0
    place.on_shown(Queue.PESSIMISTIC, 80)
    assert place.ahead == 10
    assert place.on_trade(25) == 15


def test_what_goes_without_a_trade_goes_in_proportion() -> None:
    place = Place(Queue.PROPORTIONAL, 100)
    place.on_shown(Queue.PROPORTIONAL, 200)  # 100 came behind us
    place.on_trade(20)
    place.on_shown(Queue.PROPORTIONAL, 160)  # 20 traded, 20 cancelled: 80 * 20 / 200 of them ahead
    assert place.ahead == 72


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=40),
    shown=st.integers(0, 300),
)
def test_the_queues_are_in_order(steps: list[tuple[bool, int]], shown: int) -> None:
    places = {queue: Place(queue, shown) for queue in Queue}
    reached = dict.fromkeys(Queue, 0)
    for is_trade, qty in steps:
        for queue, place in places.items():
            if is_trade:
                reached[queue] += place.on_trade(qty)
            else:
                place.on_shown(queue, qty)
            assert place.ahead >= 0
        aheads = [places[q].ahead for q in (Queue.FRONT, Queue.PROPORTIONAL, Queue.PESSIMISTIC)]
        assert aheads == sorted(aheads)
    assert reached[Queue.FRONT] >= reached[Queue.PROPORTIONAL] >= reached[Queue.PESSIMISTIC]


# --- venue ---


def test_a_taker_takes_what_is_displayed_and_no_more() -> None:
    made = book([("100.0", "1")], [("100.1", "2"), ("100.2", "3"), ("100.3", "9")])
    events = venue(made).execute(order(Side.BUY, 1002, 7_000, TimeInForce.IOC), 1)
    fills = [(e.px, e.qty) for e in events if isinstance(e, Execution)]
    assert fills == [(1001, 2_000), (1002, 3_000)]
    assert [e.status for e in events if isinstance(e, OrderUpdate)][-1] == "Cancelled"


def test_the_pessimist_gets_a_share_of_it() -> None:
    made = book([("100.0", "1")], [("100.1", "2"), ("100.2", "3")])
    events = venue(made, take_share=0.5).execute(order(Side.BUY, 1002, 7_000, TimeInForce.IOC), 1)
    assert [e.qty for e in events if isinstance(e, Execution)] == [1_000, 1_500]


@pytest.mark.parametrize(
    ("queue", "after"),
    [(Queue.PESSIMISTIC, 500), (Queue.PROPORTIONAL, 500), (Queue.FRONT, 2_500)],
)
def test_a_resting_order_waits_for_its_turn(queue: Queue, after: int) -> None:
    made = book([("100.0", "2")], [("100.1", "2")])
    sim = venue(made, queue=queue)
    sim.execute(order(Side.BUY, 1000, 4_000), 1)
    assert sim.watching
    events = sim.on_trades([trade(Side.SELL, 1000, 2_500)], 2)
    assert filled(events) == after
    assert all(e.is_maker and e.px == 1000 for e in events if isinstance(e, Execution))
    assert sim.on_trades([trade(Side.BUY, 1000, 9_000)], 3) == [], "that was the other side"
    assert sim.on_trades([trade(Side.SELL, 1001, 9_000)], 3) == [], "at a better price for them"


def test_a_trade_through_the_price_fills() -> None:
    sim = venue(book([("100.0", "2")], [("100.1", "2")]), queue=Queue.PESSIMISTIC)
    sim.execute(order(Side.BUY, 1000, 4_000), 1)
    assert filled(sim.on_trades([trade(Side.SELL, 999, 3_000)], 2)) == 3_000
    assert filled(sim.on_trades([trade(Side.SELL, 999, 3_000)], 2)) == 1_000
    assert not sim.watching


def test_a_book_that_comes_to_the_price_fills() -> None:
    made = book([("100.0", "2")], [("100.1", "2")])
    sim = venue(made, queue=Queue.PESSIMISTIC)
    sim.execute(order(Side.BUY, 1000, 4_000), 1)
    made.apply_snapshot([("99.9", "1")], [("100.0", "3")], 2)
    assert filled(sim.on_books([0], 2)) == 3_000


def test_cancel_and_refusals() -> None:
    sim = venue(book([("100.0", "2")], [("100.1", "2")]), reject_share=0.5, seed=1)
    answers = [sim.execute(order(Side.BUY, 900, 1, n=n), 1)[0] for n in range(200)]
    refused = sum(isinstance(a, OrderRejected) for a in answers)
    assert refused == sim.refused
    assert 70 < refused < 130
    resting = next(a for a in answers if isinstance(a, OrderAccepted))
    events = sim.execute(CancelOrder(client_id=resting.client_id, instrument=0), 2)
    assert [e.status for e in events if isinstance(e, OrderUpdate)] == ["Cancelled"]


def test_funding_is_paid_by_longs_when_positive() -> None:
    sim = venue(book([("100.0", "2")], [("100.1", "2")]))
    assert sim.fund(0, Decimal("0.0001"), Decimal(100), 1) == []
    sim.execute(order(Side.BUY, 1001, 2_000, TimeInForce.IOC), 1)
    paid, _ = sim.fund(0, Decimal("0.0001"), Decimal(100), 2)
    assert isinstance(paid, Execution)
    assert (paid.exec_type, paid.fee) == ("Funding", Decimal("0.02"))


@pytest.mark.parametrize("wrong", [{"take_share": 0.0}, {"take_share": 1.1}, {"reject_share": 1.0}])
def test_assumptions_have_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Assumptions(name="t", **wrong)  # type: ignore[arg-type]


# --- wire ---


def test_an_order_meets_the_book_of_its_arrival() -> None:
    """Sent at 0; at the venue at 5 ms; seen from here 3 ms later; the answer 4 ms after arrival."""
    made = book([("100.0", "1")], [("100.1", "2")])
    wire = Wire(venue(made), Latency([5 * MS]), Latency([4 * MS]), lambda: 3 * MS)
    wire.send([order(Side.BUY, 1002, 1_000, TimeInForce.IOC)], 0)
    assert wire.due_ns == 8 * MS
    made.apply_snapshot([("100.1", "1")], [("100.2", "2")], 2)  # what came before 8 ms counts
    assert wire.take() == (8 * MS, [])
    assert wire.due_ns == 9 * MS
    at_ns, events = wire.take()
    assert at_ns == 9 * MS
    assert [e.px for e in events if isinstance(e, Execution)] == [1002]
    assert wire.due_ns == NEVER_NS


def test_commands_arrive_in_the_order_sent() -> None:
    made = book([("100.0", "1")], [("100.1", "2")])
    slow_then_fast = Latency([9 * MS, 1 * MS], seed=5)
    wire = Wire(venue(made), slow_then_fast, Latency([MS]), lambda: 0)
    for n in range(50):
        wire.send([order(Side.BUY, 900, 1, n=n)], n)
    seen = []
    while wire.due_ns < NEVER_NS:
        at_ns, events = wire.take()
        seen += [(e.client_id, at_ns) for e in events if isinstance(e, OrderAccepted)]
    assert len(seen) == 50
    assert {c for c, _ in seen} == {f"o{n}" for n in range(50)}


def test_an_answer_does_not_overtake_the_market_data_of_its_moment() -> None:
    made = book([("100.0", "1")], [("100.1", "2")])
    wire = Wire(venue(made), Latency([MS]), Latency([0]), lambda: 20 * MS)
    wire.send([order(Side.BUY, 900, 1)], 0)
    assert wire.take()[0] == 21 * MS
    assert wire.take()[0] == 21 * MS


# --- metrics ---


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=200))
def test_welford_is_mean_and_deviation(values: list[float]) -> None:
    w = Welford()
    for value in values:
        w.push(value)
    assert w.mean == pytest.approx(mean(values), abs=1e-6)
    assert w.std == pytest.approx(stdev(values), abs=1e-6)


def test_figures_of_an_equity_curve() -> None:
    curve = EquityCurve()
    equities = [100.0 + math.sin(n) + n * 0.01 for n in range(100)]
    for n, equity in enumerate(equities):
        curve.push(n * 1_000_000_000, equity)
    returns = [b / a - 1 for a, b in itertools.pairwise(equities)]
    assert curve.sharpe == pytest.approx(mean(returns) / stdev(returns) * math.sqrt(YEAR_S))
    peak, worst = -math.inf, 0.0
    for equity in equities:
        peak = max(peak, equity)
        worst = max(worst, 1 - equity / peak)
    assert curve.max_drawdown == pytest.approx(worst)


def test_too_few_returns_have_no_ratio() -> None:
    curve = EquityCurve()
    for n in range(20):
        curve.push(n * 1_000_000_000, 100.0 + n % 2)
    assert math.isnan(curve.sharpe)
    assert math.isnan(curve.sortino)


def test_a_series_stays_small_and_spans_everything() -> None:
    series = Series(["t"], samples_max=64)
    for n in range(10_000):
        series.push({"t": float(n)})
        assert len(series) < 64
    t = list(series.columns["t"])
    assert t[0] == 0.0
    assert t[-1] > 9_000
    steps = {b - a for a, b in itertools.pairwise(t)}
    assert len(steps) == 1
