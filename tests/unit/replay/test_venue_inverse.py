"""Inverse contracts: quantity in dollars, profit and fees in the coin."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook.errors import VenueError
from fastbook.replay.accounts import Order, Position, Row
from fastbook.replay.clearing import VenueRules
from fastbook.replay.matching import MatchingBook, universe
from fastbook.replay.venue import Venue
from fastbook.types import Category, Side

NOW_MS = 1_772_694_600_000
BTCUSD = universe(1, Category.INVERSE)[0].instrument


class InverseDesk:
    """Two accounts with coins on one inverse symbol."""

    def __init__(self, coins: str = "10") -> None:
        self.book = MatchingBook()
        self.venue = Venue([BTCUSD], [self.book], VenueRules(limit_band=Decimal("0.5")), seed=1)
        self.maker = self.venue.open_account({"BTC": Decimal(coins)})
        self.taker = self.venue.open_account({"BTC": Decimal(coins)})

    def order(self, account: int, side: str, qty: str, px: str = "", **more: Any) -> Order:
        params: dict[str, Any] = {
            "category": "inverse",
            "symbol": "BTCUSD",
            "side": side,
            "qty": qty,
            "orderType": "Limit" if px else "Market",
        }
        return self.venue.place(account, params | ({"price": px} if px else {}) | more, NOW_MS)

    def deal(self, qty: str, px: str, side: str = "Buy") -> None:
        """The taker trades with the maker."""
        self.order(self.maker, "Sell" if side == "Buy" else "Buy", qty, px)
        self.order(self.taker, side, qty, px)

    def position(self, account: int) -> Row:
        return self.venue.position_rows(account, "inverse", "BTCUSD")[0]

    def balance(self, account: int) -> Decimal:
        return self.venue.account(account).balances["BTC"]

    def fees(self, account: int) -> Decimal:
        return self.venue.account(account).fees["BTC"]


def test_value_fee_and_profit_are_in_the_coin() -> None:
    desk = InverseDesk()
    desk.deal("50000", "50000.00")
    row = desk.venue.account(desk.taker).executions[-1]
    assert (row["execQty"], row["execValue"], row["feeCurrency"]) == ("50000", "1", "BTC")
    assert row["execFee"] == "0.00055"
    assert (desk.position(desk.taker)["positionValue"], desk.position(desk.taker)["avgPrice"]) == (
        "1",
        "50000",
    )
    desk.deal("50000", "62500.00", "Sell")
    # 50,000 dollars cost 1 coin and buy 0.8 back: the long gains 0.2.
    assert desk.venue.account(desk.taker).realized["BTC"] == Decimal("0.2")
    assert desk.venue.account(desk.maker).realized["BTC"] == Decimal("-0.2")
    assert desk.balance(desk.taker) == 10 + Decimal("0.2") - desk.fees(desk.taker)
    assert desk.position(desk.taker)["size"] == "0"


def test_order_rows_average_dollars_over_coins() -> None:
    desk = InverseDesk()
    desk.order(desk.maker, "Sell", "50500", "50500.00")
    desk.order(desk.maker, "Sell", "50000", "50000.00")
    order = desk.order(desk.taker, "Buy", "100500", "50500.00")
    row = next(
        row
        for event in desk.venue.take_events(desk.taker)
        for row in event.rows
        if event.topic == "order"
    )
    assert (row["cumExecValue"], row["avgPrice"]) == ("2", "50250")
    assert (order.status, row["leavesValue"]) == ("Filled", "0")


def test_margin_is_in_the_coin() -> None:
    desk = InverseDesk("0.1")  # 10x: one coin's worth
    desk.venue.prices.set_last(0, 5_000_000)
    with pytest.raises(VenueError) as refused:
        desk.order(desk.taker, "Buy", "50000", "50000.00")
    assert refused.value.code == 110007
    desk.order(desk.taker, "Buy", "49000", "50000.00", orderLinkId="a")
    assert desk.venue.figures(desk.taker).coins["BTC"]["order_im"] == Decimal("0.098")
    which = {"category": "inverse", "symbol": "BTCUSD", "orderLinkId": "a"}
    desk.venue.cancel(desk.taker, which, NOW_MS)
    assert desk.venue.figures(desk.taker).coins["BTC"]["order_im"] == 0


def test_quantities_are_whole_dollars() -> None:
    desk = InverseDesk()
    with pytest.raises(VenueError) as refused:
        desk.order(desk.taker, "Buy", "0.5", "50000.00")
    assert refused.value.code == 10001
    assert desk.order(desk.taker, "Buy", "1", "50000.00").status == "New"  # no least value


DEALS = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(100_000, 9_000_000), st.integers(1, 10_000)),
    max_size=40,
)


@given(DEALS)
def test_two_sides_of_the_same_deals_cancel_exactly(deals: list[tuple[Side, int, int]]) -> None:
    """What one side realizes and holds is what the other lost and owes, to the last digit."""
    one, other = Position(BTCUSD), Position(BTCUSD)
    net = Fraction(0)
    for side, px, qty in deals:
        px -= px % BTCUSD.tick
        value = round(Fraction(qty * 100, px) * 10**12)  # of the deal, in 1e-12 coins
        net += value * side
        one.fill(side, px, qty)
        other.fill(side.opposite, px, qty)
        assert one.qty == -other.qty
        assert one.cost >= 0
        for position, sign in ((one, 1), (other, -1)):
            held = 1 if position.qty >= 0 else -1
            # Coins never appear: what was realized is what was bought, less what is still open.
            left = Fraction(position.cost) * held
            assert Fraction(position.realized) == sign * net / 10**12 * 1 - left
            assert position.qty or position.cost == 0


@given(st.integers(1_000_000, 9_000_000), st.integers(1_000_000, 9_000_000), st.integers(1, 10**6))
def test_profit_is_the_textbooks(entry: int, exit_px: int, qty: int) -> None:
    entry, exit_px = entry - entry % 10, exit_px - exit_px % 10
    for side in Side:
        position = Position(BTCUSD)
        position.fill(side, entry, qty)
        mark = BTCUSD.px_decimal(exit_px)
        expected = side * qty * (Fraction(100, entry) - Fraction(100, exit_px))
        assert abs(Fraction(position.unrealized(mark)) - expected) <= Fraction(2, 10**12)
        realized, closed = position.fill(side.opposite, exit_px, qty)
        assert closed == qty
        assert abs(Fraction(realized) - expected) <= Fraction(2, 10**12)
