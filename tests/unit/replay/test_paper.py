"""Paper fills: what is displayed, once, at the prices displayed; and the same money rule."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from fastbook import Book
from fastbook.core.states import BookState
from fastbook.replay.paper import PaperFees, PaperVenue
from fastbook.types import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    CancelRejected,
    Category,
    Execution,
    Instrument,
    OrderAbsent,
    OrderEvent,
    OrderRejected,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    PositionSnapshot,
    QueryOrder,
    SetStops,
    Side,
    StopsRejected,
    TimeInForce,
    WalletSnapshot,
)

BTC = Instrument(
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
    notional_min=Decimal(5),
)


def book() -> Book:
    made = Book(50, price_scale=1, qty_scale=3, symbol="BTCUSDT", index=0)
    made.apply_snapshot([("99.9", "1"), ("99.8", "2")], [("100.0", "1"), ("100.1", "2")], 1)
    return made


def venue(of: Book) -> PaperVenue:
    return PaperVenue([BTC], [of], balance=Decimal(1000), fees=PaperFees(taker=Decimal("0.001")))


def order(
    side: Side,
    px: int,
    qty: int,
    tif: TimeInForce = TimeInForce.IOC,
    *,
    client_id: str = "a",
    reduce_only: bool = False,
) -> PlaceOrder:
    return PlaceOrder(
        client_id=client_id,
        instrument=0,
        side=side,
        px=px,
        qty=qty,
        order_type=OrderType.LIMIT,
        tif=tif,
        reduce_only=reduce_only,
    )


def fills(events: list[OrderEvent]) -> list[tuple[int, int]]:
    return [(e.px, e.qty) for e in events if isinstance(e, Execution)]


def last_status(events: list[OrderEvent]) -> str:
    return [e.status for e in events if isinstance(e, OrderUpdate)][-1]


def test_an_immediate_order_walks_the_displayed_levels_to_its_price() -> None:
    events = venue(book()).execute(order(Side.BUY, 1001, 2500), 1)

    assert fills(events) == [(1000, 1000), (1001, 1500)]
    assert last_status(events) == "Filled"


def test_what_its_price_does_not_reach_is_cancelled() -> None:
    events = venue(book()).execute(order(Side.SELL, 999, 1500), 1)

    assert fills(events) == [(999, 1000)]
    assert last_status(events) == "Cancelled"


def test_the_same_quantity_is_not_taken_twice_from_one_update() -> None:
    held = book()
    paper = venue(held)

    first = paper.execute(order(Side.BUY, 1000, 700), 1)
    second = paper.execute(order(Side.BUY, 1000, 700, client_id="b"), 1)
    held.apply_delta([], [], 2)
    third = paper.execute(order(Side.BUY, 1000, 700, client_id="c"), 1)

    assert [fills(e) for e in (first, second, third)] == [
        [(1000, 700)], [(1000, 300)], [(1000, 700)],
    ]  # fmt: skip


def test_fok_trades_whole_or_not_at_all() -> None:
    paper = venue(book())

    assert fills(paper.execute(order(Side.BUY, 1000, 1001, TimeInForce.FOK), 1)) == []
    assert fills(paper.execute(order(Side.BUY, 1000, 1000, TimeInForce.FOK), 1)) == [(1000, 1000)]


def test_post_only_that_would_cross_is_cancelled() -> None:
    events = venue(book()).execute(order(Side.BUY, 1000, 100, TimeInForce.POST_ONLY), 1)

    assert fills(events) == []
    assert last_status(events) == "Cancelled"


def test_a_resting_order_fills_at_its_own_price_when_the_book_comes_to_it() -> None:
    held = book()
    paper = venue(held)
    assert last_status(paper.execute(order(Side.BUY, 999, 500, TimeInForce.GTC), 1)) == "New"
    assert paper.on_books([0], 2) == []

    held.apply_delta([("99.9", "0")], [("99.8", "0"), ("99.7", "0.2")], 2)
    held.apply_delta([("99.8", "0")], [("99.85", "0")], 3)
    held.apply_snapshot([("99.5", "1")], [("99.7", "0.2")], 4)
    partial = paper.on_books([0], 3)
    held.apply_snapshot([("99.5", "1")], [("99.7", "0.4")], 5)
    rest = paper.on_books([0], 4)

    assert fills(partial) == [(999, 200)]
    assert last_status(partial) == "PartiallyFilled"
    assert fills(rest) == [(999, 300)]
    assert last_status(rest) == "Filled"
    assert isinstance(paper.execute(QueryOrder(client_id="a", instrument=0), 5)[0], OrderAbsent)


def test_an_untrusted_book_fills_nothing() -> None:
    held = book()
    held.mark(BookState.UNSYNCED)

    events = venue(held).execute(order(Side.BUY, 1001, 100), 1)

    assert isinstance(events[0], OrderRejected)
    assert "UNSYNCED" in events[0].reason


@pytest.mark.parametrize(("side", "qty"), [(Side.BUY, 100), (Side.SELL, 1001)])
def test_reduce_only_never_flips(side: Side, qty: int) -> None:
    paper = venue(book())
    paper.execute(order(Side.BUY, 1000, 1000), 1)

    refused = paper.execute(order(side, 999, qty, client_id="b", reduce_only=True), 2)
    closed = paper.execute(order(Side.SELL, 999, 1000, client_id="c", reduce_only=True), 2)

    assert isinstance(refused[0], OrderRejected)
    assert fills(closed) == [(999, 1000)]


def test_money_is_exact() -> None:
    paper = venue(book())

    paper.execute(order(Side.BUY, 1000, 1000), 1)
    events = paper.execute(order(Side.SELL, 999, 1000, client_id="b"), 2)

    wallet = next(e for e in events if isinstance(e, WalletSnapshot))
    position = next(e for e in events if isinstance(e, PositionSnapshot))
    assert wallet.balance == Decimal(1000) - Decimal("0.1") - Decimal("0.1") - Decimal("0.0999")
    assert (position.qty, position.realized_pnl) == (0, Decimal("-0.1"))


def test_cancel_and_cancel_all() -> None:
    paper = venue(book())
    for client_id in ("a", "b"):
        paper.execute(order(Side.BUY, 900, 100, TimeInForce.GTC, client_id=client_id), 1)

    one = paper.execute(CancelOrder(client_id="a", instrument=0), 2)
    again = paper.execute(CancelOrder(client_id="a", instrument=0), 2)
    rest = paper.execute(CancelAll(), 2)

    assert last_status(one) == last_status(rest) == "Cancelled"
    assert isinstance(again[0], CancelRejected)
    assert not [e for e in paper.snapshot(3) if isinstance(e, OrderUpdate)]


def long_of(qty: int, stops: SetStops | None = None) -> tuple[PaperVenue, Book]:
    of = book()
    at = venue(of)
    at.execute(order(Side.BUY, 1000, qty), 1)
    if stops is not None:
        at.execute(stops, 1)
    return at, of


def position(events: list[OrderEvent]) -> PositionSnapshot:
    return next(e for e in reversed(events) if isinstance(e, PositionSnapshot))


def test_an_amended_order_rests_at_its_new_price() -> None:
    at = venue(book())
    at.execute(order(Side.BUY, 990, 100, TimeInForce.GTC), 1)
    (row,) = at.execute(AmendOrder(client_id="a", instrument=0, px=995, qty=70), 2)
    assert isinstance(row, OrderUpdate)
    assert (row.status, row.px, row.qty) == ("New", 995, 70)


def test_an_amend_that_crosses_takes_what_is_shown() -> None:
    at = venue(book())
    at.execute(order(Side.BUY, 990, 100, TimeInForce.GTC), 1)
    events = at.execute(AmendOrder(client_id="a", instrument=0, px=1000), 2)
    assert [(e.px, e.qty) for e in events if isinstance(e, Execution)] == [(1000, 100)]


@pytest.mark.parametrize(("client_id", "code"), [("nobody", 110001), ("a", 110064)])
def test_an_amend_that_cannot_be(client_id: str, code: int) -> None:
    at = venue(book())
    at.execute(order(Side.BUY, 1000, 1500, TimeInForce.GTC), 1)  # 1000 of it trade at once
    (said,) = at.execute(AmendOrder(client_id=client_id, instrument=0, qty=1000), 2)
    assert isinstance(said, CancelRejected)
    assert said.code == code


def test_a_stop_closes_the_position_when_its_side_comes_there() -> None:
    at, of = long_of(500, SetStops(instrument=0, stop_loss_px=980, take_profit_px=1100))
    assert position(at.snapshot(2)).stop_loss_px == 980
    of.apply_delta([("99.9", "0"), ("99.8", "0"), ("98.0", "3")], [], 2)
    events = at.on_books([0], 3)
    (fill,) = [e for e in events if isinstance(e, Execution)]
    assert (fill.side, fill.px, fill.qty, fill.client_id) == (Side.SELL, 980, 500, "")
    assert (position(events).qty, position(events).stop_loss_px) == (0, 0)


def test_a_short_takes_its_profit_by_what_is_shown_and_stays_stopped() -> None:
    of = book()
    at = venue(of)
    at.execute(order(Side.SELL, 999, 800), 1)
    at.execute(SetStops(instrument=0, stop_loss_px=0, take_profit_px=990), 1)
    of.apply_delta([("99.9", "0"), ("99.8", "0"), ("98", "1")],
                   [("99.0", "0.3"), ("100.0", "0"), ("100.1", "0")], 2)  # fmt: skip
    assert position(at.on_books([0], 2)).qty == -500
    of.apply_delta([], [("98.9", "5")], 3)
    assert position(at.on_books([0], 3)).qty == 0


def test_an_entry_brings_its_stops_and_they_go_with_the_position() -> None:
    at = venue(book())
    entry = replace(order(Side.BUY, 1000, 500), stop_loss_px=950)
    assert position(at.execute(entry, 1)).stop_loss_px == 950
    assert position(at.execute(order(Side.SELL, 999, 500), 2)).stop_loss_px == 0


def test_no_stops_without_a_position() -> None:
    (said,) = venue(book()).execute(SetStops(instrument=0, stop_loss_px=950), 1)
    assert isinstance(said, StopsRejected)


def test_stops_can_be_taken_away() -> None:
    at, _ = long_of(500, SetStops(instrument=0, stop_loss_px=980))
    assert position(at.execute(SetStops(instrument=0, stop_loss_px=0), 2)).stop_loss_px == 0
